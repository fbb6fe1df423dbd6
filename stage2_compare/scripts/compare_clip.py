"""Train CLIP, Chinese-CLIP, SigLIP or AltCLIP with the common head under the protocol.

    python stage2_compare/scripts/compare_clip.py --project-root . --model-name openai/clip-vit-base-patch32
        --epochs 5 --batch-size 16 --num-workers 2 --pin-memory

Leaves outputs/compare/clip_<model>/, with another --fusion than concat clip_<model>_<fusion>/.
"""

from __future__ import annotations

from common.command import run_command, train_model, training_run
from common.settings import TrainingRun


def parse(argv: list[str] | None = None) -> TrainingRun:
    return training_run(
        "clip",
        "Train CLIP, Chinese-CLIP, SigLIP or AltCLIP, by the checkpoint's type, with a head.",
        argv,
    )


def main(argv: list[str] | None = None) -> None:
    train_model(parse(argv))


if __name__ == "__main__":
    run_command(main)

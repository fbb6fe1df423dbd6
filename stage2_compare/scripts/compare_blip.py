"""Train BLIP's captioning checkpoint with the common head under the protocol.

    python stage2_compare/scripts/compare_blip.py --project-root . --model-name Salesforce/blip-image-captioning-base
        --epochs 5 --batch-size 8 --num-workers 2 --pin-memory

Leaves outputs/compare/blip_<model>/, with another --fusion than concat blip_<model>_<fusion>/.
With --fusion text the decoder sees no image: its cross-attention layers are left out.
"""

from __future__ import annotations

from common.command import run_command, train_model, training_run
from common.settings import TrainingRun


def parse(argv: list[str] | None = None) -> TrainingRun:
    text = "With --fusion text its decoder sees no image: its cross-attention layers are left out."
    return training_run("blip", f"Train BLIP with a head. {text}", argv)


def main(argv: list[str] | None = None) -> None:
    train_model(parse(argv))


if __name__ == "__main__":
    run_command(main)

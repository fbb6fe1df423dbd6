"""Train a text encoder and an image encoder under the protocol, with the fusion of your choice.

    python stage2_compare/scripts/compare_train.py --project-root . --model-name bert-base-chinese
        --image-backbone resnet18 --fusion concat --epochs 5 --batch-size 16 --num-workers 2 --pin-memory

Leaves outputs/compare/<model>_<backbone>_<fusion>/.
"""

from __future__ import annotations

from common.command import run_command, train_model, training_run
from common.settings import TrainingRun


def parse(argv: list[str] | None = None) -> TrainingRun:
    return training_run(
        "bert_resnet", "Train a text encoder and an image encoder with one fusion.", argv
    )


def main(argv: list[str] | None = None) -> None:
    train_model(parse(argv))


if __name__ == "__main__":
    run_command(main)

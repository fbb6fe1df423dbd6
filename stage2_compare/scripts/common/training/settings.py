"""The settings of a training run, typed. Imports no torch: the command line is read first.

``identity.choices`` says what a checkpoint must agree in; runs are comparable where their protocols
agree but for ``runs.layout.MAY_VARY``; runs of one model form a seed group.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..models.choice import ModelChoice
from ..runs.layout import DEFAULT_SEED


@dataclass(frozen=True)
class Protocol:
    """All that must agree between runs for their comparison to be fair.

    ``asdict`` of it is the ``protocol`` block of metrics.json. The defaults are those of the
    commands. ``precision`` and the last fields are known once the data are read."""

    seed: int = DEFAULT_SEED
    epochs: int = 5  # planned; with ``patience`` a run may end earlier
    effective_batch_size: int = 16  # samples that one optimizer step sees
    optimizer: str = "AdamW"  # a key of engine.OPTIMIZERS
    lr: float = 2e-5  # the highest of the run
    weight_decay: float = 1e-4
    schedule: str = "constant"  # of the learning rate, a key of rates.SCHEDULES
    warmup_ratio: float = 0.0  # share of all steps in which the learning rate rises from 0
    clip_norm: float = 0.0  # largest norm of a step's gradient, 0: any
    patience: int = 0  # epochs without a better macro-F1 that end the run, 0: any number
    loss: str = "cross-entropy"
    class_weights: str = "balanced"  # or "none"
    max_length: int = 64  # of a text in tokens
    image_size: int = 224  # height and width in pixels
    augmentation: str = "crop, flip"  # or "none"
    precision: str = ""  # fp32, bf16 or fp16
    pretrained: bool = True
    frozen_encoders: bool = False
    fold: int | None = None  # of those that make_splits.py --folds wrote; None: train.csv, val.csv
    folds: int | None = None  # how many there are
    folds_sha256: str = ""  # of the validation pairs of all of them
    classes: list[str] = field(default_factory=list)
    train_sha256: str = ""
    val_sha256: str = ""
    val_pairs_sha256: str = ""  # of the same pairs in any order


@dataclass(frozen=True)
class Machine:
    """Where and how a run computes. Up to rounding, its result does not depend on it."""

    batch_size: int = 16  # samples that fit in memory at once
    num_workers: int = 0  # threads that prepare batches
    pin_memory: bool = False
    device: str = "auto"
    amp: str = "auto"
    deterministic: bool = False
    feature_cache: bool = True  # keep what frozen encoders make of texts and photos
    cache_limit: float | None = None  # GB of outputs/cache; None: any


TEST_CSV = Path("outputs/splits/test.csv")


@dataclass(frozen=True)
class Paths:
    """Where and how a run reads, and where it writes; paths are relative to the root."""

    project_root: Path = Path(".")
    train_csv: Path = Path("outputs/splits/train.csv")
    val_csv: Path = Path("outputs/splits/val.csv")
    test_csv: Path | None = None  # None: TEST_CSV, if it is there
    text_encoding: str = "auto"  # of texts that are not UTF-8; what was read is in the protocol
    output_dir: Path = Path("outputs/compare")

    def of_fold(self, fold: int) -> Paths:
        """Return the paths with the training and validation pairs of a fold."""
        folder = Paths.val_csv.parent / f"fold_{fold}"
        return replace(self, train_csv=folder / "train.csv", val_csv=folder / "val.csv")

    @property
    def runs(self) -> Path:
        return self.project_root / self.output_dir

    @property
    def cache(self) -> Path:
        return self.project_root / "outputs" / "cache"


@dataclass(frozen=True)
class TrainingRun:
    """All that a command asks for, and ``arguments``, its flags as best.pt records them."""

    name: str  # of the run folder
    protocol: Protocol
    model: ModelChoice
    machine: Machine
    paths: Paths
    probe: bool = False  # measure what the model relies on
    restart: bool = False  # forget an unfinished run
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def micro_batch(self) -> int:
        """Return how many samples go through the model at once."""
        return min(self.machine.batch_size, self.protocol.effective_batch_size)

    def micro_batch_of(self, processes: int) -> int:
        """Return the same for one of several processes: at most the longest share of a step."""
        return min(self.micro_batch, math.ceil(self.protocol.effective_batch_size / processes))

    def model_record(self, micro_batch: int, max_length: int) -> dict[str, Any]:
        """Return the ``model`` block of metrics.json; ``max_length`` is what the model reads at
        most."""
        return {**asdict(self.model), "max_length": max_length, "batch_size": micro_batch}

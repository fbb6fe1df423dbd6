"""The settings of a prediction, typed. Imports no torch: the command line is read first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Prediction:
    """All that the command asks for. Relative paths start at the root."""

    runs: list[Path]  # folders; of several, the mean of their probabilities
    project_root: Path
    model_name: str | None  # checkpoint of runs that keep no files of it
    csv: Path | None  # None: one pair of ``text`` and ``image``
    text: str | None
    image: Path | None
    text_encoding: str  # of texts that are not UTF-8
    blank_missing: bool
    output: Path | None
    probs: bool  # write probabilities too
    batch_size: int | None  # None: as in the training of each run
    device: str
    amp: str

    @property
    def target(self) -> Path:
        return self.project_root / self.output

"""One run of a sweep: the command that makes it, and whether it is there already. Imports no
torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from ..data.image_cache import load_splits
from ..errors import UserError
from ..files import error_text, lock, unlock
from ..runs import layout
from ..runs.reading import differences, read_choices
from ..settings import Paths, TrainingRun
from ..training.reading import fingerprints, read_pairs

# Fields of the protocol that a run learns from its data, beside the fingerprints of its pairs.
FOUND_IN_THE_DATA = ("precision", "classes", "folds", "folds_sha256")


@dataclass(frozen=True, eq=False)
class Job:
    """A run that is to be made, and the command line that makes it."""

    command: str  # a training script, without .py
    arguments: tuple[str, ...]
    run: TrainingRun  # what the command makes of them

    @property
    def name(self) -> str:
        return self.run.name

    @property
    def folder(self) -> Path:
        return self.run.paths.runs / self.name

    @property
    def log(self) -> Path:
        return self.run.paths.runs / layout.LOGS / f"{self.name}.log"

    @property
    def kind(self) -> tuple:
        """Equal for runs that take about the same time on the same pairs."""
        return (self.run.model, self.run.protocol.frozen_encoders)

    @property
    def shared_encoder(self) -> tuple | None:
        """Equal for runs of which the next can use the encoder that the one before has left in
        memory; None where the run trains its encoder."""
        model, protocol = self.run.model, self.run.protocol
        if not (protocol.frozen_encoders and protocol.pretrained):
            return None
        return (self.command, model.name, model.image_backbone, protocol.image_size)

    def is_finished(self) -> bool:
        """Tell if its folder holds the run of this protocol, this model and these pairs."""
        record = read_choices(self.folder)
        if not record:
            return False
        protocol = {**asdict(self.run.protocol), **self.fingerprints()}
        for key in FOUND_IN_THE_DATA:
            del protocol[key]
        planned = {"protocol": protocol, "model": asdict(self.run.model)}
        for block, values in planned.items():
            for key in record[block].keys() - values.keys():
                del record[block][key]
        return not differences(record, planned)

    def fingerprints(self) -> dict[str, str]:
        """Read and check the pairs, and return what the protocol records of them.

        Raises:
            UserError: pairs are missing or broken.
        """
        protocol = self.run.protocol
        return _fingerprints(self.run.paths, protocol.fold, protocol.image_size)

    def is_being_trained(self) -> bool:
        """Tell if another process holds the lock of its folder.

        Raises:
            UserError: nothing can be written there.
        """
        path = layout.lock(self.run.paths.runs, self.name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held = lock(path)
        except OSError as error:
            reason = error_text(error)
            raise UserError(
                f"cannot write in {path.parent}: {reason}. Give another --output-dir"
            ) from error
        if held is not None:
            unlock(path, held)
        return held is None


@cache
def _fingerprints(paths: Paths, fold: int | None, image_size: int) -> dict[str, str]:
    splits, _, _ = read_pairs(paths, fold)
    photos = {name: split.image_paths for name, split in splits.items()}
    return fingerprints(splits, load_splits(photos, image_size, paths.cache))

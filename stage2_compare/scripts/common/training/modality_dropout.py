"""Training pairs that lose one modality at random."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import seeding
from ..data.dataset import Batch, Dataset
from ..models.classifier import ImageTextClassifier
from .features import read_batch
from .prepare import PreparedRun
from .probes import blanks

# Gives of a modality and samples (b,) what stands in its place in a batch: (b or 1, ...) by name.
Blank = Callable[[str, np.ndarray], Batch]


class ModalityDropout(Dataset):
    """Training samples, a ``share`` of which loses its text or its image, half each and never both
    (Neverova et al. 2016, arXiv 1501.00102). Which ones depends on (seed, epoch, sample) alone."""

    def __init__(self, train: Dataset, share: float, blank: Blank, pad_id: int):
        super().__init__(train.labels, np.zeros(len(train)))
        self.train, self.share, self.blank, self.pad_id = train, share, blank, pad_id

    def batch(self, seed: int, epoch: int, indices: np.ndarray) -> Batch:
        batch = self.train.batch(seed, epoch, indices)
        draws = seeding.uniforms(seed, "modality dropout", epoch, indices, columns=1)[:, 0]  # (B,)
        lost = {"text": draws < self.share / 2, "image": draws >= 1 - self.share / 2}
        for name, without in lost.items():
            rows = np.flatnonzero(without)
            if len(rows):
                _put(batch, rows, self.blank(name, indices[rows]), self.pad_id)
        return batch


def with_modality_dropout(
    run: PreparedRun, model: ImageTextClassifier, train: Dataset
) -> ModalityDropout:
    """Return ``train``, pairs or what the frozen encoder of the model made of them, of which a share
    has the blanks of the probes."""
    protocol, pad_id = run.settings.protocol, run.empty_text.pad_id
    parts = blanks(run, model)

    def encoded(pairs: Batch) -> Batch:
        text, image = read_batch(model, run.precision, pairs)
        return {"text": text, "mask": pairs["attention_mask"], "image": image}

    def read_again(name: str, samples: np.ndarray) -> Batch:
        pairs = run.datasets["train"].batch(protocol.seed, 0, samples)
        _put(pairs, np.arange(len(samples)), parts[name], pad_id)
        return encoded(pairs)

    if model.frozen and not model.encoder.reads_apart:  # one modality was read in the other's light
        return ModalityDropout(train, protocol.modality_dropout, read_again, pad_id)
    if model.frozen:
        text = encoded({**parts["text"], **parts["image"]})
        parts = {"image": {"image": text.pop("image")}, "text": text}
    return ModalityDropout(train, protocol.modality_dropout, lambda name, _: parts[name], pad_id)


def _put(batch: Batch, rows: np.ndarray, parts: Batch, pad_id: int) -> None:
    """Put what a blank consists of into rows (b,) of a batch; an empty text is the shortest one, and
    padded as the others are."""
    for name in batch.keys() & parts.keys():
        values, found = parts[name], batch[name]
        found[rows] = pad_id if name == "input_ids" else 0
        found[rows, : values.shape[1]] = values

"""Lets an encoder read texts and photos once; the features of a frozen one are kept.

The encoder reads batches of one shape: so many rows, texts padded to a length that depends on the
text alone. So a feature depends neither on its neighbours nor on its place in the split, and is the
same, bit for bit, whether it was kept or is made again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..data import image_cache
from ..data.batches import EVALUATION_FACTOR
from ..data.dataset import Batch, FeatureDataset, PairDataset
from ..data.feature_cache import FeatureCache
from ..models.classifier import ImageTextClassifier
from ..models.encoder import Encoder
from .device import device_name
from .identity import encoder_sha256
from .precision import Precision
from .prepare import PreparedRun

ROWS = 32  # of a batch, where so many fit in memory
STEP = 16  # texts are padded to a multiple of so many tokens


@dataclass(frozen=True)
class Part:
    """One modality, or both where they are read together, as a text in the light of its photo."""

    name: str  # text, image or pair
    uses: tuple[str, ...]
    widths: tuple[int, ...]  # numbers of each feature
    weights: str  # start of the names of the encoder's weights that make them


def parts_of(encoder: Encoder) -> list[Part]:
    """Return what can be read, and kept, by itself."""
    widths = {"text": encoder.text_dim, "image": encoder.image_dim}
    if len(encoder.uses) > 1 and not encoder.weights_of:
        return [Part("pair", encoder.uses, tuple(widths[name] for name in encoder.uses), "")]
    return [
        Part(name, (name,), (widths[name],), encoder.weights_of.get(name, ""))
        for name in encoder.uses
    ]


def feature_cache(prepared: PreparedRun, micro: int) -> FeatureCache | None:
    """Return where the features of a run are kept; None where they are not."""
    machine, precision = prepared.settings.machine, prepared.precision
    if not machine.feature_cache:
        return None
    same = ("code_sha256", "config_sha256", "pixel_statistics")
    stamp = {
        **{key: prepared.contents[key] for key in same},
        "image_size": prepared.settings.protocol.image_size,
        "photos": image_cache.VERSION,
        "padding": prepared.empty_text.pad_id,
        "rows": rows_of(micro),
        "precision": precision.name,
        "deterministic": machine.deterministic,
        "device": device_name(precision.device),
        # Another number of threads, or other instructions, sum in another order.
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
    }
    return FeatureCache(prepared.settings.paths.cache, stamp)


def rows_of(micro: int) -> int:
    """Return the rows of a batch: fewer only where memory holds fewer."""
    return min(ROWS, EVALUATION_FACTOR * micro)


@torch.no_grad()  # not inference_mode: the head trains on these
def encode(
    model: ImageTextClassifier,
    datasets: Sequence[PairDataset],
    micro: int,
    precision: Precision,
    cache: FeatureCache | None = None,
) -> list[FeatureDataset]:
    """Read datasets with the encoder; the features are float32 on the CPU, in the order of each
    split.

    A text or photo is read once, however often it occurs, and not at all where the cache has it."""
    reader = _Reader(model, datasets, rows_of(micro), precision)
    found: dict[str, Tensor] = {}  # by modality, of all datasets together
    for part in parts_of(model.encoder):
        features = torch.from_numpy(_features(part, reader, cache))  # (N, D)
        found |= zip(part.uses, features.split(part.widths, dim=1), strict=True)
    sizes = [len(dataset) for dataset in datasets]
    names, parts = found.keys(), [features.split(sizes) for features in found.values()]
    return [
        FeatureDataset(dataset.labels, **dict(zip(names, of_dataset, strict=True)))
        for dataset, *of_dataset in zip(datasets, *parts, strict=True)
    ]


def _features(part: Part, reader: _Reader, cache: FeatureCache | None) -> np.ndarray:
    """Return the features of a part, side by side, of every sample, (N, D)."""
    digests = reader.digests(part)
    firsts: dict[bytes, int] = {}  # the first sample with each content
    for place, digest in enumerate(digests):
        firsts.setdefault(digest, place)
    places = np.fromiter(firsts.values(), np.int64)

    def make(chosen: np.ndarray) -> np.ndarray:
        return reader.read(part, places[chosen])

    if cache is None:
        distinct = make(np.arange(len(places)))
    else:
        weights = encoder_sha256(reader.model.encoder, part.weights)
        distinct = cache.features(part.name, weights, list(firsts), sum(part.widths), make)
    rows = {digest: row for row, digest in enumerate(firsts)}
    return distinct[[rows[digest] for digest in digests]]


class _Reader:
    """Several datasets as one, N samples, and the encoder that reads them in batches of one shape."""

    def __init__(
        self,
        model: ImageTextClassifier,
        datasets: Sequence[PairDataset],
        rows: int,
        precision: Precision,
    ):
        self.model, self.datasets = model, datasets
        self.rows, self.precision = rows, precision
        self.samples = [
            (dataset, np.array([i])) for dataset in datasets for i in range(len(dataset))
        ]
        self.lengths = np.concatenate([dataset.tokens.lengths for dataset in datasets])  # (N,)

    def digests(self, part: Part) -> list[bytes]:
        """Return a hash of what the part reads of each sample."""
        found: list[list[bytes]] = []
        if "text" in part.uses:
            found.append([d for dataset in self.datasets for d in dataset.tokens.digests])
        if "image" in part.uses:
            photos = [d for dataset in self.datasets for d in dataset.images.digests]
            found.append([bytes.fromhex(digest) for digest in photos])
        if len(found) == 1:
            return found[0]
        return [hashlib.sha256(text + photo).digest() for text, photo in zip(*found, strict=True)]

    def read(self, part: Part, places: np.ndarray) -> np.ndarray:
        """Return the features (M, D) of the samples at ``places`` (M,)."""
        model, device = self.model.to(self.precision.device).eval(), self.precision.device
        features = np.empty((len(places), sum(part.widths)), np.float32)
        title = f"encoding {part.name}s"
        with tqdm(total=len(places), desc=title, unit="", disable=None, leave=False) as bar:
            for chosen, length in self._batches(part, places):
                full = places[np.resize(chosen, self.rows)]  # a short batch repeats its samples
                inputs = {n: t.to(device) for n, t in self._batch(part, full, length).items()}
                with self.precision.autocast():
                    made = [made for made in model.encode(**inputs) if made is not None]
                joined = torch.cat([each.float() for each in made], dim=1).cpu()
                features[chosen] = joined[: len(chosen)].numpy()
                bar.update(len(chosen))
        return features

    def _batches(self, part: Part, places: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """Yield rows of ``places``, and the length in tokens to which their texts are padded."""
        lengths = np.zeros(len(places), np.int64)
        if "text" in part.uses:
            steps = np.maximum(1, -(-self.lengths[places] // STEP))
            lengths = np.minimum(steps * STEP, self.model.encoder.positions)
        for length in np.unique(lengths):
            same = np.flatnonzero(lengths == length)
            for start in range(0, len(same), self.rows):
                yield same[start : start + self.rows], int(length)

    def _batch(self, part: Part, places: np.ndarray, length: int) -> Batch:
        batch: Batch = {}
        chosen = [self.samples[place] for place in places]
        if "text" in part.uses:
            texts = [dataset.tokens.pad(place, length) for dataset, place in chosen]
            batch["input_ids"] = torch.cat([ids for ids, _ in texts])  # (rows, length)
            batch["attention_mask"] = torch.cat([mask for _, mask in texts])
        if "image" in part.uses:
            photos = [dataset.batch(0, 0, place)["pixel_values"] for dataset, place in chosen]
            batch["pixel_values"] = torch.cat(photos)  # (rows, 3, H, W)
        return batch

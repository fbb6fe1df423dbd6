"""Lets a frozen encoder read texts and photos once; what it makes of them is kept.

One array holds what an encoder makes of all training and validation texts, of their photos, or of
their pairs where it reads them together. It has an order of its own, so that folds, seeds, fusions
and learning rates share it. The pairs of a test split have arrays of their own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from ..data.arrays import Kept, Plan, keep
from ..data.batches import EVALUATION_FACTOR
from ..data.dataset import Batch, Dataset, FeatureDataset, PairDataset, TokenDataset
from ..errors import reason_of
from ..models.classifier import ImageTextClassifier
from ..models.encoder import Encoder
from ..progress import Progress
from ..tensors import sha256_of_tensors
from .device import Precision, device_name
from .prepare import PreparedRun
from .resume import config_sha256

ROWS = 32  # of a batch, where so many fit in memory
_SHARE_OF_THE_DISK = 0.5  # of what is free: the runs need the rest
# Hashes of the towers of frozen encoders, which several runs of one process may share
_TOWERS: WeakKeyDictionary[Encoder, dict[str, str]] = WeakKeyDictionary()


def encode_splits(
    run: PreparedRun, model: ImageTextClassifier, micro: int
) -> tuple[dict[str, Dataset], float]:
    """Let the frozen encoder read all splits of a run, or find what it made of them. Return the
    features by split, and the seconds it took to make those of training and validation, see
    ``encode``. ``micro`` samples fit in memory in training."""
    machine, precision, cache = run.settings.machine, run.precision, None
    if machine.feature_cache:
        conditions = {
            "code": run.contents["code_sha256"],
            "precision": precision.name,
            "deterministic": machine.deterministic,
            "device": device_name(precision.device),
            # Another number of threads, or other instructions, sum in another order.
            "threads": torch.get_num_threads(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "torch": torch.__version__,
        }
        cache = run.settings.paths.cache, conditions
    found: dict[str, Dataset] = {}
    others = [name for name in run.datasets if name not in ("train", "val")]
    for names in filter(None, (others, ["train", "val"])):
        datasets = [run.datasets[name] for name in names]
        features, seconds = encode(model, datasets, micro, precision, cache)
        found |= zip(names, features, strict=True)
    return found, seconds


def encode(
    model: ImageTextClassifier,
    datasets: Sequence[PairDataset],
    micro: int,
    precision: Precision,
    cache: tuple[Path, dict[str, Any]] | None = None,
) -> tuple[list[Dataset], float]:
    """Read datasets with an encoder; the features are float32 on the CPU, in the order of each
    split.

    A text or photo is read once, however often it occurs, and not at all where the cache has it.
    Tokens and patches that are not kept are read whenever they are asked for.

    Args:
        datasets: share their photos.
        cache: a folder, and what decides the features besides encoder and pairs, as JSON can hold
            it.

    Returns:
        The features, and the seconds it took to make them, when they were made; 0 where they are
        made again whenever they are asked for.
    """
    encoder = model.encoder
    uses = [(name,) for name in encoder.uses] if encoder.reads_apart else [encoder.uses]
    rows = min(ROWS, EVALUATION_FACTOR * micro)  # fewer only where memory holds fewer
    pairs = _joined(datasets)
    parts = [_Part(each, model, pairs, rows, precision) for each in uses]
    kept = cache is not None and _keep(parts, *cache)
    if not kept and encoder.pooled:
        for part in parts:
            started = time.perf_counter()
            numbers = np.concatenate(list(part.blocks()))
            part.fill(Kept(numbers, time.perf_counter() - started))
    elif not kept:
        print("the frozen encoder reads all pairs in every epoch", flush=True)

    found, start = [], 0
    for dataset in datasets:
        samples = np.arange(start, start + len(dataset))
        start += len(dataset)
        if encoder.pooled:
            rows = _rows(parts, samples)
            features = {name: np.concatenate([row[name] for row in rows]) for name in encoder.uses}
            tensors = {name: torch.from_numpy(values) for name, values in features.items()}
            found.append(FeatureDataset(dataset.labels, **tensors))
        else:
            source = (
                partial(_kept_tokens, parts, samples)
                if kept
                else partial(_tokens_now, model, precision, dataset)
            )
            found.append(TokenDataset(dataset.labels, dataset.tokens.lengths, source))
    return found, sum(part.seconds for part in parts)


def _joined(datasets: Sequence[PairDataset]) -> PairDataset:
    """Join datasets, which share their photos, into one without labels."""
    one = datasets[0]
    ids = np.concatenate([each.tokens.ids for each in datasets])
    lengths = np.concatenate([each.tokens.lengths for each in datasets])  # (N,)
    tokens = replace(one.tokens, ids=ids, starts=np.cumsum([0, *lengths]))
    images = replace(one.images, rows=np.concatenate([each.images.rows for each in datasets]))
    return PairDataset(tokens, images, [-1] * len(lengths), one.image_size, augment=False)


class _Part:
    """What an encoder reads by itself: one modality of N samples, or both together.

    The M different contents have an order of their own, from the shortest text to the longest. The
    encoder makes numbers of each: first those of its text, then those of its image.
    """

    def __init__(
        self,
        uses: tuple[str, ...],
        model: ImageTextClassifier,
        pairs: PairDataset,
        batch_rows: int,
        precision: Precision,
    ):
        self.uses, self._model, self._pairs = uses, model, pairs
        self._batch_rows, self._precision = batch_rows, precision
        self.seconds = 0.0  # that it took to make the numbers
        self.name = uses[0] if len(uses) == 1 else "pair"
        lengths = pairs.tokens.lengths * ("text" in uses)  # (N,)
        texts = [digest.hex() for digest in pairs.tokens.digests]
        digests = {"text": texts, "image": pairs.images.digests}
        keys = [map("{:08}".format, lengths), *(digests[name] for name in uses)]
        # (M,) the contents, and where the first sample of each is; (N,) which one a sample has
        self._contents, self._places, self._content_of = np.unique(
            ["".join(parts) for parts in zip(*keys, strict=True)],
            return_index=True,
            return_inverse=True,
        )
        encoder = model.encoder
        self._dims = {"text": encoder.text_dim, "image": encoder.image_dim}
        vectors = np.where(encoder.pooled, "text" in uses, lengths[self._places])
        self._text_sizes = vectors * encoder.text_dim  # (M,)

    def decided_by(self, conditions: dict[str, Any]) -> bytes:
        """Return all that decides the numbers. Nothing of the other modality does, so models share
        towers."""
        encoder, pairs = self._model.encoder, self._pairs
        weights = _tower_sha256(encoder, encoder.weights_of.get(self.name, ""))
        pixels = pairs.image_size, *map(float, (*encoder.mean, *encoder.std))
        own = {"text": pairs.tokens.pad_id, "image": pixels}
        of_tower = [[config_sha256(encoder.configs[name]), own[name]] for name in self.uses]
        key = [conditions, self._batch_rows, encoder.pooled, weights, of_tower, *self._contents]
        return json.dumps(key).encode()

    def plan(self) -> Plan:
        """Plan the array of all numbers; only the encoder knows how many it makes of an image."""
        blocks = self.blocks()
        first = next(blocks)
        total = len(self._contents)
        count = min(self._batch_rows, total)
        image_size = (len(first) - self._text_sizes[:count].sum()) // count
        size = int(self._text_sizes.sum() + total * image_size)
        return Plan((size,), first.dtype, chain([first], blocks))

    def blocks(self) -> Iterator[np.ndarray]:
        """Let the encoder read everything batch by batch; yield what it makes of each, flat."""
        total = len(self._contents)
        with Progress(desc=f"encoding {self.name}s", total=total) as bar:
            for start in range(0, total, self._batch_rows):
                places = self._places[start : start + self._batch_rows]
                batch: Batch = {}
                if "text" in self.uses:
                    batch["input_ids"], batch["attention_mask"] = self._pairs.tokens.pad(places)
                if "image" in self.uses:
                    batch["pixel_values"] = self._pairs.batch(0, 0, places)["pixel_values"]
                text, image = read_batch(self._model, self._precision, batch)
                pieces = []
                for place, size in enumerate(self._text_sizes[start : start + len(places)]):
                    if text is not None:
                        pieces.append(text[place].flatten()[:size])  # without padding
                    if image is not None:
                        pieces.append(image[place].flatten())
                yield torch.cat(pieces).numpy()
                bar.update(len(places))

    def fill(self, made: Kept) -> None:
        """Take the numbers of all contents, one behind the other."""
        self._numbers, self.seconds = made
        image_size = (len(self._numbers) - self._text_sizes.sum()) // len(self._contents)
        self._starts = np.cumsum([0, *(self._text_sizes + image_size)])

    def of(self, sample: int) -> dict[str, np.ndarray]:
        """Return what was made of a sample: ``text`` (L, text_dim), ``image`` (P, image_dim); one
        vector each where it is pooled."""
        content = self._content_of[sample]
        start, end = self._starts[content : content + 2]
        middle = start + self._text_sizes[content]
        numbers = {"text": self._numbers[start:middle], "image": self._numbers[middle:end]}
        return {name: numbers[name].reshape(-1, self._dims[name]) for name in self.uses}


def _keep(parts: list[_Part], folder: Path, conditions: dict[str, Any]) -> bool:
    """Map what the encoder makes of all parts; return False where it cannot be kept, and say why."""
    try:
        for part in parts:
            name, decides = f"features_{part.name}", part.decided_by(conditions)
            part.fill(keep(folder, name, decides, part.plan, _SHARE_OF_THE_DISK))
    except OSError as error:
        print(
            f"warning: features cannot be kept in {folder}: {reason_of(error)}. This run goes on "
            "without, the next one makes them again",
            flush=True,
        )
        return False
    return True


def _tower_sha256(encoder: Encoder, start: str) -> str:
    """Return a hash of the weights of a frozen encoder whose names begin with ``start``, whichever
    part of it they are in: CLIP's own towers are those that stand beside others."""
    known = _TOWERS.setdefault(encoder, {})
    if start not in known:
        weights = encoder.state_dict().items()
        own = {name.partition(".")[2]: each for name, each in weights if name.startswith(start)}
        known[start] = sha256_of_tensors(own)
    return known[start]


def _rows(parts: list[_Part], samples: np.ndarray) -> list[dict[str, np.ndarray]]:
    """Return what was made of each of some samples."""
    return [{k: v for part in parts for k, v in part.of(each).items()} for each in samples]


def _kept_tokens(
    parts: list[_Part], samples: np.ndarray, indices: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Return what was kept of the samples ``samples[indices]`` (B,): tokens (B, L, text_dim), zero
    behind the end of a text, and patches (B, P, image_dim)."""
    found = _rows(parts, samples[indices])
    longest = max(1, *(len(each["text"]) for each in found))
    text = np.zeros((len(found), longest, found[0]["text"].shape[1]), np.float32)
    for row, each in zip(text, found, strict=True):
        row[: len(each["text"])] = each["text"]
    image = np.stack([each["image"] for each in found])
    return torch.from_numpy(text), torch.from_numpy(image)


def _tokens_now(
    model: ImageTextClassifier, precision: Precision, dataset: PairDataset, indices: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Let the encoder make at once what ``_kept_tokens`` returns."""
    batch = dataset.batch(0, 0, indices)
    text, image = read_batch(model, precision, batch)
    return text * batch["attention_mask"].unsqueeze(2), image


@torch.no_grad()
def read_batch(
    model: ImageTextClassifier, precision: Precision, batch: Batch
) -> list[Tensor | None]:
    """Let the encoder read the texts, the images or both of a batch: the features of each, float32
    on the CPU, None where it has none."""
    model.to(precision.device)
    model.encoder.eval()  # the head may be training
    inputs = {name: each.to(precision.device) for name, each in batch.items() if name != "labels"}
    with precision.autocast():
        made = model.encode(**inputs)
    return [None if each is None else each.float().cpu() for each in made]

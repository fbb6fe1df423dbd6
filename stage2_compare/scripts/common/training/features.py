"""Lets an encoder read texts and photos once; the features of a frozen one are kept.

The encoder reads batches of one shape: so many rows, texts padded to a length that depends on the
text alone. So a feature depends neither on its neighbours nor on its place in the split, and is the
same, bit for bit, whether it was kept or is made again."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..data import image_cache
from ..data.batches import EVALUATION_FACTOR
from ..data.dataset import Batch, FeatureDataset, PairDataset, TokenDataset
from ..data.feature_cache import FeatureCache, FeatureTable, in_memory
from ..files import error_text
from ..models.classifier import ImageTextClassifier
from ..models.encoder import Encoder
from ..models.fusion import FUSIONS
from .device import Precision, device_name
from .prepare import PreparedRun
from .resume import encoder_sha256

ROWS = 32  # of a batch, where so many fit in memory
# Of tokens and patches: where they are not kept, a step reads few samples, of several lengths.
ROWS_OF_TOKENS = 8
STEP = 16  # texts are padded to a multiple of so many tokens


@dataclass(frozen=True)
class Part:
    """One modality, or both where they are read together, as a text in the light of its photo."""

    name: str  # text, image or pair
    uses: tuple[str, ...]
    weights: str  # start of the names of the encoder's weights that make its features


def parts_of(encoder: Encoder) -> list[Part]:
    """Return what can be read, and kept, by itself."""
    if len(encoder.uses) > 1 and not encoder.weights_of:
        return [Part("pair", encoder.uses, "")]
    return [Part(name, (name,), encoder.weights_of.get(name, "")) for name in encoder.uses]


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
        "rows": rows_of(micro, FUSIONS[prepared.settings.model.fusion].pooled),
        "precision": precision.name,
        "deterministic": machine.deterministic,
        "device": device_name(precision.device),
        # Another number of threads, or other instructions, sum in another order.
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
    }
    return FeatureCache(prepared.settings.paths.cache, stamp)


def rows_of(micro: int, pooled: bool) -> int:
    """Return the rows of a batch: fewer only where memory holds fewer."""
    return min(ROWS if pooled else ROWS_OF_TOKENS, EVALUATION_FACTOR * micro)


def encode_splits(
    prepared: PreparedRun, model: ImageTextClassifier, micro: int
) -> dict[str, FeatureDataset | TokenDataset]:
    """Let the frozen encoder read all splits of a run, or find what it made of them."""
    names, datasets = zip(*prepared.datasets.items(), strict=True)
    read = encode if model.encoder.pooled else encode_tokens
    cache = feature_cache(prepared, micro)
    features = read(model, datasets, micro, prepared.precision, cache)
    return dict(zip(names, features, strict=True))


def encode(
    model: ImageTextClassifier,
    datasets: Sequence[PairDataset],
    micro: int,
    precision: Precision,
    cache: FeatureCache | None = None,
) -> list[FeatureDataset]:
    """Read datasets with a pooled encoder; the features are float32 on the CPU, in the order of
    each split.

    A text or photo is read once, however often it occurs, and not at all where the cache has it."""
    reader = _Reader(model, datasets, micro, precision)
    found: dict[str, Tensor] = {}  # by modality, of all datasets together
    for part in parts_of(model.encoder):
        features = torch.from_numpy(_in_memory(part, reader, cache))  # (N, D)
        widths = [math.prod(shape) for shape in reader.shapes(part, 0)]
        found |= zip(part.uses, features.split(widths, dim=1), strict=True)
    sizes = [len(dataset) for dataset in datasets]
    names, parts = found.keys(), [features.split(sizes) for features in found.values()]
    return [
        FeatureDataset(dataset.labels, **dict(zip(names, of_dataset, strict=True)))
        for dataset, *of_dataset in zip(datasets, *parts, strict=True)
    ]


def _in_memory(part: Part, reader: _Reader, cache: FeatureCache | None) -> np.ndarray:
    """Return the features of a part, side by side, of every sample, (N, D)."""
    digests = reader.digests(part)
    distinct = _Distinct(part, reader, digests, np.arange(len(digests)))
    if cache is None:
        features = in_memory(distinct.read, len(distinct.digests), distinct.width)
    else:
        weights = encoder_sha256(reader.model.encoder, part.weights)
        asked = (part.name, weights, distinct.digests, distinct.width, distinct.read)
        features = cache.features(*asked)
    rows = {digest: row for row, digest in enumerate(distinct.digests)}
    return features[[rows[digest] for digest in digests]]


def encode_tokens(
    model: ImageTextClassifier,
    datasets: Sequence[PairDataset],
    micro: int,
    precision: Precision,
    cache: FeatureCache | None = None,
) -> list[TokenDataset]:
    """Read datasets with an encoder of tokens and patches.

    They are kept on disk, and mapped. Where they may not be, or do not fit, the encoder reads them
    again whenever they are asked for, in the same way, and a line says so."""
    reader = _Reader(model, datasets, micro, precision)
    sources = _kept_tokens(reader, cache) if cache else None
    if sources is None:
        print("the frozen encoder reads all pairs in every epoch", flush=True)
        sources = {part: partial(reader.arrays, part) for part in parts_of(model.encoder)}
    starts = np.cumsum([0, *(len(dataset) for dataset in datasets)])
    encoder = model.encoder
    return [
        TokenDataset(
            dataset.labels,
            dataset.tokens.lengths,
            encoder.text_dim,
            reader.patches,
            encoder.image_dim,
            partial(_tokens_and_patches, reader, sources, start),
        )
        for dataset, start in zip(datasets, starts, strict=False)
    ]


# Gives what the encoder makes of the samples (B,), of all datasets together, each flat.
Source = Callable[[np.ndarray], list[np.ndarray]]


def _tokens_and_patches(
    reader: _Reader, sources: dict[Part, Source], start: int, indices: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the tokens and the patches of samples of the dataset that begins at ``start``."""
    found: dict[str, list[np.ndarray]] = {"text": [], "image": []}
    places = start + indices
    for part, source in sources.items():
        for place, flat in zip(places, source(places), strict=True):
            for modality, array in reader.unfolded(part, place, flat).items():
                found[modality].append(array)
    return found["text"], found["image"]


def _kept_tokens(reader: _Reader, cache: FeatureCache) -> dict[Part, Source] | None:
    """Keep the tokens and patches of all samples; return None where they cannot be kept."""
    digests = {part: reader.digests(part) for part in parts_of(reader.model.encoder)}
    groups = dict(chain.from_iterable(_groups(*each, reader) for each in digests.items()))
    try:
        tables = {key: _table(*key, group, reader, cache) for key, group in groups.items()}
    except OSError as error:
        print(
            f"warning: tokens and patches cannot be kept in {cache.folder}: {error_text(error)}",
            flush=True,
        )
        return None
    return {part: partial(_looked_up, part, reader, tables, own) for part, own in digests.items()}


def _groups(
    part: Part, digests: list[bytes], reader: _Reader
) -> Iterator[tuple[tuple[Part, int], _Distinct]]:
    """Give the different contents by the length to which they are padded: tables hold rows of one
    width."""
    lengths = reader.padded_lengths(part)
    for length in np.unique(lengths).tolist():
        places = np.flatnonzero(lengths == length)
        yield (part, length), _Distinct(part, reader, digests, places)


def _table(
    part: Part, length: int, group: _Distinct, reader: _Reader, cache: FeatureCache
) -> FeatureTable:
    weights = encoder_sha256(reader.model.encoder, part.weights)
    name = f"{part.name}_of_tokens_{length}" if length else f"{part.name}_of_patches"
    return cache.table(name, weights, group.digests, group.width, group.read)


def _looked_up(
    part: Part,
    reader: _Reader,
    tables: dict[tuple[Part, int], FeatureTable],
    digests: list[bytes],
    places: np.ndarray,
) -> list[np.ndarray]:
    """Return what was kept of the samples (B,), each flat."""
    lengths = reader.padded_lengths(part)[places].tolist()
    asked = zip(lengths, places.tolist(), strict=True)
    found = [(tables[part, length], digests[place]) for length, place in asked]
    return [table.features[table.rows[digest]] for table, digest in found]


class _Distinct:
    """The different contents among the samples ``places``, whose features are of one width."""

    def __init__(self, part: Part, reader: _Reader, digests: list[bytes], places: np.ndarray):
        firsts: dict[bytes, int] = {}  # the first sample with each content
        for place in places.tolist():
            firsts.setdefault(digests[place], place)
        self._part, self._reader = part, reader
        self._places = np.fromiter(firsts.values(), np.int64)
        self.digests = list(firsts)
        self.width = reader.width(part, places[0])

    def read(self, chosen: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Let the encoder read some of the contents, as ``feature_cache.Make`` does it."""
        title = f"encoding {self._part.name}s"
        with tqdm(total=len(chosen), desc=title, unit="", disable=None, leave=False) as bar:
            for own, features in self._reader.read(self._part, self._places[chosen]):
                yield chosen[own], features
                bar.update(len(own))


class _Reader:
    """Several datasets as one, N samples, and the encoder that reads them in batches of one shape."""

    def __init__(
        self,
        model: ImageTextClassifier,
        datasets: Sequence[PairDataset],
        micro: int,
        precision: Precision,
    ):
        self.model, self.datasets, self.precision = model, datasets, precision
        self.rows = rows_of(micro, model.encoder.pooled)
        self.samples = [
            (dataset, np.array([i])) for dataset in datasets for i in range(len(dataset))
        ]
        lengths = np.concatenate([dataset.tokens.lengths for dataset in datasets])
        steps = np.maximum(1, -(-lengths // STEP))
        self._padded = np.minimum(steps * STEP, model.encoder.positions)  # (N,)

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

    def padded_lengths(self, part: Part) -> np.ndarray:
        """Return the length in tokens to which the text of each sample is padded, (N,); 0 where the
        part reads no text."""
        return self._padded if "text" in part.uses else np.zeros_like(self._padded)

    def shapes(self, part: Part, place: int) -> list[tuple[int, ...]]:
        """Return the shape of what the encoder makes of a sample, for each modality of the part."""
        encoder = self.model.encoder
        if encoder.pooled:
            of = {"text": (encoder.text_dim,), "image": (encoder.image_dim,)}
        else:
            tokens = int(self._padded[place])
            of = {"text": (tokens, encoder.text_dim), "image": (self.patches, encoder.image_dim)}
        return [of[modality] for modality in part.uses]

    def width(self, part: Part, place: int) -> int:
        """Return how many numbers the encoder makes of a sample."""
        return sum(math.prod(shape) for shape in self.shapes(part, place))

    def unfolded(self, part: Part, place: int, flat: np.ndarray) -> dict[str, np.ndarray]:
        """Return the arrays that lie one behind the other in ``flat``, by modality."""
        shapes = self.shapes(part, place)
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        arrays = np.split(flat, ends[:-1])
        pieces = zip(part.uses, arrays, shapes, strict=True)
        return {modality: array.reshape(shape) for modality, array, shape in pieces}

    @cached_property
    def patches(self) -> int:
        """P, of a photo: only the encoder knows it."""
        whole = Part("pair", ("text", "image"), "")
        _, image = self._made(self._batch(whole, np.zeros(1, np.int64), 1))
        return image.shape[1]

    def arrays(self, part: Part, places: np.ndarray) -> list[np.ndarray]:
        """Return what the encoder makes of each of the samples (B,), flat."""
        found: dict[int, np.ndarray] = {}
        for chosen, features in self.read(part, places):
            found |= zip(chosen.tolist(), features, strict=True)
        return [found[i] for i in range(len(places))]

    def read(self, part: Part, places: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Read the samples at ``places`` (M,): yield some of 0 ... M - 1, (b,), and their features
        (b, D) float32, until all had their turn."""
        for chosen, length in self._batches(part, places):
            full = places[np.resize(chosen, self.rows)]  # a short batch repeats its samples
            made = self._made(self._batch(part, full, length))
            flat = [each.float().flatten(1) for each in made if each is not None]
            yield chosen, torch.cat(flat, dim=1)[: len(chosen)].cpu().numpy()

    @torch.no_grad()
    def _made(self, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
        """Let the encoder read a batch."""
        device = self.precision.device
        self.model.to(device)
        self.model.encoder.eval()  # the head may be training
        with self.precision.autocast():
            return self.model.encode(**{name: each.to(device) for name, each in batch.items()})

    def _batches(self, part: Part, places: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """Yield rows of ``places``, and the length in tokens to which their texts are padded."""
        lengths = self.padded_lengths(part)[places]
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

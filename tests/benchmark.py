"""Measure the training commands. By hand; needs outputs/splits/, as the commands do:

    .venv/bin/python tests/benchmark.py --project-root . --models concat clip --steps 12

For each model, in one run, samples per second of

    plain     a loop as people write it: decodes every photo in every epoch, pads to the longest text
              of the data, waits for every loss; BLIP at the 384 px of its checkpoint
    command   the training command: its own flags, batches and steps
    ceiling   the same steps with every batch in memory already

and of the input pipelines of the first two alone. A repetition measures all of them with fresh
models, in turn forwards and backwards; a ratio is the median of the repetitions' ratios. With
workers, take more steps than the batches that they hold ready (two each), or these hide the work.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice, product
from pathlib import Path
from statistics import median

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1] / "stage2_compare" / "scripts"))

import compare_blip
import compare_clip
import compare_train
import numpy as np
import torch
import torch.nn.functional as F
from common.command import run_command
from common.data.batches import BatchSchedule, Prefetcher
from common.data.dataset import Batch
from common.errors import UserError
from common.models.build import build_classifier
from common.models.loading import load_tokenizer
from common.settings import TrainingRun, not_negative_int, positive_int
from common.training.device import allow_fast_float32, keep_freed_memory
from common.training.engine import Trainer
from common.training.prepare import prepare
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms

COMMANDS = {
    "concat": (compare_train.parse, ["--fusion", "concat"]),
    "gated": (compare_train.parse, ["--fusion", "gated"]),
    "late": (compare_train.parse, ["--fusion", "late"]),
    "clip": (compare_clip.parse, []),
    "blip": (compare_blip.parse, []),
}
PLAIN_SIZES = {"blip": 384}  # px of the plain loop, where it is not that of the command
PIPELINE_SAMPLES = 512  # enough that the batches held ready at the start do not count


class Work:
    """A prepared training command, of which some optimizer steps are measured after a first one."""

    def __init__(self, settings: TrainingRun, steps: int, plain_size: int | None):
        self.prepared = prepare(settings)
        self.settings = self.prepared.settings
        self.protocol, machine = self.settings.protocol, self.settings.machine
        self.device = self.prepared.precision.device
        self.plain_size = plain_size or self.protocol.image_size
        pin_memory = machine.pin_memory and self.device.type == "cuda"
        self.loading = {"num_workers": machine.num_workers, "pin_memory": pin_memory}
        train, val = (self.prepared.datasets[name] for name in ("train", "val"))
        micro, effective = self.settings.micro_batch, self.protocol.effective_batch_size
        shape = self.prepared.build().head.dropout_shape
        one = range(1, 2)
        self.schedule = BatchSchedule(train, val, self.protocol.seed, one, micro, effective, shape)
        self.steps = min(steps, len(train) // effective - 1)
        if self.steps < 1:
            raise UserError("too few training pairs: two optimizer steps are needed")

    def rate(self, take_steps: Callable[[], object]) -> float:
        """Return the samples per second; CUDA computes in the background, so it is waited for."""
        wait = torch.cuda.synchronize if self.device.type == "cuda" else lambda: None
        wait()
        started = time.perf_counter()
        take_steps()
        wait()
        samples = self.steps * self.protocol.effective_batch_size
        return samples / (time.perf_counter() - started)


def command_groups(work: Work) -> Iterator[list[Batch]]:
    """Go through the micro-batches of the command's steps, made by its own input pipeline."""
    return Prefetcher(work.schedule, **work.loading).train_groups(1)


def command_rate(work: Work) -> float:
    return engine_rate(work, islice(command_groups(work), 1 + work.steps))


def ceiling_rate(work: Work) -> float:
    groups = list(islice(command_groups(work), 1 + work.steps))
    for batch in chain.from_iterable(groups):
        for name in batch.keys() - {"labels"}:  # which the engine reads on the processor first
            batch[name] = batch[name].to(work.device)
    return engine_rate(work, iter(groups))


def engine_rate(work: Work, groups: Iterator[list[Batch]]) -> float:
    keep_freed_memory()  # as the command does
    model, precision = work.prepared.build(), work.prepared.precision
    class_weights = torch.ones(len(work.prepared.classes))
    trainer = Trainer(model, work.protocol, class_weights, precision, 1 + work.steps)
    trainer.train_one_epoch(islice(groups, 1))
    rate = work.rate(lambda: trainer.train_one_epoch(groups))
    keep_freed_memory(False)
    return rate


class PlainDataset(Dataset):
    """The training pairs; each photo is decoded, cropped and flipped whenever it is asked for."""

    def __init__(self, work: Work):
        prepared, size = work.prepared, work.plain_size
        split = prepared.splits["train"]
        self.tokens = load_tokenizer(work.settings.model.name)(
            split.texts, padding="longest", truncation=True, max_length=prepared.max_length,
            return_tensors="pt", return_token_type_ids=False,
        )  # fmt: skip
        self.paths = split.image_paths
        self.labels = torch.from_numpy(prepared.datasets["train"].labels)
        side = size * 8 // 7
        self.transform = transforms.Compose(
            [
                transforms.Resize((side, side)),
                transforms.RandomCrop(size),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.5, 0.5, 0.5), (0.2, 0.2, 0.2)),
            ]
        )

    def __getitem__(self, place: int) -> dict[str, Tensor]:
        with Image.open(self.paths[place]) as image:
            pixels = self.transform(image.convert("RGB"))  # (3, H, W) float32
        tokens = {name: rows[place] for name, rows in self.tokens.items()}  # (L,) each
        return {**tokens, "pixel_values": pixels, "labels": self.labels[place]}


def plain_loader(work: Work, samples: int) -> DataLoader:
    """Load the command's first samples in its order and micro-batches."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # or it warns when the workers fork
    order = np.concatenate(list(chain.from_iterable(work.schedule.groups(1))))
    data = Subset(PlainDataset(work), order[:samples].tolist())
    return DataLoader(data, work.settings.micro_batch, **work.loading)


def plain_rate(work: Work) -> float:
    protocol, choice = work.protocol, work.settings.model
    plain = replace(protocol, image_size=work.plain_size)
    model = build_classifier(choice, len(work.prepared.classes), plain)
    model.to(work.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), protocol.lr)

    def train(batches: Iterable[dict[str, Tensor]]) -> None:
        for batch in batches:
            ids, mask, pixels, labels = (tensor.to(work.device) for tensor in batch.values())
            logits = model.head(*model.encoder(ids, mask, pixels))  # (B, C)
            loss = F.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()

    batches = iter(plain_loader(work, (1 + work.steps) * protocol.effective_batch_size))
    train(islice(batches, protocol.effective_batch_size // work.settings.micro_batch))
    return work.rate(lambda: train(batches))


def pipeline_rate(batches: Iterable[dict[str, Tensor]]) -> float:
    """Return the samples per second of going through ``batches``, after the first of them."""
    iterator = iter(batches)
    next(iterator)
    started = time.perf_counter()
    samples = sum(len(batch["labels"]) for batch in iterator)
    return samples / (time.perf_counter() - started)


WAYS = {
    "plain": plain_rate,
    "command": command_rate,
    "ceiling": ceiling_rate,
    "plain pipeline": lambda work: pipeline_rate(plain_loader(work, PIPELINE_SAMPLES)),
    "command pipeline": lambda work: pipeline_rate(chain.from_iterable(command_groups(work))),
}
RATIOS = [("command", "plain"), ("command", "ceiling"), ("command pipeline", "plain pipeline")]


def measured(work: Work, repetitions: int) -> str:
    """Return the medians of all ways and of their ratios, laid out."""
    rates = defaultdict(list)
    for repetition in range(repetitions):
        # back and forth, so that a machine that gets slower favours none
        for way in list(WAYS)[:: -1 if repetition % 2 else 1]:
            rates[way].append(WAYS[way](work))
    medians = ", ".join(f"{way} {median(found):.4g}" for way, found in rates.items())
    lines = [f"  samples/s: {medians}"]
    for over, under in RATIOS:
        ratios = [x / y for x, y in zip(rates[over], rates[under], strict=True)]
        lines.append(f"  {over} / {under}: {median(ratios):.3f}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    """Flags that are not of the benchmark go to the training commands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--models", nargs="+", choices=list(COMMANDS), default=list(COMMANDS))
    add("--steps", type=positive_int, default=12, help="optimizer steps in each measurement")
    add("--repetitions", type=positive_int, default=3)
    add("--num-workers", type=not_negative_int, nargs="+", default=[0, 2], help="each is measured")
    args, shared = parser.parse_known_args(argv)
    allow_fast_float32()  # in all of them
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
    for model, workers in product(args.models, args.num_workers):
        parse, flags = COMMANDS[model]
        settings = parse([*flags, *shared, "--num-workers", str(workers)])
        work = Work(settings, args.steps, PLAIN_SIZES.get(model))
        print(f"\n{model} on {work.device}, {workers} workers")
        print(measured(work, args.repetitions), flush=True)


if __name__ == "__main__":
    run_command(main)

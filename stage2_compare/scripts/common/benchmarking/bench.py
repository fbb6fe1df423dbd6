"""What ``benchmark.py`` times: a plain loop, Trainer, the command's own engine and the ceiling, on the same samples."""

from __future__ import annotations

import gc
import importlib
import importlib.metadata
import os
import platform
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms

from ..data.batches import BatchSchedule, Prefetcher
from ..data.image_cache import load_images
from ..errors import UserError
from ..models.classifier import ImageTextClassifier
from ..models.loading import load_config, load_tokenizer
from ..runs.layout import CHECKPOINT
from ..runs.writer import RunFolder
from ..training import engine
from ..training.device import device_name, find_device, keep_freed_memory
from ..training.engine import Settings, Trainer
from ..training.precision import allow_fast_float32
from ..training.prepare import prepare
from ..training.progress import Progress
from ..training.run import class_weights

PIPELINE_SAMPLES = (
    512  # of the pipelines alone: enough that the batches held ready at the start do not count
)


class ShortSchedule(BatchSchedule):
    """The plan of a command, cut after ``steps`` optimizer steps in every epoch."""

    steps = 0

    def groups(self, epoch: int) -> list[list]:
        return super().groups(epoch)[: self.steps]


class Photos(Dataset):
    """The split as a plain loop reads it: every photo decoded whenever it is asked for, all texts of one length."""

    def __init__(
        self,
        paths: list[str],
        texts: dict[str, Tensor],
        labels: Tensor,
        size: int,
        mean: list,
        std: list,
    ):
        self.paths, self.texts, self.labels = paths, texts, labels
        side = size * 8 // 7
        self.transform = transforms.Compose(
            [
                transforms.Resize((side, side)),
                transforms.RandomCrop(size),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(mean, std),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        with Image.open(self.paths[i]) as image:
            pixels = self.transform(image.convert("RGB"))
        return {
            **{key: value[i] for key, value in self.texts.items()},
            "pixel_values": pixels,
            "labels": self.labels[i],
        }


class WithLoss(nn.Module):
    """The model on float pixels, which are normalised already, with its loss: as a plain loop and Trainer take it."""

    def __init__(self, model: ImageTextClassifier, weights: Tensor):
        super().__init__()
        self.model, self.loss_of = model, nn.CrossEntropyLoss(weight=weights)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor, labels: Tensor
    ) -> dict:
        logits = self.model.head(*self.model.encoder(input_ids, attention_mask, pixel_values))
        return {"loss": self.loss_of(logits, labels), "logits": logits}


class Bench:
    """One model and the ways to train it. Methods ``a`` to ``d`` build a fresh model, take one step of 16 samples to
    warm up, and return the samples per second of the ``steps`` that follow.

    Args:
        command: module of the training command, and flags for it.
        own_size: image side of (a) in pixels, where it is not that of the command.
    Raises:
        UserError: as the command itself, or because the split is too small for two steps.
    """

    def __init__(self, command: str, flags: list[str], steps: int, own_size: int | None = None):
        asked = stopped_at_training(command, flags)
        self.own_size = own_size or asked[0].image_size
        *_, self.make_own_encoder = stopped_at_training(
            command, [*flags, "--image-size", str(self.own_size)]
        )
        self.job = prepare(*asked)
        self.make_encoder, self.args = asked[3], self.job.args
        self.train, self.device = self.job.parts["train"], self.job.precision.device
        self.workers, self.pin = (
            self.args.num_workers,
            self.args.pin_memory and self.device.type == "cuda",
        )
        self.weights = class_weights(
            self.train.labels, len(self.job.classes), self.args.class_weights
        )
        whole = len(self.train) // self.args.effective_batch_size
        if whole < 2:
            raise UserError(
                f"{len(self.train)} training pairs are too few to measure: at least two steps are needed"
            )
        self.plan = self.short_plan(range(1, 2), 1 + min(steps, whole - 1))
        self.samples = (self.plan.steps - 1) * self.args.effective_batch_size
        encoder = self.job.build().encoder
        self.mean, self.std = list(encoder.mean), list(encoder.std)
        tokenizer = load_tokenizer(self.args.model_name)
        self.texts = tokenizer(
            self.job.splits["train"].texts,
            padding="longest", truncation=True, max_length=self.job.max_length,
            return_tensors="pt", return_token_type_ids=False,
        )  # fmt: skip

    def short_plan(self, epochs: range, steps: int) -> ShortSchedule:
        args, parts = self.args, self.job.parts
        plan = ShortSchedule(
            parts["train"],
            parts["val"],
            args.seed,
            epochs,
            self.job.micro,
            args.effective_batch_size,
            (4, 256),
        )
        plan.steps = steps
        return plan

    # a and b: as people write it

    def plain_model(self, make_encoder: Callable) -> WithLoss:
        """Without anything this project does to make a model fast."""
        encoder = make_encoder(load_config(self.args.model_name))
        return WithLoss(
            ImageTextClassifier(encoder, self.job.fusion, len(self.job.classes)), self.weights
        )

    def plain_data(self, size: int) -> Photos:
        split = self.job.splits["train"]
        labels = torch.from_numpy(self.train.labels)
        return Photos(split.image_paths, dict(self.texts), labels, size, self.mean, self.std)

    def order(self, plan: BatchSchedule) -> list[int]:
        return [int(i) for group in plan.groups(1) for micro in group for i in micro]

    def plain_loader(self, plan: BatchSchedule) -> DataLoader:
        os.environ["TOKENIZERS_PARALLELISM"] = (
            "false"  # tokenising is over; silences a warning when workers fork
        )
        data = Subset(self.plain_data(self.own_size), self.order(plan))
        return DataLoader(data, self.job.micro, num_workers=self.workers, pin_memory=self.pin)

    def a(self) -> float:
        model = self.plain_model(self.make_own_encoder).to(self.device).train()
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=self.args.lr, weight_decay=self.args.weight_decay
        )

        def train(batches: Iterable[dict[str, Tensor]]) -> None:
            for batch in batches:
                loss = model(**{name: tensor.to(self.device) for name, tensor in batch.items()})[
                    "loss"
                ]
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loss.item()

        batches = iter(self.plain_loader(self.plan))
        train(islice(batches, self.args.effective_batch_size // self.job.micro))
        return self.samples / self.seconds(lambda: train(batches))

    def b(self) -> float:
        import transformers

        ends: list[float] = []

        class Clock(transformers.TrainerCallback):
            def on_step_end(self, *args: Any, **kwargs: Any) -> None:
                ends.append(time.perf_counter())

        with tempfile.TemporaryDirectory() as folder:
            options = transformers.TrainingArguments(
                folder, num_train_epochs=1, per_device_train_batch_size=self.job.micro,
                gradient_accumulation_steps=self.args.effective_batch_size // self.job.micro,
                learning_rate=self.args.lr, weight_decay=self.args.weight_decay, lr_scheduler_type="constant",
                dataloader_num_workers=self.workers, dataloader_pin_memory=self.pin,
                use_cpu=self.device.type == "cpu", save_strategy="no", logging_strategy="no", report_to=[],
                disable_tqdm=True, remove_unused_columns=False,
            )  # fmt: skip
            data = Subset(self.plain_data(self.args.image_size), self.order(self.plan))
            trainer = transformers.Trainer(
                self.plain_model(self.make_encoder),
                options,
                train_dataset=data,
                callbacks=[Clock()],
            )
            trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
            trainer.train()
        return self.samples / (ends[-1] - ends[0])

    # c and d: this project

    def trainer(self) -> Trainer:
        args = self.args
        settings = Settings(
            1, args.lr, args.weight_decay, self.weights, args.seed, self.job.precision
        )
        return Trainer(self.job.build(), settings)

    def c(self) -> float:
        return self.engine_rate(Prefetcher(self.plan, self.workers, self.pin).train_groups(1))

    def d(self) -> float:
        groups = Prefetcher(self.plan, 0, False).train_groups(1)

        def there(
            batch: dict[str, Tensor],
        ) -> dict[str, Tensor]:  # labels are looked at before they are copied
            return {
                key: value if key == "labels" else value.to(self.device)
                for key, value in batch.items()
            }

        return self.engine_rate(iter([[there(batch) for batch in group] for group in groups]))

    def engine_rate(self, groups: Iterator[list[dict[str, Tensor]]]) -> float:
        trainer = self.trainer()
        with Progress("measuring", self.samples) as progress:
            trainer.train_one_epoch(islice(groups, 1), progress)
            return self.samples / self.seconds(lambda: trainer.train_one_epoch(groups, progress))

    def parts_of_c(self) -> dict[str, float]:
        """Where the time goes: milliseconds per sample of every part of training and of validation, and seconds of
        writing what an epoch leaves. Each part is waited for, so on CUDA the sum is more than (c) takes."""
        clock, trainer = Stopwatch(self.synchronise), self.trainer()
        feed = Prefetcher(self.plan, self.workers, self.pin)
        groups = clock.waiting("wait for data", feed.train_groups(1))
        with Progress("measuring", self.samples) as progress:
            trainer.train_one_epoch(islice(groups, 1), progress)
            clock.seconds.clear()
            with clock.on(trainer.model, "forward"), clock.on(Tensor, "backward"), clock.on(
                trainer.optimizer, "step", "optimizer"
            ), clock.on(engine, "to_device", "copy"), clock.whole("training"):  # fmt: skip
                trainer.train_one_epoch(groups, progress)
        with clock.whole("validation"):
            engine.evaluate(trainer.model, feed.val_batches(), self.job.precision)
        with tempfile.TemporaryDirectory(dir=self.args.project_root / "outputs") as parent, RunFolder(
            Path(parent), "benchmark"
        ) as folder, clock.whole("checkpoint"):  # fmt: skip
            folder.write_tensors(CHECKPOINT, {"trainer": trainer.state()})
            folder.write_tensors("best.pt", {"model_state": trainer.model.state_dict()})
        counts = {"validation": len(self.job.parts["val"]), "checkpoint": 1000}
        parts = {
            name: 1000 * value / counts.get(name, self.samples)
            for name, value in clock.seconds.items()
        }
        named = sum(
            parts[name] for name in ("wait for data", "copy", "forward", "backward", "optimizer")
        )
        return {**parts, "rest": parts["training"] - named}

    # The input pipelines alone

    def pipeline_a(self) -> float:
        """Samples per second of the plain loop's loader, after its first batch."""
        steps = PIPELINE_SAMPLES // self.args.effective_batch_size
        batches = iter(self.plain_loader(self.short_plan(range(1, 2), steps)))
        next(batches)
        return self.count(batch["labels"] for batch in batches)

    def pipeline_c(self) -> float:
        """Samples per second of the command's feed, after its first step, over several epochs."""
        steps = PIPELINE_SAMPLES // self.args.effective_batch_size
        plan = self.short_plan(range(1, 6), steps)
        feed = Prefetcher(plan, self.workers, self.pin)
        first = feed.train_groups(1)
        next(first)

        def batches() -> Iterator[Tensor]:
            for epoch in plan.epochs:
                groups = first if epoch == 1 else feed.train_groups(epoch)
                yield from (batch["labels"] for group in groups for batch in group)
                yield from (batch["labels"] for _, batch in feed.val_batches())

        return self.count(batches())

    def count(self, labels: Iterator[Tensor]) -> float:
        started = time.perf_counter()
        samples = sum(len(batch) for batch in labels)
        return samples / (time.perf_counter() - started)

    def making_cache(self) -> float:
        """Samples per second of decoding the training photos into an empty cache."""
        paths = self.job.splits["train"].image_paths
        with tempfile.TemporaryDirectory(dir=self.args.project_root / "outputs") as folder:
            return len(paths) / self.seconds(
                lambda: load_images(paths, self.args.image_size, folder, False)
            )

    # Measuring

    def measure(self, repetitions: int, variants: list[str]) -> dict[str, Any]:
        """``rates`` and ``peaks`` by variant, (repetitions,) each, and what was measured once."""
        rates, peaks = defaultdict(list), defaultdict(list)
        for repetition in range(repetitions):
            for name in variants[:: -1 if repetition % 2 else 1]:
                with settings_as_in(name), peak_memory(self.device) as peak:
                    rates[name].append(getattr(self, name)())
                peaks[name].append(peak["mb"])
            for name in ("pipeline_a", "pipeline_c")[:: -1 if repetition % 2 else 1]:
                rates[name].append(getattr(self, name)())
        return {
            "rates": rates,
            "peaks": peaks,
            "making_cache": self.making_cache(),
            "parts": self.parts_of_c(),
        }

    def synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, work: Callable[[], Any]) -> float:
        self.synchronise()
        started = time.perf_counter()
        work()
        self.synchronise()
        return time.perf_counter() - started


class Stopwatch:
    """Adds up the seconds of calls, by name."""

    def __init__(self, synchronise: Callable[[], None]):
        self.seconds: Counter[str] = Counter()
        self.synchronise = synchronise

    @contextmanager
    def whole(self, name: str) -> Iterator[None]:
        self.synchronise()
        started = time.perf_counter()
        yield
        self.synchronise()
        self.seconds[name] += time.perf_counter() - started

    def on(self, owner: Any, function: str, name: str = "") -> Any:
        """A patch of ``owner`` that times each call of its function."""
        original = getattr(owner, function)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.whole(name or function):
                return original(*args, **kwargs)

        return mock.patch.object(owner, function, timed)

    def waiting(self, name: str, items: Iterable) -> Iterator:
        """``items``, with the time until each is there."""
        items, end = iter(items), object()
        while True:
            with self.whole(name):
                item = next(items, end)
            if item is end:
                return
            yield item


def stopped_at_training(command: str, flags: list[str]) -> tuple:
    """What a command hands to ``train``: its flags, family, fusion and maker of the encoder."""
    with mock.patch("common.training.run.train") as train:
        importlib.import_module(command).main(flags)
    args, _, family, fusion, make_encoder = train.call_args.args
    return args, family, fusion, make_encoder


@contextmanager
def settings_as_in(variant: str) -> Iterator[None]:
    """Those of torch and of the C library themselves for (a) and (b); those of the command for (c) and (d)."""
    before = (
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.benchmark,
    )
    if variant in "cd":
        allow_fast_float32()
        keep_freed_memory()
    yield
    keep_freed_memory(False)  # so that the next one starts with as little as this one did
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = before[1:]


@contextmanager
def peak_memory(device: torch.device) -> Iterator[dict[str, float | None]]:
    """``mb`` of the block: allocated on CUDA; on a processor resident in this process, where the system can tell."""
    gc.collect()
    found: dict[str, float | None] = {"mb": None}
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    elif reset.exists():
        reset.write_text("5", encoding="utf-8")  # the peak so far is forgotten (proc(5))
    yield found
    if device.type == "cuda":
        found["mb"] = torch.cuda.max_memory_allocated(device) / 2**20
    elif status.exists():
        lines = dict(
            line.split(":", 1)
            for line in status.read_text(encoding="utf-8").splitlines()
            if ":" in line
        )
        found["mb"] = int(lines["VmHWM"].split()[0]) / 2**10


def machine(device: str) -> str:
    """What the figures were measured on."""
    device = find_device(device)
    name = f"{torch.get_num_threads()} threads of {platform.machine()}"
    return f"torch {torch.__version__}, {device_name(device) if device.type == 'cuda' else name}"


def trainer_is_there() -> bool:
    try:
        found = importlib.metadata.version("accelerate")
    except importlib.metadata.PackageNotFoundError:
        return False
    return (0, 21) <= tuple(int(part) for part in found.split(".")[:2]) < (0, 30)

"""Hugging Face's Trainer, on the plain model and the plain dataset."""

from __future__ import annotations

import importlib.metadata
import tempfile
import time
from typing import Any

from torch.utils.data import Subset

from .plain_loop import PlainDataset, plain_model
from .workload import Workload


def trainer_works() -> bool:
    """Return whether a release of accelerate is installed that this transformers works with."""
    try:
        version = importlib.metadata.version("accelerate")
    except importlib.metadata.PackageNotFoundError:
        return False
    major, minor = version.split(".")[:2]
    return (0, 21) <= (int(major), int(minor)) < (0, 30)


def trainer_rate(work: Workload) -> float:
    """Return the samples per second of Trainer, after its first step."""
    import transformers  # its Trainer cannot be imported beside every accelerate

    step_ends: list[float] = []

    class Clock(transformers.TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            step_ends.append(time.perf_counter())

    protocol = work.settings.protocol
    data = Subset(PlainDataset(work, protocol.image_size), work.schedule.order())
    with tempfile.TemporaryDirectory() as folder:
        options = transformers.TrainingArguments(
            folder, num_train_epochs=1, per_device_train_batch_size=work.micro,
            gradient_accumulation_steps=protocol.effective_batch_size // work.micro,
            learning_rate=protocol.lr, weight_decay=protocol.weight_decay,
            lr_scheduler_type="constant", dataloader_num_workers=work.workers,
            dataloader_pin_memory=work.pin_memory, use_cpu=work.device.type == "cpu",
            save_strategy="no", logging_strategy="no", report_to=[], disable_tqdm=True,
            remove_unused_columns=False,
        )  # fmt: skip
        model = plain_model(work, protocol.image_size)
        trainer = transformers.Trainer(model, options, train_dataset=data, callbacks=[Clock()])
        trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
        trainer.train()
    return work.samples / (step_ends[-1] - step_ends[0])

"""The processes that train one model together, as torchrun starts them: one on each GPU.

All of them take the same steps: each computes its share of the samples, and
DistributedDataParallel joins the gradients. One process alone has nothing to exchange.
"""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..errors import UserError, reason_of
from .device import find_device

_LONGEST_WAIT = timedelta(days=1)  # for what one process does alone, such as decoding all photos
_LOST = re.compile("gloo|nccl|peer|connection|socket", re.IGNORECASE)  # errors of torch.distributed


@dataclass(frozen=True)
class Processes:
    """This process and its peers."""

    rank: int = 0  # of this process among all; the first one has the run folder
    count: int = 1
    device: torch.device | None = None  # of this process; None: what --device says

    @property
    def first(self) -> bool:
        return self.rank == 0

    def from_first(self, work: Callable[[], Any]) -> Any:
        """Let the first process do something, for as long as it takes; return its result to all."""
        result = [work() if self.first else None]
        if self.count > 1:
            dist.broadcast_object_list(result, src=0)
        return result[0]

    def totals(self, *values: float) -> list[float]:
        """Return the sums of numbers over all processes."""
        return self.sum(torch.tensor(values, dtype=torch.float64)).tolist()

    def sum(self, values: Tensor) -> Tensor:
        """Sum a tensor over all processes, in place."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def joined_model(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Return what stands for the model in training: each ``backward`` leaves the mean of the
        gradients of all processes. The weights are those of ``model`` itself."""
        if self.count == 1:
            return model
        if any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
            if device.type == "cuda":
                model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
            else:
                print(
                    "BatchNorm sees the samples of one process only: torch synchronises it on CUDA "
                    "alone. The statistics of the first process are kept",
                    flush=True,
                )
        # Of an embedding of one row in BLIP: it changes no result.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        return DistributedDataParallel(model, find_unused_parameters=True)

    def take_statistics_of_first(self, model: nn.Module) -> None:
        """Give every process the BatchNorm statistics of the first: those that are saved."""
        for buffer in model.buffers() if self.count > 1 else ():
            dist.broadcast(buffer, src=0)


ALONE = Processes()


@contextmanager
def joined(wanted: str) -> Iterator[Processes]:
    """Join the processes that torchrun has started; without torchrun this one is alone.

    Where they fail, one of them says why: the one that fails first, of a signal the first one.
    ``wanted`` is what --device says."""
    if not dist.is_available() or not dist.is_torchelastic_launched():
        yield ALONE
        return
    if os.name == "nt":
        raise UserError(
            "torchrun does not work on Windows: train several models at once instead, each on a "
            "card of its own, with compare_all.py --devices cuda:0,cuda:1"
        )
    store, rank, count = next(dist.rendezvous("env://", timeout=_LONGEST_WAIT))
    try:
        device, backend = find_device(wanted, int(os.environ["LOCAL_RANK"])), "gloo"
        if device.type == "cuda":
            torch.cuda.set_device(device)
            backend = "cpu:gloo,cuda:nccl"
        group = {"store": store, "rank": rank, "world_size": count, "timeout": _LONGEST_WAIT}
        dist.init_process_group(backend, **group)
        yield Processes(rank, count, device)
        _disconnect()
    except BaseException as error:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # torchrun ends the others once one has failed
        told_by_another = rank > 0 and isinstance(error, KeyboardInterrupt)
        speaks = not told_by_another and store.add("failed", 1) == 1
        sys.stderr = sys.__stderr__ if speaks else open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        if isinstance(error, RuntimeError) and _LOST.search(str(error)):
            raise UserError(
                "another process of this run has ended or cannot be reached: torchrun's report "
                f"names it ({reason_of(error)[:120]}). The epochs that were finished are kept: run "
                "the same command again to go on"
            ) from error
        raise


def _disconnect() -> None:
    """Leave the process group. Where the group owns gloo, torch 2.1 keeps Python's lock while it
    waits for gloo's threads, and these may need it to release a tensor: then neither ever ends.
    Gloo by itself lets go of it."""
    gc.collect()  # DistributedDataParallel holds it too
    gloo = dist.group.WORLD._get_backend(torch.device("cpu"))
    dist.destroy_process_group()
    del gloo

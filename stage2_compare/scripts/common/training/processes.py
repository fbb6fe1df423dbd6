"""The processes that train one model together, as torchrun starts them: one on each GPU.

All of them take the same steps: each computes its share of the samples, and the gradients are
summed. One process alone is the case in which nothing has to be exchanged.

Short waits are collectives of torch.distributed: a peer that dies closes its connections, and they
fail at once. Waits for what one process does alone, such as decoding all photos, have no limit:
they look into the store that torchrun keeps, where a process that fails leaves word.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..data.batches import Share
from ..errors import UserError, reason_of
from ..settings import TrainingRun
from .device import device_of_process, is_out_of_memory

T = TypeVar("T")

BUCKET_BYTES = 25 * 2**20  # gradients that are summed by one call, as DistributedDataParallel does
_LAST_RESORT = timedelta(hours=1)  # for a peer that neither answers nor closes its connections
_LOOK_EVERY_SEC = 0.02
_FIRST_SPEAKS_SEC = 2.0  # after a signal, the others leave the first so long to say what is kept
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ENDED = "ended"  # counts the processes that have failed

_PLACE_IN_CODE = re.compile(r"^\[[^]]*\] ")  # which gloo puts before what it says


class OutOfMemory(RuntimeError):
    """Memory ran out in one process, and every process knows it."""


@dataclass(frozen=True)
class Processes:
    """This process and its peers.

    Attributes:
        rank: of this process among all, from 0. The first one reads and writes the run folder.
        local_rank: among those of its machine, the ``node``.
        device: of this process; None: what --device says.
        store: of torchrun, for words between the processes.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    node: int = 0
    device: str | None = None
    store: dist.Store | None = None
    _places: Iterator[int] = field(default_factory=itertools.count)  # where all of them meet

    @property
    def first(self) -> bool:
        return self.rank == 0

    @property
    def share(self) -> Share:
        return Share(self.rank, self.count)

    def on_its_device(self, settings: TrainingRun) -> TrainingRun:
        """Return the settings with the device of this process."""
        if self.device is None:
            return settings
        return replace(settings, machine=replace(settings.machine, device=self.device))

    def from_first(self, work: Callable[[], T]) -> T:
        """Let the first process do something, for as long as it takes; return its result."""
        result = work() if self.first else None
        if self.count == 1:
            return result
        place = f"from first {next(self._places)}"
        if self.first:
            self._tell(place)
        else:
            self._wait_for(place)
        with _peers_named():
            return self._pass_on(result)

    def in_turn(self, work: Callable[[], T]) -> T:
        """Do something on every process, on each machine in the first one before the others, so
        that these find its caches."""
        if self.count == 1:
            return work()
        place = f"in turn {next(self._places)} on {self.node}"
        if self.local_rank:
            self._wait_for(place)
            return work()
        try:
            return work()
        finally:
            self._tell(place)

    def together(self, work: Callable[[], T]) -> T:
        """Do a part that every process does. It must not wait for the others.

        Raises:
            OutOfMemory: memory has run out in one of several processes; raised in all of them.
        """
        if self.count == 1:
            return work()
        result, failure = None, None
        try:
            result = work()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            failure = str(error)  # the error itself would keep its tensors alive
        if any(self.totals(failure is not None)):
            raise OutOfMemory(failure or "out of memory in another process")
        return result

    def all_know(self, error: RuntimeError) -> bool:
        """Return whether every process has met this failure."""
        return self.count == 1 or isinstance(error, OutOfMemory)

    def totals(self, *values: float) -> list[float]:
        """Return the sums of numbers over all processes."""
        if self.count == 1:
            return list(values)
        return self.sum(torch.tensor(values, dtype=torch.float64)).tolist()

    def sum(self, values: Tensor) -> Tensor:
        """Sum a tensor over all processes, in place."""
        if self.count > 1:
            with _peers_named():
                dist.all_reduce(values)
        return values

    def sum_gradients(self, parameters: list[nn.Parameter], loss: Tensor) -> None:
        """Sum the gradients of a step, and its loss, in place.

        They are parts of one sum already, so no average is taken. A parameter has a gradient
        afterwards where it has one in any process.
        """
        if self.count == 1:
            return
        there = self.totals(*(parameter.grad is not None for parameter in parameters))
        tensors = [loss]
        for parameter, somewhere in zip(parameters, there, strict=True):
            if somewhere and parameter.grad is None:  # no sample of this step was of this process
                parameter.grad = torch.zeros_like(parameter)
            if somewhere:
                tensors.append(parameter.grad)
        with _peers_named():
            self._sum_in_buckets(tensors)

    def _sum_in_buckets(self, tensors: list[Tensor]) -> None:
        """Sum many tensors of one type; while one bucket travels, the next one is packed."""
        sent = []
        for bucket in buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            sent.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
        for bucket, flat, work in sent:
            work.wait()
            parts = flat.split([tensor.numel() for tensor in bucket])
            for tensor, part in zip(bucket, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def take_statistics_of_first(self, model: nn.Module) -> None:
        """Give every process the BatchNorm statistics of the first: those that are saved."""
        for buffer in model.buffers() if self.count > 1 else ():
            if buffer.is_floating_point():
                with _peers_named():
                    dist.broadcast(buffer, src=0)

    def _pass_on(self, content: Any) -> Any:
        """Return what the first process has. Its tensors travel one by one: a checkpoint in one
        piece would need several times its memory."""
        tensors: list[Tensor] = []
        box = [_outline(content, tensors)]
        dist.broadcast_object_list(box, src=0)
        if not self.first:
            return _filled(box[0])
        for tensor in tensors:
            dist.broadcast(tensor, src=0)
        return content

    def _tell(self, place: str) -> None:
        with _peers_named():
            self.store.add(place, 1)

    def _wait_for(self, place: str) -> None:
        """Wait for ``_tell``, for as long as no process has failed."""
        with _peers_named():
            while not self.store.add(place, 0):
                if self.store.add(_ENDED, 0):
                    raise _lost("it failed")
                time.sleep(_LOOK_EVERY_SEC)  # a wait of the store itself would let no signal in

    def speaks_of(self, error: BaseException) -> bool:
        """Leave word that this process fails; return whether it is the one that says why.

        It is the one that fails first: what follows in the others is of no interest. A signal
        reaches all of them."""
        try:
            if isinstance(error, KeyboardInterrupt) and not self.first:
                until = time.monotonic() + _FIRST_SPEAKS_SEC
                while not self.store.add(_ENDED, 0) and time.monotonic() < until:
                    time.sleep(_LOOK_EVERY_SEC)
            return self.store.add(_ENDED, 1) == 1
        except RuntimeError:  # torchrun itself is gone, and its store
            return self.first


ALONE = Processes()


class _Place(NamedTuple):
    """Stands for a tensor that travels by itself."""

    shape: torch.Size
    dtype: torch.dtype


def _outline(content: Any, tensors: list[Tensor]) -> Any:
    """Return dicts and lists without their tensors, which go to ``tensors``."""
    if isinstance(content, Tensor):
        tensors.append(content.contiguous())
        return _Place(content.shape, content.dtype)
    if isinstance(content, dict):
        return {key: _outline(value, tensors) for key, value in content.items()}
    if isinstance(content, list):
        return [_outline(value, tensors) for value in content]
    return content


def _filled(outline: Any) -> Any:
    """Return what ``_outline`` was made of, with tensors as they come from the first process."""
    if isinstance(outline, _Place):
        tensor = torch.empty(outline.shape, dtype=outline.dtype)
        dist.broadcast(tensor, src=0)
        return tensor
    if isinstance(outline, dict):
        return {key: _filled(value) for key, value in outline.items()}
    if isinstance(outline, list):
        return [_filled(value) for value in outline]
    return outline


def synchronised(model: nn.Module) -> bool:
    """Return whether BatchNorm takes its statistics over all processes."""
    return any(isinstance(module, nn.SyncBatchNorm) for module in model.modules())


def buckets(tensors: list[Tensor]) -> Iterator[list[Tensor]]:
    """Cut a list so that each part has at most ``BUCKET_BYTES``, or is one tensor."""
    bucket, size = [], 0
    for tensor in tensors:
        if bucket and size + tensor.nbytes > BUCKET_BYTES:
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.nbytes
    yield bucket


@contextmanager
def joined(wanted: str) -> Iterator[Processes]:
    """Join the processes that torchrun has started; without torchrun this one is alone.

    Only the first of them prints. Where they fail, one of them says why.

    Args:
        wanted: what --device says.
    Raises:
        UserError: torchrun cannot be used so, or a peer is lost.
    """
    if not _started_by_torchrun():
        yield ALONE
        return
    processes = _described_by_torchrun()
    nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for as long as it runs
    if not processes.first:
        sys.stdout = sys.stderr = nowhere
    _heed_one_signal()
    try:
        device = device_of_process(wanted, processes.local_rank)
        with _peers_named():
            _connect(processes, device)
        yield replace(processes, device=device)
        _disconnect()
    except BaseException as error:
        _ignore_signals()  # torchrun ends the others as soon as one has failed
        speaks = processes.speaks_of(error)
        sys.stderr = sys.__stderr__ if speaks else nowhere
        raise


def _started_by_torchrun() -> bool:
    if not dist.is_available() or not dist.is_torchelastic_launched():
        return False
    if os.name == "nt":
        raise UserError(
            "torchrun does not work on Windows: train several models at once instead, each on a "
            "card of its own, with compare_all.py --devices cuda:0,cuda:1"
        )
    return int(os.environ["WORLD_SIZE"]) > 1


def _described_by_torchrun() -> Processes:
    """Return the processes, with the store but not yet connected."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "GROUP_RANK")
    rank, count, local_rank, node = (int(os.environ[name]) for name in names)
    store, _, _ = next(dist.rendezvous("env://", timeout=_LAST_RESORT))
    return Processes(rank, count, local_rank, node, store=dist.PrefixStore("compare", store))


def _connect(processes: Processes, device: str) -> None:
    """Make the process group: gloo between processors, and nccl between cards."""
    on_cards = device.startswith("cuda")
    if on_cards:
        torch.cuda.set_device(device)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if on_cards else "gloo",
        store=processes.store,
        rank=processes.rank,
        world_size=processes.count,
        timeout=_LAST_RESORT,
    )


def _disconnect() -> None:
    """Leave the process group.

    Where the group owns gloo, torch 2.1 keeps Python's lock while it waits for gloo's threads, and
    these may need it to release a tensor: then neither ever ends. Gloo by itself lets go of it.
    """
    gloo = dist.group.WORLD._get_backend(torch.device("cpu"))
    dist.destroy_process_group()
    del gloo


def _heed_one_signal() -> None:
    """Ignore all signals after the first: torchrun passes on what the terminal has sent already."""
    for number in _SIGNALS:
        handler = signal.getsignal(number)
        if callable(handler):
            signal.signal(number, partial(_heed, handler))


def _heed(handler: Callable[..., None], number: int, frame: Any) -> None:
    _ignore_signals()
    handler(number, frame)


def _ignore_signals() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def _peers_named() -> Iterator[None]:
    """Turn what torch says of a lost peer into a UserError."""
    try:
        yield
    except RuntimeError as error:
        raise _lost(reason_of(error)) from error


def _lost(reason: str) -> UserError:
    return UserError(
        "another process of this run has ended or cannot be reached: torchrun's report names it "
        f"({_PLACE_IN_CODE.sub('', reason).split('. ')[0][:120]}). The epochs that were finished are kept: run "
        "the same command again to go on"
    )

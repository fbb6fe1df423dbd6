"""Stops of a run that nothing announces."""

import pytest
from common.training.engine import Trainer

from .small_project import run_small


class PowerCut(BaseException):
    """Passes every ``except Exception``."""


def cut_at(monkeypatch, owner, name: str, count: int) -> None:
    """The ``count``-th call of ``owner.name`` does not happen."""
    real, calls = getattr(owner, name), []

    def instead(*args, **kwargs):
        calls.append(1)
        if len(calls) == count:
            raise PowerCut
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, instead)


def stop_at_step(step: int, project, hub, monkeypatch, *more: str) -> None:
    """Begin a small run, or go on with it, and stop at an optimizer step, counted from 1."""
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        cut_at(patch, Trainer, "_take_step", step)
        run_small(project, hub, "clip", *more)

"""Which runs may be compared: they agree in their protocol and in their pairs."""

from __future__ import annotations

import json
from collections import defaultdict

import numpy as np

from ..runs.layout import MAY_VARY
from ..runs.reading import Run
from ..words import Phrase, phrase
from .models import models
from .pairs import key

# Each fold has its own; folds_sha256 is of all.
_OF_A_FOLD = ("train_sha256", "val_sha256", "val_pairs_sha256")
# Hashes, which tell a reader nothing: a phrase says what they are of.
_HASHES = {
    "train_sha256": "other_training_pairs",
    "val_sha256": "other_pairs",
    "val_pairs_sha256": "other_pairs",
    "folds_sha256": "other_folds",
}
_SHORT = 40  # characters of a value that is told


def by_protocol(runs: list[Run]) -> list[list[Run]]:
    """Part runs into groups of one protocol and the same validation pairs.

    Seed, fold and learning rate may differ. What a run of an older version did not record is no
    difference: the run is of the largest group that it does not contradict.
    """
    groups: list[tuple[dict[str, str], list[Run]]] = []
    for run in sorted(runs, key=lambda run: (-len(_values(run)), run.name)):
        own = _values(run)
        for protocol, members in sorted(groups, key=lambda group: -len(group[1])):
            if not _contradictions(own, protocol):
                members.append(run)
                protocol |= {name: value for name, value in own.items() if name not in protocol}
                break
        else:
            groups.append((own, [run]))
    return [part for _, members in groups for part in _by_pairs(members)]


def differences(runs: list[Run], usual: list[Run]) -> list[Phrase]:
    """Name what a group has otherwise than another one: "epochs 9 instead of 5"."""
    found = _told(_protocol(runs), _protocol(usual), "instead_of")
    return list(dict.fromkeys(found)) or [phrase("other_pairs")]


def changes(runs: list[Run], usual: list[Run]) -> list[Phrase]:
    """Name what a model with a tag has otherwise than the same model without one; the rate too."""
    rates = [json.dumps(each[0].number("protocol", "lr")) for each in (runs, usual)]
    own, other = (
        _protocol(each) | {"lr": rate} for each, rate in zip((runs, usual), rates, strict=True)
    )
    return _told(own, other, "changed_value")


def without_copies(runs: list[Run]) -> tuple[list[Run], dict[str, list[str]]]:
    """Leave out the copies of run folders: equal predictions, model and seed.

    Returns:
        The runs without copies, and the names of the copies by the name of the run that is kept,
        that of the shortest name.
    """
    kept, copies = {}, defaultdict(list)
    for run in sorted(runs, key=lambda run: (len(run.name), run.name)):
        found = run.predictions
        if found is None or not run.recorded("model"):
            kept[run.name] = run
            continue
        record = json.dumps([run.recorded("model"), run.recorded("protocol")], sort_keys=True)
        said = (record, tuple(found.guids), np.array(found.probabilities).tobytes())
        if kept.setdefault(said, run) is not run:
            copies[kept[said].name].append(run.name)
    return sorted(kept.values(), key=lambda run: run.name), dict(copies)


def _by_pairs(runs: list[Run]) -> list[list[Run]]:
    """Part runs of one protocol by their pairs; runs whose pairs are not known stay with most."""
    groups = defaultdict(list)
    for model in models(runs):
        for trials in model.by_rate.values():
            for trial in trials:
                groups[key([run.predictions for run in trial.runs])] += trial.runs
    parts = sorted(groups.values(), key=len, reverse=True) or [[]]
    known = {run.name for part in parts for run in part}
    parts[0] += [run for run in runs if run.name not in known]
    return parts


def _values(run: Run) -> dict[str, str]:
    """Return what must agree of a run's protocol, as text."""
    protocol = run.recorded("protocol") or {}
    left_out = (*MAY_VARY, "tag")
    if protocol.get("fold") is not None:
        left_out += _OF_A_FOLD
    return {
        name: json.dumps(value, sort_keys=True, ensure_ascii=False)
        for name, value in protocol.items()
        if name not in left_out
    }


def _protocol(runs: list[Run]) -> dict[str, str]:
    """Return the protocol of a group: each value that one of its runs has recorded."""
    return {name: value for run in runs[::-1] for name, value in _values(run).items()}


def _contradictions(own: dict[str, str], other: dict[str, str]) -> list[str]:
    different = [name for name in other if own.get(name, other[name]) != other[name]]
    pairs = "val_pairs_sha256"
    if own.get(pairs, "") == other.get(pairs):  # at most in another order
        different = [name for name in different if name != "val_sha256"]
    return different


def _told(own: dict[str, str], usual: dict[str, str], key: str) -> list[Phrase]:
    """Say in which values a protocol contradicts another one; ``key``: of the phrase."""
    return [
        phrase(_HASHES[name])
        if name in _HASHES
        else phrase(key, name=name, own=_short(own[name]), usual=_short(usual[name]))
        for name in _contradictions(own, usual)
    ]


def _short(value: str) -> str:
    """Shorten a value for a line of text."""
    if value == "null":
        return "none"
    return value.strip('"') if len(value) <= _SHORT else value.strip('"')[:12] + "..."

"""Which runs may be compared: they agree in their protocol and in their pairs."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

from ..runs.layout import MAY_VARY
from ..runs.reading import Run
from ..words import Phrase, phrase
from .families import Family
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


def differences(runs: list[Run], families: list[Family]) -> dict[str, list[Phrase]]:
    """Name, for each run, what keeps it from a comparison with most runs: "epochs 9 instead of 5".

    Seeds and folds may differ, and learning rates within a family that also has the usual one. What
    a run of an older version did not record is no difference.
    """
    found = _protocol_differences(runs, families)
    pairs = {}
    for trial in (trial for family in families for trial in family.trials):
        comparable = [run for run in trial.runs if run.predictions and not found[run.name]]
        if len(comparable) == len(trial.runs) and not trial.missing:
            names = tuple(run.name for run in comparable)
            pairs[names] = key(run.predictions for run in comparable)
    usual = Counter(pairs.values()).most_common(1)
    for names, own in pairs.items():
        if own != usual[0][0]:
            for name in names:
                found[name].append(phrase("other_pairs"))
    return found


def _protocol_differences(runs: list[Run], families: list[Family]) -> dict[str, list[Phrase]]:
    """Compare each recorded value with that of most runs.

    Where as many runs have one value as another, the run that is otherwise most like all others
    decides.
    """
    # 1. Each protocol as text, and how often each value occurs.
    protocols = {run.name: _comparable_values(run) for run in runs}
    counts = defaultdict(Counter)
    for protocol in protocols.values():
        for name, value in protocol.items():
            counts[name][value] += 1

    # 2. The usual value of each field.
    def likeness(protocol: dict[str, str]) -> int:
        return sum(counts[name][value] for name, value in protocol.items())

    leader = max(protocols.values(), key=likeness, default={})
    usual = {
        name: max(sorted(values), key=lambda value: (values[value], value == leader.get(name)))
        for name, values in counts.items()
    }
    # 3. What is not usual.
    found = {}
    for family in families:
        rates = {protocols[run.name].get("lr") for run in family.runs}
        for run in family.runs:
            own = protocols[run.name]
            if usual.get("lr") in rates:
                own = {**own, "lr": usual.get("lr")}
            if own.get("val_pairs_sha256", "") == usual.get("val_pairs_sha256"):
                own = {**own, "val_sha256": usual.get("val_sha256")}  # at most another order
            different = [
                _different(name, own[name], usual[name])
                for name in counts
                if own.get(name, usual[name]) not in (usual[name], None)
            ]
            found[run.name] = list(dict.fromkeys(different))
    return found


def _different(name: str, own: str, usual: str) -> Phrase:
    if name in _HASHES:
        return phrase(_HASHES[name])
    return phrase("instead_of", name=name, own=_short(own), usual=_short(usual))


def _comparable_values(run: Run) -> dict[str, str]:
    protocol = run.recorded("protocol") or {}
    left_out = MAY_VARY if protocol.get("fold") is None else (*MAY_VARY, *_OF_A_FOLD)
    return {
        name: json.dumps(value, sort_keys=True, ensure_ascii=False)
        for name, value in protocol.items()
        if name not in left_out
    }


def _short(value: str) -> str:
    """Shorten a value for a line of text."""
    if value == "null":
        return "none"
    return value.strip('"') if len(value) <= 40 else value.strip('"')[:12] + "..."

"""Which runs may be compared, and which of them differ in their seed alone."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

from ..runs.reader import Run


def differences(runs: list[Run]) -> dict[str, list[str]]:
    """Name, for each run, what keeps it from a comparison with most runs: "lr 0.1 instead of 0.2".

    Seeds may differ. What a run of an older version did not record is no difference.
    """
    found = _protocol_differences(runs)
    pairs = {run.name: _pairs(run) for run in runs if run.predictions and not found[run.name]}
    usual = Counter(pairs.values()).most_common(1)[0][0] if pairs else None
    for name in pairs:
        if pairs[name] != usual:
            found[name].append("other validation pairs or labels")
    return found


def _protocol_differences(runs: list[Run]) -> dict[str, list[str]]:
    """Compare each recorded value with that of most runs.

    Where as many runs have one value as another, the run that is otherwise most like all others
    decides.
    """
    # 1. Each protocol as text, and how often each value occurs.
    protocols = {run.name: _comparable_values(run) for run in runs}
    counts = defaultdict(Counter)
    for protocol in protocols.values():
        for key, value in protocol.items():
            counts[key][value] += 1

    # 2. The usual value of each key.
    def likeness(protocol: dict[str, str]) -> int:
        return sum(counts[key][value] for key, value in protocol.items())

    leader = max(protocols.values(), key=likeness, default={})
    usual = {
        key: max(sorted(values), key=lambda value: (values[value], value == leader.get(key)))
        for key, values in counts.items()
    }
    # 3. What is not usual.
    found = {name: [] for name in protocols}
    for name, protocol in protocols.items():
        for key in counts:
            if protocol.get(key, usual[key]) != usual[key]:
                found[name].append(f"{key} {_short(protocol[key])} instead of {_short(usual[key])}")
    return found


def _comparable_values(run: Run) -> dict[str, str]:
    protocol = run.recorded("protocol") or {}
    return {
        key: json.dumps(value, sort_keys=True, ensure_ascii=False)
        for key, value in protocol.items()
        if key != "seed"
    }


def _short(value: str) -> str:
    """Shorten a value for a line of text; of a hash, keep enough to distinguish it."""
    return value.strip('"') if len(value) <= 40 else value.strip('"')[:12] + "..."


def _pairs(run: Run) -> tuple:
    predictions = run.predictions
    return tuple(predictions.classes), tuple(predictions.guids), tuple(predictions.labels)


def seed_groups(runs: list[Run]) -> list[list[Run]]:
    """Group the runs of the same model under the same name but for the seed in it."""
    groups = defaultdict(list)
    for run in runs:
        model = dict(run.recorded("model") or {})
        model.pop("batch_size", None)  # it depends on the memory that was free
        groups[group_name(run), json.dumps(model, sort_keys=True)].append(run)
    return list(groups.values())


def group_name(run: Run) -> str:
    """Return the name of a run without the ending that ``cli.run_name`` adds for a seed."""
    return run.name.removesuffix(f"_seed{run.seed}")

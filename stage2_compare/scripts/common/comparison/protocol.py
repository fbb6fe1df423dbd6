"""Which runs kept one protocol."""

from __future__ import annotations

import json
from collections import Counter

from ..runs.reader import Run


def protocol_differences(runs: list[Run]) -> list[list[str]]:
    """Per run, what it recorded of its protocol that is not as in most runs. Seeds are left to the families.

    What a run of an older version did not record is no difference. Where as many runs have one value as another, the
    run that is otherwise most like all others decides.
    """
    protocols = [
        {
            key: json.dumps(value, sort_keys=True, ensure_ascii=False)
            for key, value in block.items()
            if key != "seed"
        }
        for block in (run.recorded("protocol") or {} for run in runs)
    ]
    keys = list(dict.fromkeys(key for protocol in protocols for key in protocol))
    counts = {
        key: Counter(protocol[key] for protocol in protocols if key in protocol) for key in keys
    }
    leader = max(
        protocols,
        key=lambda protocol: sum(counts[key][value] for key, value in protocol.items()),
        default={},
    )
    usual = {
        key: max(sorted(counts[key]), key=lambda v: (counts[key][v], v == leader.get(key)))
        for key in keys
    }
    return [
        [
            f"{key} {_short(protocol[key])} instead of {_short(usual[key])}"
            for key in keys
            if protocol.get(key, usual[key]) != usual[key]
        ]
        for protocol in protocols
    ]


def _short(value: str) -> str:
    """A value for a line of text; of a hash, as much as tells it from another."""
    return value.strip('"') if len(value) <= 40 else value.strip('"')[:12] + "..."

"""Reads a tokenizer.json that a newer release of the tokenizers package has written.

transformers 4.39.3 brings tokenizers 0.15. Releases from 0.19 on leave a field of Metaspace out, and
those from 0.20 on write the merges of byte pairs as lists; what they mean is the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_newer(path: Path) -> Any:
    """Return the tokenizer, of the tokenizers package.

    Raises:
        Exception: the file is absent or broken, or means something that release 0.15 cannot do.
    """
    from tokenizers import Tokenizer

    content = json.loads(path.read_text(encoding="utf-8"), object_hook=_as_before)
    return Tokenizer.from_str(json.dumps(content))


def _as_before(part: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON object of the file as release 0.15 writes it."""
    if part.get("type") == "Metaspace" and part.get("split", True):
        return {"add_prefix_space": part.get("prepend_scheme") != "never", **part}
    if part.get("type") == "BPE" and not part.get("ignore_merges"):
        return {**part, "merges": [_joined(merge) for merge in part["merges"]]}
    return part


def _joined(merge: Any) -> Any:
    """Return a merge as one text, unless a blank in it would be read as the seam."""
    return merge if isinstance(merge, str) or " " in "".join(merge) else " ".join(merge)

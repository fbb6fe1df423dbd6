"""Saves what stands beside a checkpoint's weights, so that a run is opened without the checkpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .loading import PIXEL_STATISTICS


def save_encoder(
    folder: Path, config: Any, tokenizer: Any, mean: Sequence[float], std: Sequence[float]
) -> None:
    """Write files that ``load_config``, ``load_tokenizer`` and ``image_statistics`` read.

    Args:
        config, tokenizer: of transformers, as ``loading`` gives them.
        mean, std: of the pixels, three numbers each.
    """
    config.save_pretrained(folder)
    tokenizer.init_kwargs.pop("auto_map", None)  # names code
    tokenizer.save_pretrained(folder)
    statistics = {"image_mean": list(mean), "image_std": list(std)}
    (folder / PIXEL_STATISTICS).write_text(json.dumps(statistics) + "\n", encoding="utf-8")

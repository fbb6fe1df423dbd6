"""Checkpoints made on the spot load offline as downloaded ones do: nothing missing, nothing left over, same classes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stage2_compare.demo import checkpoints
from stage2_compare.demo.checkpoints import (
    BERT,
    BLIP,
    CHINESE_CLIP,
    CLIP,
    snapshot_folder,
    write_hub,
)

CHARACTERS = "今天天气很好"
LOADER = """
import json, sys
import torch, torchvision, transformers
found = {}
for name, kind in json.loads(sys.argv[1]).items():
    model, info = getattr(transformers, kind).from_pretrained(name, output_loading_info=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(name)
    ids = tokenizer("今天 ok!").input_ids
    text, vision = (getattr(model.config, part, model.config).to_dict() for part in ("text_config", "vision_config"))
    found[name] = {**info, "tokenizer": type(tokenizer).__name__, "ids": ids, "unknown": tokenizer.unk_token_id in ids,
                   "last": len(tokenizer) - 1, "text": text, "vision": vision}
torchvision.models.resnet18(weights="IMAGENET1K_V1")
print(json.dumps(found, default=str))
"""
CLASSES = {
    BERT: "BertForPreTraining",
    CLIP: "CLIPModel",
    BLIP: "BlipForConditionalGeneration",
    CHINESE_CLIP: "ChineseCLIPModel",
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hub 模型")
    write_hub(root, characters=CHARACTERS)
    return root


@pytest.fixture(scope="module")
def loaded(hub: Path) -> dict:
    """What a process of its own finds when it loads every checkpoint by its hub name, offline."""
    variables = write_hub(hub, characters=CHARACTERS, models=[])
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOADER, json.dumps(CLASSES)],
        env={**os.environ, **variables, "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", CLASSES)
def test_every_checkpoint_loads_by_its_hub_name_with_no_key_missing_or_left_over(
    loaded: dict, name: str
) -> None:
    assert not loaded[name]["missing_keys"] and not loaded[name]["unexpected_keys"]
    assert not loaded[name]["mismatched_keys"] and not loaded[name]["error_msgs"]


@pytest.mark.parametrize("name", CLASSES)
def test_every_tokenizer_knows_the_characters_it_was_given(loaded: dict, name: str) -> None:
    assert (
        not loaded[name]["unknown"] or name == CLIP
    )  # CLIP's unknown token is its end-of-text token
    assert loaded[name]["tokenizer"] == (
        "CLIPTokenizerFast" if name == CLIP else "BertTokenizerFast"
    )


def test_clip_ends_a_text_with_its_highest_id(loaded: dict) -> None:
    assert loaded[CLIP]["ids"][-1] == max(loaded[CLIP]["ids"]) == loaded[CLIP]["last"]


def test_blip_starts_with_an_id_behind_its_tokenizer(loaded: dict) -> None:
    text = loaded[BLIP]["text"]
    assert text["bos_token_id"] == loaded[BLIP]["last"] + 1
    assert text["vocab_size"] == loaded[BLIP]["last"] + 3


@pytest.mark.parametrize(
    ("name", "side", "patch"), [(CLIP, 224, 32), (BLIP, 384, 16), (CHINESE_CLIP, 224, 16)]
)
def test_image_towers_have_the_published_resolution(
    loaded: dict, name: str, side: int, patch: int
) -> None:
    assert (loaded[name]["vision"]["image_size"], loaded[name]["vision"]["patch_size"]) == (
        side,
        patch,
    )


def test_file_formats_are_the_published_ones(hub: Path) -> None:
    names = {
        name: {path.name for path in snapshot_folder(hub / "hf" / "hub", name).iterdir()}
        for name in CLASSES
    }
    assert {"model.safetensors", "vocab.txt", "tokenizer.json"} <= names[BERT]
    assert {"pytorch_model.bin", "vocab.json", "merges.txt", "preprocessor_config.json"} <= names[
        CLIP
    ]
    assert "model.safetensors" not in names[CLIP]
    assert {"model.safetensors", "vocab.txt", "preprocessor_config.json"} <= names[BLIP]
    assert {"pytorch_model.bin", "vocab.txt", "preprocessor_config.json"} <= names[CHINESE_CLIP]
    assert (hub / "torch" / "hub" / "checkpoints" / "resnet18-f37072fd.pth").is_file()
    assert not any(path.is_symlink() for path in hub.rglob("*"))


def test_one_seed_gives_the_same_weights_and_leaves_the_random_state_alone(
    hub: Path, tmp_path: Path
) -> None:
    import torch

    def weights(root: Path) -> str:
        path = snapshot_folder(root / "hf" / "hub", BLIP) / "model.safetensors"
        return hashlib.sha256(path.read_bytes()).hexdigest()

    before = torch.get_rng_state()
    write_hub(tmp_path / "same", characters=CHARACTERS, models=[BLIP])
    write_hub(tmp_path / "other", seed=1, characters=CHARACTERS, models=[BLIP])
    assert torch.equal(before, torch.get_rng_state())
    assert weights(tmp_path / "same") == weights(hub) != weights(tmp_path / "other")


def test_full_size_is_what_is_published() -> None:
    """Shapes only: the weights of 500 million parameters are not made here."""
    full = checkpoints.SIZES["full"]
    assert full["vocabulary"] == {"bert": 21128, "blip": 30522, "clip": 49408}
    assert len(checkpoints.wordpieces(CHARACTERS, 21128)) == 21128
    assert len(checkpoints.byte_pairs(CHARACTERS, 49408)[0]) == 49408


def test_a_model_it_cannot_make_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="gpt2"):
        write_hub(tmp_path, models=["gpt2"])

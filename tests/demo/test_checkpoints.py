"""Checkpoints made on the spot load offline as downloaded ones do: nothing missing, nothing left over."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from demo import checkpoints, pairs
from demo.checkpoints import BERT, BLIP, CLIP, snapshot_folder, write_hub

CHARACTERS = pairs.characters()
LOADER = """
import json, sys
import torch, torchvision, transformers
found = {}
for name, kind in json.loads(sys.argv[1]).items():
    model, info = getattr(transformers, kind).from_pretrained(name, output_loading_info=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(name)
    characters = tokenizer(sys.argv[2], add_special_tokens=False).input_ids
    text, vision = (getattr(model.config, part, model.config).to_dict() for part in ("text_config", "vision_config"))
    found[name] = {**info, "ids": tokenizer("今天 ok!").input_ids, "characters": characters,
                   "unknown": tokenizer.unk_token_id, "last": len(tokenizer) - 1, "text": text, "vision": vision}
torchvision.models.resnet18(weights="IMAGENET1K_V1")
print(json.dumps(found, default=str))
"""
CLASSES = {BERT: "BertForPreTraining", CLIP: "CLIPModel", BLIP: "BlipForConditionalGeneration"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hub 模型")
    write_hub(root, characters=CHARACTERS)
    return root


def test_every_checkpoint_loads_by_its_hub_name_and_is_odd_as_published(hub):
    variables = checkpoints.hub_variables(hub)
    command = [sys.executable, "-W", "ignore", "-c", LOADER, json.dumps(CLASSES), CHARACTERS]
    environment = {**os.environ, **variables, "PYTHONUTF8": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout.splitlines()[-1])
    for name, found in loaded.items():
        for keys in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
            assert not found[keys], name
        assert found["unknown"] not in found["characters"]
        assert len(found["characters"]) <= len(CHARACTERS) + 2  # CLIP's bytes included
    assert loaded[CLIP]["ids"][-1] == max(loaded[CLIP]["ids"]) == loaded[CLIP]["last"]
    assert loaded[BLIP]["text"]["bos_token_id"] == loaded[BLIP]["last"] + 1
    assert loaded[BLIP]["text"]["vocab_size"] == loaded[BLIP]["last"] + 3
    for name, side, patch in ((CLIP, 224, 32), (BLIP, 384, 16)):
        vision = loaded[name]["vision"]
        assert (vision["image_size"], vision["patch_size"]) == (side, patch), name


def test_file_formats_are_the_published_ones(hub):
    names = {}
    for name in CLASSES:
        snapshot = snapshot_folder(hub / "hf" / "hub", name)
        names[name] = {path.name for path in snapshot.iterdir()}
    assert {"model.safetensors", "vocab.txt", "tokenizer.json"} <= names[BERT]
    preprocessed = {"preprocessor_config.json"}
    assert {"pytorch_model.bin", "vocab.json", "merges.txt"} | preprocessed <= names[CLIP]
    assert "model.safetensors" not in names[CLIP]
    assert {"model.safetensors", "vocab.txt"} | preprocessed <= names[BLIP]
    assert (hub / "torch" / "hub" / "checkpoints" / "resnet18-f37072fd.pth").is_file()


def test_one_seed_gives_the_same_weights_and_leaves_the_random_state_alone(hub, tmp_path):
    def weights(root: Path) -> str:
        path = snapshot_folder(root / "hf" / "hub", BLIP) / "model.safetensors"
        return hashlib.sha256(path.read_bytes()).hexdigest()

    before = torch.get_rng_state()
    write_hub(tmp_path / "same", characters=CHARACTERS, models=[BLIP])
    write_hub(tmp_path / "other", seed=1, characters=CHARACTERS, models=[BLIP])
    assert torch.equal(before, torch.get_rng_state())
    assert weights(tmp_path / "same") == weights(hub) != weights(tmp_path / "other")


def test_full_size_is_what_is_published():
    """Shapes only: the weights of 500 million parameters are not made here."""
    lengths = checkpoints.SIZES["full"]["vocabulary"]
    assert lengths == {"bert": 21128, "blip": 30522, "clip": 49408}
    assert len(checkpoints.wordpieces(CHARACTERS, 21128)) == 21128
    assert len(checkpoints.byte_pairs(CHARACTERS, 49408)[0]) == 49408

"""Checkpoints made on the spot load offline as downloaded ones do: nothing missing, nothing left over."""

import hashlib
from pathlib import Path

import pytest
import torch
import transformers
from demo import pairs
from demo.checkpoints import BERT, BLIP, CLIP, snapshot_folder, write_hub

CHARACTERS = pairs.characters()
CLASSES = {BERT: "BertForPreTraining", CLIP: "CLIPModel", BLIP: "BlipForConditionalGeneration"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hub 模型")
    write_hub(root, characters=CHARACTERS)
    return root


def test_every_checkpoint_loads_whole_and_is_odd_as_published(hub):
    loaded, last = {}, {}
    for name, kind in CLASSES.items():
        folder = snapshot_folder(hub / "hf" / "hub", name)
        loaded[name], info = getattr(transformers, kind).from_pretrained(
            folder, output_loading_info=True
        )
        assert not any(info.values()), name
        # CLIP's repository has no safetensors, the others nothing else.
        weights = [
            path.name for path in folder.iterdir() if path.suffix in (".bin", ".safetensors")
        ]
        assert weights == ["pytorch_model.bin" if name == CLIP else "model.safetensors"]
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        ids = tokenizer(CHARACTERS, add_special_tokens=False).input_ids
        assert tokenizer.unk_token_id not in ids
        assert len(ids) <= len(CHARACTERS) + 2  # CLIP's bytes included
        last[name] = len(tokenizer) - 1
        if name == CLIP:
            assert tokenizer("今天 ok!").input_ids[-1] == last[name]
    text = loaded[BLIP].config.text_config
    assert (text.bos_token_id, text.vocab_size) == (last[BLIP] + 1, last[BLIP] + 3)
    for name, side, patch in ((CLIP, 224, 32), (BLIP, 384, 16)):
        vision = loaded[name].config.vision_config
        assert (vision.image_size, vision.patch_size) == (side, patch), name


def test_one_seed_gives_the_same_weights_and_leaves_the_random_state_alone(hub, tmp_path):
    def weights(root: Path) -> str:
        path = snapshot_folder(root / "hf" / "hub", BLIP) / "model.safetensors"
        return hashlib.sha256(path.read_bytes()).hexdigest()

    before = torch.get_rng_state()
    write_hub(tmp_path / "same", characters=CHARACTERS)
    write_hub(tmp_path / "other", seed=1, characters=CHARACTERS)
    assert torch.equal(before, torch.get_rng_state())
    assert weights(tmp_path / "same") == weights(hub) != weights(tmp_path / "other")

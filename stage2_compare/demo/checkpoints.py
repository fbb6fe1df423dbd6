"""Small checkpoints made on the spot: real classes, tokenizers and file names, random weights.

``write_hub`` lays out what a finished download leaves behind, so that the commands run offline and unchanged:

    <root>/hf/hub/models--openai--clip-vit-base-patch32/refs/main
    <root>/hf/hub/models--openai--clip-vit-base-patch32/snapshots/<40 hex>/{config.json, pytorch_model.bin, ...}
    <root>/torch/hub/checkpoints/resnet18-f37072fd.pth

What is odd about the published checkpoints is odd here too, since code that loads them trips over just that:
BERT's LayerNorm is called gamma and beta and comes with pre-training heads; CLIP has a .bin file only, an obsolete
end-of-text id in its config and position_ids among its weights; BLIP's captioning checkpoint has no text tower,
is made for 384 px, and starts a text with an id ([DEC]) that its tokenizer does not know.
"""

from __future__ import annotations

import hashlib
import json
import re
import string
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# Hidden size, layers and heads of the towers, which differ in width, so that code which confuses
# them fails here and not on a checkpoint of a gigabyte.
SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"text": (32, 2, 2), "vision": (48, 2, 3), "projection": 24},
    "demo": {"text": (128, 1, 4), "vision": (96, 1, 4), "projection": 64},
}

BERT = "bert-base-chinese"
CLIP = "openai/clip-vit-base-patch32"
BLIP = "Salesforce/blip-image-captioning-base"


def write_hub(
    root: Path, size: str = "tiny", seed: int = 0, characters: str = ""
) -> dict[str, str]:
    """Write checkpoints under ``root`` and return the environment variables that make every library use them.

    size: a key of SIZES. seed: the same seed gives the same weights. characters: what the vocabularies hold beside
    ASCII; anything else becomes [UNK] (BERT, BLIP) or bytes (CLIP). Leaves the caller's random state alone. The
    variables act on a process started with them: transformers reads them when it is imported. Within one process, give
    a model's ``snapshot_folder(root / "hf" / "hub", name)`` as its name instead.
    """
    import torch
    import torchvision

    letters = sorted(set(characters) - set(string.printable))
    for name, write in {BERT: write_bert, CLIP: write_clip, BLIP: write_blip}.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            write(snapshot_folder(root / "hf" / "hub", name), SIZES[size], letters)
    folder = root / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        weights = torchvision.models.resnet18().state_dict()
    torch.save(weights, folder / "resnet18-f37072fd.pth")
    return hub_variables(root)


def hub_variables(root: Path) -> dict[str, str]:
    """The environment of a process that shall use what ``write_hub`` wrote under ``root``."""
    root = root.resolve()
    return {
        "HF_HOME": str(root / "hf"),
        "TORCH_HOME": str(root / "torch"),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
    }


def snapshot_folder(hub: Path, name: str) -> Path:
    """Make the cache folder of one hub repository, as a download on a file system without links does."""
    repository = hub / ("models--" + name.replace("/", "--"))
    commit = hashlib.sha1(name.encode("utf-8")).hexdigest()
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True, exist_ok=True)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / "main").write_text(commit, encoding="utf-8")
    # without it transformers looks for an older layout
    (hub / "version.txt").write_text("1", encoding="utf-8")
    return snapshot


def wordpieces(characters: Iterable[str]) -> list[str]:
    """BERT's vocabulary: special tokens at their published ids, ASCII as whole and inner pieces, then characters."""
    ascii_pieces = string.punctuation + string.digits + string.ascii_letters
    inner = ["##" + piece for piece in string.digits + string.ascii_letters]
    words = ["[PAD]", *(f"[unused{i}]" for i in range(1, 100)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return [*words, *ascii_pieces, *inner, *characters]


def byte_pairs(characters: Iterable[str]) -> tuple[dict[str, int], list[tuple]]:
    """CLIP's vocabulary and merges: bytes, bytes that end a word, merges up to whole characters, two special tokens."""
    from transformers.models.clip.tokenization_clip import bytes_to_unicode

    letters = bytes_to_unicode()
    merges = {}
    for character in characters:
        parts = [letters[byte] for byte in character.encode("utf-8")]
        for end in ("", "</w>"):
            piece = parts[0]
            for i, part in enumerate(parts[1:], start=2):
                tail = part + end * (i == len(parts))
                merges[piece, tail] = None
                piece += tail
    ends = (letter + "</w>" for letter in letters.values())
    words = [*letters.values(), *ends, *(a + b for a, b in merges)]
    # last: the published model pools at the highest id
    words += ["<|startoftext|>", "<|endoftext|>"]
    return {word: i for i, word in enumerate(words)}, list(merges)


def write_bert_tokenizer(folder: Path, words: list[str], lower_case: bool) -> None:
    """vocab.txt, tokenizer.json and the small files beside them."""
    from transformers import BertTokenizerFast

    file = folder / "vocab.txt"
    file.write_text("\n".join(words) + "\n", encoding="utf-8", newline="\n")
    options = {"do_lower_case": lower_case, "model_max_length": 512}
    BertTokenizerFast(str(file), **options).save_pretrained(str(folder))


def tower(size: dict[str, Any], name: str, **more: Any) -> dict[str, Any]:
    """The config entries that all transformer towers share, plus ``more``; ``name``: text or vision.

    A narrow tower needs a wider start than the published 0.02, or its attention sees nothing for many epochs.
    """
    hidden, layers, heads = size[name]
    shape = {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads}
    wide = {"intermediate_size": 4 * hidden, "initializer_range": hidden**-0.5}
    return {**shape, **wide, **more}


def write_bert(folder: Path, size: dict[str, Any], characters: list[str]) -> None:
    from safetensors.torch import save_file
    from transformers import BertConfig, BertForPreTraining

    words = wordpieces(characters)
    write_bert_tokenizer(folder, words, lower_case=False)
    model = BertForPreTraining(BertConfig(**tower(size, "text", vocab_size=len(words))))
    # As published, though the pooler is in the file.
    model.config.architectures = ["BertForMaskedLM"]
    model.config.save_pretrained(str(folder))
    weights = {}
    for key, value in model.state_dict().items():
        if key in ("cls.predictions.decoder.weight", "cls.predictions.decoder.bias"):  # tied
            continue
        if re.search("(position|token_type)_embeddings", key):
            value = value * 0.2  # a small model learns sooner what is said than where
        key = key.replace("LayerNorm.weight", "LayerNorm.gamma")
        weights[key.replace("LayerNorm.bias", "LayerNorm.beta")] = value
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})


def write_clip(folder: Path, size: dict[str, Any], characters: list[str]) -> None:
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizerFast

    words, merges = byte_pairs(characters)
    files = [folder / "vocab.json", folder / "merges.txt"]
    files[0].write_text(json.dumps(words, ensure_ascii=False), encoding="utf-8", newline="\n")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    files[1].write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    CLIPTokenizerFast(*map(str, files), model_max_length=77).save_pretrained(str(folder))
    CLIPImageProcessor().save_pretrained(str(folder))  # the shorter edge to 224 px, and a crop
    # As published: wrong, and why ids are not read.
    special = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
    text = tower(size, "text", vocab_size=len(words), max_position_embeddings=77, **special)
    vision = tower(size, "vision", image_size=224, patch_size=32)
    width = {"projection_dim": size["projection"]}
    config = CLIPConfig(text_config={**text, **width}, vision_config={**vision, **width}, **width)
    model = CLIPModel(config)
    model.config.architectures = ["CLIPModel"]
    model.config.save_pretrained(str(folder))
    weights = model.state_dict()
    for name, count in (("text", 77), ("vision", 50)):
        weights[f"{name}_model.embeddings.position_ids"] = torch.arange(count).unsqueeze(0)
    torch.save(dict(weights), folder / "pytorch_model.bin")


def write_blip(folder: Path, size: dict[str, Any], characters: list[str]) -> None:
    from transformers import BlipConfig, BlipForConditionalGeneration, BlipImageProcessor

    words = wordpieces(characters)
    write_bert_tokenizer(folder, words, lower_case=True)
    BlipImageProcessor().save_pretrained(str(folder))  # a square of 384 px
    # [DEC] and [ENC] have embeddings behind the tokenizer's last id, as published.
    special = {"bos_token_id": len(words), "eos_token_id": 2, "pad_token_id": 0}
    special |= {"sep_token_id": 102, "vocab_size": len(words) + 2, "max_position_embeddings": 512}
    config = BlipConfig(
        text_config=tower(size, "text", **special),
        vision_config=tower(size, "vision", image_size=384, patch_size=16),
        projection_dim=size["projection"],
    )
    BlipForConditionalGeneration(config).save_pretrained(str(folder), safe_serialization=True)

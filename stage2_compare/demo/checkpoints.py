"""Checkpoints made on the spot: real classes, real tokenizers, real file names, random weights, any size.

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
import string
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# (hidden size, layers, heads) of every tower; "full" is what is published. Text and image towers differ in width at
# the small sizes, so that code which confuses them fails there and not on a checkpoint of a gigabyte.
SIZES: dict[str, dict[str, Any]] = {
    "tiny": {
        "bert": (32, 2, 2),
        "clip_text": (32, 2, 2),
        "clip_vision": (48, 2, 3),
        "blip_text": (32, 2, 2),
        "blip_vision": (48, 2, 3),
        "projection": 24,
        "vocabulary": {"bert": 0, "blip": 0, "clip": 0},
    },
    "demo": {
        "bert": (64, 2, 4),
        "clip_text": (64, 2, 4),
        "clip_vision": (96, 2, 4),
        "blip_text": (64, 2, 4),
        "blip_vision": (96, 2, 4),
        "projection": 64,
        "vocabulary": {"bert": 0, "blip": 0, "clip": 0},
    },
    "full": {
        "bert": (768, 12, 12),
        "clip_text": (512, 12, 8),
        "clip_vision": (768, 12, 12),
        "blip_text": (768, 12, 12),
        "blip_vision": (768, 12, 12),
        "projection": 512,
        "vocabulary": {"bert": 21128, "blip": 30522, "clip": 49408},
    },
}

BERT = "bert-base-chinese"
CLIP = "openai/clip-vit-base-patch32"
BLIP = "Salesforce/blip-image-captioning-base"
CHINESE_CLIP = "OFA-Sys/chinese-clip-vit-base-patch16"
RESNETS = {
    "resnet18": ["resnet18-f37072fd.pth"],
    "resnet50": ["resnet50-11ad3fa6.pth", "resnet50-0676ba61.pth"],
}
DEFAULT_MODELS = (BERT, CLIP, BLIP, CHINESE_CLIP, "resnet18")

COMMON_CHARACTERS = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之"
)
CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


def write_hub(
    root: str | Path,
    size: str = "tiny",
    seed: int = 0,
    characters: Iterable[str] = COMMON_CHARACTERS,
    models: Iterable[str] = DEFAULT_MODELS,
) -> dict[str, str]:
    """Write checkpoints under ``root`` and return the environment variables that make every library use them.

    size: a key of SIZES. seed: the same seed gives the same weights, whichever models are asked for.
    characters: what the vocabularies hold beside ASCII; anything else becomes [UNK] (BERT, BLIP, Chinese-CLIP) or
    bytes (CLIP). models: hub names, "resnet18", "resnet50"; ValueError for any other. Leaves the caller's random
    state alone. The variables act on a process started with them: transformers reads them when it is imported. Within
    one process, give a model's ``snapshot_folder(root / "hf" / "hub", name)`` as its name instead.
    """
    import torch

    root, models = Path(root).resolve(), list(models)
    unknown = [name for name in models if name not in WRITERS and name not in RESNETS]
    if unknown or size not in SIZES:
        raise ValueError(
            f"cannot make {unknown or size}; models: {[*WRITERS, *RESNETS]}, sizes: {list(SIZES)}"
        )
    characters = sorted(set("".join(characters)) - set(string.printable))
    for name in models:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if name in RESNETS:
                write_resnet(root / "torch" / "hub" / "checkpoints", name)
            else:
                WRITERS[name](snapshot_folder(root / "hf" / "hub", name), SIZES[size], characters)
    return hub_variables(root)


def hub_variables(root: str | Path) -> dict[str, str]:
    """The environment of a process that shall use what ``write_hub`` wrote under ``root``."""
    root = Path(root).resolve()
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
    (hub / "version.txt").write_text(
        "1", encoding="utf-8"
    )  # without it transformers looks for an older layout
    return snapshot


# ---------------------------------------------------------------- vocabularies


def wordpieces(characters: Iterable[str], length: int) -> list[str]:
    """BERT's vocabulary: special tokens at their published ids, ASCII as whole and inner pieces, then characters."""
    ascii_pieces = string.punctuation + string.digits + string.ascii_letters
    inner = ["##" + piece for piece in string.digits + string.ascii_letters]
    words = ["[PAD]", *(f"[unused{i}]" for i in range(1, 100)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words += [*ascii_pieces, *inner, *characters]
    return words + [f"[unused{i}]" for i in range(100, 100 + length - len(words))]


def byte_pairs(
    characters: Iterable[str], length: int
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """CLIP's vocabulary and merges: bytes, bytes that end a word, merges up to whole characters, two special tokens."""
    from transformers.models.clip.tokenization_clip import bytes_to_unicode

    letters = bytes_to_unicode()
    merges: dict[tuple[str, str], None] = {}
    for character in characters:
        parts = [letters[byte] for byte in character.encode("utf-8")]
        for end in ("", "</w>"):
            piece = parts[0]
            for i, part in enumerate(parts[1:], start=2):
                tail = part + end * (i == len(parts))
                merges[piece, tail] = None
                piece += tail
    words = [
        *letters.values(),
        *(letter + "</w>" for letter in letters.values()),
        *(a + b for a, b in merges),
    ]
    words += [f"[unused{i}]" for i in range(length - len(words) - 2)]
    words += [
        "<|startoftext|>",
        "<|endoftext|>",
    ]  # last: the published model pools at the highest id
    return {word: i for i, word in enumerate(words)}, list(merges)


def write_bert_tokenizer(folder: Path, words: list[str], lower_case: bool) -> None:
    """vocab.txt, tokenizer.json and the small files beside them."""
    from transformers import BertTokenizerFast

    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(words) + "\n", encoding="utf-8", newline="\n")
    tokenizer = BertTokenizerFast(str(vocabulary), do_lower_case=lower_case, model_max_length=512)
    tokenizer.save_pretrained(str(folder))


def write_clip_tokenizer(
    folder: Path, words: dict[str, int], merges: list[tuple[str, str]]
) -> None:
    """vocab.json, merges.txt, tokenizer.json and the small files beside them."""
    from transformers import CLIPTokenizerFast

    write_json(folder / "vocab.json", words)
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    tokenizer = CLIPTokenizerFast(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77
    )
    tokenizer.save_pretrained(str(folder))


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(
        json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8", newline="\n"
    )


# ---------------------------------------------------------------- models


def tower(size: dict[str, Any], name: str, **more: Any) -> dict[str, Any]:
    """The config entries that all transformer towers share, plus ``more``.

    A narrow tower needs a wider start than the published 0.02, or its attention sees nothing for many epochs.
    """
    hidden, layers, heads = size[name]
    start = 0.02 if hidden >= 512 else hidden**-0.5 / 2
    shape = {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads}
    return {**shape, "intermediate_size": 4 * hidden, "initializer_range": start, **more}


def write_preprocessor(
    folder: Path, kind: str, processor: str, side: int, shortest_edge: bool
) -> None:
    """preprocessor_config.json; CLIP resizes the shorter edge and crops, the others resize to a square."""
    square = {"height": side, "width": side}
    content = {
        "image_processor_type": kind,
        "processor_class": processor,
        "do_resize": True,
        "size": {"shortest_edge": side} if shortest_edge else square,
        "do_center_crop": shortest_edge,
        "crop_size": square,
        "do_normalize": True,
        "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD,
        "resample": 3,
    }
    write_json(folder / "preprocessor_config.json", content)


def write_bert(folder: Path, size: dict[str, Any], characters: list[str]) -> None:
    from safetensors.torch import save_file
    from transformers import BertConfig, BertForPreTraining

    words = wordpieces(characters, size["vocabulary"]["bert"])
    write_bert_tokenizer(folder, words, lower_case=False)
    model = BertForPreTraining(BertConfig(**tower(size, "bert", vocab_size=len(words))))
    model.config.architectures = [
        "BertForMaskedLM"
    ]  # as published, though the pooler is in the file
    model.config.save_pretrained(str(folder))
    tied = ("cls.predictions.decoder.weight", "cls.predictions.decoder.bias")
    renamed = {
        old_layer_norm_name(key): value
        for key, value in model.state_dict().items()
        if key not in tied
    }
    save_file(renamed, str(folder / "model.safetensors"), metadata={"format": "pt"})


def old_layer_norm_name(key: str) -> str:
    if "LayerNorm" not in key:
        return key
    return key.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta"
    )


def write_clip(folder: Path, size: dict[str, Any], characters: list[str]) -> None:
    import torch
    from transformers import CLIPConfig, CLIPModel

    words, merges = byte_pairs(characters, size["vocabulary"]["clip"])
    write_clip_tokenizer(folder, words, merges)
    write_preprocessor(folder, "CLIPImageProcessor", "CLIPProcessor", 224, shortest_edge=True)
    text = tower(size, "clip_text", vocab_size=len(words), max_position_embeddings=77)
    vision = tower(size, "clip_vision", image_size=224, patch_size=32)
    special = {
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 1,
    }  # as published: wrong, and why ids are not read
    model = CLIPModel(
        CLIPConfig(
            text_config={**text, **special, "projection_dim": size["projection"]},
            vision_config={**vision, "projection_dim": size["projection"]},
            projection_dim=size["projection"],
        )
    )
    model.config.architectures = ["CLIPModel"]
    model.config.save_pretrained(str(folder))
    positions = {
        f"{name}_model.embeddings.position_ids": torch.arange(count).unsqueeze(0)
        for name, count in (("text", 77), ("vision", 50))
    }
    torch.save({**model.state_dict(), **positions}, folder / "pytorch_model.bin")


def write_blip(folder: Path, size: dict[str, Any], characters: list[str]) -> None:
    from transformers import BlipConfig, BlipForConditionalGeneration

    words = wordpieces(characters, size["vocabulary"]["blip"])
    write_bert_tokenizer(folder, words, lower_case=True)
    write_preprocessor(folder, "BlipImageProcessor", "BlipProcessor", 384, shortest_edge=False)
    # [DEC] and [ENC] have embeddings behind the tokenizer's last id, as published.
    special = {
        "bos_token_id": len(words),
        "eos_token_id": 2,
        "pad_token_id": 0,
        "sep_token_id": 102,
    }
    model = BlipForConditionalGeneration(
        BlipConfig(
            text_config={
                **tower(size, "blip_text", vocab_size=len(words) + 2, max_position_embeddings=512),
                **special,
            },
            vision_config=tower(size, "blip_vision", image_size=384, patch_size=16),
            projection_dim=size["projection"],
        )
    )
    model.save_pretrained(str(folder), safe_serialization=True)


def write_chinese_clip(folder: Path, size: dict[str, Any], characters: list[str]) -> None:
    from transformers import ChineseCLIPConfig, ChineseCLIPModel

    words = wordpieces(characters, size["vocabulary"]["bert"])
    write_bert_tokenizer(folder, words, lower_case=True)
    write_preprocessor(
        folder, "ChineseCLIPImageProcessor", "ChineseCLIPProcessor", 224, shortest_edge=False
    )
    model = ChineseCLIPModel(
        ChineseCLIPConfig(
            text_config=tower(size, "bert", vocab_size=len(words)),
            vision_config={**tower(size, "clip_vision", image_size=224, patch_size=16)},
            projection_dim=size["projection"],
        )
    )
    model.save_pretrained(str(folder), safe_serialization=False)


def write_resnet(folder: Path, name: str) -> None:
    import torch
    import torchvision

    folder.mkdir(parents=True, exist_ok=True)
    weights = getattr(torchvision.models, name)(weights=None).state_dict()
    for file_name in RESNETS[name]:
        torch.save(weights, folder / file_name)


WRITERS = {BERT: write_bert, CLIP: write_clip, BLIP: write_blip, CHINESE_CLIP: write_chinese_clip}

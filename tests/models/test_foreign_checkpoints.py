"""Checkpoints as other people save them: every weight in use is the saved one, or the fault is named."""

import json
import shutil
import string
from pathlib import Path

import pytest
import torch
import transformers
from common.data.tokens import tokenise
from common.errors import UserError
from common.models.build import build_classifier
from common.models.loading import CLIP_PIXELS, image_statistics, load_tokenizer
from common.settings import ModelChoice, Protocol
from demo.checkpoints import byte_pairs, wordpieces, write_bert_tokenizer
from helpers.models import SIZE

TEXTS = ["今天天气很好", "a bad day 龘", ""]
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
}


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


# Tokenizers, each as the published checkpoints of its kind bring it


def word_pieces(folder: Path) -> int:
    words = wordpieces("今天气很好")
    write_bert_tokenizer(folder, words, lower_case=True)
    return len(words)


def byte_level(folder: Path) -> int:
    """vocab.json and merges.txt of RoBERTa, without a tokenizer.json."""
    words, merges = byte_pairs("今天气很好")
    names = ["<s>", "<pad>", "</s>", "<unk>", *list(words)[:-2], "<mask>"]
    write_json(folder / "vocab.json", {name: i for i, name in enumerate(names)})
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    return len(names)


def unigram(folder: Path) -> int:
    """tokenizer.json of a sentencepiece model, as XLM-R brings it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    special = ["<s>", "<pad>", "</s>", "<unk>", "[MASK]"]
    pieces = [*special, "▁", *string.ascii_lowercase, *"今天气很好", "天气"]
    made = Tokenizer(models.Unigram([(piece, -float(i)) for i, piece in enumerate(pieces)], 3))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    ends = [("<s>", 0), ("</s>", 2)]
    made.post_processor = processors.TemplateProcessing("<s> $A </s>", None, ends)
    made.add_special_tokens(special)
    made.save(str(folder / "tokenizer.json"))
    names = {"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    settings = {"tokenizer_class": "XLMRobertaTokenizer", "mask_token": "[MASK]", **names}
    write_json(folder / "tokenizer_config.json", settings)
    return len(pieces)


ROBERTA = {**SMALL, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
# class that is saved -> settings and tokenizer
SAVED = {
    "BertModel": (SMALL, word_pieces),
    "RobertaModel": (ROBERTA, byte_level),
    "RobertaForMaskedLM": (ROBERTA, byte_level),
    "XLMRobertaModel": (ROBERTA, unigram),
}


def save(folder: Path, kind: str) -> torch.nn.Module:
    """Save a model of the class ``kind`` as people do, and return the encoder in it."""
    settings, write_tokenizer = SAVED[kind]
    load = getattr(transformers, kind)
    torch.manual_seed(1)
    model = load(load.config_class(vocab_size=write_tokenizer(folder), **settings))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) / 8)  # none is what it starts as
    model.save_pretrained(folder)
    return getattr(model, model.base_model_prefix, model)


def classifier(folder: Path):
    chosen = ModelChoice("bert_resnet", str(folder), "resnet18", "text")
    return build_classifier(chosen, 3, Protocol(image_size=SIZE))


def rewrite(folder: Path, change) -> None:
    """Change the weights of a folder, each a name and a tensor, and leave no note of their kind."""
    from safetensors.torch import load, save_file

    path = folder / "model.safetensors"
    weights = load(path.read_bytes()).items()  # Windows writes over no mapped file
    save_file(dict(change(key, value) for key, value in weights), path)


def test_weights_cut_into_parts_are_all_used(tmp_path):
    saved = save(tmp_path, "RobertaForMaskedLM").state_dict()
    model = transformers.RobertaForMaskedLM.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    for key, value in classifier(tmp_path).encoder.text.state_dict().items():
        assert torch.equal(value, saved[key]), key
    parts = sorted(tmp_path.glob("model-*-of-*.safetensors"))
    assert len(parts) > 3
    parts[1].unlink()
    with pytest.raises(UserError, match="nor all parts of one"):
        classifier(tmp_path)


def test_weights_saved_by_wrappers_and_old_programs_are_found(tmp_path):
    """DataParallel, torch.compile, and TensorFlow's names in a LayerNorm."""
    saved = save(tmp_path, "BertModel").state_dict()
    published = (tmp_path / "model.safetensors").read_bytes()
    for prefix in ("module.", "_orig_mod.", "module._orig_mod.bert."):
        (tmp_path / "model.safetensors").write_bytes(published)
        rewrite(tmp_path, lambda key, value, prefix=prefix: (prefix + as_tensorflow(key), value))
        for key, value in classifier(tmp_path).encoder.text.state_dict().items():
            assert torch.equal(value, saved[key]), key


def as_tensorflow(key: str) -> str:
    return key.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta")


HALF_RANDOM = [
    (lambda key, value: (f"query.{key}", value), "does not hold .* they would stay random"),
    (
        lambda key, value: (key.replace(".layer.1.", ".layer.9."), value),
        r"does not hold 16 .*\(first: encoder.layer.1",
    ),
    (lambda key, value: (key, (100 * value).to(torch.int8)), "is torch.int8, so it is quantised"),
    (lambda key, value: (key, torch.cat([value, value])), "size mismatch for embeddings"),
]


def test_an_encoder_that_would_be_random_in_part_is_refused(tmp_path):
    save(tmp_path, "BertModel")
    published = (tmp_path / "model.safetensors").read_bytes()
    for change, says in HALF_RANDOM:
        (tmp_path / "model.safetensors").write_bytes(published)
        rewrite(tmp_path, change)
        with pytest.raises(UserError, match=says):
            classifier(tmp_path)


# Tokenizers that are not fast


@pytest.mark.parametrize("kind", ["BertModel", "RobertaModel"])
def test_a_slow_tokenizer_counts_as_a_fast_one(tmp_path, kind):
    save(tmp_path, kind)
    fast = load_tokenizer(str(tmp_path))
    slow = getattr(transformers, type(fast).__name__.removesuffix("Fast")).from_pretrained(tmp_path)
    assert fast.is_fast and not slow.is_fast
    texts = [*TEXTS, "今天天气很好" * 5, "x " * 20, "龘 今 " * 9, " ", "[SEP] </s> <s>"]
    one, other = tokenise(texts, fast, 12), tokenise(texts, slow, 12)
    for field in ("truncated_rate", "unknown_rate", "per_character", "pad_id"):
        assert getattr(one, field) == getattr(other, field), field
    assert one.truncated_rate >= 3 / 8 and (one.unknown_rate > 0) == (kind == "BertModel")
    assert (one.starts == other.starts).all() and (one.ids == other.ids).all()


def as_newer_releases_write_it(path: Path) -> None:
    """Write a tokenizer.json again as tokenizers 0.21 does."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if content["model"]["type"] == "BPE":
        merges = [pair.split(" ") for pair in content["model"]["merges"]]
        content["model"] |= {"ignore_merges": False, "merges": merges}
    else:
        content["pre_tokenizer"] = {
            "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True
        }  # fmt: skip
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize("kind", ["RobertaModel", "XLMRobertaModel"])
def test_a_tokenizer_that_newer_releases_have_written_is_used_and_can_be_kept(tmp_path, kind):
    save(tmp_path, kind)
    tokenizer = load_tokenizer(str(tmp_path))
    before = tokenise([*TEXTS, "x  y"], tokenizer, 16)
    tokenizer.save_pretrained(tmp_path)
    for file in ("vocab.json", "merges.txt"):  # the newest releases leave them out
        (tmp_path / file).unlink(missing_ok=True)
    as_newer_releases_write_it(tmp_path / "tokenizer.json")
    tokenizer = load_tokenizer(str(tmp_path))
    tokenizer.save_pretrained(tmp_path)
    for loaded in (tokenizer, load_tokenizer(str(tmp_path))):
        after = tokenise([*TEXTS, "x  y"], loaded, 16)
        assert (after.ids == before.ids).all() and loaded.is_fast


def test_what_only_newer_tokenizers_can_do_is_refused(tmp_path):
    save(tmp_path, "RobertaModel")
    path = tmp_path / "tokenizer.json"
    load_tokenizer(str(tmp_path)).save_pretrained(tmp_path)
    as_newer_releases_write_it(path)
    published = json.loads(path.read_text(encoding="utf-8"))
    for change in ({"ignore_merges": True}, {"merges": [["a", "b c"]]}, {"merges": [["a", 1]]}):
        write_json(path, published | {"model": published["model"] | change})
        with pytest.raises(UserError, match="its tokenizer cannot be used: data did not match"):
            load_tokenizer(str(tmp_path))


# What cannot be used is told in one line that names the fault and the remedy that fits it


def settings(**changes):
    def change(folder: Path) -> None:
        content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        write_json(folder / "config.json", {**content, **changes})

    return change


def tokenizer_settings(**changes):
    content = {"tokenizer_class": "BertTokenizer", **changes}
    return lambda folder: write_json(folder / "tokenizer_config.json", content)


def content(name: str, data: bytes):
    return lambda folder: (folder / name).write_bytes(data)


def without(*files: str):
    return lambda folder: [(folder / file).unlink() for file in files]


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 409\n"
NO_WEIGHTS = without("model.safetensors")
NO_TOKENIZER = without("tokenizer.json", "vocab.txt", "tokenizer_config.json")
# What the message says, and what was done to the folder
FAULTS = [
    ("model.safetensors cannot be used.*git lfs pull", content("model.safetensors", POINTER)),
    ("pytorch_model.bin.*git lfs pull", NO_WEIGHTS, content("pytorch_model.bin", POINTER)),
    ("no file named model.safetensors or", NO_WEIGHTS, content("tf_model.h5", b"h5")),
    ('"model_type": null; .*Mend that line', settings(model_type=None)),
    ('"model_type": "modernbert"', settings(model_type="modernbert")),
    ("config.json or its weights", settings(hidden_act="nothing")),
    ("pip install sentencepiece protobuf", NO_TOKENIZER, content("spm.model", b"\n\x0e")),
    ("its tokenizer cannot", content("tokenizer.json", b"[" * 100_000)),
    ("model_max_length is 0", tokenizer_settings(model_max_length=0)),
    ("Nobody", tokenizer_settings(tokenizer_class="Nobody")),
]


def inside(place: str, top: str = "", data: bytes = b"{}"):
    """The checkpoint lies in a folder of the folder, beside a file."""

    def change(folder: Path) -> None:
        moved = folder.rename(folder.with_name("moved"))
        (folder / place).parent.mkdir(parents=True)
        moved.rename(folder / place)
        if top:
            (folder / top).write_bytes(data)

    return change


def pickled_model(folder: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), folder / "pytorch_model.bin")


NO_MODEL = without("config.json", "model.safetensors")
# The same for folders that other programs make
OTHERS = [
    ("the output of a Trainer: give .*checkpoint-500'$", inside("checkpoint-500")),
    ("sentence-transformers: .*0_Transformer'$", inside("0_Transformer", "modules.json")),
    ("sentence-transformers: .*0_Transformer'$", inside("0_Transformer", "config.json")),
    ("sentence-transformers: .*0_CLIPModel'$", inside("0_CLIPModel", "modules.json")),
    ("hub's cache: give .*0'$", inside("snapshots/0")),
    ("LoRA.*merge_and_unload", NO_MODEL, content("adapter_config.json", b"{}")),
    ("LoRA.*merge_and_unload", NO_WEIGHTS, content("adapter_config.json", b"{}")),
    ("OpenCLIP: .*transformers", NO_MODEL, content("open_clip_pytorch_model.bin", b"")),
    ("accelerate: .*unwrapped", without("config.json"), content("random_states_0.pkl", b"")),
    ("load its model.pth in its own", NO_WEIGHTS, content("model.pth", b"")),
    ("has no tokenizer: copy", NO_TOKENIZER, content("optimizer.pt", b"")),
    ("is no checkpoint, it has no config.json", without("config.json")),
    ("whole model, save its state_dict", NO_WEIGHTS, pickled_model),
]


@pytest.mark.parametrize("faults", [FAULTS, OTHERS], ids=["broken", "of other programs"])
def test_every_loading_error_names_the_fault_and_its_own_remedy(tmp_path, faults):
    published = tmp_path / "published"
    published.mkdir()
    save(published, "BertModel")
    for number, (says, *changes) in enumerate(faults):
        folder = tmp_path / f"back\\slash {number}"  # shown as Windows writes it, not twice
        shutil.copytree(published, folder)
        for change in changes:
            change(folder)
        with pytest.raises(UserError, match=f"(?s){says}") as caught:
            load_tokenizer(str(folder))
            classifier(folder)
        assert "HF_ENDPOINT" not in str(caught.value)  # no mirror helps here
        assert len(str(caught.value)) < 1000 and str(folder) in str(caught.value)


@pytest.mark.parametrize("mean", [None, "abc", [0.5], [0.5, float("nan"), 0.5]])
def test_statistics_of_pixels_are_three_numbers(tmp_path, mean):
    write_json(tmp_path / "config.json", {})
    write_json(tmp_path / "preprocessor_config.json", {"image_mean": mean})
    with pytest.raises(UserError, match="preprocessor_config.json cannot be used"):
        image_statistics(str(tmp_path), CLIP_PIXELS)


HARMLESS = {
    "settings for other programs": settings(
        torchscript=True,
        return_dict=False,
        output_attentions=True,
        auto_map={"AutoModel": "trap.Model"},
    ),
    "no limit of the tokenizer": tokenizer_settings(model_max_length=10**30),
    "weights without a note of their kind": lambda folder: rewrite(folder, lambda *pair: pair),
    "a byte order mark": lambda folder: (folder / "config.json").write_bytes(
        b"\xef\xbb\xbf" + (folder / "config.json").read_bytes()
    ),
}


@torch.no_grad()
def test_what_is_odd_and_harmless_changes_nothing(tmp_path):
    published = tmp_path / "published"
    published.mkdir()
    save(published, "BertModel")
    pixels = torch.zeros(1, 3, SIZE, SIZE, dtype=torch.uint8)

    def logits(folder: Path) -> torch.Tensor:
        tokens = tokenise(["今天天气很好"], load_tokenizer(str(folder)), 40)
        return classifier(folder).eval()(*tokens.pad(torch.zeros(1, dtype=int).numpy()), pixels)

    expected = logits(published)
    for name, change in HARMLESS.items():
        folder = shutil.copytree(published, tmp_path / name)
        change(folder)
        assert torch.equal(logits(folder), expected)
        assert isinstance(load_tokenizer(str(folder)).model_max_length, int)


def test_a_name_that_can_be_none_is_refused_before_anything_is_made():
    for name in ("x" * 300, "a//b", "a/b/c", "-a", "a.git", "a--b", "模型", "folder/模型"):
        with pytest.raises(UserError, match="--model-name is neither a folder") as caught:
            ModelChoice("clip", name, None, "concat")
        assert len(str(caught.value)) < 400

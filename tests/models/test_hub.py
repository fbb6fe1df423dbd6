"""The hub's cache is used without the network, and a first download works as the hub's own client does it."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from common.errors import UserError
from common.models import bert_resnet, checkpoint
from demo.checkpoints import hub_variables, snapshot_folder
from helpers.hub import BERT, BLIP, CLIP, STAGE2, LocalHub
from huggingface_hub.utils import LocalEntryNotFoundError
from torch import nn

MODELS = {"text": BERT, "image": BERT, "clip": CLIP, "blip": BLIP}
LOAD = """
import json, sys
import torch, transformers
from common.errors import UserError
from common.models.build import build_classifier
from common.settings import ModelChoice
from common.models.loading import load_tokenizer
found = []
for kind, name, pretrained in json.loads(sys.argv[1]):
    family, fusion = ("bert_resnet", kind) if kind in ("text", "image") else (kind, "concat")
    try:
        load_tokenizer(name)
        chosen = ModelChoice(family, name, "resnet18", fusion)
        model = build_classifier(chosen, 3, 64, seed=1, pretrained=pretrained)
        said = sum(p.double().abs().sum().item() for p in model.parameters())
    except UserError as error:
        said = str(error)
    found.append(said)
print(json.dumps(found))
"""
REFUSED = "http://127.0.0.1:9"


def load(root: Path, kinds: list, hub: LocalHub | str, **more) -> list:
    """Load models in a process of its own; return for each the sum of its weights, or the error.

    ``kinds``: keys of MODELS, or a kind, a name, and whether the weights are read."""
    url = hub if isinstance(hub, str) else hub.url
    asked = {**os.environ, **hub_variables(root), "HF_ENDPOINT": url, "HF_HUB_DISABLE_XET": "1"}
    offline = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    variables = {key: value for key, value in asked.items() if key not in offline} | more
    kinds = [kind if isinstance(kind, tuple) else (kind, MODELS[kind], True) for kind in kinds]
    done = subprocess.run(
        [sys.executable, "-c", LOAD, json.dumps(kinds)],
        cwd=STAGE2 / "scripts",
        env={**variables, "PYTHONPATH": str(STAGE2 / "scripts"), "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert "Some weights" not in done.stderr and "Warning" not in done.stderr, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def sums(found: list) -> list[float]:
    """The sums of the weights, of models that could be loaded."""
    assert all(isinstance(said, float) for said in found), found
    return found


@pytest.fixture
def own(hub, tmp_path) -> Path:
    """The small hub's cache, to be changed."""
    shutil.copytree(hub.root, tmp_path / "own")
    return tmp_path / "own"


@pytest.fixture
def silent():
    with LocalHub(silent=True) as found:
        yield found


@pytest.fixture
def online(hub, tmp_path):
    """A hub that serves BERT and CLIP."""
    for name in (BERT, CLIP):
        shutil.copytree(hub.folder(name), tmp_path / "served" / name)
    with LocalHub(tmp_path / "served") as found:
        yield found


@pytest.fixture(scope="module")
def expected(hub) -> dict[str, float]:
    """The sums of the models of the small hub, without any network."""
    return dict(zip(MODELS, sums(load(hub.root, list(MODELS), REFUSED)), strict=True))


def test_what_is_cached_is_used_though_the_hub_never_answers(hub, silent, expected):
    found = load(hub.root, list(MODELS), silent)
    assert sums(found) == list(expected.values())
    assert silent.asked == []


def test_a_cache_without_weights_serves_where_none_are_needed(own, online):
    """Whether the tokenizer is whole is asked once, and taken for granted of a hub that is silent."""
    shutil.rmtree(own / "hf")
    kinds = [("image", BERT, True), ("text", BERT, False)]
    first = sums(load(own, kinds, online))
    assert not list(own.rglob("model.safetensors"))
    with LocalHub(silent=True) as dead:
        assert sums(load(own, kinds, dead)) == first and dead.asked == ["HEAD /"]


def test_a_first_download_takes_all_files_of_one_commit(own, online, expected):
    shutil.rmtree(own / "hf")
    assert sums(load(own, ["text", "clip"], online)) == [expected["text"], expected["clip"]]
    for name in (BERT, CLIP):
        repository = own / "hf" / "hub" / ("models--" + name.replace("/", "--"))
        (snapshot,) = (repository / "snapshots").iterdir()
        assert snapshot.name == (repository / "refs" / "main").read_text() == online.revision
    # A newer commit does not mix with the cached one, which goes on serving.
    online.asked.clear()
    online.revision = "1" * 40
    assert sums(load(own, ["text", "clip"], online)) == [expected["text"], expected["clip"]]
    assert online.asked == []


def test_what_an_interrupted_download_lacks_is_fetched(own, online, expected):
    cached = snapshot_folder(own / "hf" / "hub", BERT)
    online.revision = cached.name
    gone = ["model.safetensors", "tokenizer.json", "vocab.txt"]
    for file in gone:
        (cached / file).unlink()
    assert sums(load(own, ["text"], online)) == [expected["text"]]
    assert all((cached / file).is_file() for file in gone)


def test_what_is_not_cached_names_the_folder_first_and_then_the_mirror(own, silent):
    """Whatever is lacking, a hub that does not answer is asked once."""
    (snapshot_folder(own / "hf" / "hub", BERT) / "model.safetensors").unlink()
    remedy = "give its folder as --model-name, or set HF_ENDPOINT to a mirror"
    wanted = {
        "model.safetensors": ("text", BERT, True),
        "config.json": ("text", "nobody/nothing", True),
    }
    found = load(own, list(wanted.values()), silent)
    for said, lacks in zip(found, wanted, strict=True):
        assert f"{lacks} is not in the cache" in said and remedy in said, said
    assert silent.asked == ["HEAD /"]
    (said,) = load(own, ["text"], silent, TRANSFORMERS_OFFLINE="1")
    assert "unset HF_HUB_OFFLINE" in said
    assert silent.asked == ["HEAD /"]


def test_a_name_that_the_hub_does_not_know_is_told_so(own, online):
    (online.folder / "empty/model").mkdir(parents=True)
    (online.folder / "empty/model/README.md").touch()
    names = [("text", "nobody/nothing", True), ("text", "empty/model", True)]
    nobody, empty = load(own, names, online)
    assert "has no model of this name" in nobody and "mirror" not in nobody
    assert "no file named config.json" in empty


@pytest.mark.parametrize(
    "fault",
    [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("No space (os error 28)")],
    ids=["as Python says it", "as Rust says it"],
)
def test_a_full_disk_is_not_taken_for_a_hub_out_of_reach(monkeypatch, tmp_path, fault):
    import huggingface_hub

    def full(*args, local_files_only=False, **options):
        raise LocalEntryNotFoundError("") if local_files_only else fault

    monkeypatch.setattr(checkpoint, "_why_out_of_reach", lambda: None)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    monkeypatch.setattr(bert_resnet, "download_url_to_file", full)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    loads = {
        "HF_HOME": lambda: checkpoint.find_folder("nobody/nothing"),
        "TORCH_HOME": lambda: bert_resnet._load_published(nn.Identity(), "http://x/resnet18.pth"),
    }
    for says, load_it in loads.items():
        with pytest.raises(UserError, match="No space.*Make room") as caught:
            load_it()
        assert re.search(says, str(caught.value))
        assert "mirror" not in str(caught.value) and "other means" not in str(caught.value)


def test_resnet_weights_come_from_torch_home_or_fail_soon(hub, monkeypatch, tmp_path):
    import torchvision

    model = torchvision.models.resnet18()
    monkeypatch.setattr(bert_resnet, "_SILENCE", 1.0)
    with LocalHub(silent=True) as dead:
        bert_resnet._load_published(model, f"{dead.url}/resnet18-f37072fd.pth")
        assert dead.asked == []
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        with pytest.raises(UserError, match="resnet18-f37072fd.pth.*put it in"):
            bert_resnet._load_published(model, f"{dead.url}/resnet18-f37072fd.pth")
        assert dead.asked == ["GET /resnet18-f37072fd.pth"]

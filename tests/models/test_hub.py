"""The hub's cache is used without the network, and a first download works as the hub's own client does it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
from common.errors import UserError
from common.models import checkpoint, image_towers
from common.models.loading import CLIP_PIXELS, image_statistics
from demo.checkpoints import hub_variables, snapshot_folder
from helpers.hub import BERT, BLIP, CLIP, STAGE2, LocalHub
from huggingface_hub.utils import LocalEntryNotFoundError
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

NAMES = {"text": BERT, "image": BERT, "clip": CLIP, "blip": BLIP}
LOAD = """
import json, sys
from common.errors import UserError
from common.models.build import build_classifier
from common.settings import ModelChoice, Protocol
from common.models.loading import load_tokenizer
found = []
for kind, name in json.loads(sys.argv[1]):
    family, fusion = ("bert_resnet", kind) if kind in ("text", "image") else (kind, "concat")
    try:
        load_tokenizer(name)
        build_classifier(ModelChoice(family, name, "resnet18", fusion), 3, Protocol(image_size=64))
        found.append("")
    except UserError as error:
        found.append(str(error))
print(json.dumps(found))
"""


def load(root: Path, hub: LocalHub, *kinds: str | tuple[str, str]) -> list[str]:
    """Load models in a process of its own; return what is wrong with each, "" where nothing is.

    ``kinds``: keys of NAMES, or a kind and a name."""
    asked = {**os.environ, **hub_variables(root), "HF_ENDPOINT": hub.url, "PYTHONUTF8": "1"}
    asked["HF_HUB_DISABLE_XET"] = "1"
    offline = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    named = [kind if isinstance(kind, tuple) else (kind, NAMES[kind]) for kind in kinds]
    done = subprocess.run(
        [sys.executable, "-c", LOAD, json.dumps(named)],
        cwd=STAGE2 / "scripts",
        env={key: value for key, value in asked.items() if key not in offline},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert "Some weights" not in done.stderr and "Warning" not in done.stderr, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


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


def test_a_download_takes_what_is_needed_or_what_an_interrupted_one_lacks_of_one_commit(
    own, online
):
    """BERT is not there, and CLIP in part."""
    clip, repository = snapshot_folder(own / "hf" / "hub", CLIP), own / f"hf/hub/models--{BERT}"
    online.revision = clip.name
    gone = ["pytorch_model.bin", "tokenizer.json", "merges.txt"]
    for file in gone:
        (clip / file).unlink()
    shutil.rmtree(repository)
    (online.folder / "empty/model").mkdir(parents=True)
    (online.folder / "empty/model/README.md").touch()
    names = [("text", "nobody/nothing"), ("text", "empty/model")]
    *found, nobody, empty = load(own, online, "text", "clip", *names)
    assert found == ["", ""] and all((clip / file).is_file() for file in gone)
    assert "Check the name" in nobody and "mirror" not in nobody
    assert "config.json cannot be used" in empty
    (weights,) = repository.rglob("snapshots/*/model.safetensors")
    assert weights.parent.name == (repository / "refs" / "main").read_text() == online.revision
    # A newer commit does not mix with the cached one, which goes on serving.
    online.asked.clear()
    online.revision = "1" * 40
    assert load(own, online, "text") == [""]
    assert online.asked == []


def test_statistics_that_another_program_left_out_are_asked_for(own, monkeypatch):
    """Without an answer they are CLIP's."""
    path = snapshot_folder(own / "hf" / "hub", BLIP) / "preprocessor_config.json"
    monkeypatch.setattr(checkpoint, "_cache", lambda: str(own / "hf" / "hub"))
    path.unlink()
    assert image_statistics(BLIP, CLIP_PIXELS) == (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD)

    def download(name, patterns, folder, lacks):
        path.write_text('{"image_mean": [0.5, 0.5, 0.5], "image_std": [1, 1, 1]}')
        return folder

    monkeypatch.setattr(checkpoint, "_download", download)
    assert image_statistics(BLIP, CLIP_PIXELS) == ([0.5, 0.5, 0.5], [1, 1, 1])


def test_what_is_cached_needs_no_hub_and_what_is_not_names_the_folder_first_and_then_the_mirror(
    own, silent
):
    """Whatever is lacking, a hub that does not answer is asked once."""
    (snapshot_folder(own / "hf" / "hub", BERT) / "model.safetensors").unlink()
    lacking = ("text", ("text", "nobody/nothing"))
    *cached, weights, config = load(own, silent, "image", "clip", "blip", *lacking)
    assert cached == ["", "", ""]  # an image alone needs no weights of BERT
    for said, lacks in ((weights, "model.safetensors"), (config, "config.json")):
        assert f"{lacks} is not in the cache" in said, said
        assert "give its folder in place of the name, or set HF_ENDPOINT to a mirror" in said, said
    assert silent.asked == ["HEAD /"]


def test_a_full_disk_is_not_taken_for_a_hub_out_of_reach(monkeypatch):
    import huggingface_hub

    full = [LocalEntryNotFoundError(""), RuntimeError("No space (os error 28)")]
    monkeypatch.setattr(checkpoint, "_why_out_of_reach", lambda: None)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", Mock(side_effect=full))
    with pytest.raises(UserError, match="HF_HOME.*No space.*Make room") as caught:
        checkpoint.find_folder("nobody/nothing")
    assert "mirror" not in str(caught.value)


def test_resnet_weights_come_from_torch_home_or_fail_soon(hub, monkeypatch, tmp_path):
    import torchvision

    model = torchvision.models.resnet18()
    monkeypatch.setattr(image_towers, "_SILENCE", 1.0)
    with LocalHub(silent=True) as dead:
        image_towers._load_published(model, f"{dead.url}/resnet18-f37072fd.pth")
        assert dead.asked == []
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        with pytest.raises(UserError, match="resnet18-f37072fd.pth.*put it in"):
            image_towers._load_published(model, f"{dead.url}/resnet18-f37072fd.pth")
        assert dead.asked == ["GET /resnet18-f37072fd.pth"]

"""What the tests share: the commands' folder on the path, as running one of them puts it there, and a small hub."""

import os
import sys
from pathlib import Path

# Small tensors on few cores: more threads would wait for each other. Commands that the tests start inherit it.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"  # no test may wait for a network

import pytest

STAGE2 = Path(__file__).resolve().parents[1] / "stage2_compare"
sys.path[:0] = [str(STAGE2 / "scripts"), str(STAGE2)]

BERT = "bert-base-chinese"
CLIP = "openai/clip-vit-base-patch32"
BLIP = "Salesforce/blip-image-captioning-base"
CHINESE_CLIP = "OFA-Sys/chinese-clip-vit-base-patch16"


class Hub:
    """Small checkpoints in the hub's cache layout."""

    def __init__(self, root: Path):
        from demo.checkpoints import write_hub

        self.root = root
        self.variables = write_hub(root, "tiny", seed=0, characters="天气很好今日不开心高兴难过")

    def folder(self, name: str) -> str:
        """A checkpoint as a local folder: transformers reads HF_HOME once, when it is imported."""
        from demo.checkpoints import snapshot_folder

        return str(snapshot_folder(self.root / "hf" / "hub", name))


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Hub:
    made = Hub(tmp_path_factory.mktemp("hub"))
    os.environ["TORCH_HOME"] = made.variables["TORCH_HOME"]  # torch reads it at every use
    return made

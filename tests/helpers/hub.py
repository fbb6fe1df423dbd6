"""Small checkpoints in the hub's cache layout, and where the code lies."""

from pathlib import Path

STAGE2 = Path(__file__).resolve().parents[2] / "stage2_compare"
SAMPLE = STAGE2.parents[1] / "shared" / "data" / "mvsa_sample"  # real pairs, where they are
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

"""Models have short names that say what tells them apart; two never share one."""

from pathlib import Path

import pytest
from common.runs.labels import model_names, run_names, short_rate
from common.runs.reading import Run
from helpers.run_folders import bert, blip, clip


def run(model: dict | None, folder: str = "folder", **protocol) -> Run:
    metrics = {"protocol": protocol} | ({} if model is None else {"model": model})
    return Run(folder, Path(folder), metrics, [], {})


def names(*models: dict | None, **protocol) -> list[str]:
    runs = [run(model, f"folder{place}", **protocol) for place, model in enumerate(models)]
    return model_names([[each] for each in runs])


def test_a_model_is_named_by_its_encoders_and_its_fusion():
    roberta = bert("concat", "hfl/chinese-roberta-wwm-ext")
    assert names(bert("gated"), bert("text"), bert("image"), clip(), blip(), roberta, None) == [
        "BERT + ResNet18 · gated",
        "BERT · text only",
        "ResNet18 · image only",
        "CLIP",
        "BLIP",
        "chinese-roberta-wwm-ext + ResNet18 · concat",
        "folder6",
    ]


def test_the_checkpoint_is_named_where_two_of_a_kind_are_compared():
    large = clip("openai/clip-vit-large-patch14")
    chinese = clip("OFA-Sys/chinese-clip-vit-base-patch16")
    assert names(clip(), large, chinese) == ["CLIP ViT-B/32", "CLIP ViT-L/14", "Chinese-CLIP"]
    assert names(bert("late"), bert("late", "bert-base-uncased")) == [
        "BERT base-chinese + ResNet18 · late",
        "BERT base-uncased + ResNet18 · late",
    ]


def test_encoders_are_named_as_people_write_them():
    pairs = {
        ("roberta-base", "vit_b_16"): "RoBERTa + ViT-B/16",
        ("xlm-roberta-base", "google/vit-large-patch32-384"): "XLM-R + ViT-L/32-384",
        ("distilbert-base-cased", "facebook/dinov2-small"): "DistilBERT + DINOv2-small",
        (
            "google/siglip-base-patch16-224",
            "openai/clip-vit-base-patch32",
        ): "SigLIP + CLIP ViT-B/32",
        ("roberta-x", "microsoft/swin-tiny-patch4-window7-224"): "RoBERTa + Swin-tiny",
        ("nobody/robertson", "mobilenet_v3_small"): "robertson + MobileNet-v3-small",
        ("bert-base", "D:\\my-net\\model"): "BERT + my-net/model",
    }
    for (text, image), name in pairs.items():
        model = {**bert("concat", text), "image_backbone": image}
        assert names(model) == [f"{name} · concat"]
    assert names(clip("google/siglip-base-patch16-224"), clip("BAAI/AltCLIP")) == [
        "SigLIP",
        "AltCLIP",
    ]


@pytest.mark.parametrize("folder", ["model", "checkpoint-500", "best", "500"])
def test_a_folder_whose_name_says_nothing_takes_its_parent_in(folder):
    assert names(bert("late", f"D:\\weibo\\{folder}\\"), clip(f"/home/me/memes/{folder}")) == [
        f"weibo/{folder} + ResNet18 · late",
        f"memes/{folder}",
    ]


def test_frozen_and_folds_are_said_only_where_models_differ_in_them():
    assert names(clip(), blip(), frozen_encoders=True, folds=5) == ["CLIP", "BLIP"]
    runs = [
        run(clip(), frozen_encoders=frozen, folds=folds)
        for frozen in (True, False)
        for folds in (5, None)
    ]
    assert model_names([[each] for each in runs]) == [
        "CLIP · frozen · 5 folds",
        "CLIP · frozen",
        "CLIP · 5 folds",
        "CLIP",
    ]


def test_equal_models_of_other_protocols_or_folders_are_told_apart():
    same = [run(clip(), "a", epochs=5), run(clip(), "b", epochs=9), run(clip(), "c", epochs=9)]
    assert model_names([[each] for each in same]) == [
        "CLIP · epochs 5",
        "CLIP · epochs 9 · (b)",
        "CLIP · epochs 9 · (c)",
    ]


def test_runs_of_a_model_say_the_rate_seed_and_fold_in_which_they_differ():
    runs = [run(clip(), lr=lr, seed=seed, fold=2) for lr in (2e-5, 1e-3) for seed in (42, 43)]
    assert run_names("CLIP", runs)[2:] == ["CLIP · lr 1e-3 · seed 42", "CLIP · lr 1e-3 · seed 43"]
    assert run_names("CLIP", runs[:1]) == ["CLIP"]
    assert len(set(run_names("CLIP", [run(clip(), name) for name in "abc"]))) == 3


def test_a_rate_is_written_as_people_do():
    assert list(map(short_rate, (2e-5, 1e-3, 0.0007, 1.5e-5))) == ["2e-5", "1e-3", "7e-4", "1.5e-5"]


def test_a_name_is_one_line_of_sane_length_whatever_was_recorded():
    hostile = clip("x" * 100_000 + "\x1b[2J\u202e\n")
    (name,) = names(hostile)
    assert len(name) < 100 and name.isprintable()


def test_folders_that_differ_in_what_cannot_be_printed_have_names_of_their_own():
    runs = [run(None, folder) for folder in ("run \udcff\x1b", "run \udcfe\x1b")]
    found = model_names([[each] for each in runs])
    assert len(set(found)) == 2 and all(name.isprintable() for name in found)

"""The demo's answer is known: its stated ceilings follow from the generator's tables, the generated
pairs keep to these, and a result that cannot be is called so."""

import hashlib
from collections import Counter
from itertools import product
from pathlib import Path
from random import Random

import compare_all
import make_splits
import numpy as np
import pytest
from common.comparison.decided import kinds
from demo import pairs, pictures, run
from helpers.pairs import read_split
from helpers.tables import read_rows
from scipy.optimize import linprog

COUNT = 480  # 480 x the smallest probability, .25 x .25 x .03, is nearly one pair


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("演示 demo")
    pairs.write_pairs(root / "data", COUNT, seed=0)
    return root


def files(folder: Path) -> dict[str, str]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


# The known answer


def is_sum(chosen: tuple[int, ...]) -> bool:
    """Tell if scores f(t)[c] + g(v)[c] choose these classes, for texts t and images v in turn."""
    rows = []
    for (t, v), best in zip(product(range(3), repeat=2), chosen, strict=True):
        for other in {0, 1, 2} - {best}:  # its score must be lower by 1
            row = np.zeros((2, 3, 3))
            row[0, t, [best, other]] = row[1, v, [best, other]] = -1, 1
            rows.append(row.ravel())
    found = linprog(np.zeros(18), np.array(rows), -np.ones(len(rows)), bounds=(None, None))
    return found.status == 0


def test_the_stated_ceilings_follow_from_the_tables():
    """By trying every rule: which class it chooses for each text, each image, or each of both."""
    p = pairs.joint()
    for (t, voice), (v, mood) in product(enumerate(pairs.VOICES), enumerate(pairs.MOODS)):
        share = pairs.VOICES[voice] * pairs.MOODS[mood]
        label = pairs.CLASSES.index(pairs.MEANING[voice][mood])
        assert p[t, v] == pytest.approx(share * np.eye(3)[label] * 0.91 + share * 0.03)
    rules = list(product(range(3), repeat=3))
    of_both = np.array(list(product(range(3), repeat=9)))
    accuracies = p.reshape(9, 3)[np.arange(9), of_both].sum(1)
    best_first = np.argsort(-accuracies, kind="stable")
    found = {
        "text": max(p.sum(1)[range(3), rule].sum() for rule in rules),
        "image": max(p.sum(0)[range(3), rule].sum() for rule in rules),
        "sum": next(accuracies[i] for i in best_first if is_sum(of_both[i].tolist())),
        "joint": accuracies.max(),
    }
    assert found == pytest.approx(pairs.CEILINGS, abs=1e-9)


def test_what_the_best_joint_model_relies_on_by_a_plain_loop():
    """Expected accuracies when one modality comes from another pair, cell by cell."""
    p = pairs.joint()
    shares = p.sum(-1)
    images = texts = 0.0
    for t, v, other in product(range(3), repeat=3):
        images += shares[:, other].sum() * p[t, v, p[t, other].argmax()]
        texts += shares[other].sum() * p[t, v, p[other, v].argmax()]
    assert pytest.approx({"images": images, "texts": texts}) == pairs.SHUFFLED


def test_what_decides_the_answers_of_the_best_joint_model():
    """By its log-probabilities: interaction where the sum of their mean effects says otherwise."""
    p = pairs.joint()
    shares = p.sum(-1)  # (3, 3)
    logits = np.log(p / shares[..., None])
    text = np.broadcast_to(np.einsum("v,tvc->tc", shares.sum(0), logits)[:, None], p.shape)
    image = np.broadcast_to(np.einsum("t,tvc->vc", shares.sum(1), logits), p.shape)
    mean = np.broadcast_to(np.einsum("tv,tvc->c", shares, logits), p.shape)
    parts = mean, text - mean, image - mean, logits - text - image + mean
    found = kinds(np.reshape(parts, (4, 9, 3)))
    for kind, share in pairs.DECIDED.items():
        assert shares.ravel()[found == kind].sum() == pytest.approx(share)


# The pairs


def test_every_combination_is_as_frequent_as_its_probability_says():
    count = run.COUNT
    found = Counter(pairs.latents(count, seed=0))
    for (t, voice), (v, mood), (c, label) in product(
        enumerate(pairs.VOICES), enumerate(pairs.MOODS), enumerate(pairs.CLASSES)
    ):
        assert abs(found[voice, mood, label] - count * pairs.joint()[t, v, c]) <= 1
    # without a shuffle the first half would be of one voice
    half = Counter(voice for voice, _, _ in list(pairs.latents(count, seed=0))[: count // 2])
    assert all(
        abs(half[voice] / (count / 2) - share) < 0.06 for voice, share in pairs.VOICES.items()
    )


def test_voice_and_mood_can_be_told_from_every_pair():
    """So the ceilings are those of sentences and pictures too. Each sentence holds a saying of its
    own voice and of no other; the nearest neighbour by mean colour has the same mood."""
    marks = {voice: [*pairs.SAYINGS[voice], *pairs.TAGS[voice]] for voice in pairs.VOICES}
    for voice, i in product(pairs.VOICES, range(300)):
        text = pairs.sentence(voice, Random(i))
        for name in pairs.VOICES:
            assert any(mark in text for mark in marks[name]) == (name == voice)
    moods = [mood for mood in pairs.MOODS for _ in range(60)]
    drawn = [pictures.draw(mood, Random(f"{mood} {i}")) for i, mood in enumerate(moods)]
    colours = np.array([np.asarray(image, dtype=float).mean((0, 1)) for image in drawn])
    distances = np.linalg.norm(colours[:, None] - colours[None], axis=-1) + 1e9 * np.eye(len(drawn))
    assert [moods[nearest] for nearest in distances.argmin(1)] == moods


def test_one_seed_gives_the_same_files_and_another_seed_others(tmp_path):
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        pairs.write_pairs(tmp_path / name, 40, seed)
    assert files(tmp_path / "one") == files(tmp_path / "same") != files(tmp_path / "other")


def test_make_splits_reads_them_and_finds_no_copies(data, capsys):
    make_splits.main(["--project-root", str(data), *run.SPLIT])
    said = capsys.readouterr().out
    assert said.count(": 0 shared by 0 pairs") == 4 and f"{COUNT // 4:,} are not UTF-8" in said
    found = [read_split(f"outputs/splits/{side}.csv", data) for side in ("train", "val")]
    assert [len(split) for split in found] == [COUNT * 2 // 3, COUNT // 3]
    pairs_found = [pair for split in found for pair in zip(split.guids, split.labels, strict=True)]
    assert dict(pairs_found) == dict(read_rows(data / "data" / "train.txt")[1:])
    texts = [text for split in found for text in split.texts]
    limit = int(run.RUNS[run.RUNS.index("--max-length") + 1])
    assert len(set(texts)) == COUNT and max(map(len, texts)) + 2 <= limit  # none is cut


# The demo


def test_each_run_that_the_demo_makes_has_a_known_ceiling():
    jobs, _ = compare_all.parse(run.RUNS)
    assert sorted(job.name for job in jobs) == sorted(run.CEILING_OF)


def record(accuracy: float, additive: float = 0.82, **drop: float) -> dict:
    """The record of a model that relies on text and image as the best joint one does."""
    drop = {key: accuracy - left for key, left in pairs.SHUFFLED.items()} | drop
    drops = {f"acc_drop_{key}_shuffled": value for key, value in drop.items()}
    block = {"acc": accuracy, "emap_acc": additive, "emap_pairs": 500, **drops}
    return {"best": {"val_acc": accuracy}, "probe": block}


@pytest.fixture
def good() -> dict[str, dict]:
    """Records that are as they must be."""
    made = {name: record(pairs.CEILINGS[kind] - 0.005) for name, kind in run.CEILING_OF.items()}
    (late,) = [name for name, kind in run.CEILING_OF.items() if kind == "sum"]
    return {**made, late: record(0.82, 0.82)}


@pytest.mark.parametrize(
    ("model", "wrong", "fault"),
    [
        ("_late_", record(0.9, 0.9), "more than is possible"),
        ("_text_", record(0.6), "more than is possible"),
        ("_image_", record(0.4), "too little"),
        ("_gated_", record(0.83), "not above sums"),
        ("_gated_", record(0.93, 0.93), "additive is more than is possible"),
        ("_late_", record(0.82, 0.81), "additive is not what it reached"),
        ("_gated_", record(0.935, images=0.0), "not what was put into images"),
    ],
)
def test_results_that_cannot_be_or_are_poor_are_said(good, model, wrong, fault, capsys):
    assert run.print_verdict(good)
    assert capsys.readouterr().out.count("as it must be") == 7
    (name,) = [name for name in good if model in name]
    assert not run.print_verdict({**good, name: wrong})
    lines = capsys.readouterr().out.splitlines()
    assert [model in f"{line.split()[0]}_" for line in lines if fault in line] == [True]


def test_an_interaction_in_late_fusion_and_none_in_a_joint_model_are_said(capsys):
    def row(interaction: float) -> dict[str, str]:
        shares = {**pairs.DECIDED, "interaction": interaction}
        return {"decided_pairs": "500", **{f"decided_{kind}": str(n) for kind, n in shares.items()}}

    good = {name: row(float(kind != "sum")) for name, kind in run.CEILING_OF.items()}
    assert run.print_decided(good)
    for name, wrong in (("late", 0.002), ("gated", 0.0)):
        (found,) = [each for each in good if name in each]
        assert not run.print_decided({**good, found: row(wrong)})
        lines = capsys.readouterr().out.splitlines()
        assert [name in line for line in lines if "not what was put in" in line] == [True]

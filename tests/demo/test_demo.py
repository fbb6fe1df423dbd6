"""The demo's answer is known: its stated ceilings follow from the generator's tables, the generated
pairs keep to these, and a result that cannot be is called so."""

import csv
import hashlib
from collections import Counter
from itertools import product
from pathlib import Path
from random import Random

import make_splits
import numpy as np
import pytest
from demo import pairs, pictures, run
from scipy.optimize import Bounds, LinearConstraint, milp

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


def best_sum(p: np.ndarray, largest: float = 50.0) -> float:
    """Return the highest accuracy of argmax_c f(t)[c] + g(v)[c] over all f and g, by mixed-integer
    programming: one 0/1 variable for each cell and class of P(t, v, c), and all f and g."""
    texts, images, classes = p.shape
    cells, scores = p.size, (texts + images) * classes
    rows, lower = [], []
    for t, v in product(range(texts), range(images)):
        one = np.zeros(p.shape)
        one[t, v] = 1
        rows += [np.r_[one.ravel(), np.zeros(scores)], np.r_[-one.ravel(), np.zeros(scores)]]
        lower += [1, -1]  # exactly one class
        for c, other in product(range(classes), repeat=2):
            if c != other:  # f[c] + g[c] - f[other] - g[other] >= 1, if c is chosen
                z, f, g = np.zeros(p.shape), np.zeros((texts, classes)), np.zeros((images, classes))
                z[t, v, c] = -(4 * largest + 1)
                f[t, c] = g[v, c] = 1
                f[t, other] = g[v, other] = -1
                rows.append(np.r_[z.ravel(), f.ravel(), g.ravel()])
                lower.append(-4 * largest)
    ends = np.r_[np.ones(cells), np.full(scores, largest)]
    found = milp(
        np.r_[-p.ravel(), np.zeros(scores)],
        constraints=LinearConstraint(np.array(rows), np.array(lower)),
        integrality=np.r_[np.ones(cells), np.zeros(scores)],
        bounds=Bounds(np.r_[np.zeros(cells), np.full(scores, -largest)], ends),
    )
    assert found.success
    return -found.fun


def test_the_stated_ceilings_follow_from_the_tables():
    """Of one modality and of both by trying every rule, of sums by mixed-integer programming."""
    p = pairs.joint()
    for (t, voice), (v, mood) in product(enumerate(pairs.VOICES), enumerate(pairs.MOODS)):
        share = pairs.VOICES[voice] * pairs.MOODS[mood]
        label = pairs.CLASSES.index(pairs.MEANING[voice][mood])
        assert p[t, v] == pytest.approx(share * np.eye(3)[label] * 0.91 + share * 0.03)
    rules = list(product(range(3), repeat=3))
    found = {
        "text": max(p.sum(1)[range(3), rule].sum() for rule in rules),
        "image": max(p.sum(0)[range(3), rule].sum() for rule in rules),
        "sum": best_sum(p),
        "joint": sum(max(p[t, v]) for t, v in product(range(3), repeat=2)),
    }
    assert found == pytest.approx(pairs.CEILINGS, abs=1e-9)
    exclusive_or = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]]]) / 4
    assert best_sum(exclusive_or) == pytest.approx(0.75)


def test_what_the_best_joint_model_relies_on_by_a_plain_loop():
    """Expected accuracies when one modality comes from another pair, cell by cell."""
    p = pairs.joint()
    shares = p.sum(-1)
    images = texts = 0.0
    for t, v, other in product(range(3), repeat=3):
        images += shares[:, other].sum() * p[t, v, p[t, other].argmax()]
        texts += shares[other].sum() * p[t, v, p[other, v].argmax()]
    assert pytest.approx({"images": images, "texts": texts}) == pairs.SHUFFLED


def test_what_training_looks_for_is_a_sum_of_the_highest_accuracy():
    """The sum of highest likelihood, by gradient descent, decides like the best one, with the
    classes weighted as in training."""
    p = pairs.joint()
    weighted = p / p.sum((0, 1))
    f, g = np.zeros((3, 3)), np.zeros((3, 3))
    for _ in range(20000):
        z = np.exp(f[:, None] + g[None])
        gradient = weighted.sum(-1, keepdims=True) * z / z.sum(-1, keepdims=True) - weighted
        f, g = f - 0.5 * gradient.sum(1), g - 0.5 * gradient.sum(0)
    scores = f[:, None] + g[None]
    accuracy = np.take_along_axis(p, scores.argmax(-1)[..., None], -1).sum()
    assert accuracy == pytest.approx(pairs.CEILINGS["sum"], abs=1e-9)
    sorted_scores = np.sort(scores)
    assert (sorted_scores[..., -1] - sorted_scores[..., -2]).min() == pytest.approx(0.58, abs=0.01)


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


def test_one_seed_gives_the_same_files_and_another_seed_others(data, tmp_path):
    pairs.write_pairs(tmp_path / "same", COUNT, seed=0)
    pairs.write_pairs(tmp_path / "other", COUNT, seed=1)
    assert files(tmp_path / "same") == files(data / "data") != files(tmp_path / "other")


def test_make_splits_reads_them_and_finds_no_copies(data, capsys):
    texts = [path.read_bytes() for path in (data / "data" / "data").glob("*.txt")]
    flags = ["--project-root", str(data), "--val-ratio", f"{run.VAL_SHARE}"]
    make_splits.main(flags)
    said = capsys.readouterr().out
    assert said.count(": 0 shared by 0 pairs") == 4 and f"{COUNT // 4:,} are not UTF-8" in said
    rows = []
    for side, count in (("train", COUNT * 2 // 3), ("val", COUNT // 3)):
        with open(data / f"outputs/splits/{side}.csv", encoding="utf-8", newline="") as file:
            found = list(csv.DictReader(file))
        assert len(found) == count
        rows += found
    with open(data / "data" / "train.txt", encoding="utf-8", newline="") as file:
        labels = {row["guid"]: row["tag"] for row in csv.DictReader(file)}
    assert {row["guid"]: row["label"] for row in rows} == labels
    assert len(set(texts)) == COUNT
    limit = int(run.PROTOCOL[run.PROTOCOL.index("--max-length") + 1])
    assert max(len(text.decode("gb18030", "replace")) for text in texts) + 2 <= limit  # none is cut


# The demo


def test_all_runs_have_one_protocol():
    steps = run.commands()
    training = [step for step in steps if "--model-name" in step[2]]
    assert len(training) == len(run.CEILING_OF) == 7
    for _, _, arguments in training:
        assert arguments[-len(run.PROTOCOL) :] == run.PROTOCOL


def probe(accuracy: float, additive: float) -> dict:
    """The record of a model that relies on text and image as the best joint one does."""
    drops = {f"acc_drop_{key}_shuffled": 0.94 - left for key, left in pairs.SHUFFLED.items()}
    block = {"acc": accuracy, "emap_acc": additive, "emap_pairs": 500, **drops}
    return {"best": {"val_acc": accuracy}, "probe": block}


def test_results_that_cannot_be_or_are_poor_are_said(capsys):
    good = {name: pairs.CEILINGS[kind] - 0.005 for name, kind in run.CEILING_OF.items()}
    assert run.print_verdict(good)
    assert capsys.readouterr().out.count("as it must be") == 7
    for model, accuracy, fault in (
        ("_late_", 0.90, "more than is possible"),
        ("_text_", 0.60, "more than is possible"),
        ("_image_", 0.40, "too little"),
        ("_gated_", 0.83, "not above sums"),
    ):
        (name,) = [name for name in good if model in name]
        assert not run.print_verdict({**good, name: accuracy})
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in lines if fault in line] == [name]


def test_late_fusion_credited_with_an_interaction_is_said(capsys):
    """The additive part of late fusion is late fusion; that of the others is no better than a sum."""
    names = [name for name, kind in run.CEILING_OF.items() if kind in ("sum", "joint")]
    good = {name: probe(0.94, 0.82) for name in names}
    late = names[0]
    assert run.CEILING_OF[late] == "sum"
    assert run.print_probes({**good, late: probe(0.82, 0.82)})
    assert not run.print_probes({**good, late: probe(0.94, 0.82)})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if "NOT" in line] == [late]

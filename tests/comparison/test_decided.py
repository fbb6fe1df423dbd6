"""What decides the answers of a model, from the parts of its logits."""

import re
from dataclasses import replace

import numpy as np
import pytest
from common.comparison.compare import compare
from common.comparison.decided import KINDS, kinds
from common.comparison.intervals import bca
from common.comparison.tables import write_tables
from common.runs.layout import PARTS, PROJECTION, part_columns
from common.runs.reading import load_runs
from helpers.made_runs import made_run
from helpers.run_folders import CLASSES, LABELS, bert, make_run, write_parts
from helpers.tables import read_rows, write_rows

N = len(LABELS)
FILE = ["guid", *part_columns(CLASSES)]


def parts_of(seed: int, count: int = N) -> np.ndarray:
    """Parts (4, N, 3) of which all kinds come about."""
    return np.random.default_rng(seed).normal(0, [[[1]], [[2]], [[2]], [[1.5]]], (4, count, 3))


def test_each_kind_by_hand():
    """The mean says the first class. Text, image and rest speak for the second, or are silent."""
    mean, all_of_it, half, none = [1.0, 0.0], [0.0, 1.5], [0.0, 0.8], [0.0, 0.0]
    cases = {
        "text": (all_of_it, none, none),
        "image": (none, all_of_it, none),
        "both": (half, half, none),  # 1 against .8 + .8
        "either": (all_of_it, all_of_it, none),
        "neither": (half, none, none),
        "interaction": (half, none, all_of_it),
    }
    parts = np.array([[mean, *case] for case in cases.values()]).swapaxes(0, 1)  # (4, 6, 2)
    assert kinds(parts).tolist() == list(cases) == list(KINDS)
    parts[:, 2] = np.nan
    assert kinds(parts)[2] == ""
    # The mean answers so too, but the text speaks against it: the image decides.
    against = np.array([[[1.0, 0]], [[0.0, 1.5]], [[1.5, 0.0]], [[0.0, 0]]])
    assert kinds(against).tolist() == ["image"]


def one_by_one(parts: np.ndarray) -> str:
    """The kind of a pair, from its parts (4, C), as the guide says it."""
    mean, text, image, rest = parts
    answer = np.argmax(mean + text + image + rest)
    if np.argmax(mean + text + image) != answer:
        return "interaction"
    without_text = np.argmax(mean + image) != answer
    without_image = np.argmax(mean + text) != answer
    if without_text or without_image:
        return "both" if without_text and without_image else "text" if without_text else "image"
    return "either" if np.argmax(mean) != answer else "neither"


def test_shares_and_intervals_are_those_of_plain_loops_over_groups_of_copies():
    """Two seeds, of which each probed other pairs, and copies that are drawn together."""
    copies = np.arange(N) // 2 * 2
    runs = []
    for seed in (42, 43):
        found = parts_of(seed)
        found[:, seed % 3 :: 3] = np.nan
        run = made_run(f"a_seed{seed}", LABELS, model="a", seed=seed, copies=copies)
        runs.append(replace(run, parts=found))
    group = compare(runs).groups[0]
    decided = group.decided["a"]
    own = [
        [("" if np.isnan(x).any() else one_by_one(x)) for x in run.parts.swapaxes(0, 1)]
        for run in runs
    ]
    # The pairs stand by guid there.
    order = [int(guid[4:]) for guid in group.validation.pairs.guids]
    own = np.array(own)[:, order]
    assert (decided.of_trials == own).all()
    assert sum(each.value for each in decided.shares.values()) == pytest.approx(1)
    groups, drawn = group.validation.pairs.groups, group.validation.draws.counts
    for kind in KINDS:
        hits = np.bincount(groups, (own == kind).sum(0))
        probed = np.bincount(groups, (own != "").sum(0))
        assert decided.shares[kind].value == pytest.approx(hits.sum() / probed.sum())
        in_draws = np.array(
            [(hits * one).sum() / (probed * one).sum() for one in drawn.astype(int)]
        )
        left_out = (hits.sum() - hits) / (probed.sum() - probed)
        expected = bca(hits.sum() / probed.sum(), in_draws, left_out)
        found = decided.shares[kind]
        assert (found.low, found.high) == pytest.approx(expected, abs=1e-3)
    for pair, (first, second) in enumerate(own.T):
        said = {first, second} - {""}
        assert decided.of_pairs[pair] in said and decided.pairs == N


def test_a_kind_of_all_pairs_or_of_none_has_an_interval():
    parts = np.zeros((4, N, 3))
    parts[0, :, 1] = 1
    run = replace(made_run("a", LABELS), parts=parts)
    shares = compare([run]).groups[0].decided["a"].shares
    assert shares["neither"].value == shares["neither"].high == 1 > shares["neither"].low > 0.98
    assert shares["text"].value == shares["text"].low == 0 < shares["text"].high < 0.02


def test_folds_are_joined_each_with_the_projection_of_its_own_pairs():
    pairs, runs = np.array_split(np.arange(N), 2), []
    for fold, own in enumerate(pairs, 1):
        run = made_run(
            f"a_fold{fold}", LABELS[own], pairs=own, labels=LABELS, model="a", fold=fold, folds=2
        )
        runs.append(replace(run, parts=parts_of(fold, len(own))))
    group = compare(runs).groups[0]
    found = dict(zip(group.validation.pairs.guids, group.decided["a"].of_pairs, strict=True))
    for own, run in zip(pairs, runs, strict=True):
        assert [found[f"pair{pair}"] for pair in own] == kinds(run.parts).tolist()


def test_the_file_is_read_and_a_model_without_it_is_not_measured(tmp_path):
    parts, rows = parts_of(1), np.arange(0, N, 4)
    write_parts(make_run(tmp_path, "late", model=bert("late")), parts, rows)
    make_run(tmp_path, "older", model=bert("concat"), probe={"emap_pairs": 100})
    late, older = sorted(load_runs(tmp_path), key=lambda run: run.name)
    assert older.parts is None and np.isnan(np.delete(late.parts, rows, 1)).all()
    np.testing.assert_allclose(late.parts[:, rows], parts[:, rows])
    results = compare([late, older])
    write_tables(tmp_path, results)
    header, *lines = read_rows(tmp_path / "compare_families.csv")
    told = {line[0]: dict(zip(header, line, strict=True)) for line in lines}
    shares = [float(told["late"][f"decided_{kind}"]) for kind in KINDS]
    assert sum(shares) == pytest.approx(1, abs=1e-5) and told["late"]["decided_pairs"] == "100"
    assert {told["older"][name] for name in header if name.startswith("decided_")} == {""}


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda rows: rows[0].reverse(), "columns"),
        (lambda rows: rows[1].__setitem__(0, "stranger"), "guid"),
        (lambda rows: rows.append(rows[1]), "guid"),
        (lambda rows: rows[1].__setitem__(3, "inf"), "range"),
        (lambda rows: rows[1].__setitem__(3, "many"), "many"),
    ],
)
def test_a_run_whose_file_is_broken_is_left_out_and_says_so(tmp_path, capsys, change, reason):
    make_run(tmp_path, "whole")
    rows = [FILE, *([f"pair{i}", *[0.5] * (3 * len(PARTS))] for i in range(9))]
    rows = [list(row) for row in rows]
    change(rows)
    write_rows(make_run(tmp_path, "broken") / PROJECTION, rows)
    assert [run.name for run in load_runs(tmp_path)] == ["whole"]
    assert re.search(f"left out: broken: {PROJECTION}: .*{reason}", capsys.readouterr().err)

"""What runs said of all pairs, and the sets of pairs that are worth a look."""

from pathlib import Path

import numpy as np
import pytest
from common.comparison.compare import compare
from common.page.pairs import NONE, gather, presets
from common.page.slices import accuracies, kinds, slices
from common.page.sources import Source, Sources
from common.runs.reading import load_runs
from helpers.run_folders import bert, make_run, prediction_rows
from helpers.tables import write_rows

N = 60
RANDOM = np.random.default_rng(3)
LABELS = RANDOM.integers(0, 3, N)
MODELS = {name: bert(name) for name in ("text", "image", "concat", "late")}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Four runs, of which one has the first 40 pairs only, with probabilities of all sizes."""
    folder = tmp_path_factory.mktemp("runs")
    for place, (name, model) in enumerate(MODELS.items()):
        count = 40 if name == "late" else N
        flips = RANDOM.integers(0, 3, count) * (RANDOM.uniform(size=count) < 0.4 + 0.1 * place)
        said = (LABELS[:count] + flips) % 3
        run = make_run(folder, name, labels=LABELS[:count], predictions=said, model=model)
        header, *rows = prediction_rows(LABELS[:count], said, ["negative", "neutral", "positive"])
        sure = RANDOM.uniform(0.5, 1, count)
        for i, row in enumerate(rows):
            row[3:] = [f"{sure[i] if c == said[i] else (1 - sure[i]) / 2:.6g}" for c in range(3)]
            row.append("pair0" if i == 5 else row[0])
        write_rows(run / "predictions.csv", [[*header, "group"], *rows])
    return gather(compare(load_runs(folder)))


def brute_force(table) -> dict[str, set[int]]:
    """The presets, pair by pair, from the records of the runs alone."""
    found = {name: set() for name in ("all_wrong", "one_right", "disagree", "sure", "label")}
    copies = {table.guids.index("pair0"), table.guids.index("pair5")}
    found |= {"modalities": set(), "copies": copies}
    for pair, guid in enumerate(table.guids):
        true, said, sure = table.classes[table.labels[pair]], {}, {}
        for run in table.runs:
            predictions = run.predictions
            if guid in predictions.guids:
                row = predictions.guids.index(guid)
                said[run.name] = predictions.classes[predictions.predicted[row]]
                sure[run.name] = max(predictions.probabilities[row])
        right = [name for name in said if said[name] == true]
        if not right:
            found["all_wrong"].add(pair)
            if len(set(said.values())) == 1 and np.mean(list(sure.values())) >= 0.7:
                found["label"].add(pair)
        if len(right) == 1 and len(said) > 1:
            found["one_right"].add(pair)
        if len(set(said.values())) > 1:
            found["disagree"].add(pair)
        if any(said[name] != true and sure[name] >= 0.9 for name in said):
            found["sure"].add(pair)
        if said["text"] != said["image"]:
            found["modalities"].add(pair)
    return found


def test_every_preset_is_what_a_search_pair_by_pair_finds(table):
    found = {name: set(np.flatnonzero(members)) for name, members in presets(table).items()}
    assert found == brute_force(table)
    assert all(found[name] for name in ("all_wrong", "one_right", "disagree", "sure", "modalities"))


def test_a_run_alone_on_the_pairs_of_its_fold_is_not_the_only_one_that_is_right(tmp_path: Path):
    for fold in (1, 2):
        run = make_run(tmp_path, f"late_fold{fold}", labels=LABELS, predictions=LABELS)
        rows = prediction_rows(LABELS, LABELS, ["negative", "neutral", "positive"])
        for row in rows[1:]:
            row[0] = f"{fold}_{row[0]}"
        write_rows(run / "predictions.csv", rows)
    table = gather(compare(load_runs(tmp_path)))
    assert len(table) == 2 * N and not presets(table)["one_right"].any()


def test_a_run_without_a_pair_says_nothing_of_it(table):
    (late,) = [place for place, run in enumerate(table.runs) if run.name == "late"]
    missing = [table.guids.index(f"pair{i}") for i in range(40, N)]
    assert (table.chosen[late, missing] == NONE).all()
    assert (table.chosen[late] != NONE).sum() == 40
    assert table.confusion(late).sum() == 40


def test_confusion_counts_are_those_that_metrics_json_would_have(table):
    for place, run in enumerate(table.runs):
        predictions, counts = run.predictions, np.zeros((3, 3), int)
        for label, said in zip(predictions.labels, predictions.predicted, strict=True):
            counts[label, said] += 1
        assert (table.confusion(place) == counts).all()


def test_one_run_has_no_presets_of_several(tmp_path: Path):
    make_run(tmp_path, "only")
    found = presets(gather(compare(load_runs(tmp_path))))
    assert set(found) == {"all_wrong", "sure"}


def test_a_guid_of_another_class_in_another_run_is_another_pair(tmp_path: Path):
    make_run(tmp_path, "one", labels=np.array([0, 1]), predictions=np.array([0, 1]))
    make_run(tmp_path, "other", labels=np.array([0, 2]), predictions=np.array([0, 2]))
    table = gather(compare(load_runs(tmp_path)))
    rows = zip(table.guids, (table.classes[label] for label in table.labels), strict=True)
    pairs = [("pair0", "negative"), ("pair1", "neutral"), ("pair1", "positive")]
    assert sorted(rows) == pairs


def source(text: str, size: tuple[int, int], encoding: str = "utf-8") -> Source:
    return Source(text, encoding, "", "", size)


def test_kinds_of_a_pair_by_its_text_and_photo():
    for found, expected in (
        (source("", (0, 0)), "text_empty encoding_utf8"),  # the photo's header is broken
        (
            source("好" * 50, (300, 300)),
            "text_short chinese encoding_utf8 photo_square photo_middle",
        ),
        (
            source("a" * 51, (299, 600), "gb18030"),
            "text_middle not_chinese encoding_other photo_tall photo_small",
        ),
        (
            source("a" * 101, (1200, 600), "replaced"),
            "text_long not_chinese encoding_replaced photo_wide photo_large",
        ),
    ):
        assert kinds(found) == expected.split()


def test_a_text_that_one_run_cuts_is_cut_for_the_table_of_all(tmp_path: Path):
    labels = np.array([0, 1, 2, 0])
    for name, cut in (("bert", [0, 0, 0, 1]), ("clip", [0, 1, 0, 1]), ("earlier", None)):
        make_run(tmp_path, name, labels=labels, predictions=labels, groups=[0, 1, 2, 3], cut=cut)
    table = gather(compare(load_runs(tmp_path)))
    assert table.cut.tolist() == [False, True, False, True]
    assert slices(table, Sources())["text_cut"].tolist() == table.cut.tolist()


def test_accuracy_of_a_slice_and_its_interval_by_hand(table):
    members = np.zeros(N, bool)
    places = np.flatnonzero(table.known.all(0))[:10]
    members[places] = True
    found = accuracies(table, "some", members)
    assert found.count == 10
    for place, (value, low, high) in enumerate(found.accuracies):
        assert value == table.right[place, places].mean()
        assert 0 <= low <= value <= high <= 1
    nobody = accuracies(table, "none", np.zeros(N, bool))
    assert nobody.accuracies == [None] * len(table.runs)


def test_slices_hold_each_pair_whose_source_is_known_once_per_kind(table):
    known = {
        (guid, table.classes[label]): source("a" * place, (400, 300))
        for place, (guid, label) in enumerate(zip(table.guids, table.labels, strict=True))
        if place % 2
    }
    found = slices(table, Sources(known))
    lengths = [name for name in found if name.startswith("text_")]
    assert sum(found[name] for name in lengths).tolist() == [place % 2 for place in range(N)]

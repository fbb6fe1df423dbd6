"""From run folders to a comparison: who is compared, with what figures, and who is left out."""

from functools import partial

import pytest
from common.comparison import compare as module
from common.comparison.compare import Compared, compare, require_one_protocol
from common.comparison.draws import Draws
from common.comparison.wording import (
    BEST,
    NO_DIFFERENCE,
    NO_PREDICTIONS,
    NOT_COMPARABLE,
    WORSE,
    conclusion,
)
from common.errors import UserError
from common.runs.reading import load_runs, read_runs
from common.words import ENGLISH
from helpers.figures import some_predictions
from helpers.made_runs import made_run
from helpers.run_folders import COUNTS, LABELS, edit, make_run

GOOD, POOR = (some_predictions(1, right)[0] for right in (0.75, 0.2))
NEAR = some_predictions(2, 0.72)[1]


def entries_of(folder) -> dict[str, Compared]:
    return {entry.name: entry for entry in compare(load_runs(folder)).runs}


def test_an_interval_does_not_depend_on_the_other_runs():
    runs = [made_run(name, row) for name, row in zip("abcd", some_predictions(4, 0.6), strict=True)]
    together = {entry.name: entry.scores for entry in compare(runs).runs}
    assert together == {run.name: compare([run]).runs[0].scores for run in runs}


def test_verdicts_of_clear_cases(tmp_path):
    for name, said in {"a": GOOD, "b_same": GOOD, "c_near": NEAR, "d_bad": POOR}.items():
        make_run(tmp_path, name, predictions=said)
    found = {name: entry.verdict for name, entry in entries_of(tmp_path).items()}
    assert found == {"a": BEST, "b_same": NO_DIFFERENCE, "c_near": NO_DIFFERENCE, "d_bad": WORSE}


def test_a_verdict_does_not_depend_on_the_luck_of_the_draws(monkeypatch):
    """p of the third model is .042 with 10,000 draws of one seed, and .050 with those of another."""
    said = [some_predictions(1, right, i)[0] for i, right in ((15, 0.66), (16, 0.58), (17, 0.56))]
    runs = [made_run(name, row) for name, row in zip("abc", said, strict=True)]
    found = [_families_with_seed(seed, runs, monkeypatch) for seed in (0, 4)]
    assert [family.verdict for family in found[0]] == [BEST, NO_DIFFERENCE, WORSE]
    assert [family.verdict for family in found[1]] == [BEST, NO_DIFFERENCE, WORSE]
    monkeypatch.setattr(Draws, "more", lambda draws, answers: None)
    of_few = [_families_with_seed(seed, runs, monkeypatch) for seed in (0, 4)]
    assert [families[2].verdict for families in of_few] == [WORSE, NO_DIFFERENCE]
    for few, many in zip(of_few, found, strict=True):  # the intervals are the same
        assert [family.scores for family in few] == [family.scores for family in many]


def _families_with_seed(seed: int, runs: list, monkeypatch) -> list[Compared]:
    monkeypatch.setattr(module, "Draws", partial(Draws, seed=seed))
    return compare(runs).families


def test_what_each_epoch_said_is_read_and_the_choice_corrected(tmp_path):
    epochs = some_predictions(5, 0.6)
    make_run(tmp_path, "kept", epochs=epochs)
    make_run(tmp_path, "lost", epochs=epochs)
    (tmp_path / "lost" / "epoch_predictions.csv").unlink()
    entries = entries_of(tmp_path)
    kept, lost = (entries[name].scores["val_f1_macro"] for name in ("kept", "lost"))
    assert kept.value == lost.value == lost.corrected
    assert kept.corrected < kept.value
    assert kept.low < lost.low and kept.high < lost.high


def test_a_run_of_another_protocol_is_named_with_its_difference_and_left_out(tmp_path):
    protocol = {"seed": 42, "lr": 2e-5, "classes": ["x", "y"], "val_sha256": "0" * 64}
    for name in ("a", "b", "c"):
        make_run(tmp_path, name, f1=0.5, protocol=protocol)
    edit(tmp_path / "b", protocol={**protocol, "lr": 0.001, "val_sha256": "1" * 64})
    entries = entries_of(tmp_path)
    assert list(map(ENGLISH, entries["b"].differs)) == [
        "lr 0.001 instead of 2e-05",
        "other validation pairs or labels",
    ]
    assert (entries["b"].comparable, entries["b"].verdict) == ("no", NOT_COMPARABLE)
    assert [list(map(ENGLISH, entries[name].differs)) for name in "ac"] == [[], []]
    assert entries["b"].scores["val_f1_macro"].low < entries["b"].scores["val_f1_macro"].value


def test_of_two_protocols_one_is_taken_and_the_other_left_out(tmp_path):
    make_run(tmp_path, "a", protocol={"lr": 1, "folds": None})
    make_run(tmp_path, "b", protocol={"lr": 2, "folds": 3})
    found = {name: list(map(ENGLISH, e.differs)) for name, e in entries_of(tmp_path).items()}
    assert found == {"a": [], "b": ["lr 2 instead of 1", "folds 3 instead of none"]}


def test_strict_names_each_run_of_another_protocol_also_within_a_family():
    runs = [
        made_run("a", GOOD),
        made_run("m", GOOD, model="m"),
        made_run("m_seed43", GOOD, model="m", seed=43, effective_batch_size=8),
    ]
    with pytest.raises(UserError, match="m_seed43: effective_batch_size 8 instead of 16. Train"):
        require_one_protocol(compare(runs))
    require_one_protocol(compare(runs[:2]))


def test_runs_of_an_older_version_are_shown_without_interval_or_verdict(tmp_path):
    for name in ("a", "old"):
        make_run(tmp_path, name)
    (tmp_path / "old" / "predictions.csv").unlink()
    edit(tmp_path / "old", protocol=..., class_counts=...)
    old = entries_of(tmp_path)["old"]
    assert (old.verdict, old.comparable) == (NO_PREDICTIONS, "unknown")
    assert old.scores["val_f1_macro"].low is None
    (tmp_path / "a" / "predictions.csv").unlink()
    none = compare(load_runs(tmp_path))
    assert (none.pairs, none.smallest_difference, none.majority) == (0, None, None)
    assert "No run has predictions" in conclusion(none, ENGLISH)


def test_the_majority_is_that_of_training_scored_on_validation(tmp_path):
    make_run(tmp_path, "a", class_counts={"train": {"negative": 9, "neutral": 10, "positive": 9}})
    result = compare(load_runs(tmp_path))
    assert result.majority_class == "neutral"
    share = COUNTS[1] / 400
    assert result.majority["val_acc"] == pytest.approx(share)
    assert result.majority["val_f1_macro"] == pytest.approx(2 * share / (1 + share) / 3)
    for counts in (
        {"train": {"negative": 9}},
        {"train": [1]},
        {"train": {c: "x" for c in ("negative", "neutral")}},
    ):
        edit(tmp_path / "a", class_counts=counts)
        assert compare(load_runs(tmp_path)).majority is None


def test_mcnemar_against_the_best_run_is_multiplied_by_the_pairs_of_runs():
    """The best is right on all; the others are wrong on eight and on twenty pairs."""
    eight, twenty = LABELS.copy(), LABELS.copy()
    eight[:8] = (eight[:8] + 1) % 3
    twenty[:20] = (twenty[:20] + 1) % 3
    found = compare([made_run("a", LABELS), made_run("b", eight), made_run("c", twenty)])
    p = {entry.name: entry.mcnemar_p for entry in found.runs}
    assert p == pytest.approx({"a": None, "b": 3 * 2 * 0.5**8, "c": 3 * 2 * 0.5**20})


def test_runs_of_another_version_of_the_program_are_compared_with_a_remark(tmp_path):
    for name, code in (("a", "x"), ("b", "x"), ("c", "y"), ("d", None)):
        make_run(tmp_path, name, **({"content": {"code_sha256": code}} if code else {}))
    found = compare(read_runs(tmp_path)[0])
    assert [entry.comparable for entry in found.runs] == ["yes"] * 4
    assert [note for note in map(ENGLISH, found.notes) if "version" in note] == [
        "another version of this program than that of most runs has made c"
    ]

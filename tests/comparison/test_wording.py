"""The sentences that sum a comparison up claim no more than was measured, and name what is missing."""

import numpy as np
from common.comparison.compare import compare
from common.comparison.wording import conclusion
from common.runs.reading import Run
from common.words import ENGLISH
from helpers.figures import some_predictions
from helpers.made_runs import made_predictions, made_run
from helpers.run_folders import LABELS

GOOD, POOR = (some_predictions(1, right)[0] for right in (0.75, 0.2))
FAIR = some_predictions(2, 0.71)[1]  # with errors of its own


def told(*runs: Run) -> str:
    return conclusion(compare(list(runs)), ENGLISH)


def notes(*runs: Run) -> list[str]:
    return list(map(ENGLISH, compare(list(runs)).notes))


def seeds(name: str, *predicted: np.ndarray, first: int = 42) -> list[Run]:
    return [
        made_run(f"{name}_seed{seed}", said, model=name, seed=seed)
        for seed, said in enumerate(predicted, first)
    ]


# ---------------------------------------------------------------------------------- the conclusion


def test_the_whole_of_it_can_be_quoted():
    runs = [made_run("good", GOOD), made_run("near", FAIR), made_run("bad", POOR)]
    runs += [made_run("worst", some_predictions(1, 0.1)[0])]
    result = compare(runs)
    text = conclusion(result, ENGLISH)
    assert text.startswith(
        "On 400 validation pairs this run of good has the highest macro-F1: 0.750 (95% interval 0."
    )
    assert (
        "At 95% confidence near shows no significant difference from it; bad and worst are worse "
        "(paired bootstrap, corrected for 4 models and for the best having been chosen on the same "
        "pairs)."
    ) in text
    assert f"{100 * result.smallest_difference:.1f} points of macro-F1 would have been" in text
    assert "points that near lacks would be shown by about " in text
    assert text.endswith(
        "One seed each: these are verdicts on runs; other seeds would give other figures."
    )


def test_one_seed_is_a_run_several_are_a_model_and_folds_are_no_run():
    several = seeds("several", *some_predictions(3, 0.8))
    text = told(*several, made_run("lone", POOR))
    assert "On 400 validation pairs several has the highest" in text
    assert "Means over 1 to 3 seeds. One seed alone is lent the spread of the others." in text
    alone = told(made_run("lone", GOOD), *seeds("several", *some_predictions(3, 0.2)))
    assert "this run of lone has the highest" in alone
    both = told(*several, *seeds("other", *some_predictions(3, 0.7, seed=1)))
    assert "Means over 3 seeds." in both and "run of" not in both
    folds = []
    for fold in (0, 1):
        block = {"pairs": np.arange(fold, 400, 2), "model": "a", "fold": fold + 1, "folds": 2}
        folds.append(made_run(f"a_fold{fold + 1}", GOOD[fold::2], **block))
    assert told(*folds).startswith("On 400 validation pairs a with one seed has a macro-F1 of 0.75")


def test_what_the_choice_of_the_epoch_gains_is_taken_off_in_the_sentence():
    epochs = some_predictions(5, 0.6)
    result = compare([made_run("m", epochs), made_run("other", POOR)])
    value, low, high, corrected = result.families[0].scores["val_f1_macro"]
    assert value - corrected > 0.005
    assert (
        f"{value:.3f}, or {corrected:.3f} (95% interval {low:.3f} to {high:.3f}) without what "
        "choosing the best epoch on the same pairs gains by luck."
    ) in conclusion(result, ENGLISH)

    rates = zip((1e-5, 2e-5, 4e-5, 8e-5), some_predictions(4, 0.6), strict=True)
    runs = [made_run(f"m_lr{rate:g}", row, model="m", lr=rate) for rate, row in rates]
    text = told(*runs, made_run("other", POOR))
    assert "choosing the best epoch and learning rate on the same pairs" in text


def test_copies_are_told_from_independent_pairs():
    copies = np.arange(400) // 2 * 2
    text = told(made_run("a", GOOD, copies=copies), made_run("b", POOR, copies=copies))
    assert text.startswith("On 400 validation pairs (200 of them independent) this run of a")


def test_too_few_pairs_give_no_verdict():
    labels = LABELS[:50]
    result = compare([made_run("a", GOOD[:50], labels), made_run("b", POOR[:50], labels)])
    text = conclusion(result, ENGLISH)
    assert (
        "These are too few pairs for a verdict on 2 models: equally good ones would be called worse "
        "too often."
    ) in text
    assert "At 95% confidence" not in text and "80%" not in text
    assert result.smallest_difference is None
    assert [entry.verdict for entry in result.families] == ["best", "too few pairs"]
    assert [entry.p_vs_best for entry in result.families] == [None, None]


def test_one_pair_and_one_run_are_spoken_of_as_one():
    text = told(made_run("a", np.array([1]), np.array([1])))
    assert text.startswith("On 1 validation pair this run of a has a macro-F1 of 1.000")
    assert "there is no other run to compare it with." in text
    assert text.endswith("One seed only: others would give other figures.")


def test_the_highest_is_said_to_be_corrected_where_another_was_measured_higher():
    """The best of ten epochs of chance is higher than one epoch, and lower without the luck."""
    lucky = np.concatenate([some_predictions(1, 0.35, seed) for seed in range(10)])
    plain = some_predictions(1, 0.36, 32)[0]
    runs = [made_run("lucky", lucky), made_run("plain", plain)]
    measured = {run.name: run.best["val_f1_macro"] for run in runs}
    assert measured["lucky"] > measured["plain"] + 0.001
    assert told(*runs).startswith(
        "On 400 validation pairs this run of plain has the highest macro-F1 once the luck of "
        f"choosing is taken off: {measured['plain']:.3f} (95% interval"
    )


def test_of_equal_predictions_no_difference_is_said_to_have_been_visible():
    text = told(made_run("a", GOOD), made_run("b", GOOD))
    assert "80% of cases" not in text and "points" not in text


def test_the_way_to_a_verdict_is_one_that_there_is():
    for sizes, way in (
        ({"train": 99_600, "val": 400}, "; --folds joins all 100,000 pairs that there are."),
        ({"train": 600, "val": 400}, ", more than the 1,000 that there are."),
        ({}, "."),
    ):
        recorded = {"samples": sizes}
        runs = [made_run("a", GOOD, recorded=recorded), made_run("b", FAIR, recorded=recorded)]
        assert f"validation pairs like these{way}" in told(*runs)


def test_the_best_of_validation_is_measured_once_on_the_test_pairs():
    labels = LABELS[:200]
    good, fair, poor = (made_predictions(labels, row[:200]) for row in (GOOD, FAIR, POOR))
    chosen = "Chosen on validation and measured once on 200 test pairs, it has a macro-F1 of 0."
    for a, b, said in (
        (good, poor, "), the highest there too."),
        (poor, good, "; there b is significantly better."),
        (fair, good, "; there b has the highest, which is no significant difference."),
        (None, fair, "a has no predictions for the 200 test pairs."),
    ):
        text = told(made_run("a", GOOD, test=a), made_run("b", FAIR, test=b))
        assert said in text and (chosen in text) == (a is not None)


# --------------------------------------------------------------------------------------- the names


def test_no_sentence_and_no_remark_lists_all_of_many_runs():
    duplicates = dict.fromkeys(("text", "image", "near_image", "label_conflicts"), 1)
    few = {"duplicates": duplicates, "content": {"code_sha256": "1"}}
    many, runs = {"content": {"code_sha256": "2"}}, []
    for place in range(30):
        block = {"recorded": few if place < 10 else many}
        block["effective_batch_size"] = 16 if place < 21 else 1
        runs.append(made_run(f"model {place}", FAIR, **block))
    result = compare(runs)
    for text in (conclusion(result, ENGLISH), *map(ENGLISH, result.notes)):
        assert all(sentence.count("model ") <= 6 for sentence in text.split(". ")), text
    assert "others" in conclusion(result, ENGLISH) and len(result.notes) >= 3


# ------------------------------------------------------------------------------------- the remarks


def test_seeds_that_are_not_those_of_most_are_named():
    a, b, c = made_run("a", GOOD), made_run("b", GOOD), seeds("c", GOOD, FAIR, POOR)
    others, old = seeds("c", GOOD, FAIR, first=50), made_run("old", FAIR)
    assert notes(a, b, *c)[0] == (
        "c has seeds 42, 43, 44, most have 42: its figures are of other draws"
    )
    # Most have is not said of one in two or three, and what was not recorded is not another one.
    assert notes(*seeds("a", GOOD, FAIR), b, *others)[0] == (
        "the models have different seeds (a: 42, 43, b: 42 and c: 50, 51): "
        "figures are of other draws"
    )
    assert notes(*seeds("a", GOOD, FAIR), b)[0].startswith("the models have different seeds (")
    assert not any("seeds" in note for note in notes(a, b))
    del old.metrics["protocol"]["seed"]
    assert notes(a, b, old)[0] == "old did not record its seed: its figures may be of other draws"


def test_runs_that_did_not_keep_their_epochs_are_named():
    kept = made_run("a", some_predictions(3, 0.6))
    old = made_run("old", some_predictions(3, 0.6))
    old = Run(old.name, old.path, old.metrics, old.history, old.best, old.predictions)
    said = "old kept no epoch_predictions.csv: the choice of the best epoch is not corrected"
    assert any(note.startswith(said) for note in notes(kept, old))
    assert not any("epoch_predictions.csv" in note for note in notes(kept))


def test_early_stopping_is_not_said_to_be_resampled():
    assert "early stopping itself is not resampled" in notes(made_run("a", GOOD, patience=2))
    assert "early stopping itself is not resampled" not in notes(made_run("a", GOOD, patience=0))


def test_rare_classes_and_doubtful_intervals_are_named():
    labels = np.repeat([0, 1, 2], [80, 9, 80])
    said = labels.copy()
    said[:20] = 1
    found = notes(made_run("a", said, labels), made_run("b", said, labels))
    assert "classes with few independent validation pairs: neutral (9)" in found
    assert "intervals of a and b are not to be trusted: under 10 pairs of neutral" in found
    # Copies of a rare class do not make it common.
    labels, copies = np.repeat([0, 1, 2], [80, 40, 80]), np.arange(200)
    copies[80:120] = np.arange(80, 120) // 8 * 8
    found = notes(made_run("a", labels, labels, copies=copies))
    assert "classes with few independent validation pairs: neutral (5)" in found


def test_models_that_depend_on_the_number_of_processes_are_named_where_it_differs():
    def trained(name: str, processes: int | None, backbone: str | None = "resnet18", **more):
        model = {"name": name, "image_backbone": backbone}
        return made_run(name, LABELS, recorded={"model": model, "processes": processes}, **more)

    # An earlier version, which recorded no number, had one process.
    runs = [trained("a", 2), trained("b", None), trained("c", 1)]
    runs += [trained("clip", 4, None), trained("frozen", 4, frozen_encoders=True)]
    (note,) = (note for note in notes(*runs) if "processes" in note)
    assert note.endswith("(b and c with 1 and a with 2)")
    assert not any("processes" in note for note in notes(*runs[1:]))

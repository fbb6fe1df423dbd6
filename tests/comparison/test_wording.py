"""The sentences that sum a comparison up claim no more than was measured, and name what is missing."""

import numpy as np
from common.comparison.compare import compare
from common.comparison.wording import conclusion, method
from common.runs.reading import Run
from common.words import ENGLISH
from helpers.figures import some_predictions
from helpers.made_runs import made_predictions, made_run
from helpers.run_folders import LABELS, bert

GOOD, POOR = (some_predictions(1, right)[0] for right in (0.75, 0.2))
FAIR = some_predictions(2, 0.71)[1]  # with errors of its own


def told(*runs: Run) -> list[str]:
    return conclusion(compare(list(runs)), ENGLISH)


def headline(*runs: Run) -> str:
    return told(*runs)[0]


def notes(*runs: Run) -> list[str]:
    return list(map(ENGLISH, compare(list(runs)).groups[0].notes))


def seeds(name: str, *predicted: np.ndarray, first: int = 42) -> list[Run]:
    return [
        made_run(f"{name}_seed{seed}", said, model=name, seed=seed)
        for seed, said in enumerate(predicted, first)
    ]


# ---------------------------------------------------------------------------------- the conclusion


def test_the_headline_says_who_is_first_who_ties_and_who_is_worse():
    runs = [made_run("good", GOOD), made_run("near", FAIR), made_run("bad", POOR)]
    results = compare(runs)
    first, near, bad = results.models.itertuples(index=False)
    figure, low, high = first.f1_as_best, first.f1_as_best_low, first.f1_as_best_high
    assert figure < first.f1_corrected and low < first.f1_low and high == first.f1_high
    assert conclusion(results, ENGLISH)[0] == (
        f"On 400 validation pairs good is first, macro-F1 {figure:.3f} as the best of 3 (95 % "
        f"confidence interval {low:.3f} to {high:.3f}); near shows no significant "
        f"difference; bad (by {100 * (first.f1_corrected - bad.f1_corrected):.1f} points) is "
        "significantly worse."
    )
    assert "is significantly worse" not in headline(*runs[:2])
    assert "no significant difference" not in headline(runs[0], runs[2])


def test_one_seed_is_about_runs_several_are_a_mean():
    several = seeds("several", *some_predictions(3, 0.8))
    assert "One random seed each" in " ".join(told(made_run("a", GOOD), made_run("b", POOR)))
    assert any("over 1 to 3 random seeds" in each for each in told(*several, made_run("a", POOR)))
    both = told(*several, *seeds("other", *some_predictions(3, 0.7, seed=1)))
    assert "Figures are means over 3 random seeds." in both


def test_copies_are_told_from_independent_pairs():
    copies = np.arange(400) // 2 * 2
    text = headline(made_run("a", GOOD, copies=copies), made_run("b", POOR, copies=copies))
    assert text.startswith("On 400 validation pairs (200 of them independent) a is first")


def test_too_few_pairs_give_no_verdict():
    labels = LABELS[:50]
    results = compare([made_run("a", GOOD[:50], labels), made_run("b", POOR[:50], labels)])
    assert conclusion(results, ENGLISH)[0].endswith("too few pairs to tell models apart.")
    assert "Verdicts" not in method(results, ENGLISH)
    assert list(results.models["verdict"]) == ["too few pairs"] * 2  # no first one is the best
    assert list(results.models["p_vs_best"]) == [None, None]


def test_one_pair_and_one_model_are_spoken_of_as_one():
    text = headline(made_run("a", np.array([1]), np.array([1])))
    assert text.startswith("On 1 validation pair a has a macro-F1 of 1.000")
    assert "no other model" in text


def test_the_first_is_so_without_selection_bias():
    """The best of ten epochs of chance is higher than one epoch, and lower once corrected."""
    lucky = np.concatenate([some_predictions(1, 0.35, seed) for seed in range(10)])
    plain = some_predictions(1, 0.36, 32)[0]
    runs = [made_run("lucky", lucky), made_run("plain", plain)]
    measured = {run.name: run.best["val_f1_macro"] for run in runs}
    assert measured["lucky"] > measured["plain"] + 0.001
    assert headline(*runs).startswith("On 400 validation pairs plain is first")


def test_what_fusion_is_worth_is_said_or_that_it_was_not_measured():
    said = {"text": FAIR, "image": POOR, "late": LABELS}
    runs = [made_run(each, row, recorded={"model": bert(each)}) for each, row in said.items()]
    assert any(
        each.startswith("Fusion pays: BERT + ResNet18 · late is ") and "BERT · text only" in each
        for each in told(*runs)
    )
    assert any("was not measured" in each for each in told(*runs[1:]))
    assert not any("usion" in each for each in told(made_run("a", GOOD), made_run("b", POOR)))


def test_the_best_of_validation_is_measured_once_on_the_test_pairs():
    labels = LABELS[:200]
    good, fair, poor = (made_predictions(labels, row[:200]) for row in (GOOD, FAIR, POOR))
    for a, b, said in (
        (good, poor, "a is first on the test pairs too."),
        (poor, good, "On the test pairs b is significantly better."),
        (fair, good, "On the test pairs b is the highest, which is no significant difference."),
        (None, fair, "a has no predictions for the 200 test pairs."),
    ):
        sentences = told(made_run("a", GOOD, test=a), made_run("b", FAIR, test=b))
        assert any(each.endswith(said) for each in sentences)
        assert ("on 200 test pairs, which chose nothing" in sentences[0]) == (a is not None)


# --------------------------------------------------------------------------------------- the names


def test_no_sentence_and_no_remark_lists_all_of_many_runs():
    duplicates = dict.fromkeys(("text", "image", "near_image", "label_conflicts"), 1)
    few = {"duplicates": duplicates, "content": {"code_sha256": "1"}}
    many, runs = {"content": {"code_sha256": "2"}}, []
    for place in range(30):
        block = {"recorded": few if place < 10 else many}
        runs.append(made_run(f"model {place}", FAIR, **block))
    results = compare(runs)
    texts = [*conclusion(results, ENGLISH), *map(ENGLISH, results.groups[0].notes)]
    assert all(text.count("model ") <= 7 for text in texts) and len(texts) >= 5
    assert "others" in texts[0]


# ------------------------------------------------------------------------------------- the remarks


def test_seeds_that_are_not_those_of_most_are_named():
    a, b, c = made_run("a", GOOD), made_run("b", GOOD), seeds("c", GOOD, FAIR, POOR)
    others, old = seeds("c", GOOD, FAIR, first=50), made_run("old", FAIR)
    assert notes(a, b, *c)[0].startswith("c has random seeds 42, 43, 44, most have 42")
    # Most have is not said of one in two or three, and what was not recorded is not another one.
    different = "the models have different random seeds ("
    three = notes(*seeds("a", GOOD, FAIR), b, *others)[0]
    assert three.startswith(f"{different}a: 42, 43, b: 42 and c: 50, 51)")
    assert notes(*seeds("a", GOOD, FAIR), b)[0].startswith(different)
    assert not any("seeds" in note for note in notes(a, b))
    del old.metrics["protocol"]["seed"]
    assert notes(a, b, old)[0].startswith("old did not record its random seed")


def test_runs_that_did_not_keep_their_epochs_are_named():
    kept = made_run("a", some_predictions(3, 0.6))
    old = made_run("old", some_predictions(3, 0.6))
    old = Run(old.name, old.path, old.metrics, old.history, old.best, old.predictions)
    said = "old kept no epoch_predictions.csv"
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


def test_models_that_may_depend_on_the_number_of_processes_are_named_where_it_differs():
    def trained(name: str, processes: int | None, **more):
        return made_run(name, LABELS, recorded={"processes": processes}, **more)

    # An earlier version, which recorded no number, had one process.
    runs = [trained("a", 2), trained("b", None), trained("c", 1)]
    runs += [trained("frozen", 4, frozen_encoders=True)]
    (note,) = (note for note in notes(*runs) if "processes" in note)
    assert note.endswith("(b and c with 1 and a with 2)")
    assert not any("processes" in note for note in notes(*runs[1:]))

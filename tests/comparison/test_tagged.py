"""A model with --tag stands outside the common protocol, against the same model without a tag."""

import compare_clip
import numpy as np
import pytest
from common.comparison.compare import compare, require_one_protocol
from common.comparison.console import report
from common.comparison.tagged import gained
from common.comparison.wording import (
    BETTER_UNTAGGED,
    NO_DIFFERENCE,
    NO_UNTAGGED,
    TOO_FEW,
    WORSE_UNTAGGED,
    conclusion,
)
from common.errors import UserError
from common.words import CHINESE, ENGLISH
from helpers.figures import made_figures, some_predictions
from helpers.made_runs import made_run
from helpers.run_folders import LABELS

LOW, HIGH = (some_predictions(1, right, 5)[0] for right in (0.3, 0.8))
SAID = some_predictions(4, 0.5)
TUNED = {"tag": "tuned", "model": "clip", "lr": 1e-3, "epochs": 9, "class_weights": "none"}
COMMON = {"epochs": 5, "class_weights": "balanced"}


def common_runs() -> list:
    names = ("clip", "blip", "late")
    return [made_run(name, said, **COMMON) for name, said in zip(names, SAID, strict=False)]


def tuned(said=HIGH, name: str = "clip_tuned", **more):
    return made_run(name, said, **{**TUNED, **more})


def test_the_tag_ends_the_name_of_the_run_and_takes_no_meaning_that_an_ending_has():
    run = compare_clip.parse(["--tag", "tuned-2", "--lr", "1e-3", "--seed", "43", "--fold", "2"])
    assert run.name.endswith("_lr0.001_seed43_fold2_tuned-2")
    for taken in ("frozen", "Gated", "lr2", "seed43", "fold1", "", "a_b", "../a", "调"):
        with pytest.raises(SystemExit):
            compare_clip.parse(["--tag", taken])


def test_what_has_a_tag_changes_nothing_that_is_said_of_the_others():
    without = compare(common_runs())
    results = compare([*common_runs(), tuned()])
    assert results.models.query("kind != 'tagged'").equals(without.models)
    assert conclusion(results, ENGLISH) == conclusion(without, ENGLISH)
    assert (len(results.groups), results.groups[0].notes) == (1, without.groups[0].notes)
    require_one_protocol(results)


def test_it_is_shown_below_with_what_differs_and_what_it_gained():
    results = compare([*common_runs(), tuned()])
    row = results.models.query("kind == 'tagged'").iloc[0]
    assert (row.model, row.tag, row.untagged, row.group) == ("clip · tuned", "tuned", "clip", None)
    assert row.verdict == BETTER_UNTAGGED and 0 < row.f1_gain_low < row.f1_gain < row.f1_gain_high
    for part in ("epochs 9 instead of 5", "lr 0.001 instead of 2e-05", "class_weights none"):
        assert part in row.differs
    for say in (ENGLISH, CHINESE):
        above, below = report(results, say).split("-" * 100)
        assert "clip · tuned" in below and "clip · tuned" not in above


def test_verdicts_of_clear_cases():
    runs = common_runs()
    found = {
        verdict: compare([*runs, tuned(said)]).tagged[0].verdict
        for verdict, said in ((WORSE_UNTAGGED, LOW), (NO_DIFFERENCE, SAID[0]))
    }
    assert list(found) == list(found.values())
    few = np.arange(40)
    runs = [made_run(name, SAID[0][few], pairs=few, **COMMON) for name in ("clip", "blip")]
    assert compare([*runs, tuned(HIGH[few], pairs=few)]).tagged[0].verdict == TOO_FEW


def test_only_the_same_model_on_the_same_pairs_with_a_seed_in_common_is_held_against_it():
    others = ({"model": "blip2"}, {"seed": 43}, {"pairs": np.arange(300)})
    for other in others:
        said = HIGH[other.get("pairs", np.arange(len(LABELS)))]
        (found,) = compare([*common_runs(), tuned(said, **other)]).tagged
        assert (found.verdict, found.untagged) == (NO_UNTAGGED, "")
    with pytest.raises(UserError, match="train one without"):
        compare([tuned()])


def test_seeds_that_only_one_side_has_do_not_count():
    more = made_run("clip_seed43", LOW, model="clip", seed=43, **COMMON)
    plain = compare([*common_runs()[:1], tuned()]).tagged[0]
    found = compare([*common_runs()[:1], more, tuned()]).tagged[0]
    assert (found.seeds, found.gain.value) == (1, pytest.approx(plain.gain.value))


def test_the_luck_of_the_first_model_is_taken_off_and_only_there():
    names = ("clip", "blip", "late")
    results = compare(
        [*common_runs(), *(tuned(name=f"{name}_tuned", model=name) for name in names)]
    )
    group, table = results.groups[0], results.models.set_index("model")
    luck = group.as_best.value - group.as_best.corrected
    assert luck > 0
    for name in names:
        row = table.loc[f"{name} · tuned"]
        raw = row.f1_corrected - table.loc[name].f1_corrected
        assert row.f1_gain == pytest.approx(raw + luck * (name == group.ranked[0]))


def test_a_gain_is_that_of_the_draws_and_wider_where_several_tags_are_judged():
    moves = np.random.default_rng(0).normal(size=20_000) / 100
    untagged, tagged = made_figures(0.5, 0.5 + 0 * moves), made_figures(0.53, 0.53 + moves)
    one, five = gained(untagged, tagged, 0.01), gained(untagged, tagged, 0.01, tags=5)
    assert one.value == five.value == pytest.approx(0.04)
    assert one.high - one.value == pytest.approx(0.0196, rel=0.03)  # 1.96 standard errors
    assert five.high - five.value == pytest.approx(0.0258, rel=0.03)  # 2.58: .01 / 2 beyond

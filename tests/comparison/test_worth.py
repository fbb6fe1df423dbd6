"""What fusion gains: the best of several against the best of two, both chosen anew in each draw."""

import numpy as np
import pytest
from common.comparison.best import Worth, best_of
from common.comparison.compare import compare
from helpers.figures import made_figures, some_predictions
from helpers.made_runs import made_run
from helpers.run_folders import LABELS, bert


def worth_of(**said: np.ndarray) -> list[Worth]:
    """The worth of fusion of models by their fusions."""
    runs = [made_run(fusion, row, recorded={"model": bert(fusion)}) for fusion, row in said.items()]
    return compare(runs).groups[0].worth


def test_a_fusion_that_is_right_where_both_modalities_are_is_worth_it():
    text, image = LABELS.copy(), LABELS.copy()
    text[::3], image[1::3] = (LABELS[::3] + 1) % 3, (LABELS[1::3] + 1) % 3
    (found,) = worth_of(text=text, image=image, late=LABELS, concat=text)
    assert 0.2 < found.gain.low < found.gain.value < found.gain.high < 0.5
    (none,) = worth_of(text=text, image=image, late=text)
    assert none.gain.value == pytest.approx(0, abs=0.05) and none.gain.low < 0 < none.gain.high


def test_it_is_measured_only_where_both_modalities_were_trained_by_themselves():
    said = dict(zip(("text", "image", "late"), some_predictions(3, 0.6), strict=True))
    assert len(worth_of(**said)) == 1
    for missing in said:
        assert not worth_of(**{fusion: row for fusion, row in said.items() if fusion != missing})


def test_a_single_modality_counts_for_all_pairs_that_have_its_encoder():
    """Each encoder is trained by itself once, beside whatever encoder of the other modality."""
    models = {
        "a+x": bert("late", "a") | {"image_backbone": "x"},
        "a+y": bert("late", "a") | {"image_backbone": "y"},
        "b+y": bert("late", "b") | {"image_backbone": "y"},
        "a": bert("text", "a") | {"image_backbone": "x"},
        "x": bert("image", "a") | {"image_backbone": "x"},
        "y": bert("image", "b") | {"image_backbone": "y"},
    }
    rows = some_predictions(len(models), 0.6)
    runs = [
        made_run(name, row, recorded={"model": model})
        for (name, model), row in zip(models.items(), rows, strict=True)
    ]
    assert len(compare(runs).groups[0].worth) == 2  # nobody trained b's texts alone


def test_the_best_of_equal_figures_loses_what_choosing_it_adds():
    """The highest of five independent normal figures is 1.163 standard deviations too high."""
    random = np.random.default_rng(0)
    errors = []
    for _ in range(200):
        observed = random.normal(size=5)
        models = [[made_figures(each, each + random.normal(size=2000))] for each in observed]
        errors.append(best_of(models)[1][0].draws.mean())
    assert np.mean(errors) == pytest.approx(0, abs=0.2)

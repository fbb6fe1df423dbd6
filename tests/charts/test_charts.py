"""Pictures of results: what they show, and that every word of theirs can be read."""

import itertools
import re
import warnings
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from common.charts import pictures
from common.charts.agreement import both_wrong
from common.charts.per_class import class_figures
from common.charts.radar import rings
from common.charts.reliability import chance_error
from common.charts.shown import WIDTH
from common.charts.styles import looks
from common.charts.text import add_new_fonts, choose_fonts, drawable, measure, without_glyph, wrap
from common.comparison.compare import compare
from common.comparison.draws import Draws
from common.comparison.wording import BEST
from common.metrics import METRICS, wilson
from common.runs.reading import Predictions, Run, load_runs
from common.words import CHINESE, ENGLISH, Language
from helpers.run_folders import clip, make_run, make_runs
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

pytestmark = [
    pytest.mark.filterwarnings("error"),
    # matplotlib 3.8 calls names of pyparsing that its newest release deprecates.
    pytest.mark.filterwarnings(r"ignore:'\w+' .*deprecated - use:DeprecationWarning"),
]

HOSTILE = [
    r"$x_1$ costs $5 \frac{a}{b} \n %s {0}" + "_" * 40,
    "<script>alert('x')</script> & &amp; <b> שלום عולم مرحبا",
    "half a surrogate \udc80 and 😀",
]
LONG = "bert-base-multilingual-uncased_resnet50_" + "nobody_would_type_this_twice_"
LONG_CLASSES = [f"{place} {LONG}" for place in range(10)]
MIXED = "竖条：95% 置信区间（Wilson），围绕 0.5 的数字；见“图”。" * 3


@pytest.fixture(scope="module")
def ten(tmp_path_factory) -> list[Run]:
    """Eight models, of which CLIP and BLIP have two seeds."""
    folder = tmp_path_factory.mktemp("runs")
    make_runs(folder, 10)
    return load_runs(folder)


@pytest.fixture
def draw(monkeypatch):
    """Draw all pictures of runs, or those that are named, and stop before they become files."""

    def of(
        runs: list[Run], *names: str, say: Language = ENGLISH
    ) -> tuple[dict[str, Figure], list[str]]:
        charts = {name: pictures.CHARTS[name] for name in names} or pictures.CHARTS
        with monkeypatch.context() as patch:
            patch.setattr(pictures, "CHARTS", charts)
            patch.setattr(pictures, "_written", lambda figure, kind, canvas: figure)
            drawn, notes = pictures.draw(compare(runs), say)
        return {name[:-4]: file for name, file in drawn.items() if name.endswith(".png")}, notes

    return of


def texts_of(figure: Figure) -> list[tuple]:
    """Text and box in pixels of every text that is really drawn: ticks outside their axis are not."""
    drawn, draw = [], Text.draw

    def watched(self: Text, renderer):
        if self.get_visible() and self.get_text().strip():
            drawn.append((self.get_text(), self.get_window_extent(renderer)))
        return draw(self, renderer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", watched)
        figure.draw_without_rendering()
    return drawn


def words_of(figure: Figure) -> str:
    return " ".join(text for text, _ in texts_of(figure))


def renamed(run: Run, name: str, classes: list[str] | None = None, **metrics) -> Run:
    """The run under another name, with these classes for predictions where given."""
    metrics = {key: value for key, value in run.metrics.items() if key != "model"} | metrics
    run = replace(run, name=name, metrics=metrics)
    if classes is None:
        return run
    labels = np.arange(60) % len(classes)
    predicted = np.random.default_rng(len(name)).integers(0, len(classes), 60)
    shares = np.full((60, len(classes)), 0.5 / len(classes))
    shares[np.arange(60), predicted] += 0.5
    guids = [f"pair{place}" for place in range(60)]
    columns = (guids, labels.tolist(), predicted.tolist(), shares.tolist())
    return replace(run, predictions=Predictions(classes, *columns))


def with_test(run: Run) -> Run:
    """The run, measured on 200 test pairs as well."""
    own = run.predictions
    labels, said, shares = (part[:200] for part in (own.labels, own.predicted, own.probabilities))
    guids = [f"test {place}" for place in range(200)]
    return replace(run, test=Predictions(own.classes, guids, labels, said, shares))


def chinese_can_be_drawn() -> bool:
    add_new_fonts()
    return not without_glyph(CHINESE.texts("charts"), choose_fonts())


in_chinese = pytest.mark.skipif(not chinese_can_be_drawn(), reason="no Chinese font is installed")
NAMES = re.compile(
    "BERT|ResNet|CLIP|BLIP|concat|gated|late|text|image|only|negative|neutral|positive|"
    "F|ECE|EMAP|probe|n|p|Wilson|Guo|Hessel|Lee|Cohen's|kappa"
)
PROBE = {"f1_drop_images_shuffled": 0.1, "emap_f1_macro": 0.5, "f1_text_blanked": 0.3}
CASES = {
    "ten": lambda ten: [
        replace(with_test(run), metrics=run.metrics | {"probe": PROBE}) for run in ten
    ],
    "long names": lambda ten: [
        renamed(run, f"{LONG}{place}", LONG_CLASSES, probe=PROBE)
        for place, run in enumerate(ten[:4])
    ],
    "one, thirty classes": lambda ten: [renamed(ten[0], "run", [f"c{i}" for i in range(30)])],
}


@pytest.mark.parametrize(
    ("case", "say"),
    [*((case, ENGLISH) for case in CASES), pytest.param("ten", CHINESE, marks=in_chinese)],
)
def test_every_text_is_on_the_page_none_covers_another_and_a_model_looks_the_same_everywhere(
    ten, draw, case, say
):
    """In Chinese no word is English but names of models, classes and people."""
    runs = CASES[case](ten)
    found = looks([model.name for model in compare(runs).groups[0].models])
    expected = {(look.colour, look.marker) for look in found.values()}
    for picture, figure in draw(runs, say=say)[0].items():
        texts = texts_of(figure)
        if say == CHINESE:
            words = re.findall(r"[A-Za-z][A-Za-z']*", " ".join(text for text, _ in texts))
            assert not [word for word in words if not NAMES.fullmatch(word)], picture
        assert texts and (figure.get_figwidth() == WIDTH or picture == "result_table")
        low, high = (
            np.array([getattr(box, corner) for _, box in texts]) for corner in ("min", "max")
        )
        outside = (low < 0).any(1) | (high > figure.get_size_inches() * figure.dpi).any(1)
        assert not [texts[place][0] for place in np.flatnonzero(outside)], picture
        shared = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)  # (T, T, 2) pixels
        covered = np.argwhere(np.triu(shared.min(-1) > 2, 1))  # 2 pixels are 1/150 inch
        assert not [(texts[one][0], texts[other][0]) for one, other in covered], picture
        lines = [line for axes in figure.axes for line in axes.lines]
        shown = {(line.get_color(), line.get_marker()) for line in lines}
        if picture in ("params_time", "per_class", "reliability", "intervals"):
            assert expected <= shown, picture


def test_without_a_chinese_font_pictures_are_in_english_and_a_line_names_one(
    ten, draw, monkeypatch
):
    monkeypatch.setattr(pictures, "choose_fonts", lambda: ["DejaVu Sans"])
    monkeypatch.setattr(pictures, "add_new_fonts", lambda: False)
    drawn, notes = draw(ten[:2], "confusion", say=CHINESE)
    assert "Confusion matrices" in words_of(drawn["confusion"])
    assert [note for note in notes if "fonts-noto-cjk" in note and "SimHei" in note]


def test_every_picture_is_png_svg_and_pdf_and_hostile_names_are_drawn_and_run_nothing(
    ten, monkeypatch
):
    monkeypatch.setattr("common.charts.shown.DPI", 72)
    classes = ["$a$", "<b>", "\n"]
    runs = [renamed(run, name, classes) for run, name in zip(ten, HOSTILE, strict=False)]
    saved = {}
    drawn, _ = pictures.draw(compare(runs), ENGLISH, saved.__setitem__)
    assert saved == drawn and len(drawn) == 3 * 9  # neither ablation nor sensitivity
    for name in {name.split(".")[0] for name in drawn}:
        assert drawn[f"{name}.png"].startswith(b"\x89PNG")
        assert drawn[f"{name}.pdf"].startswith(b"%PDF") and b"%%EOF" in drawn[f"{name}.pdf"][-9:]
        nodes = list(ElementTree.fromstring(drawn[f"{name}.svg"]).iter())
        assert not [node for node in nodes if node.tag.endswith(("script", "foreignObject"))]
        assert not [key for node in nodes for key in node.attrib if key.startswith("on")]
        # It begins with its element and takes the colours of the page that holds it.
        text = drawn[f"{name}.svg"].decode("utf-8")
        assert text.startswith("<svg") and "fill: var(--ink, #222222)" in text
        assert not re.search("(fill|stroke): #(222222|666666|ffffff)", text)
    words = {
        name: " ".join(ElementTree.fromstring(drawn[f"{name}.svg"]).itertext())
        for name in ("result_table", "per_class")
    }
    for name in (HOSTILE[0], HOSTILE[1][:40]):
        assert "".join(name.split()) in "".join(words["result_table"].split())
    assert "$a$" in words["per_class"] and "<b>" in words["per_class"]


def test_of_more_models_than_fit_the_best_are_drawn_and_the_pictures_say_so(ten, draw, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_MODELS", 2)
    drawn, notes = draw(ten, "radar", "result_table", "confusion")
    assert "the pictures show the best 2 of 8 models by macro-F1" in notes
    for name, figure in drawn.items():
        assert "the best 2 of 8 models" in words_of(figure).replace("\n", " "), name
    assert "CLIP" in words_of(drawn["result_table"])
    assert "image only" not in words_of(drawn["result_table"])


def test_characters_without_a_font_are_named_and_told_apart(ten, draw, monkeypatch):
    monkeypatch.setattr(pictures, "choose_fonts", lambda: ["DejaVu Sans"])
    monkeypatch.setattr(pictures, "add_new_fonts", lambda: False)
    drawn, notes = draw([renamed(ten[0], "天气"), renamed(ten[1], "模型")], "result_table")
    assert [note for note in notes if "模" in note and "气" in note]
    assert {"?? (1)", "?? (2)"} <= {text for text, _ in texts_of(drawn["result_table"])}


def test_a_long_name_is_cut_in_its_middle_and_keeps_its_ends():
    names = drawable([end + "x" * 100_000 + end for end in "ab"], "", 30)
    assert [text[0] + text[-1] for text in names.values()] == ["aa", "bb"]
    assert {len(text) for text in names.values()} == {30}


@in_chinese
def test_a_chinese_font_that_came_after_matplotlibs_list_is_found(ten, draw, monkeypatch, tmp_path):
    """The advice to install one must help those whose matplotlib has run before."""
    manager = font_manager.fontManager
    chinese = font_manager.findfont(choose_fonts()[-1])
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    found = [chinese, str(tmp_path / "broken.ttf")]
    only = [font for font in manager.ttflist if font.name == "DejaVu Sans"]
    monkeypatch.setattr(manager, "ttflist", only)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: found)
    drawn, notes = draw([renamed(ten[0], "天气")], "loss_curves", say=CHINESE)
    texts = {text.get_text() for text in drawn["loss_curves"].findobj(Text)}
    assert {"天气", "轮次"} <= texts and not [note for note in notes if "字体" in note]


def test_fifty_models_share_no_look_and_one_keeps_its_look_whatever_its_rank():
    names = [f"model {place}" for place in range(50)]
    found = looks(names)
    assert len({(look.colour, look.marker) for look in found.values()}) == 50
    assert looks(names[::-1]) == found


def test_a_model_without_predictions_is_named_and_only_in_the_pictures_of_all_models(ten, draw):
    late, concat = (run for run in ten if run.name.endswith(("late", "concat")))
    runs = [replace(late, predictions=None), concat]
    drawn, notes = draw(runs)
    assert set(drawn) == {
        "radar", "params_time", "loss_curves", "result_table", "confusion", "per_class",
        "reliability", "intervals",
    }  # fmt: skip
    assert [note for note in notes if note.startswith("BERT + ResNet18 · late: no predictions.csv")]
    assert "late" in words_of(drawn["loss_curves"]) and "late" not in words_of(drawn["confusion"])


def test_intervals_hold_what_the_comparison_says_best_first(ten, draw):
    """A row for each model, small marks for its runs, and what was measured on test pairs in grey."""
    runs = [*ten[:2], with_test(ten[2]), *ten[3:]]
    figure, group = draw(runs, "intervals")[0]["intervals"], compare(runs).groups[0]
    judged = [group.judged(model) for model in group.models]
    texts = [text for text, _ in texts_of(figure)]
    words = " ".join(texts).replace("\n", " ")
    results = [text.split("\n")[1].split(" (")[0] for text in texts if "]\n" in text]
    assert results == [each.verdict for each in judged] and results[0] == BEST
    plot = next(axes for axes in figure.axes if axes.get_xlabel() == "Macro-F1")
    bars = [tuple(line.get_xdata()) for line in plot.lines if line.get_linewidth() == 2]
    assert bars == [each.estimates["val_f1_macro"][1:3] for each in judged]
    points = [line.get_xdata()[0] for line in plot.lines if line.get_marker() != "None"]
    seeds = [run for model in group.models if len(model.runs) > 1 for run in model.runs]
    assert len(seeds) == 4 and {run.best["val_f1_macro"] for run in seeds} <= set(points)
    assert "CLIP\n2 seeds" in texts and "200 test pairs, measured once" in words
    (test,) = (each for each in group.test.models.values())
    assert test.estimates["val_f1_macro"].value in points


def test_time_is_that_of_training_and_of_reading(ten, draw):
    times = {"train_time_sec": 40.0, "encode_time_sec": 10.0}
    run = replace(ten[0], metrics=ten[0].metrics | times)
    drawn, _ = draw([run], "params_time", "result_table")
    for figure in drawn.values():
        assert "50.0" in [text for text, _ in texts_of(figure)]


def test_common_errors_against_a_case_by_hand_and_scikit_learn():
    """Of ten pairs A errs on 0-3, B on 2-5: both on 2 of 10, by chance .4 * .4."""
    from sklearn.metrics import cohen_kappa_score

    wrong = np.zeros((3, 10), bool)
    wrong[0, :4] = wrong[1, 2:6] = True
    together, chance, kappa = both_wrong(wrong)
    assert together[0, 1] == pytest.approx(0.2)
    assert chance[0, 1] == pytest.approx(0.16)
    assert kappa[0, 1] == pytest.approx(cohen_kappa_score(wrong[0], wrong[1]))
    assert kappa[0, 0] == pytest.approx(1)
    assert np.isnan(kappa[2, 2]) and kappa[0, 2] == pytest.approx(0)


def test_figures_of_a_class_against_scikit_learn_draw_by_draw():
    from sklearn.metrics import precision_recall_fscore_support

    random = np.random.default_rng(0)
    labels, predicted = random.integers(0, 3, 60), random.integers(0, 3, (2, 60))
    draws = Draws(np.arange(60) // 2, 50)  # each pair has a copy

    def expected(pairs: np.ndarray) -> np.ndarray:
        found = [
            precision_recall_fscore_support(
                labels[pairs], said[pairs], labels=[0, 1, 2], zero_division=0
            )
            for said in predicted
        ]
        return np.mean([(f1, precision, recall) for precision, recall, f1, _ in found], axis=0)

    value, low, high = class_figures(predicted, labels, 3, draws)
    drawn = [expected(np.repeat(np.arange(60), row[draws.of_pair])) for row in draws.counts]
    assert value == pytest.approx(expected(np.arange(60)))
    assert low == pytest.approx(np.quantile(drawn, 0.025, axis=0), abs=1e-6)
    assert high == pytest.approx(np.quantile(drawn, 0.975, axis=0), abs=1e-6)


def test_chance_gives_a_calibrated_model_the_error_that_theory_says():
    """All confidences in one bin: the mean distance of a share of n coin tosses from 1/2."""
    assert chance_error(np.full(400, 0.5), 15) == pytest.approx(
        np.sqrt(2 / np.pi * 0.25 / 400), rel=0.1
    )
    assert chance_error(np.ones(50), 15) == 0


def test_the_interval_of_a_share_is_wilsons():
    from scipy.stats import binomtest

    hits, counts = np.array([0, 3, 10, 57]), np.array([5, 7, 10, 100])
    low, high = wilson(hits / counts, counts)
    for place, (k, n) in enumerate(zip(hits.tolist(), counts.tolist(), strict=True)):
        wanted = binomtest(k, n).proportion_ci(0.95, "wilson")
        assert (low[place], high[place]) == pytest.approx((wanted.low, wanted.high), abs=1e-4)


def test_loss_curves_hold_both_losses_and_the_best_epoch(ten, draw):
    panel = draw(ten[:2], "loss_curves")[0]["loss_curves"].axes[0]
    curves = [line.get_ydata() for line in panel.lines]
    for name in ("train_loss", "val_loss"):
        wanted = [row[name] for row in ten[0].history]
        assert any(np.array_equal(curve, wanted) for curve in curves)
        assert all(panel.get_ylim()[0] <= value <= panel.get_ylim()[1] for value in wanted)
    assert any(list(line.get_xdata()) == [ten[0].best["epoch"]] for line in panel.lines)


def test_a_run_without_validation_loss_and_with_one_epoch_is_drawn(tmp_path, draw):
    make_run(tmp_path, "short", epochs=1, best=1, model=clip())
    [run] = load_runs(tmp_path)
    history = [{**row, "val_loss": None} for row in run.history]
    figure = draw([replace(run, history=history, best=history[0])], "loss_curves")[0]["loss_curves"]
    assert "no validation loss" in words_of(figure)
    low, high = figure.axes[0].get_ylim()
    assert low < history[0]["train_loss"] < high and high - low > 0.1
    assert figure.axes[0].get_xticks().tolist() == [1]


def test_the_radar_starts_at_0_unless_models_lie_close_and_its_rings_are_even():
    for rows, expected in (
        ([[0.62, 0.55, 0.57, 0.53]], [0, 0.2, 0.4, 0.6, 0.8]),
        ([[0.6, 0.5], [0.3, 0.2]], [0, 0.2, 0.4, 0.6]),
        ([[0.81, 0.80], [0.79, np.nan]], [0.76, 0.78, 0.8, 0.82]),
    ):
        assert rings(np.array(rows)) == pytest.approx(expected)


def test_a_metric_that_a_run_lacks_is_a_gap_and_a_dash(ten, draw):
    weighted = METRICS[-1].column
    late, concat = (run for run in ten if run.name.endswith(("late", "concat")))
    lacking = [{**row, weighted: None} for row in late.history]
    old = replace(late, history=lacking, best={**late.best, weighted: None}, predictions=None)
    drawn, _ = draw([concat, old], "radar", "result_table")
    gaps = [
        np.isnan(np.array(line.get_ydata(), float)).any() for line in drawn["radar"].axes[0].lines
    ]
    assert sum(gaps) == 1
    assert "–" in [text for text, _ in texts_of(drawn["result_table"])]


def test_wrapped_text_fits_loses_nothing_and_breaks_where_a_reader_expects_it():
    warnings.filterwarnings("ignore", "Glyph")  # a character without one has a width too
    texts = [LONG, "中文情感分类模型_多模态融合_" * 3, MIXED, "многоязычная_модель " * 9, "x" * 200]
    for text, width in itertools.product([*texts, "", "   "], [0.5, WIDTH]):
        lines = wrap(text, 8.5, width).split("\n")
        assert all(measure(line, 8.5) <= width for line in lines)
        assert "".join("".join(lines).split()) == "".join(text.split())
    lines = wrap(MIXED, 8.5, 1.2).split("\n")
    assert len(lines) > 5 and not [line for line in lines if line[0] in "，。；：）”"]
    assert not [line for line in lines if line[-1] in "（“"]
    assert wrap("lr 5e-05", 8.5, measure("lr 5e-0", 8.5)) == "lr\n5e-05"
    assert wrap("BERT · late", 8.5, 0.95 * measure("BERT · late", 8.5)) == "BERT\n· late"

"""Pictures of runs: what they show, and that every word of theirs can be read."""

import itertools
import re
import warnings
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from common.charts import pictures, radar, table
from common.charts.agreement import both_wrong
from common.charts.confusion import confusions
from common.charts.labels import LONGEST, run_labels
from common.charts.page import INNER, MARGIN
from common.charts.radar import Scale
from common.charts.reliability import wilson
from common.charts.styles import GREY, RunStyle, run_styles
from common.charts.table import Column
from common.charts.text import add_new_fonts, choose_fonts, measure, wrap
from common.comparison.compare import compare
from common.comparison.wording import BEST, NOT_COMPARABLE
from common.metrics import METRICS, Metric
from common.runs.reading import Predictions, Run, load_runs
from common.words import CHINESE, ENGLISH, Language
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from helpers.run_folders import bert, blip, clip, edit, make_run, make_runs
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
    "<script>alert('x')</script> & &amp; <b> שלום عולم مرحبا \u202egnp.exe",
    "two\nlines\tand \x1b[31mred\x00, half a surrogate \udc80 and 😀",
]


@pytest.fixture(scope="module")
def ten(tmp_path_factory) -> list[Run]:
    folder = tmp_path_factory.mktemp("runs")
    make_runs(folder, 10)
    return load_runs(folder)


@pytest.fixture
def draw(monkeypatch):
    """Draw pictures of runs, or those of them that are named, and stop before they become files."""

    def of(
        runs: list[Run], *names: str, say: Language = ENGLISH
    ) -> tuple[dict[str, Figure], list[str]]:
        with monkeypatch.context() as patch:
            for charts_of in ("OF_RUNS", "OF_PREDICTIONS") if names else ():
                charts = getattr(pictures, charts_of)
                chosen = {name: chart for name, chart in charts.items() if name in names}
                patch.setattr(pictures, charts_of, chosen)
            for name in {"intervals", "agreement"} - {*names} if names else ():
                patch.setattr(pictures, name, lambda *_: Figure())
            if say == ENGLISH:
                patch.setattr(pictures, "LANGUAGES", (say,))  # no other for the page
            patch.setattr(pictures, "png", lambda figure: figure)
            patch.setattr(pictures, "svg", lambda figure: b"")
            drawn, notes = pictures.draw(runs, compare(runs), say)
        return {name[:-4]: file for name, file in drawn.items() if name.endswith(".png")}, notes

    return of


def texts_of(figure: Figure) -> list[tuple]:
    """Text and box in pixels of every text that is really drawn: ticks outside their axis are not."""
    drawn, draw = [], Text.draw

    def watched(self: Text, renderer):
        if self.get_visible() and self.get_text().strip():
            drawn.append((self.get_text(), self.get_window_extent(renderer)))
        return draw(self, renderer)

    figure.set_dpi(pictures.DPI)  # text is as wide as in the file
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", watched)
        figure.draw_without_rendering()
    return drawn


def words_of(figure: Figure) -> str:
    return " ".join(text for text, _ in texts_of(figure))


def renamed(run: Run, name: str, classes: list[str] | None = None) -> Run:
    """The run under another name, with these classes for predictions where given."""
    metrics = {key: value for key, value in run.metrics.items() if key != "model"}
    run = replace(run, name=name, metrics=metrics)
    if classes is None:
        return run
    random = np.random.default_rng(len(name))
    labels, predicted = random.integers(0, len(classes), (2, 60))
    shares = np.full((60, len(classes)), 0.5 / len(classes))
    shares[np.arange(60), predicted] += 0.5
    guids = [f"pair{place}" for place in range(60)]
    columns = (guids, labels.tolist(), predicted.tolist(), shares.tolist())
    return replace(run, predictions=Predictions(classes, *columns))


def styles_of(runs: list[Run]) -> list[RunStyle]:
    return run_styles(runs, compare(runs), ["DejaVu Sans"], ENGLISH)[0]


LONG = "bert-base-multilingual-uncased_resnet50_" + "nobody_would_type_this_twice_" * 2
CHINESE_NAME = "中文情感分类模型_多模态融合_门控注意力_"
ENGLISH_AND_CHINESE = "竖条：95% 置信区间（Wilson），围绕 0.5 的数字；见“图”。" * 3
LONG_CLASSES = [f"{LONG}{place}" for place in range(10)]
CASES = {
    "seven": (7, None, None),
    "three, long names, ten classes with long names": (3, LONG, LONG_CLASSES),
    "one, thirty classes": (1, "run", [f"c{place}" for place in range(30)]),
}


def chinese_can_be_drawn() -> bool:
    add_new_fonts()
    return CHINESE in pictures._languages(choose_fonts())


in_chinese = pytest.mark.skipif(not chinese_can_be_drawn(), reason="no Chinese font is installed")


@pytest.mark.parametrize(
    ("case", "say"),
    [*((case, ENGLISH) for case in CASES), pytest.param("seven", CHINESE, marks=in_chinese)],
)
def test_every_text_is_on_the_page_none_covers_another_and_a_run_looks_the_same_everywhere(
    ten, draw, case, say
):
    count, name, classes = CASES[case]
    runs = [with_test(ten[0]), *ten[1:count]]
    if name is not None:
        runs = [renamed(run, f"{name}{i}", classes) for i, run in enumerate(ten[:count])]
    looks = {(style.colour, style.marker) for style in styles_of(runs)}
    for picture, figure in draw(runs, say=say)[0].items():
        texts = texts_of(figure)
        wide = figure.get_figwidth() - 2 * MARGIN
        assert texts and (wide >= INNER if picture == "result_table" else wide == INNER)
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
        assert looks <= shown or picture == "intervals", picture  # whose rows are families


@in_chinese
def test_in_chinese_no_word_of_a_picture_is_english(ten, draw):
    """But names of models, fusions, classes and people."""
    names = "BERT|ResNet|CLIP|BLIP|concat|gated|late|F1|ECE|n|p|Hsu|Wilson|Guo|Cohen's|kappa|"
    names += "negative|neutral|positive|bert-base-chinese|clip_openai|blip|Salesforce|resnet"
    runs = [run for run in ten if "clip" not in run.name][:4]
    for picture, figure in draw([with_test(runs[0]), *runs[1:]], say=CHINESE)[0].items():
        words = re.findall(r"[A-Za-z][\w'-]*", words_of(figure))
        assert all(re.match(names, word) for word in words), picture


def test_without_a_chinese_font_pictures_are_in_english_and_a_line_names_one(
    ten, draw, monkeypatch
):
    monkeypatch.setattr(pictures, "choose_fonts", lambda: ["DejaVu Sans"])
    monkeypatch.setattr(pictures, "add_new_fonts", lambda: False)
    drawn, notes = draw(ten[:2], "confusion", say=CHINESE)
    assert "Confusion matrices" in words_of(drawn["confusion"])
    assert len(notes) == 1 and "fonts-noto-cjk" in notes[0] and "SimHei" in notes[0]


def with_test(run: Run) -> Run:
    """The run, measured on 200 test pairs as well."""
    own = run.predictions
    labels, said, shares = (part[:200] for part in (own.labels, own.predicted, own.probabilities))
    guids = [f"test {place}" for place in range(200)]
    return replace(run, test=Predictions(own.classes, guids, labels, said, shares))


def test_hostile_names_are_drawn_letter_for_letter_and_run_nothing(ten, monkeypatch):
    """In the pictures, and in the SVG that the page shows: it is well-formed and has no code."""
    monkeypatch.setattr(pictures, "png", lambda figure: figure)
    classes = ["$a$", "<b>", "\n"]
    runs = [renamed(run, name, classes) for run, name in zip(ten, HOSTILE, strict=False)]
    drawn, _ = pictures.draw(runs, compare(runs), ENGLISH)
    results, of_classes = (words_of(drawn[f"{name}.png"]) for name in ("result_table", "per_class"))
    for name in (HOSTILE[0], HOSTILE[1][:40]):
        assert "".join(name.split()) in "".join(results.split())
    assert "two?lines?and ?[31mred?" in results
    assert "$a$" in of_classes and "<b>" in of_classes
    charts = {name: file for name, file in drawn.items() if name.endswith(".svg")}
    names = {name[:-4] for name in drawn if name.endswith(".png")}
    languages = {name.split(".")[1] for name in charts}
    assert set(charts) == {f"{name}.{code}.svg" for name in names for code in languages}
    assert len(names) >= 8 and "en" in languages
    for chart in charts.values():
        nodes = list(ElementTree.fromstring(chart).iter())
        assert not [node for node in nodes if node.tag.endswith(("script", "foreignObject"))]
        assert not [name for node in nodes for name in node.attrib if name.startswith("on")]


def test_a_label_of_any_length_is_cut_in_its_middle_and_keeps_its_ends(ten):
    long = [end + "x" * 100_000 + end for end in "ab"]
    runs = []
    for place, name in enumerate(long):
        run = renamed(ten[0], name, long)
        runs.append(replace(run, metrics={**run.metrics, "protocol": {long[0]: place}}))
    styles = styles_of(runs)
    assert [(style.name[0], style.name[-1]) for style in styles] == [("a", "a"), ("b", "b")]
    assert any(style.differs.startswith("axx") for style in styles)
    for style in styles:
        assert all(len(text) <= LONGEST for text in [style.name, style.differs, *style.classes])
        assert len(style.label) <= LONGEST + len(f" ({NOT_COMPARABLE})")


def test_of_more_runs_than_fit_the_best_are_drawn_and_the_caption_counts_them(ten, monkeypatch):
    """The best is CLIP, whose other seed is left out: its row still shows the mean of both."""
    monkeypatch.setattr(pictures, "MOST_RUNS", 1)
    monkeypatch.setattr(pictures, "png", words_of)
    monkeypatch.setattr(pictures, "svg", lambda figure: b"")
    drawn, notes = pictures.draw(ten, compare(ten), ENGLISH)
    assert "radar.en.svg" in drawn and not [name for name in drawn if name.endswith(".zh.svg")]
    assert notes[0] == "the pictures show the best 1 of 10 runs by macro-F1"
    for name in set(pictures.PICTURES) & set(drawn):
        assert "the best 1 of 10 runs" in drawn[name], name
    assert ten[0].name in drawn["result_table.png"] and ten[2].name not in drawn["result_table.png"]
    assert "CLIP · 2\u00a0seeds" in drawn["intervals.png"]


def test_characters_without_a_font_are_named_and_told_apart(ten, draw, monkeypatch):
    monkeypatch.setattr(pictures, "choose_fonts", lambda: ["DejaVu Sans"])
    runs = [renamed(ten[0], "天气"), renamed(ten[1], "模型")]
    drawn, notes = draw(runs, "result_table")
    assert [note for note in notes if "模" in note and "气" in note]
    assert {"?? (1)", "?? (2)"} <= {text for text, _ in texts_of(drawn["result_table"])}


def test_a_chinese_font_that_came_after_matplotlibs_list_is_found_and_needs_no_bold_face(
    ten, draw, monkeypatch, tmp_path, caplog
):
    """The advice to install one must help those whose matplotlib has run before."""
    manager = font_manager.fontManager
    only = [font for font in manager.ttflist if font.name == "DejaVu Sans"]
    characters = sorted({*"天气", *"".join(CHINESE.texts("charts"))})
    path = write_font(tmp_path / "new.ttf", "SimHei", "".join(characters))
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    found = [str(path), str(tmp_path / "broken.ttf")]
    monkeypatch.setattr(manager, "ttflist", only)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: found)
    drawn, _ = draw([renamed(ten[0], "天气")], "result_table", say=CHINESE)
    texts = {text.get_text() for text in drawn["result_table"].findobj(Text)}
    assert {"天气", "结果"} <= texts
    assert not caplog.records


def write_font(path: Path, name: str, characters: str) -> Path:
    """A font that draws each of these characters as nothing."""
    glyphs = [".notdef", *(f"g{place}" for place in range(len(characters)))]
    font = FontBuilder(1000)
    font.setupGlyphOrder(glyphs)
    font.setupCharacterMap(
        {ord(character): glyph for character, glyph in zip(characters, glyphs[1:], strict=True)}
    )
    font.setupGlyf({glyph: TTGlyphPen(None).glyph() for glyph in glyphs})
    font.setupHorizontalMetrics({glyph: (1000, 0) for glyph in glyphs})
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": name, "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)
    return path


def test_a_label_names_the_fusion_where_it_is_no_default(tmp_path):
    cases = {
        "BERT + ResNet18 · concat": bert("concat"),
        "ResNet18 · image only": bert("image"),
        "BERT · text only": bert("text"),
        "CLIP": clip(),
        "CLIP · attention": {**clip(), "fusion": "attention"},
        "BLIP · text only": {**blip(), "fusion": "text"},
        "BLIP · image only": {**blip(), "fusion": "image"},
    }
    folders = [make_run(tmp_path, f"r{i}", 0.5, model=m) for i, m in enumerate(cases.values())]
    runs = {run.name: run for run in load_runs(tmp_path)}
    labels = run_labels([runs[folder.name] for folder in folders], ENGLISH)
    assert [label.run for label in labels] == list(cases)


def test_fifty_runs_share_no_style_and_a_page_has_a_limit(ten):
    runs = [
        replace(renamed(ten[place % 10], f"run {place}"), predictions=None) for place in range(50)
    ]
    styles = styles_of(runs)
    assert len({(style.colour, style.marker) for style in styles}) == 50
    assert pictures.png(Figure(figsize=(0.1, 250)))  # 75,000 pixels at the usual resolution


def test_runs_of_an_older_version_are_named_and_only_in_the_pictures_of_all_runs(ten, draw):
    runs = [replace(ten[0], predictions=None), *ten[1:3]]
    drawn, notes = draw(runs, "loss_curves", "confusion")
    assert [note for note in notes if note.startswith(f"{ten[0].name}: no predictions.csv")]
    for name, panels in (("loss_curves", 3), ("confusion", 2)):
        assert len([axes for axes in drawn[name].axes if axes.get_xlabel()]) == panels


def test_agreement_is_that_of_runs_on_the_same_pairs_in_any_order(ten, draw):
    predictions, order = ten[1].predictions, np.random.default_rng(0).permutation(400)
    columns = ("guids", "labels", "predicted", "probabilities")
    mixed = {name: [getattr(predictions, name)[place] for place in order] for name in columns}
    in_any_order = replace(ten[1], predictions=replace(predictions, **mixed))
    on_others = replace(ten[1], predictions=replace(predictions, guids=predictions.guids[::-1]))
    expected, found, two_of_three = (
        draw(runs, "agreement")
        for runs in (ten[:2], [ten[0], in_any_order], [ten[0], on_others, ten[2]])
    )
    assert words_of(found[0]["agreement"]) == words_of(expected[0]["agreement"])
    assert found[1] == expected[1] == []
    words = words_of(two_of_three[0]["agreement"]).split()
    assert "3" not in words and "2" in words
    said = [f"{on_others.name}: validated on other pairs: not in agreement.png"]
    assert two_of_three[1] == said


def test_intervals_hold_what_the_comparison_says_best_first(ten, draw):
    """A row for each family, with all its seeds, and what was measured on test pairs in grey."""
    runs = [*ten[:2], with_test(ten[2]), *ten[3:]]
    figure, found = draw(runs, "intervals")[0]["intervals"], compare(runs)
    words = [text for text, _ in texts_of(figure)]
    heading = " ".join(words)
    assert "n = 400" in heading and f"{found.smallest_difference:.3f}" in heading
    rows = [judged for entry in found.families for judged in (entry, entry.test) if judged]
    verdicts = [judged.verdict for judged in rows]
    assert [text for text in words if text in verdicts] == verdicts and verdicts[0] == BEST
    [plot] = [axes for axes in figure.axes if axes.get_xlabel() == "Macro-F1"]
    lines = [line for line in plot.lines if line.get_marker() == "None"]
    bars = [tuple(line.get_xdata()) for line in lines if line.get_linewidth() == 2]
    assert bars == [entry.scores["val_f1_macro"][1:3] for entry in found.families]
    points = [line.get_xdata()[0] for line in plot.lines if line.get_marker() != "None"]
    assert {run.best["val_f1_macro"] for run in runs} <= set(points)
    assert "CLIP · 2\u00a0seeds" in words and "seed 43" not in heading
    (test,) = (entry.test for entry in found.families if entry.test)
    value, low, high, _ = test.estimates["val_f1_macro"]
    grey = [line for line in plot.lines if line.get_color() == GREY and line.get_zorder() > 1]
    assert [list(line.get_xdata()) for line in grey] == [[low, high], [value]]
    assert f"test {value:.3f}" in heading and "200 test pairs, measured once" in heading


def test_a_run_that_is_not_comparable_is_marked_and_the_reason_given(ten, draw):
    runs = []
    for run, rate in zip(ten[1:4], (1.0, 2e-5, 2e-5), strict=True):
        protocol = {**run.metrics["protocol"], "lr": rate}
        runs.append(replace(run, metrics={**run.metrics, "protocol": protocol}))
    drawn, _ = draw(runs, "radar", "result_table", "intervals")
    for name in ("radar", "result_table", "intervals"):
        assert f"({NOT_COMPARABLE})".replace(" ", "\xa0") in words_of(drawn[name]), name
    words = words_of(drawn["intervals"])
    assert "lr 1.0 instead of 2e-05" in words and NOT_COMPARABLE in words


def test_common_errors_against_a_case_by_hand_and_scikit_learn():
    """Of ten samples A errs on 0-3, B on 2-5: both on 2 of 10, by chance .4 * .4."""
    from sklearn.metrics import cohen_kappa_score

    wrong = np.zeros((3, 10), bool)
    wrong[0, :4] = wrong[1, 2:6] = True
    together, chance, kappa = both_wrong(wrong)
    assert together[0, 1] == pytest.approx(0.2)
    assert chance[0, 1] == pytest.approx(0.16)
    assert kappa[0, 1] == pytest.approx(cohen_kappa_score(wrong[0], wrong[1]))
    assert kappa[0, 0] == pytest.approx(1)
    assert np.isnan(kappa[2, 2]) and kappa[0, 2] == pytest.approx(0)


def test_confusions_join_the_classes_of_all_runs_by_name(ten):
    first = Predictions(["a", "b"], ["1", "2", "3"], [0, 0, 1], [0, 1, 1], [[1, 0], [0, 1], [0, 1]])
    second = Predictions(["b", "c"], ["1", "2"], [0, 1], [1, 1], [[0, 1], [0, 1]])
    runs = [replace(ten[0], predictions=first), replace(ten[1], predictions=second)]
    classes, matrices = confusions(styles_of(runs))
    assert classes == ["a", "b", "c"]
    assert matrices[0].tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert matrices[1].tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 1]]


def test_the_interval_of_a_share_is_wilsons():
    from scipy.stats import binomtest

    hits, counts = np.array([0, 3, 10, 57]), np.array([5, 7, 10, 100])
    low, high = wilson(hits / counts, counts)
    for place, (k, n) in enumerate(zip(hits.tolist(), counts.tolist(), strict=True)):
        wanted = binomtest(k, n).proportion_ci(0.95, "wilson")
        assert (low[place], high[place]) == pytest.approx((wanted.low, wanted.high), abs=1e-4)


def test_loss_curves_hold_both_losses_and_the_best_epoch(ten, draw):
    figure = draw(ten[:2], "loss_curves")[0]["loss_curves"]
    panel = next(axes for axes in figure.axes if axes.get_xlabel() == "Epoch")
    curves = [line.get_ydata() for line in panel.lines]
    for name in ("train_loss", "val_loss"):
        wanted = [row[name] for row in ten[0].history]
        assert any(np.array_equal(curve, wanted) for curve in curves)
    assert any(list(line.get_xdata()) == [ten[0].best["epoch"]] for line in panel.lines)
    low, high = panel.get_ylim()
    assert all(
        low <= row[name] <= high
        for run in ten[:2]
        for row in run.history
        for name in ("train_loss", "val_loss")
    )


def test_a_run_without_validation_loss_or_with_one_epoch_is_drawn(tmp_path, draw):
    make_run(tmp_path, "short", epochs=1, best=1)
    edit(tmp_path / "short", trainable_params_million=2.0, train_time_sec=0.0)
    [run] = load_runs(tmp_path)
    history = [{**row, "val_loss": None} for row in run.history]
    drawn, _ = draw([replace(run, history=history, best=history[0])], "loss_curves")
    assert "no validation loss" in words_of(drawn["loss_curves"])


def test_the_radar_starts_at_0_unless_runs_lie_close_and_says_so():
    for rows, starts_at_0 in (
        ([[0.62, 0.55, 0.57, 0.53]], True),
        ([[0.6, 0.5], [0.3, 0.2]], True),
        ([[0.81, 0.80], [0.79, 0.78]], False),
    ):
        scale = Scale.of(rows, coarse=False)
        assert (scale.low == 0) == starts_at_0
        assert (", not 0, at the centre" in ENGLISH(scale.phrase())) != starts_at_0
        assert scale.radius(scale.low) == 0 and scale.radius(scale.high) == 1
        assert all(0 < scale.radius(value) <= 1 for row in rows for value in row)


def test_the_best_of_a_column_are_all_comparable_cells_that_read_the_same(ten):
    one, two, three = styles_of(ten[:3])
    odd = replace(one, differs="lr")
    for styles, values, decimals, best, marked in (
        ([one, two, three], [0.51234, 0.51231, 0.4], 4, max, {0, 1}),
        ([one, two], [3.0, 1.0], 1, min, {1}),
        ([odd, two, three], [0.9, 0.5, 0.4], 4, max, {1}),
        ([one], [0.5], 4, max, set()),
        ([one, two], [0.5, 0.5], 4, max, set()),
    ):
        assert Column.of(styles, ["F1"], values, decimals=decimals, best=best).best == marked


def test_a_metric_that_an_old_run_lacks_is_a_gap_a_dash_and_a_note(ten, draw, monkeypatch):
    more = Metric("balanced_acc", "Balanced accuracy", "BAcc", required=False)
    for module in (pictures, radar, table):
        monkeypatch.setattr(module, "METRICS", (*METRICS, more))
    runs = [replace(run, best={**run.best, more.column: 0.3}) for run in ten[:3]]
    runs[1] = replace(runs[1], best={**runs[1].best, more.column: None})
    drawn, (note,) = draw(runs, "radar", "result_table", "per_class")
    assert note.startswith(f"{runs[1].name}: no Balanced acc")
    lines = {line.get_color(): line.get_ydata() for line in drawn["radar"].axes[0].lines}
    for style in styles_of(runs):
        gaps = np.isnan(np.array(lines[style.colour], float)).tolist()
        assert gaps == [False] * 4 + [style.run is runs[1], False]  # closed at the first metric
    for name, figure in drawn.items():
        words = [text for text, _ in texts_of(figure)]
        assert not words or words.count("–") == 1 and words.count("0.3000") == 2, name


def test_wrapped_text_fits_loses_nothing_and_breaks_where_a_reader_expects_it():
    warnings.filterwarnings("ignore", "Glyph")  # a character without one has a width too
    texts = [LONG, CHINESE_NAME * 3, ENGLISH_AND_CHINESE, "многоязычная_модель " * 9, "x" * 200]
    for text, width in itertools.product([*texts, "", "   "], [0.5, INNER]):
        lines = wrap(text, 8.5, width)
        assert all(measure(line, 8.5) <= width for line in lines)
        assert "".join("".join(lines).split()) == "".join(text.split())
    lines = wrap(ENGLISH_AND_CHINESE, 8.5, 1.2)
    assert len(lines) > 5 and not [line for line in lines if line[0] in "，。；：）”"]
    assert not [line for line in lines if line[-1] in "（“"]
    assert wrap("lr 5e-05", 8.5, measure("lr 5e-0", 8.5)) == ["lr", "5e-05"]
    seeds = "BERT · 2\u00a0个种子"
    assert wrap(seeds, 8.5, 0.95 * measure(seeds, 8.5)) == ["BERT", "· 2\u00a0个种子"]

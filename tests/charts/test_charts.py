"""Pictures of runs: what they show, and that every word of theirs can be read."""

import itertools
import re
import warnings
from contextlib import contextmanager
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
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

pytestmark = [
    pytest.mark.filterwarnings("error"),
    # matplotlib 3.8 calls names of pyparsing that its newest release deprecates.
    pytest.mark.filterwarnings(r"ignore:'\w+' .*deprecated - use:DeprecationWarning"),
]

HOSTILE = [
    r"$x_1$ costs $5 \frac{a}{b} \n %s {0}",
    "<script>alert('x')</script> & &amp; <b>",
    "two\nlines\tand \x1b[31mred\x00",
    "שלום עולם مرحبا \u202egnp.exe",
    "half a surrogate \udc80 and 😀",
    "_" * 40,
]


@pytest.fixture(scope="module")
def ten(tmp_path_factory) -> list[Run]:
    folder = tmp_path_factory.mktemp("runs")
    make_runs(folder, 10)
    return load_runs(folder)


@pytest.fixture
def without_a_font():
    """A character without a glyph has a width too."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        yield


@pytest.fixture
def figures(monkeypatch):
    """Pictures of runs before they become PNG, or those of them that are named."""

    def of(runs: list[Run], *names: str, say: Language = ENGLISH) -> dict[str, Figure]:
        if names:
            for charts_of in ("OF_RUNS", "OF_PREDICTIONS"):
                charts = getattr(pictures, charts_of)
                chosen = {name: chart for name, chart in charts.items() if name in names}
                monkeypatch.setattr(pictures, charts_of, chosen)
        monkeypatch.setattr(pictures, "LANGUAGES", (say,))  # no other for the page
        drawn, _ = pictures.draw(runs, compare(runs), say)
        return {name: figure for name, figure in drawn.items() if name.endswith(".png")}

    monkeypatch.setattr(pictures, "png", lambda figure: figure)
    monkeypatch.setattr(pictures, "svg", lambda figure: b"")
    return of


@contextmanager
def drawn_texts():
    """Yield text and box in pixels of every text that is really drawn.

    Ticks outside their axis are not.
    """
    drawn, draw = [], Text.draw

    def watched(self: Text, renderer):
        if self.get_visible() and self.get_text().strip():
            drawn.append((self.get_text(), self.get_window_extent(renderer)))
        return draw(self, renderer)

    Text.draw = watched
    try:
        yield drawn
    finally:
        Text.draw = draw


def texts_of(figure: Figure) -> list[tuple]:
    figure.set_dpi(pictures.DPI)  # text is as wide as in the file
    with drawn_texts() as drawn:
        figure.draw_without_rendering()
    return drawn


def words_of(figure: Figure) -> str:
    return " ".join(text for text, _ in texts_of(figure))


def renamed(run: Run, name: str, classes: list[str] | None = None, known: int = 0) -> Run:
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
    return replace(
        run,
        predictions=Predictions(
            classes, guids, labels.tolist(), predicted.tolist(), shares.tolist()
        ),
    )


def styles_of(runs: list[Run]) -> list[RunStyle]:
    return run_styles(runs, compare(runs), ["DejaVu Sans"], ENGLISH)[0]


LONG = (
    "bert-base-multilingual-uncased_resnet50_concat_"
    "with_a_very_long_name_that_nobody_would_type_twice_"
)
CHINESE_NAME = "中文情感分类模型_多模态融合_门控注意力_"
ENGLISH_AND_CHINESE = "竖条：95% 置信区间（Wilson），围绕 0.5 的数字；见“图”。" * 3
CASES = {
    "one": (1, None, None),
    "five": (5, None, None),
    "ten": (10, None, None),
    "two, long Chinese names, two classes": (2, CHINESE_NAME * 4, ["好", "坏"]),
    "three, 100 letters without a break": (3, "x" * 100, ["是", "否"]),
    "seven, long names, ten classes with long names": (
        7,
        LONG,
        [LONG + str(place) for place in range(10)],
    ),
    "one, thirty classes": (1, "run", [f"c{place}" for place in range(30)]),
}


def chinese_can_be_drawn() -> bool:
    add_new_fonts()
    return CHINESE in pictures._languages(choose_fonts())


in_chinese = pytest.mark.skipif(not chinese_can_be_drawn(), reason="no Chinese font is installed")


@pytest.mark.parametrize(
    ("case", "say"),
    [*((case, ENGLISH) for case in CASES), pytest.param("ten", CHINESE, marks=in_chinese)],
)
def test_every_text_is_on_the_page_and_none_covers_another(ten, figures, case, say):
    count, name, classes = CASES[case]
    runs = (
        ten[:count]
        if name is None
        else [renamed(run, f"{name}{i}", classes) for i, run in enumerate(ten[:count])]
    )
    for picture, figure in figures(runs, say=say).items():
        texts = texts_of(figure)
        wide = figure.get_figwidth() - 2 * MARGIN
        assert texts and (wide >= INNER if picture == "result_table.png" else wide == INNER)
        low, high = (
            np.array([getattr(box, corner) for _, box in texts]) for corner in ("min", "max")
        )
        outside = (low < 0).any(1) | (high > figure.get_size_inches() * figure.dpi).any(1)
        assert not [texts[place][0] for place in np.flatnonzero(outside)], picture
        overlap = (np.minimum(high[:, None], high) - np.maximum(low[:, None], low)).min(
            -1
        )  # (T, T) pixels
        covered = np.argwhere(np.triu(overlap > 2, 1))  # 2 pixels are 1/150 inch
        assert not [(texts[one][0], texts[other][0]) for one, other in covered], picture


@in_chinese
def test_names_of_radars_side_by_side_are_no_one_word(ten, figures):
    texts = texts_of(figures(ten, "radar", say=CHINESE)["radar.png"])
    right = [box for text, box in texts if text == "F1"]
    left = [box for text, box in texts if text == "召回率"]
    gaps = [b.x0 - a.x1 for a in right for b in left if abs(a.y0 - b.y0) < 20 and b.x0 > a.x0]
    assert len(gaps) > 4 and min(gaps) > 0.07 * pictures.DPI


@in_chinese
def test_in_chinese_no_word_of_a_picture_is_english(ten, figures):
    """But names of models, fusions, classes and people."""
    names = "BERT|ResNet|CLIP|BLIP|concat|gated|late|F1|ECE|n|p|Hsu|Wilson|Guo|Cohen's|kappa|"
    names += "negative|neutral|positive|bert-base-chinese|clip_openai|blip|Salesforce|resnet"
    runs = [run for run in ten if "clip" not in run.name][:4]
    tested = [with_test(runs[0]), *runs[1:]]
    for picture, figure in figures(tested, say=CHINESE).items():
        for text, _ in texts_of(figure):
            words = re.findall(r"[A-Za-z][\w'-]*", text)
            assert all(re.match(names, word) for word in words), (picture, text)


def test_without_a_chinese_font_pictures_are_in_english_and_a_line_names_one(
    ten, figures, monkeypatch
):
    monkeypatch.setattr(pictures, "choose_fonts", lambda: ["DejaVu Sans"])
    monkeypatch.setattr(pictures, "add_new_fonts", lambda: False)
    drawn, notes = pictures.draw(ten[:2], compare(ten[:2]), CHINESE)
    assert "Confusion matrices" in words_of(drawn["confusion.png"])
    assert not [name for name in drawn if ".zh." in name]
    assert len(notes) == 1 and "fonts-noto-cjk" in notes[0] and "SimHei" in notes[0]
    assert not pictures.draw(ten[:2], compare(ten[:2]), ENGLISH)[1]


def with_test(run: Run) -> Run:
    """The run, measured on 200 test pairs as well."""
    own = run.predictions
    labels, said, shares = (part[:200] for part in (own.labels, own.predicted, own.probabilities))
    guids = [f"test {place}" for place in range(200)]
    return replace(run, test=Predictions(own.classes, guids, labels, said, shares))


def test_figures_on_test_pairs_are_in_the_forest_plot_and_the_table(ten, figures):
    runs = [with_test(ten[0]), ten[2]]
    drawn, found = figures(runs), compare(runs)
    value, low, high, _ = found.families[0].test.estimates["val_f1_macro"]
    [plot] = [axes for axes in drawn["intervals.png"].axes if axes.get_xlabel() == "Macro-F1"]
    grey = [line for line in plot.lines if line.get_color() == GREY and line.get_zorder() > 1]
    assert [list(line.get_xdata()) for line in grey] == [[low, high], [value]]
    words = words_of(drawn["intervals.png"])
    assert f"test {value:.3f}" in words and "200 test pairs, measured once" in words
    table = [text for text, _ in texts_of(drawn["result_table.png"])]
    assert table.count("Test") == 1 and table.count("–") == 1 and f"{value:.4f}" in table


def test_the_table_is_as_wide_as_its_labels_need(ten, figures):
    runs = [with_test(run) for run in ten if run.seed == 42]
    words = [text for text, _ in texts_of(figures(runs)["result_table.png"])]
    assert {"BERT + ResNet18 · concat", "BERT + ResNet18 · gated", "CLIP"} <= set(words)


def test_hostile_names_are_drawn_letter_for_letter(ten, figures):
    runs = [
        renamed(run, name, ["$a$", "<b>", "\n"]) for run, name in zip(ten, HOSTILE, strict=False)
    ]
    drawn = figures(runs, "result_table", "per_class")
    results, classes = words_of(drawn["result_table.png"]), words_of(drawn["per_class.png"])
    for name in HOSTILE[:2]:
        assert "".join(name.split()) in "".join(results.split())
    assert "two?lines?and ?[31mred?" in results
    assert "$a$" in classes and "<b>" in classes


def test_a_label_of_any_length_is_cut_in_its_middle_and_keeps_its_ends(ten, figures):
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
    unasked = {"ablation.png", "sensitivity.png"}  # without probes and several learning rates
    assert set(figures(runs)) == set(pictures.PICTURES) - unasked


def test_of_more_runs_than_fit_the_best_are_drawn_and_the_caption_counts_them(
    ten, figures, monkeypatch
):
    """The best is CLIP, whose other seed is left out: its row still shows the mean of both."""
    monkeypatch.setattr(pictures, "MOST_RUNS", 1)
    drawn = figures(ten)
    files, notes = pictures.draw(ten, compare(ten), ENGLISH)
    assert "radar.en.svg" in files and not [name for name in files if name.endswith(".zh.svg")]
    assert notes[0] == "the pictures show the best 1 of 10 runs by macro-F1"
    for name, figure in drawn.items():
        assert "the best 1 of 10 runs" in words_of(figure), name
    assert ten[0].name in words_of(drawn["result_table.png"])
    assert ten[2].name not in words_of(drawn["result_table.png"])
    [plot] = [axes for axes in drawn["intervals.png"].axes if axes.get_xlabel() == "Macro-F1"]
    seeds = [line for line in plot.lines if line.get_markersize() == 4]
    assert [line.get_xdata()[0] for line in seeds] == [ten[0].best["val_f1_macro"]]
    assert "CLIP · 2\u00a0seeds" in words_of(drawn["intervals.png"])
    monkeypatch.setattr(pictures, "MOST_RUNS", 10)
    assert not [note for note in pictures.draw(ten, compare(ten), ENGLISH)[1] if "the best" in note]


def test_characters_without_a_font_are_named_and_told_apart(ten, monkeypatch):
    monkeypatch.setattr(pictures, "choose_fonts", lambda: ["DejaVu Sans"])
    monkeypatch.setattr(pictures, "png", lambda figure: figure)
    runs = [renamed(ten[0], "天气"), renamed(ten[1], "模型")]
    figures, notes = pictures.draw(runs, compare(runs), ENGLISH)
    assert [note for note in notes if "模" in note and "气" in note]
    assert {"?? (1)", "?? (2)"} <= {text for text, _ in texts_of(figures["result_table.png"])}


def test_a_font_that_came_after_matplotlibs_list_is_found(ten, figures, monkeypatch, tmp_path):
    """The advice to install one must help those whose matplotlib has run before."""
    manager = font_manager.fontManager
    monkeypatch.setattr(
        manager, "ttflist", [font for font in manager.ttflist if font.name == "DejaVu Sans"]
    )
    path = write_font(tmp_path / "new.ttf", "SimHei", "天气")
    monkeypatch.setattr(
        font_manager, "findSystemFonts", lambda: [str(path), str(tmp_path / "broken.ttf")]
    )
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    figure = figures([renamed(ten[0], "天气")], "result_table")["result_table.png"]
    assert "天气" in [text for text, _ in texts_of(figure)]


def test_a_chinese_font_without_a_bold_face_will_do(ten, figures, monkeypatch, tmp_path, caplog):
    manager, everything = font_manager.fontManager, "".join(CHINESE.texts("charts"))
    only = [font for font in manager.ttflist if font.name == "DejaVu Sans"]
    path = write_font(tmp_path / "new.ttf", "SimHei", "".join(sorted(set(everything))))
    monkeypatch.setattr(manager, "ttflist", only)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(path)])
    figure = figures(ten[:1], "result_table", say=CHINESE)["result_table.png"]
    assert "结果" in [text.get_text() for text in figure.texts]
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


def test_a_run_looks_the_same_in_all_pictures(ten, figures):
    styles = styles_of(ten[:4])
    for name, figure in figures(ten[:4]).items():
        lines = {
            (line.get_color(), line.get_marker()) for axes in figure.axes for line in axes.lines
        }
        assert {(style.colour, style.marker) for style in styles} <= lines, name


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


def test_markers_of_one_colour_are_told_apart(ten):
    """In params_time.png a run has no line. Two kinds of polygon would both look like a circle."""
    runs = [renamed(ten[i % 10], f"run{i}") for i in range(pictures.MOST_RUNS)]
    styles, _ = run_styles(runs, compare(runs), choose_fonts(), ENGLISH)

    def drawn(style: RunStyle) -> np.ndarray:
        figure = Figure(figsize=(0.25, 0.25), dpi=pictures.DPI)
        figure.add_axes((0, 0, 1, 1)).plot(0, 0, **style.dot(9))
        figure.axes[0].axis("off")
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].min(-1) < 250

    for first, second in itertools.combinations(styles, 2):
        if first.colour == second.colour:
            one, other = drawn(first), drawn(second)
            assert (one ^ other).sum() > 0.35 * (one | other).sum(), (first.marker, second.marker)


def test_fifty_runs_share_no_style_and_a_page_has_a_limit(ten):
    runs = [
        replace(renamed(ten[place % 10], f"run {place}"), predictions=None) for place in range(50)
    ]
    styles = styles_of(runs)
    assert len({(style.colour, style.marker) for style in styles}) == 50
    assert pictures.png(Figure(figsize=(0.1, 250)))  # 75,000 pixels at the usual resolution


def test_runs_of_an_older_version_are_named_and_only_in_the_pictures_of_all_runs(ten, figures):
    runs = [replace(ten[0], predictions=None), *ten[1:3]]
    drawn, notes = pictures.draw(runs, compare(runs), ENGLISH)
    assert [note for note in notes if note.startswith(f"{ten[0].name}: no predictions.csv")]
    panels = {
        name: len([a for a in figure.axes if a.get_xlabel()])
        for name, figure in drawn.items()
        if name.endswith(".png")
    }
    assert panels["loss_curves.png"] == 3 and panels["confusion.png"] == 2


def test_svg_of_hostile_names_is_well_formed_and_runs_nothing(ten, monkeypatch):
    monkeypatch.setattr(pictures, "png", lambda figure: b"")
    runs = [renamed(run, name) for run, name in zip(ten, HOSTILE, strict=False)]
    drawn, _ = pictures.draw(runs, compare(runs), ENGLISH)
    charts = {name: file for name, file in drawn.items() if name.endswith(".svg")}
    names = {name[:-4] for name in drawn if name.endswith(".png")}
    languages = {name.split(".")[1] for name in charts}
    assert set(charts) == {f"{name}.{code}.svg" for name in names for code in languages}
    assert len(names) >= 9 and "en" in languages
    for chart in charts.values():
        nodes = list(ElementTree.fromstring(chart).iter())
        assert not [node for node in nodes if node.tag.endswith(("script", "foreignObject"))]
        assert not [name for node in nodes for name in node.attrib if name.startswith("on")]


def test_without_predictions_only_the_pictures_of_histories_are_drawn(ten, figures):
    runs = [replace(run, predictions=None) for run in ten[:3]]
    assert set(figures(runs)) == {
        "radar.png",
        "params_time.png",
        "loss_curves.png",
        "result_table.png",
    }


def test_runs_on_other_pairs_are_kept_out_of_agreement_and_named(ten, figures):
    predictions = ten[1].predictions
    other = replace(ten[1], predictions=replace(predictions, guids=predictions.guids[::-1]))
    drawn, notes = pictures.draw([ten[0], other, ten[2]], compare([ten[0], other, ten[2]]), ENGLISH)
    words = [text for text, _ in texts_of(drawn["agreement.png"])]
    assert "3" not in words and "2" in words
    assert notes == [f"{other.name}: validated on other pairs: not in agreement.png"]


def test_errors_in_common_do_not_depend_on_the_order_of_the_pairs(ten, figures):
    predictions, order = ten[1].predictions, np.random.default_rng(0).permutation(400)
    columns = ("guids", "labels", "predicted", "probabilities")
    mixed = {name: [getattr(predictions, name)[place] for place in order] for name in columns}
    runs = [ten[0], replace(ten[1], predictions=replace(predictions, **mixed))]
    drawn, notes = pictures.draw(runs, compare(runs), ENGLISH)
    same = figures(ten[:2])["agreement.png"]
    assert notes == []
    assert words_of(drawn["agreement.png"]) == words_of(same)


def test_no_numbers_are_explained_where_only_colours_are_drawn(ten, figures):
    """Nor do the numbers of thirty runs stand so close that they read as one."""
    runs = [renamed(ten[i % 10], f"run{i}") for i in range(pictures.MOST_RUNS)]
    figure = figures(runs, "radar")["agreement.png"]
    texts = texts_of(figure)
    assert "Colours: Cohen's kappa" in words_of(figure) and "brackets" not in words_of(figure)
    heads = sorted(
        (box.x0, box.x1) for text, box in texts if text.isdigit() and box.x0 > 2.3 * pictures.DPI
    )
    assert len(heads) == pictures.MOST_RUNS
    gaps = np.array(heads)[1:, 0] - np.array(heads)[:-1, 1]
    assert gaps.min() > 0.02 * pictures.DPI


def test_a_kappa_that_rounds_to_nothing_has_no_sign(ten, figures, monkeypatch):
    nearly = np.full((2, 2), -0.004)
    monkeypatch.setattr(
        "common.charts.agreement.both_wrong", lambda wrong: (nearly + 1,) * 2 + (nearly,)
    )
    words = words_of(figures(ten[:2], "radar")["agreement.png"])
    assert "0.00" in words and "−0.00" not in words


def test_agreement_needs_two_runs(ten, figures):
    drawn, notes = pictures.draw(ten[:1], compare(ten[:1]), ENGLISH)
    assert "agreement.png" not in drawn
    assert [note for note in notes if "agreement.png needs two runs" in note]


def test_intervals_hold_what_the_comparison_says_best_first(ten, figures):
    runs = [run for run in ten if run.seed == 42][:5]
    figure = figures(runs, "none")["intervals.png"]
    found = compare(runs)
    words = [text for text, _ in texts_of(figure)]
    heading = " ".join(words)
    assert (
        "n = 400" in heading and f"{found.smallest_difference:.3f}" in heading and "95%" in heading
    )
    verdicts = {entry.verdict for entry in found.runs}
    rows = [text for text in words if text in verdicts]
    assert rows == [entry.verdict for entry in found.runs] and rows[0] == BEST
    [plot] = [axes for axes in figure.axes if axes.get_xlabel() == "Macro-F1"]
    bars = [
        tuple(line.get_xdata())
        for line in plot.lines
        if line.get_marker() == "None" and line.get_linewidth() == 2
    ]
    assert bars == [entry.scores["val_f1_macro"][1:3] for entry in found.runs]
    points = [line.get_xdata()[0] for line in plot.lines if line.get_marker() != "None"]
    assert points == sorted(points, reverse=True) and len(points) == 5


def test_seeds_of_one_model_share_a_row_and_each_is_shown(ten, figures):
    runs = [run for run in ten if run.name.startswith("clip")]
    figure = figures([*runs, ten[2]], "none")["intervals.png"]
    [plot] = [axes for axes in figure.axes if axes.get_xlabel() == "Macro-F1"]
    points = [line.get_xdata()[0] for line in plot.lines if line.get_marker() != "None"]
    assert {run.best["val_f1_macro"] for run in runs} <= set(points) and len(points) == 4
    words = [text for text, _ in texts_of(figure)]
    assert "CLIP · 2\u00a0seeds" in words and not [text for text in words if "seed 43" in text]


def test_a_run_that_is_not_comparable_is_marked_everywhere_and_the_reason_given(ten, figures):
    odd = replace(
        ten[1], metrics={**ten[1].metrics, "protocol": {**ten[1].metrics["protocol"], "lr": 1.0}}
    )
    others = [
        replace(run, metrics={**run.metrics, "protocol": {**run.metrics["protocol"], "lr": 2e-5}})
        for run in ten[2:4]
    ]
    for name, figure in figures([odd, *others]).items():
        assert f"({NOT_COMPARABLE})".replace(" ", "\xa0") in words_of(figure), name
    words = words_of(figures([odd, *others], "none")["intervals.png"])
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


def test_loss_curves_hold_both_losses_and_the_best_epoch(ten, figures):
    figure = figures(ten[:2], "loss_curves")["loss_curves.png"]
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


@pytest.mark.parametrize(("factor", "least"), [(1e7, 0), (1e-5, 0.6931)])
def test_no_common_factor_of_the_losses_stands_in_the_label_of_a_panel(ten, figures, factor, least):
    losses = ("train_loss", "val_loss")
    run = ten[0]
    history = [
        {**row, **{name: least + factor * row[name] for name in losses}} for row in run.history
    ]
    best = history[run.history.index(run.best)]
    figure = figures([replace(run, history=history, best=best)], "loss_curves")["loss_curves.png"]
    figure.draw_without_rendering()
    assert {axes.yaxis.get_offset_text().get_text() for axes in figure.axes} == {""}


def test_a_run_without_validation_loss_or_with_one_epoch_is_drawn(tmp_path, figures):
    make_run(tmp_path, "short", epochs=1, best=1)
    edit(tmp_path / "short", trainable_params_million=2.0, train_time_sec=0.0)
    [run] = load_runs(tmp_path)
    history = [{**row, "val_loss": None} for row in run.history]
    figure = figures([replace(run, history=history, best=history[0])], "loss_curves")[
        "loss_curves.png"
    ]
    assert any("no validation loss" in text for text, _ in texts_of(figure))


def test_the_radar_says_its_scale_and_starts_at_0_unless_runs_lie_close():
    assert _said(Scale.of([[0.62, 0.55, 0.57, 0.53]], coarse=False)).startswith("0 at the centre")
    assert _said(Scale.of([[0.6, 0.5], [0.3, 0.2]], coarse=False)).startswith(
        "0 at the centre, 0.60 at the rim"
    )
    close = Scale.of([[0.81, 0.80], [0.79, 0.78]], coarse=False)
    assert ", not 0, at the centre" in _said(close)
    assert (
        close.radius(close.low) == 0
        and close.radius(close.high) == 1
        and 0 < close.radius(0.78) < 1
    )


def _said(scale: Scale) -> str:
    return ENGLISH(scale.phrase())


def test_the_best_of_a_column_are_all_comparable_cells_that_read_the_same(ten):
    one, two, three = styles_of(ten[:3])
    assert Column.of(
        [one, two, three], ["F1"], [0.51234, 0.51231, 0.4], decimals=4, best=max
    ).best == {0, 1}
    assert Column.of([one, two], ["Time"], [3.0, 1.0], decimals=1, best=min).best == {1}
    assert Column.of(
        [replace(one, differs="lr"), two, three], ["F1"], [0.9, 0.5, 0.4], decimals=4, best=max
    ).best == {1}
    assert Column.of([one], ["F1"], [0.5], decimals=4, best=max).best == set()
    assert Column.of([one, two], ["F1"], [0.5, 0.5], decimals=4, best=max).best == set()


MORE_METRICS = (
    Metric("balanced_acc", "Balanced accuracy", "BAcc", required=False),
    Metric("mcc", "Matthews correlation", "MCC", required=False),
)


@pytest.fixture
def with_metrics(ten, monkeypatch):
    """Runs under so many metrics, of which the second run lacks those that are not required."""

    def of(count: int, runs: int) -> list[Run]:
        metrics = (*METRICS, *MORE_METRICS)[:count]
        for module in (pictures, radar, table):
            monkeypatch.setattr(module, "METRICS", metrics)
        more = {metric.column: 0.3 for metric in MORE_METRICS}
        found = [replace(run, best={**run.best, **more}) for run in ten[:runs]]
        found[1] = replace(found[1], best={**found[1].best, **dict.fromkeys(more)})
        return found

    return of


@pytest.mark.parametrize("runs", [3, 9])
@pytest.mark.parametrize("count", [3, 5, 6])
def test_a_radar_has_an_axis_per_metric_and_no_name_covers_another(
    with_metrics, figures, count, runs
):
    figure = figures(with_metrics(count, runs), "radar")["radar.png"]
    texts = [(text, box) for text, box in texts_of(figure) if text != "–"]
    names = {text.replace("\n", " ") for text, _ in texts}
    for metric in (*METRICS, *MORE_METRICS)[:count]:
        assert (metric.title if runs <= 6 else metric.short) in names
    for place, (text, box) in enumerate(texts):
        covered = [other for other, its_box in texts[place + 1 :] if box.overlaps(its_box)]
        assert not covered, text


def test_a_metric_that_an_old_run_lacks_is_a_gap_a_dash_and_a_note(with_metrics, figures):
    runs = with_metrics(5, 3)
    drawn, notes = pictures.draw(runs, compare(runs), ENGLISH)
    assert [note for note in notes if note.startswith(f"{runs[1].name}: no Balanced acc")]
    assert len(notes) == 1
    lines = {line.get_color(): line.get_ydata() for line in drawn["radar.png"].axes[0].lines}
    for style in styles_of(runs):
        gaps = np.isnan(np.array(lines[style.colour], float)).tolist()
        assert gaps == [False] * 4 + [style.run is runs[1], False]  # closed at the first metric
    for name in ("radar.png", "result_table.png", "per_class.png"):
        words = [text for text, _ in texts_of(drawn[name])]
        assert words.count("–") == 1 and words.count("0.3000") == 2, name


def test_the_four_metrics_are_accuracy_up_then_clockwise(ten, figures):
    figure = figures(ten[:1], "radar")["radar.png"]
    places = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    directions = {"Accuracy": (0, 1), "Macro-F1": (1, 0), "Macro precision": (0, -1)}
    for name, direction in {**directions, "Macro\nrecall": (-1, 0)}.items():
        assert np.array(places[name]) / 1.04 == pytest.approx(direction, abs=1e-9)


@pytest.mark.usefixtures("without_a_font")
def test_chinese_is_broken_between_characters_but_not_before_a_mark():
    lines = wrap(ENGLISH_AND_CHINESE, 8.5, 1.2)
    assert len(lines) > 5 and not [line for line in lines if line[0] in "，。；：）”"]
    assert not [line for line in lines if line[-1] in "（“"]
    assert wrap("lr 5e-05", 8.5, measure("lr 5e-0", 8.5)) == ["lr", "5e-05"]
    seeds = "BERT · 2\u00a0个种子"
    almost = 0.95 * measure(seeds, 8.5)
    assert wrap(seeds, 8.5, almost) == ["BERT", "· 2\u00a0个种子"]


@pytest.mark.usefixtures("without_a_font")
@pytest.mark.parametrize(
    "text",
    [
        LONG,
        CHINESE_NAME * 3,
        ENGLISH_AND_CHINESE,
        "многоязычная_модель " * 9,
        "x" * 200,
        "BERT + ResNet18 · concat",
        "",
        "   ",
    ],
)
@pytest.mark.parametrize("width", [0.5, 1.7, INNER])
def test_wrapped_text_fits_and_loses_nothing(text, width):
    lines = wrap(text, 8.5, width)
    assert all(measure(line, 8.5) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())

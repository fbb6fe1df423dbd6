"""Drawing runs. Runs in, PNG bytes out.

Every picture is laid out in inches on a page 7.5 wide, so that text keeps its size in print however many runs there
are: a chart on top, and below it a table of the same runs that is also its key. A run has one colour, marker and
dash in all pictures. Text is measured before it is placed, so nothing is clipped and nothing overlaps.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import matplotlib.style
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon, Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from .labels import run_labels, tell_apart
from .results import METRICS, Run

WIDTH = 7.5  # inches
MARGIN = 0.2
DPI = 300
INK, GREY, PALE = "#222222", "#666666", "#d9d9d9"
BEST = "#e9e9e9"
BOLD = {"weight": "bold", "family": "DejaVu Sans"}  # numbers and our own words only: few Chinese fonts have a bold face
# Okabe and Ito's colours without their yellow, which print loses, and three of Tol's: all told apart by the
# colour-blind. Their number shares no factor with that of the markers or dashes, so no pair of runs looks alike.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222", "#882255", "#332288", "#999933")
MARKERS = ("o", "s", "^", "D", "v", "<", ">", "p", "d", "h", "8")
DASHES = (
    (0, ()),
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (9, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (2, 2)),
)
CHINESE_FONTS = (
    "Noto Sans CJK", "Noto Sans SC", "Source Han Sans", "Microsoft YaHei", "PingFang", "Hiragino Sans GB", "SimHei",
    "Heiti", "STHeiti", "WenQuanYi", "Droid Sans Fallback", "SimSun", "Arial Unicode MS",
)  # fmt: skip
NAME_ROOM = 0.26  # inches between a radar and what stands above or below it
METRIC_NAMES = ("Accuracy", "Macro-F1", "Macro precision", "Macro recall")


@dataclass(frozen=True)
class Look:
    """How a run is drawn in all pictures."""

    run: Run
    label: str
    name: str  # the run folder's, as far as there is a font for it
    colour: str
    marker: str
    dash: tuple


def draw(runs: list[Run]) -> tuple[dict[str, bytes], str]:
    """All pictures of these runs, by file name, and the characters that no installed font could draw."""
    families = font_families()
    texts = run_labels(runs), [run.name for run in runs]
    missing = "".join(sorted({c for text in sum(texts, []) for c in text} - glyphs(families)))
    labels, names = (
        tell_apart([re.sub(f"[{re.escape(missing)}]", "?", t) if missing else t for t in ts]) for ts in texts
    )
    looks = [
        Look(run, label, name, COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)])
        for i, (run, label, name) in enumerate(zip(runs, labels, names))
    ]
    # No mathtext: a name with two dollar signs is no formula.
    ours = {"font.family": families, "text.parse_math": False, "axes.unicode_minus": False, "font.size": 8.5}
    ours |= {f"{thing}.color": INK for thing in ("text", "xtick", "ytick")} | {"axes.labelcolor": INK}
    ours |= {"axes.edgecolor": GREY, "axes.linewidth": 0.8, "grid.color": PALE, "grid.linewidth": 0.6}
    with matplotlib.style.context(["default", ours]):
        measure.cache_clear()
        return {f"{name}.png": png(picture(looks)) for name, picture in PICTURES.items()}, missing


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


# --- fonts and text -------------------------------------------------------------------------------------------------


def font_families() -> list[str]:
    """DejaVu Sans, which comes with matplotlib, and behind it the first Chinese font that is installed."""
    installed = sorted({font.name for font in font_manager.fontManager.ttflist})
    chinese = [name for wanted in CHINESE_FONTS for name in installed if name.startswith(wanted)]
    return ["DejaVu Sans", *chinese[:1]]


def glyphs(families: list[str]) -> set[str]:
    """The characters that these fonts can draw."""
    fonts = (font_manager.get_font(font_manager.findfont(family)) for family in families)
    return {chr(code) for font in fonts for code in font.get_charmap()}


_RULER = FigureCanvasAgg(Figure(figsize=(1, 1), dpi=DPI)).get_renderer()


@cache
def measure(text: str, size: float, **style: str) -> float:
    """Width of a line of text in inches."""
    return _RULER.get_text_width_height_descent(text, FontProperties(size=size, **style), False)[0] / DPI


def wrap(text: str, size: float, width: float) -> list[str]:
    """Lines that fit a width in inches, broken after a space, ``_``, ``-`` or ``/``, and within a word if need be."""
    lines = [""]
    for word in re.findall(r"[^\s_/-]*[\s_/-]*", text):
        if lines[-1] and measure((lines[-1] + word).rstrip(), size) > width:
            lines.append("")
        for character in word:
            if lines[-1] and measure((lines[-1] + character).rstrip(), size) > width:
                lines.append("")
            lines[-1] += character
    return [line.strip() for line in lines]


# --- the page -------------------------------------------------------------------------------------------------------


class Page:
    """A figure that is filled from the top down; places are inches from its upper left corner."""

    def __init__(self, title: str, remark: str, height: float):
        self.lines = wrap(remark, 8, WIDTH - 2 * MARGIN)
        self.top = 0.45 + 0.15 * len(self.lines) + 0.12
        self.height = self.top + height + MARGIN
        self.figure = Figure(figsize=(WIDTH, self.height))
        self.text(MARGIN, 0.33, title, size=11, **BOLD)
        for place, line in enumerate(self.lines):
            self.text(MARGIN, 0.52 + 0.15 * place, line, size=8, color=GREY)

    def text(self, x: float, y: float, text: str, **style) -> None:
        self.figure.text(x / WIDTH, 1 - y / self.height, text, **style)

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes at (x, y) below the heading."""
        bottom = self.height - self.top - y - height
        return self.figure.add_axes((x / WIDTH, bottom / self.height, width / WIDTH, height / self.height))

    def inches(self, x: float, y: float, width: float, height: float) -> Axes:
        """The same without an axis, and with inches from its upper left corner for coordinates."""
        axes = self.axes(x, y, width, height)
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        return axes


@dataclass
class Column:
    """Cells of a table, and which of them are the best."""

    title: list[str]
    cells: list[str]
    best: set[int]

    @classmethod
    def of(cls, title: list[str], values: list[float], decimals: int, best: Callable | None = None) -> Column:
        """The best cells are those that read the same as the best value: a table cannot rank what it does not show."""
        cells = [f"{value:.{decimals}f}" for value in values]
        ranked = best is not None and len(set(cells)) > 1
        first = f"{best(values):.{decimals}f}" if ranked else ""
        return cls(title, cells, {i for i, cell in enumerate(cells) if cell == first})


class Table:
    """Rows of runs: how the run is drawn, its label, perhaps its folder's name, and columns of numbers."""

    LINE, PAD, SWATCH, GAP = 0.16, 0.05, 0.5, 0.2

    def __init__(self, looks: list[Look], columns: list[Column], names: bool = False):
        self.looks, self.columns = looks, columns
        self.widths = [
            max(*(measure(text, 8.5) for text in column.title), *(measure(text, 8.5, **BOLD) for text in column.cells))
            for column in columns
        ]
        room = WIDTH - 2 * MARGIN - self.SWATCH - sum(self.widths) - self.GAP * len(columns)
        self.labels = [wrap(look.label, 8.5, room) for look in looks]
        self.names = [
            wrap(look.name, 7, WIDTH - 2 * MARGIN - self.SWATCH) if names and look.name != look.label else []
            for look in looks
        ]
        self.heights = [
            self.LINE * (len(label) + 0.85 * len(name)) + 2 * self.PAD for label, name in zip(self.labels, self.names)
        ]
        self.head = self.LINE * max(len(column.title) for column in columns) + 2 * self.PAD
        self.height = self.head + sum(self.heights) + 0.05

    def draw(self, page: Page, y: float) -> None:
        axes = page.inches(MARGIN, y, WIDTH - 2 * MARGIN, self.height)
        right = WIDTH - 2 * MARGIN
        rights = [
            right - sum(self.widths[i + 1 :]) - self.GAP * (len(self.widths) - 1 - i) - 0.06
            for i in range(len(self.widths))
        ]
        for x, column in zip(rights, self.columns):
            for up, text in enumerate(reversed(column.title)):
                axes.text(x, self.head - self.PAD - 0.04 - self.LINE * up, text, ha="right", va="baseline", color=GREY)
        top = self.head
        for rule, strength in ((0.01, 1.0), (top, 0.6), (self.height - 0.03, 1.0)):
            axes.plot((0, right), (rule, rule), color=INK, linewidth=strength)
        for row, (look, height) in enumerate(zip(self.looks, self.heights)):
            self._row(axes, row, look, top, height, rights)
            top += height

    def _row(self, axes: Axes, row: int, look: Look, top: float, height: float, rights: list[float]) -> None:
        y = top + self.PAD + self.LINE / 2  # the middle of the first line
        axes.plot((0.02, 0.2, 0.38), (y, y, y), **line(look), markevery=[1])
        for place, text in enumerate(self.labels[row]):
            axes.text(self.SWATCH, y + self.LINE * place, text, va="center_baseline")
        y_name = y + self.LINE * len(self.labels[row])
        for place, text in enumerate(self.names[row]):
            axes.text(self.SWATCH, y_name + 0.85 * self.LINE * place, text, va="center_baseline", size=7, color=GREY)
        for x, width, column in zip(rights, self.widths, self.columns):
            best = row in column.best
            if best:
                box = (x - width - 0.06, y - 0.1), width + 0.12, 0.2
                axes.add_patch(Rectangle(*box, facecolor=BEST, edgecolor="none"))
            axes.text(x, y, column.cells[row], ha="right", va="center_baseline", **(BOLD if best else {}))


def line(look: Look, size: float = 5.5) -> dict:
    """How a run's line and marker look."""
    return {
        "color": look.colour,
        "linestyle": look.dash,
        "linewidth": 1.5,
        "marker": look.marker,
        "markersize": size,
        "markerfacecolor": "white",
        "markeredgewidth": 1.3,
    }


# --- columns --------------------------------------------------------------------------------------------------------


def values(looks: list[Look], *keys: str) -> list[float]:
    return [look.run.recorded(*keys) for look in looks]


def metric_columns(looks: list[Look]) -> list[Column]:
    titles = (["Accuracy"], ["Macro-F1"], ["Macro", "precision"], ["Macro", "recall"])
    return [Column.of(title, [look.run.best[key] for look in looks], 4, max) for title, key in zip(titles, METRICS)]


def cost_columns(looks: list[Look]) -> list[Column]:
    total, trained = values(looks, "params_million"), values(looks, "trainable_params_million")
    unit, seconds = time_unit(looks)
    times = [value / seconds for value in values(looks, "train_time_sec")]
    columns = [Column.of(["Params", "(M)"], total, decimals(total), min)]
    if any(abs(a - b) > 1e-6 for a, b in zip(total, trained)):
        columns.append(Column.of(["Trained", "(M)"], trained, decimals(total)))
    return [*columns, Column.of(["Time", f"({unit})"], times, decimals(times), min)]


def decimals(numbers: list[float]) -> int:
    """As many as the smallest of a column needs, one or two."""
    return 1 if min(numbers) >= 1 else 2


def time_unit(looks: list[Look]) -> tuple[str, float]:
    """The unit that suits the longest run, and its seconds."""
    longest = max(values(looks, "train_time_sec"))
    return ("s", 1.0) if longest < 180 else ("min", 60.0) if longest < 180 * 60 else ("h", 3600.0)


def remark_on_best(looks: list[Look]) -> str:
    """Where the numbers come from."""
    counts = {look.run.recorded("samples", "val") for look in looks}
    samples = f"on {counts.pop()} validation samples" if len(counts) == 1 and None not in counts else "on validation"
    return f"Measured {samples}, at the epoch with the highest macro-F1."


# --- radar ----------------------------------------------------------------------------------------------------------


def radar(looks: list[Look]) -> Figure:
    """Up to six runs in one radar; more of them side by side, each before all others in grey."""
    shapes = [[look.run.best[key] for key in METRICS] for look in looks]
    together = len(looks) <= 6
    scale = Scale.of([value for shape in shapes for value in shape], coarse=not together)
    table = Table(looks, metric_columns(looks))
    across, radius = (1, 1.75) if together else (4, 0.62)
    pitch_x = (WIDTH - 2 * MARGIN) / across
    titles = [[]] if together else [wrap(look.label, 7.5, pitch_x - 0.15) for look in looks]
    title_height = 0.14 * max(map(len, titles))
    pitch_y = title_height + 2 * (radius + NAME_ROOM)
    chart = math.ceil(len(titles) / across) * pitch_y
    remark = f"All four axes share one scale: {scale}. {remark_on_best(looks)}"
    page = Page("Validation metrics", remark, chart + 0.15 + table.height)
    if together:
        axes = radar_axes(page, MARGIN, 0, pitch_x, radius, scale, METRIC_NAMES, 8.5)
        radar_ruler(axes, scale)
        for look, shape in zip(looks, shapes):
            radar_line(axes, shape, scale, **line(look))
    else:
        for place, (look, shape, title) in enumerate(zip(looks, shapes, titles)):
            x, y = MARGIN + place % across * pitch_x, place // across * pitch_y
            head = page.inches(x, y, pitch_x, title_height)
            head.text(pitch_x / 2, title_height, "\n".join(title), ha="center", va="bottom", size=7.5)
            axes = radar_axes(page, x, y + title_height, pitch_x, radius, scale, ("Acc", "F1", "Prec", "Rec"), 7)
            for other in shapes:
                radar_line(axes, other, scale, color="#b5b5b5", linewidth=0.6)
            radar_line(axes, shape, scale, **line(look, 4))
    table.draw(page, chart + 0.15)
    return page.figure


@dataclass(frozen=True)
class Scale:
    """What the centre, the rim and the rings of a radar stand for, on every one of its axes."""

    low: float
    high: float
    step: float

    @classmethod
    def of(cls, numbers: list[float], coarse: bool) -> Scale:
        """From 0, unless all values lie so close that no difference would be seen."""
        least, most = min(numbers), max(numbers)
        spread = most - least
        if least == most or spread > 0.4 * most:
            return cls(0.0, max(0.2, math.ceil(most * 10 - 1e-9) / 10), 0.2 if coarse else 0.1)
        step = 0.1 if spread > 0.12 else 0.05 if spread > 0.04 else 0.02
        low = max(0, math.floor((least - spread / 4) / step + 1e-9)) * step
        return cls(low, math.ceil(most / step - 1e-9) * step, step)

    def __str__(self) -> str:
        centre = "0 at the centre" if self.low == 0 else f"{self.low:.2f}, not 0, at the centre"
        return f"{centre}, {self.high:.2f} at the rim, a ring every {self.step:.2f}"

    def radius(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)

    def rings(self) -> list[float]:
        """Their values, from the centre to the rim."""
        count = math.ceil((self.high - self.low) / self.step - 1e-9)
        return [*(self.low + self.step * i for i in range(count)), self.high]


def radar_point(axis: int, radius: float) -> tuple[float, float]:
    """Accuracy up, then clockwise."""
    return (0, radius, 0, -radius)[axis], (radius, 0, -radius, 0)[axis]


def radar_axes(page: Page, x: float, y: float, width: float, radius: float, scale: Scale, names, size: float) -> Axes:
    """Rings, spokes and the names of the axes, in the middle of a box of this width; its rim is 1 from the centre."""
    height = 2 * (radius + NAME_ROOM)
    axes = page.axes(x, y, width, height)
    far_x, far_y = width / 2 / radius, height / 2 / radius
    axes.set(xlim=(-far_x, far_x), ylim=(-far_y, far_y))
    axes.axis("off")
    for value in scale.rings()[1:]:
        corners = [radar_point(axis, scale.radius(value)) for axis in range(4)]
        edge = GREY if value == scale.high else PALE
        axes.add_patch(Polygon(corners, fill=False, edgecolor=edge, linewidth=0.7))
    places = (("center", "bottom"), ("left", "center"), ("center", "top"), ("right", "center"))
    for axis, (name, (ha, va)) in enumerate(zip(names, places)):
        axes.plot(*zip((0, 0), radar_point(axis, 1)), color=PALE, linewidth=0.7, zorder=1)
        axes.text(
            *radar_point(axis, 1 + 0.07 / radius),
            name.replace(" ", "\n") if axis % 2 else name,
            ha=ha,
            va=va,
            size=size,
        )
    return axes


def radar_ruler(axes: Axes, scale: Scale) -> None:
    """The scale of the upward axis, beside the rings, where no line crosses it."""
    axes.plot((-1, -1), (0, 1), color=GREY, linewidth=0.7)
    for value in scale.rings():
        y = scale.radius(value)
        axes.plot((-1.02, -1), (y, y), color=GREY, linewidth=0.7)
        if y > 0:  # at the centre stands the name of the leftward axis; the heading has the number
            axes.text(-1.035, y, f"{value:.2f}", ha="right", va="center", size=7.5, color=GREY)


def radar_line(axes: Axes, shape: list[float], scale: Scale, **style) -> None:
    points = [radar_point(axis, scale.radius(value)) for axis, value in enumerate(shape)]
    axes.plot(*zip(*points, points[0]), **style)


# --- parameters and time --------------------------------------------------------------------------------------------


def params_time(looks: list[Look]) -> Figure:
    """What a run costs, and what its time buys."""
    unit, seconds = time_unit(looks)
    params = values(looks, "params_million")
    times = [value / seconds for value in values(looks, "train_time_sec")]
    f1 = [look.run.best["val_f1_macro"] for look in looks]
    table = Table(looks, [*cost_columns(looks), Column.of(["Macro-F1"], f1, 4, max)])
    page = Page("Parameters, training time and macro-F1", remark_on_best(looks), 3.35 + table.height)
    side = 2.95
    left, right = (page.axes(x, 0.05, side, 2.75) for x in (MARGIN + 0.45, WIDTH - MARGIN - side - 0.05))
    scatter(left, looks, params, times)
    scatter(right, looks, times, f1)
    scale_axis(left, "x", params, "Parameters (million)")
    scale_axis(left, "y", times, f"Training time ({unit})")
    scale_axis(right, "x", times, f"Training time ({unit})")
    around = max(0.05, 0.15 * (max(f1) - min(f1)))
    right.set(ylabel="Macro-F1", ylim=(max(0, min(f1) - around), min(1.02, max(f1) + around)))
    table.draw(page, 3.35)
    return page.figure


def scatter(axes: Axes, looks: list[Look], x: list[float], y: list[float]) -> None:
    """Hollow markers, so that runs of the same cost show through each other."""
    for look, *point in zip(looks, x, y):
        axes.plot(
            *point,
            look.marker,
            markersize=9,
            color=look.colour,
            markerfacecolor="none",
            markeredgewidth=1.7,
            clip_on=False,
        )
    axes.grid(True)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def scale_axis(axes: Axes, which: str, numbers: list[float], name: str) -> None:
    """From 0, or logarithmic and saying so where the values span a wide range."""
    least, most = min(numbers), max(numbers)
    axis = getattr(axes, f"{which}axis")
    if least > 0 and most > 5 * least:
        getattr(axes, f"set_{which}scale")("log")
        getattr(axes, f"set_{which}lim")(least / 1.5, most * 1.5)
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if most < 200 * least else (1,)))
        axis.set_minor_formatter(FuncFormatter(lambda value, place: ""))
        name += ", log scale"
    else:
        getattr(axes, f"set_{which}lim")(0, most * 1.15 or 1)
        axis.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)))
    axis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    axis.set_label_text(name)


# --- loss curves ----------------------------------------------------------------------------------------------------


def loss_curves(looks: list[Look]) -> Figure:
    """One panel per run, all on the same axes."""
    across = min(3, len(looks))
    down = math.ceil(len(looks) / across)
    left = 0.5
    room = (WIDTH - 2 * MARGIN - left) / across
    width, height = room - 0.15, 1.55 if across > 1 else 2.8
    titles = [wrap(look.label, 8.5, width) for look in looks]
    title_height = 0.15 * max(map(len, titles)) + 0.06
    pitch = title_height + height + 0.32
    remark = ("All panels share their axes. " if across > 1 else "") + (
        "" if has_val_loss(looks) else "Some runs have no validation loss. "
    )
    page = Page(
        "Training and validation loss",
        remark + "The best epoch has the highest validation macro-F1.",
        down * pitch + 0.4,
    )
    key(page, 0)
    losses = [row[name] for look in looks for row in look.run.history for name in ("train_loss", "val_loss")]
    known = [loss for loss in losses if loss is not None]
    around = 0.08 * (max(known) - min(known)) or 0.1
    limits = max(0.0, min(known) - around), max(known) + around
    last = max(len(look.run.history) for look in looks)
    for place, (look, title) in enumerate(zip(looks, titles)):
        x, y = MARGIN + left + place % across * room, 0.25 + place // across * pitch + title_height
        axes = page.axes(x, y, width, height)
        axes.set_title("\n".join(title), size=8.5, loc="left", pad=4, linespacing=1.15)
        axes.set(xlim=(1 - 0.06 * last, last + 0.06 * last), ylim=limits)
        loss_lines(axes, look)
        axes.tick_params(labelleft=place % across == 0)
        if place % across == 0:
            axes.set_ylabel("Loss")
        if place + across >= len(looks):
            axes.set_xlabel("Epoch")
    return page.figure


def has_val_loss(looks: list[Look]) -> bool:
    return all(row["val_loss"] is not None for look in looks for row in look.run.history)


def loss_lines(axes: Axes, look: Look) -> None:
    epochs = [row["epoch"] for row in look.run.history]
    for name, style in LOSS_STYLES.items():
        losses = [math.nan if row[name] is None else row[name] for row in look.run.history]
        axes.plot(epochs, losses, color=look.colour, **style)
    best = look.run.best
    axes.axvline(best["epoch"], color=GREY, linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=1)
    loss = best["train_loss"] if best["val_loss"] is None else best["val_loss"]
    axes.plot(best["epoch"], loss, color=look.colour, **BEST_STYLE)
    axes.grid(True)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 2.5, 5, 10)))


LOSS_STYLES = {
    "train_loss": {"linestyle": "-", "linewidth": 1.4, "marker": ".", "markersize": 5},
    "val_loss": {
        "linestyle": (0, (4, 1.5)),
        "linewidth": 1.4,
        "marker": "o",
        "markersize": 4,
        "markerfacecolor": "white",
    },
}
BEST_STYLE = {"linestyle": "none", "marker": "*", "markersize": 11, "markeredgecolor": "white", "markeredgewidth": 0.6}


def key(page: Page, y: float) -> None:
    """What the two lines and the star mean, in one row."""
    names = {"training": LOSS_STYLES["train_loss"], "validation": LOSS_STYLES["val_loss"], "best epoch": BEST_STYLE}
    axes = page.inches(MARGIN, y, WIDTH - 2 * MARGIN, 0.2)
    for place, (name, style) in enumerate(names.items()):
        x = 0.5 + 1.4 * place
        axes.add_line(Line2D((x, x + 0.19, x + 0.38), (0.1,) * 3, color=GREY, **style, markevery=[1]))
        axes.text(x + 0.48, 0.1, name, va="center_baseline")


# --- table ----------------------------------------------------------------------------------------------------------


def result_table(looks: list[Look]) -> Figure:
    """All runs in numbers."""
    epochs = Column(
        ["Best", "epoch"], [f"{look.run.best['epoch']:.0f}/{len(look.run.history)}" for look in looks], set()
    )
    table = Table(looks, [*metric_columns(looks), epochs, *cost_columns(looks)], names=True)
    marked = " Bold on grey: the best of its column." if len(looks) > 1 else ""
    page = Page("Results", remark_on_best(looks) + marked, table.height)
    table.draw(page, 0)
    return page.figure


PICTURES = {"radar": radar, "params_time": params_time, "loss_curves": loss_curves, "result_table": result_table}

"""Runs, their comparison and the charts -> visuals/index.html and the files beside it."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..comparison.compare import Comparison
from ..comparison.wording import conclusion, metric_title
from ..files import write_result
from ..metrics import BESIDE, MAIN
from ..words import LANGUAGES, ROOMS, Language, Phrase, known
from .pairs import PairTable, gather, presets
from .parts import distribute, pair_parts, run_parts, script
from .phrases import both, in_each
from .slices import Slice, accuracies, slices
from .sources import Sources, find_sources, write_thumbnails
from .tables import data_facts, mean, quality_facts, settings

PAGE = "index.html"
FOLDER = "page"  # beside it
_HERE = Path(__file__).parent
_FIRST = "intervals"  # the chart that stands at the top
_MOST_CLASSES = 30  # of a matrix whose cells are links


@dataclass(frozen=True)
class Explorer:
    """All that the page shows of single pairs."""

    table: PairTable
    sources: Sources
    presets: dict[str, np.ndarray]  # (N,) each
    slices: dict[str, np.ndarray]

    @property
    def unknown(self) -> int:
        """The number of pairs whose text and photo are not shown."""
        return sum(key not in self.sources.of_pair for key in self.table.keys)

    @property
    def only_right(self) -> np.ndarray:
        """(R,) on how many pairs a run is the only one that is right."""
        return (self.table.right & self.presets["one_right"]).sum(1)

    @property
    def sets(self) -> dict[str, np.ndarray]:
        return {**self.presets, **self.slices}

    def masks(self) -> np.ndarray:
        """Return the sets of each pair (N,), a bit for each set."""
        masks = np.zeros(len(self.table), int)
        for bit, members in enumerate(self.sets.values()):
            masks |= members.astype(int) << bit
        return masks

    def accuracies(self) -> list[Slice]:
        return [accuracies(self.table, name, members) for name, members in self.slices.items()]


def write_page(
    visuals: Path,
    comparison: Comparison,
    charts: dict[str, bytes],
    project_root: Path,
    say: Language,
) -> Path:
    """Write the page and all that lies beside it; remove what an earlier page has left there.

    Args:
        charts: SVG files by name, ``radar.en.svg``.
        say: the language in which the page opens.

    Raises:
        UserError: a file cannot be written.
    """
    folder = visuals / FOLDER
    table, explorer = gather(comparison), None
    if table:
        sources = find_sources(table.runs, project_root)
        explorer = Explorer(table, sources, presets(table), slices(table, sources))
    # 1. The files beside the page.
    written = set()
    for name, content in charts.items():
        write_result(folder / name, content)
        written.add(folder / name)
    inline, beside = "", []
    if explorer:
        thumbnails = write_thumbnails(explorer.sources, folder / "thumbs")
        written |= {folder / "thumbs" / name for name in thumbnails}
        inline, beside = distribute(map(script, _parts(explorer, thumbnails)))
    # Named by their content: a page that is not replaced after all goes on with its own.
    scripts = []
    for content in map(_utf8, beside):
        scripts.append(f"pairs_{hashlib.sha256(content).hexdigest()[:16]}.js")
        write_result(folder / scripts[-1], content)
        written.add(folder / scripts[-1])
    # 2. The page itself, when all that it names is there.
    html = _render(comparison, explorer, list(charts), inline, scripts, say)
    write_result(visuals / PAGE, _utf8(html))
    # 3. Charts, data and thumbnails of runs that are gone; other files are not the page's.
    for path in chain.from_iterable(map(folder.glob, ("*.svg", "pairs_*.js", "thumbs/*.jpg"))):
        if path not in written:
            with suppress(OSError):  # nothing refers to it
                path.unlink()
    return visuals / PAGE


def _parts(explorer: Explorer, thumbnails: set[str]) -> list[dict]:
    """Return the data of the page's script, what all of it needs first."""
    table = explorer.table
    head = {
        "classes": table.classes,
        "presets": {name: int(members.sum()) for name, members in explorer.presets.items()},
        "sets": list(explorer.sets),
        "slices": list(explorer.slices),
    }
    pairs = pair_parts(table, explorer.sources, thumbnails, explorer.masks())
    return [head, *run_parts(table), *pairs]


def _render(
    comparison: Comparison,
    explorer: Explorer | None,
    charts: list[str],
    inline: str,
    scripts: list[str],
    say: Language,
) -> str:
    files: dict[str, dict[str, str]] = {}  # by name and language
    for chart in charts:
        name, code, _ = chart.split(".")
        files.setdefault(name, {})[code] = chart
    runs = [entry.runs[0] for entry in comparison.runs]
    return (
        _environment()
        .get_template("page.html")
        .render(
            style=_own_text("page.css"),
            behaviour=_own_text("page.js"),
            phrases=Markup(script({"phrases": ROOMS["page"]})),
            data=Markup(inline),
            scripts=[f"{FOLDER}/{name}" for name in scripts],
            folder=FOLDER,
            say=say,
            sentence=in_each(lambda each: conclusion(comparison, each)),
            comparison=comparison,
            most_classes=_MOST_CLASSES,
            settings=settings(runs),
            facts=data_facts(runs),
            quality=quality_facts(explorer.sources.quality if explorer else []),
            first=_FIRST if _FIRST in files else None,
            charts=[name for name in files if name != _FIRST],
            files=files,
            explorer=explorer,
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"t": both, "known": known, "languages": LANGUAGES, "mean": mean}
    environment.globals |= {"main": MAIN.column, "beside": BESIDE, "title": metric_title}
    environment.filters |= {"figure": _figure, "share": _share, "joined": _joined}
    return environment


def _own_text(name: str) -> Markup:
    return Markup((_HERE / name).read_text(encoding="utf-8"))


def _figure(value: float | None, decimals: int = 3) -> str:
    return "–" if value is None else f"{value:,.{decimals}f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _joined(phrases: list[Phrase]) -> Markup:
    return in_each(lambda say: say.joined(phrases))


def _utf8(text: str) -> bytes:
    """Encode a text in which names of files may hold half a character."""
    return text.encode("utf-8", "backslashreplace")

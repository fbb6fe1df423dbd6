"""Results and pictures -> visuals/index.html and the files beside it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..comparison.decided import KINDS
from ..comparison.results import Results
from ..comparison.view import model_table, number
from ..comparison.wording import NO_DIFFERENCE, conclusion, method, other_groups, outside
from ..files import write_result
from ..words import ROOMS, Language, phrase
from .pairs import PairTable, gather, presets
from .parts import distribute, model_parts, pair_parts, script
from .slices import slices
from .sources import Sources, find_sources, write_thumbnails
from .tables import data_table, decided_table, quality_table, run_table, setting_table, slice_table
from .tiers import tiers

PAGE = "index.html"
FOLDER = "page"  # beside it
_HERE = Path(__file__).parent
_MOST_CLASSES = 30  # of a matrix whose cells are links
_MOST_MATRICES = 6  # the others are shown on demand
_MOST_CONFUSIONS = 5
_TOLD = ("intervals", "result_table", "confusion")  # the page itself tells what these show
_SORTED = {"label": "doubt", "sure": "sure", "disagree": "disagreement"}  # how a preset is shown


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
        return sum(guid not in self.sources.of_pair for guid in self.table.guids)

    @property
    def modalities(self) -> dict[str, str]:
        """The names of the models of ``PairTable.modalities``."""
        return {key: self.table.models[at].name for key, at in self.table.modalities.items()}

    @property
    def sets(self) -> dict[str, np.ndarray]:
        return {**self.presets, **self.slices}

    def masks(self) -> np.ndarray:
        """Return the sets of each pair (N,), a bit for each set."""
        masks = np.zeros(len(self.table), int)
        for bit, members in enumerate(self.sets.values()):
            masks |= members.astype(int) << bit
        return masks

    def filter(self, preset: str) -> dict[str, str]:
        """Return the filter of a preset, which is all of the address."""
        order = {"sort": _SORTED[preset]} if preset in _SORTED else {}
        return {"preset": preset, **order}


def write_page(
    visuals: Path,
    results: Results,
    pictures: dict[str, bytes],
    project_root: Path,
    say: Language,
    looks: dict[str, Any],
    *,
    lists: Collection[Path] = (),
    with_pairs: bool = True,
) -> Path:
    """Write the page and all that lies beside it; remove what an earlier page has left there.

    Args:
        pictures: files by name: ``radar.png``, which lies in ``visuals``, ``radar.svg`` and
            ``radar.pdf``.
        looks: of the models of the first group, see ``charts.styles.looks``.
        lists: folders outside the project whose lists of pairs may be opened.
        with_pairs: show their texts and photos.

    Raises:
        UserError: a file cannot be written.
    """
    folder, group = visuals / FOLDER, results.groups[0]
    table, explorer = gather(group), None
    if table:
        sources = Sources(reasons=[phrase("reason_without_pairs")])
        if with_pairs:
            sources = find_sources(group.runs, [project_root, *lists])
        explorer = Explorer(table, sources, presets(table), slices(table, sources.of_pair))
    # 1. The files beside the page.
    written = set()
    for name, content in pictures.items():
        if not name.endswith(".png"):
            write_result(folder / name, content)
            written.add(folder / name)
    inline, beside = "", []
    if explorer:
        thumbnails = write_thumbnails(explorer.sources, folder / "thumbs")
        written |= {folder / "thumbs" / name for name in thumbnails}
        try:
            root = Path(os.path.relpath(project_root, visuals)).as_posix()
        except ValueError:  # another drive of Windows
            root = project_root.absolute().as_uri()
        head = {"classes": table.classes, "sets": list(explorer.sets), "root": f"{root}/"}
        head |= {"key": table.key, "decided": KINDS}
        pairs = pair_parts(table, sources.of_pair, thumbnails, explorer.masks())
        statements = map(script, [head, *model_parts(table, list(looks)), *pairs])
        inline, beside = distribute(statements)
    # Named by their content: a page that is not replaced after all goes on with its own.
    scripts = []
    for content in map(_utf8, beside):
        scripts.append(f"pairs_{hashlib.sha256(content).hexdigest()[:16]}.js")
        write_result(folder / scripts[-1], content)
        written.add(folder / scripts[-1])
    # 2. The page itself, when all that it names is there.
    html = _render(results, explorer, pictures, looks, inline, scripts, say)
    write_result(visuals / PAGE, _utf8(html))
    # 3. Pictures, data and thumbnails of runs that are gone; other files are not the page's.
    patterns = ("*.svg", "*.pdf", "pairs_*.js", "thumbs/*.jpg")
    for path in chain.from_iterable(map(folder.glob, patterns)):
        if path not in written:
            with suppress(OSError):  # nothing refers to it
                path.unlink()
    return visuals / PAGE


def _render(
    results: Results,
    explorer: Explorer | None,
    pictures: dict[str, bytes],
    looks: dict[str, Any],
    inline: str,
    scripts: list[str],
    say: Language,
) -> str:
    group = results.groups[0]
    everyone = [run for each in results.groups for run in each.runs]
    quality = explorer.sources.quality if explorer else []
    facts = [setting_table(everyone, say), data_table(everyone, say), quality_table(quality, say)]
    found_tiers, axis = tiers(results.table(group))
    return (
        _environment(say)
        .get_template("page.html")
        .render(
            style=_own_text("page.css"),
            behaviour=_own_text("page.js"),
            phrases=Markup(script(dict(zip(ROOMS["script"], say.texts("script"), strict=True)))),
            data=Markup(inline),
            scripts=[f"{FOLDER}/{name}" for name in scripts],
            folder=FOLDER,
            sentences=conclusion(results, say),
            method=method(results, say),
            others=other_groups(results, say),
            outside=outside(results, say),
            results=results,
            group=group,
            looks=looks,
            places={name: place for place, name in enumerate(looks)},
            tiers=found_tiers,
            equal=sum(row.model in group.ranked for row in found_tiers.get(NO_DIFFERENCE, [])),
            axis=axis,
            models=model_table(results, say),
            runs=run_table(results, say),
            decided=decided_table(group, say),
            kinds=KINDS,
            slices=slice_table(explorer.table, explorer.slices, say) if explorer else None,
            facts=[table for table in facts if table.rows],
            told=_TOLD,
            most_classes=_MOST_CLASSES,
            most_matrices=_MOST_MATRICES,
            most_confusions=_MOST_CONFUSIONS,
            svgs={
                name.removesuffix(".svg"): Markup(content.decode("utf-8"))
                for name, content in pictures.items()
                if name.endswith(".svg")
            },
            files=set(pictures),
            explorer=explorer,
        )
    )


def _environment(say: Language) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"t": say}
    environment.filters |= {"figure": lambda value: number(value).text}
    return environment


def _own_text(name: str) -> Markup:
    return Markup((_HERE / name).read_text(encoding="utf-8"))


def _utf8(text: str) -> bytes:
    """Encode a text in which names of files may hold half a character."""
    return text.encode("utf-8", "backslashreplace")

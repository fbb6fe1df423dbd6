"""Results and pictures -> visuals/index.html, which works from the disk and asks no network, and the
files beside it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..comparison.decided import KINDS
from ..comparison.results import Results
from ..comparison.view import model_table, number
from ..comparison.wording import conclusion, method, other_groups, outside
from ..files import write_result
from ..words import ROOMS, Language, phrase
from .pairs import gather, presets, slices
from .parts import model_parts, pair_part, script
from .sources import Sources, find_sources, write_thumbnails
from .tables import (
    data_table,
    decided_table,
    quality_table,
    run_table,
    setting_table,
    slice_table,
    tiers,
)

PAGE = "index.html"
FOLDER = "page"  # beside it
_HERE = Path(__file__).parent
INLINE = 1_000_000  # bytes of data in the page itself


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
    written, inline, beside, explorer = set(), "", "", {}

    def write(name: str, content: bytes) -> None:
        write_result(folder / name, content)
        written.add(folder / name)

    # 1. The files beside the page.
    for name, content in pictures.items():
        if not name.endswith(".png"):
            write(name, content)
    if table := gather(group):
        sources = Sources(reasons=[phrase("reason_without_pairs")])
        if with_pairs:
            sources = find_sources(group.runs, [project_root, *lists])
        thumbnails = write_thumbnails(sources, folder / "thumbs")
        written |= {folder / "thumbs" / name for name in thumbnails}
        sets = {"presets": presets(table), "slices": slices(table, sources.of_pair)}
        modalities = {key: table.models[at].name for key, at in table.modalities.items()}
        explorer = {"table": table, "sources": sources, "modalities": modalities, **sets}
        try:
            root = Path(os.path.relpath(project_root, visuals)).as_posix()
        except ValueError:  # another drive of Windows
            root = project_root.absolute().as_uri()
        members = sets["presets"] | sets["slices"]
        head = {"classes": table.pairs.classes, "sets": list(members), "root": f"{root}/"}
        head |= {"key": table.key, "decided": KINDS}
        pairs = pair_part(table, sources.of_pair, thumbnails, members.values())
        inline = "".join(map(script, [head, *model_parts(table, list(looks)), pairs]))
    if len(content := _utf8(inline)) > INLINE:
        # Named by its content: a page that is not replaced after all goes on with its own.
        beside, inline = f"pairs_{hashlib.sha256(content).hexdigest()[:16]}.js", ""
        write(beside, content)
    # 2. The page itself, when all that it names is there.
    data = {"inline": Markup(inline), "beside": beside, "explorer": explorer}
    html = _rendered(results, pictures, looks, data, say)
    write_result(visuals / PAGE, _utf8(html))
    # 3. Pictures, data and thumbnails of runs that are gone; other files are not the page's.
    patterns = ("*.svg", "*.pdf", "pairs_*.js", "thumbs/*.jpg")
    for path in chain.from_iterable(map(folder.glob, patterns)):
        if path not in written:
            with suppress(OSError):  # nothing refers to it
                path.unlink()
    return visuals / PAGE


def _rendered(
    results: Results,
    pictures: dict[str, bytes],
    looks: dict[str, Any],
    data: dict[str, Any],
    say: Language,
) -> str:
    group, explorer = results.groups[0], data["explorer"]
    everyone = [run for each in results.groups for run in each.runs]
    quality = explorer["sources"].quality if explorer else []
    facts = [setting_table(everyone, say), data_table(everyone, say), quality_table(quality, say)]
    found_tiers, ticks = tiers(results.table(group))
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = lambda value: number(value).text
    return environment.get_template("page.html").render(
        t=say,
        style=_own_text("page.css"),
        behaviour=_own_text("page.js"),
        phrases=Markup(script(dict(zip(ROOMS["script"], say.texts("script"), strict=True)))),
        folder=FOLDER,
        sentences=conclusion(results, say),
        method=method(results, say),
        others=other_groups(results, say),
        outside=outside(results, say),
        group=group,
        looks=looks,
        places={name: place for place, name in enumerate(looks)},
        tiers=found_tiers,
        ticks=ticks,
        models=model_table(results, say),
        runs=run_table(results, say),
        decided=decided_table(group, say),
        kinds=KINDS,
        slices=slice_table(explorer["table"], explorer["slices"], say) if explorer else None,
        facts=[table for table in facts if table.rows],
        pictures=pictures,
        svgs={
            name.removesuffix(".svg"): Markup(content.decode("utf-8"))
            for name, content in pictures.items()
            if name.endswith(".svg")
        },
        **data,
    )


def _own_text(name: str) -> Markup:
    return Markup((_HERE / name).read_text(encoding="utf-8"))


def _utf8(text: str) -> bytes:
    """Encode a text in which names of files may hold half a character."""
    return text.encode("utf-8", "backslashreplace")

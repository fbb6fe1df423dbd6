"""Results and pictures -> the folder report/, whole or not at all."""

from __future__ import annotations

import itertools
import math
import re
import shutil
import uuid
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..comparison.results import Results, spent
from ..comparison.view import F1, model_table
from ..comparison.wording import conclusion, method, other_groups, outside
from ..data.language import suits, usual_tokens
from ..files import cannot_write, listed, move, remove_left_overs
from ..page.pairs import gather
from ..page.sources import Sources, find_sources
from ..page.tables import data_table, quality_table, setting_table
from ..runs.layout import INFERENCE
from ..settings import BASELINES
from ..words import Language, duration, known
from . import facts
from .escaping import ENTRIES, can_be_set, markdown, reference, tex
from .numbers import numbers_tex

_FIGURES = "figures"
_COST = ("params", "trainable", "epochs", "time", "memory", *INFERENCE)
_CITES = {"ablation": "[@hessel2020]", "agreement": "[@cohen1960]"}  # of pictures
_CITES["reliability"] = "[@guo2017; @wilson1927]"


def write_report(
    folder: Path,
    results: Results,
    figures: dict[str, bytes],
    captions: dict[str, str],
    project_root: Path,
    say: Language,
    lists: Collection[Path] = (),
) -> None:
    """Write the report on the first group in place of an earlier one. Other files in its folder stay.

    Args:
        figures: PDF files by their names, such as ``radar.pdf``.
        captions: the method of each, by ``radar``.
        lists: folders outside the project whose lists of pairs may be opened.

    Raises:
        UserError: a file cannot be written; then the folder is as it was.
    """
    group, chinese = results.groups[0], say.code == "zh"
    sources = find_sources(group.runs, [project_root, *lists]) if group.validation else Sources()
    # Names that LaTeX cannot set are "class 1" and "model 2" there.
    classes = group.validation.pairs.classes if group.validation else []
    numbered = {"class_number": classes, "model_number": list(results.table(group)["model"])}
    stand_ins = {
        name: say(key, n=place)
        for key, names in numbered.items()
        for place, name in enumerate(names, 1)
        if not can_be_set(name, chinese)
    }
    content = {**_content(results, captions, sources, say), "stand_ins": stand_ins}
    cited: dict[str, None] = {}
    of_tex = partial(tex, chinese=chinese, stand_ins=stand_ins)
    texts = {
        "report.md": _rendered("markdown.jinja", markdown, content, cited),
        "report.tex": _rendered("latex.jinja", of_tex, content, {}),
        "numbers.tex": numbers_tex(results),
        "references.bib": "\n".join(f"{ENTRIES[key]}\n" for key in cited),
    }
    files = {name: text.encode("utf-8", "backslashreplace") for name, text in texts.items()}
    for name in captions:
        if f"{_FIGURES}/{name}.pdf" in texts["report.tex"]:
            files[f"{_FIGURES}/{name}.pdf"] = figures[f"{name}.pdf"]
    _replace(folder, files)


def _content(
    results: Results, captions: dict[str, str], sources: Sources, say: Language
) -> dict[str, Any]:
    """Return what report.jinja works on, beside the functions of ``facts``."""
    group, models = results.groups[0], model_table(results, say)
    places = {row[0].model: place for place, row in enumerate(models.rows, 1) if row[0].model}
    singles = [m.name for m in group.models if m.runs[0].recorded("model", "fusion") in BASELINES]
    found = [*quality_table(sources.quality, say).rows, *data_table(group.runs, say).rows]
    runs = results.runs[results.runs["run"].isin([run.name for run in group.runs])]
    texts = [source.text for source in sources.of_pair.values()]
    return {
        **vars(facts),
        **{"t": say, "known": known, "listed": listed, "suits": suits, "reference": reference},
        **{"results": results, "captions": captions, "cites": _CITES, "sources": sources},
        "pairs": gather(group),
        "table": results.table(group),
        "numbers": places,
        "singles": facts.picked(models, (F1, "interval"), singles),
        "cost": facts.picked(models, _COST, places),
        "probes": facts.probe_table(group, say),
        "marks": facts.result_table(results, models, say),
        "models": models,
        "conclusion": conclusion(results, say),
        "method": method(results, say),
        "others": [*other_groups(results, say), *outside(results, say)],
        "time": duration(spent(runs).sum(), say),
        "facts": list({row[0].text: row for row in found}.values()),  # what both say, once
        "protocol": setting_table(group.runs, say).rows,
        "usual": usual_tokens(texts) if texts else math.inf,
    }


def _rendered(
    form: str, escape: Callable[..., Markup], content: dict[str, Any], cited: dict[str, None]
) -> str:
    """Fill in the template; ``escape`` is of all that stands in double braces there."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=partial(escape, cited=cited),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    counts = {name: partial(next, itertools.count(1)) for name in ("next_table", "next_figure")}
    environment.globals |= {**content, **counts, "form": form, "cited": cited}
    text = environment.get_template("report.jinja").render()
    return re.sub("\n{3,}", "\n\n", text)


def _replace(folder: Path, files: dict[str, bytes]) -> None:
    """Put a new folder in the place of an earlier one, with the files that are not of the report."""
    remove_left_overs(folder.parent, f".{folder.name}.*.tmp")
    new, old = (folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp") for _ in range(2))
    try:
        if folder.exists():  # what LaTeX or the user has put there stays
            shutil.copytree(folder, new, ignore=shutil.ignore_patterns(_FIGURES))
        for name, content in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_bytes(content)
        if folder.exists():  # Windows moves no folder of which a file is open
            move(folder, old)
        move(new, folder)
    except OSError as error:
        if old.exists():
            move(old, folder)
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)

"""What the template of the report asks for: tables, bad cases, and values of the records."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from ..charts.ablation import KINDS, measured
from ..comparison import wording
from ..comparison.results import Group, Results
from ..comparison.view import Cell, Column, Table, columns_of, numbers, rate, table_of
from ..comparison.wording import metric_short, metric_title
from ..metrics import METRICS
from ..page.pairs import PairTable
from ..page.tables import written
from ..runs.reading import Run, is_number
from ..words import Language, Phrase, phrase
from .numbers import class_f1

MARKS = {  # of verdicts
    **{wording.BEST: "★", wording.NO_DIFFERENCE: "≈", wording.WORSE: "↓", wording.BETTER: "↑"},
    **{wording.NOT_ABOVE: "○", wording.TOO_FEW: "◇", wording.INCOMPLETE: "△"},
    **{wording.NO_PREDICTIONS: "△", wording.NOT_COMPARABLE: "†", wording.NOT_CORRECTED: "‡"},
}
# What the name of a checkpoint, or of an image encoder, cites; the first that fits.
_PAPERS = {
    r"chinese[-_]?clip": "yang2022",
    r"(^|[-_])clip\b": "radford2021",
    r"(^|[-_])blip\b": "li2022",
    r"(^|[-_])roberta\b": "liu2019",
    r"^bert\b": "devlin2019",
    r"^resnet": "he2016",
    r"(^|[-_])dinov2\b": "oquab2024",
    r"(^|[-_])swin[-_]": "liu2021",
    r"(^|[-_])convnext[-_]": "liu2022",
    r"^vit[-_]": "dosovitskiy2021",
    r"^adamw$": "loshchilov2019",
    r"^cosine$": "loshchilov2017",
}
_SETTINGS = (
    *("optimizer", "lr", "encoder_lr", "weight_decay", "schedule", "warmup_ratio", "clip_norm"),
    *("epochs", "patience", "keep_epoch", "effective_batch_size", "loss", "branch_loss"),
    *("class_weights", "max_length", "image_size", "augmentation", "dropout", "modality_dropout"),
    *("precision", "frozen_encoders", "seed"),
)
_MOST_CLASSES = 20  # rows of a table; the pictures have as many
_MOST_CASES = 10


def values(runs: list[Run], *keys: str) -> list[Any]:
    """Return the different values that runs have recorded under these keys, in their order."""
    found = [run.recorded(*keys) for run in runs]
    return list({json.dumps(each): each for each in found if each is not None}.values())


def shown(values: list[Any]) -> str:
    return ", ".join(map(written, values))


def with_paper(name: str) -> str:
    """Return a name with what it cites, if that is known."""
    own = re.split(r"[/\\]", name.rstrip("/\\"))[-1].lower()
    paper = next((key for pattern, key in _PAPERS.items() if re.search(pattern, own)), None)
    return f"{name} [@{paper}]" if paper else name


def settings(runs: list[Run], say: Language) -> list[str]:
    """Say the settings that have a value; a warm-up of 0 is none."""
    parts = []
    for key in _SETTINGS:
        found = [each for each in values(runs, "protocol", key) if each]
        rates = key == "lr" and all(map(is_number, found))
        texts = [rate(each).text if rates else shown([each]) for each in found]
        if found:
            text = ", ".join(map(with_paper, texts))
            parts.append(say(f"set_{key}", value=text, n=len(found)))
    return parts


def readings(group: Group) -> dict[tuple, list[str]]:
    """Return the models by how they read the texts: the share that was cut, tokens per character, the
    share of tokens that are unknown."""
    found = defaultdict(list)
    for model in group.models:
        run = model.runs[0]
        keys = ("truncated_rate", "tokens_per_character", "unknown_rate")
        reads = tuple(run.number(key) for key in keys)
        if None not in reads and run.recorded("model", "fusion") != "image":
            found[reads].append(model.name)
    return found


def picked(
    table: Table, keys: Iterable[str | Phrase], only: Collection[str] | None = None
) -> Table:
    """Return some columns of the table of models, behind the number of each model.

    ``only``: the models that are shown; without it, also the rows that are no models.
    """
    names = table.columns["model"].cells
    rows = [row for row, cell in enumerate(names) if only is None or cell.model in only]
    places = [Cell(f"{row + 1}", row + 1) if names[row].model else Cell("") for row in rows]
    columns = {"#": Column("#", places)}
    for key in ("model", *keys):
        column = table.columns.get(key, Column("", []))
        if any(cell != Cell() for cell in column.cells):  # else nothing is known of it
            columns[key] = column._replace(cells=[column.cells[row] for row in rows])
    return Table("", columns, () if only else table.first)  # bold tells a verdict


def result_table(results: Results, models: Table, say: Language) -> tuple[Table, list[str]]:
    """Return the table of results with marks for the verdicts, and what these mean."""
    frame = results.models[results.models["group"] == results.groups[0].number]
    acc, f1, *others = map(metric_title, METRICS)
    keys = [f1, "interval", "verdict", "p", acc, *others, "sd", "test", "test_interval"]
    columns = picked(models, keys).columns
    columns["verdict"] = Column("", [Cell(MARKS.get(each, "")) for each in frame["verdict"]])
    for metric in METRICS:
        title = metric_title(metric)
        columns[title] = columns[title]._replace(title=say(metric_short(metric)))
    meanings = {f"{MARKS[each]} {say(each)}": None for each in frame["verdict"] if each in MARKS}
    return Table("", columns, models.first), list(meanings)


def class_table(group: Group, numbers_of: dict[str, int], say: Language) -> Table:
    """Return F1 of each class and model, which stands there by its number; of many classes the
    commonest."""
    pairs = group.validation.pairs
    counts = np.bincount(pairs.labels, minlength=len(pairs.classes))  # (C,)
    shown = sorted(np.argsort(-counts, kind="stable")[:_MOST_CLASSES].tolist())
    cells = {"true_class": [Cell(pairs.classes[place]) for place in shown]}
    cells["n"] = numbers(counts[shown], 0)
    for name, place in numbers_of.items():
        f1 = class_f1(group, name)
        if len(f1):
            cells[phrase("as_written", text=f"({place})")] = numbers(f1[shown])
    return table_of("", cells, say)


def probe_table(group: Group, say: Language) -> Table:
    """Return what is left of each probed model without a modality, the mean over its runs."""
    rows = []
    for model in group.models:
        found = measured(model.runs)
        own = [[one[kind] for one in found if kind in one] for kind in KINDS]
        if found:
            rows.append(
                [Cell(model.name), *numbers(np.mean(each) if each else None for each in own)]
            )
    cells = columns_of(("model", *KINDS), rows)
    known = {key: own for key, own in cells.items() if any(cell != Cell() for cell in own)}
    return table_of("", known, say)


def bad_cases(table: PairTable) -> list[dict[str, Any]]:
    """Return the pairs that most models get wrong, those first of which they are surest: the most
    frequent wrong answer, and its mean probability."""
    pairs, told = table.pairs, ~np.isnan(table.shares).any((1, 2))  # (M,) not all imported models
    predicted, sure = table.predicted[told], table.shares[told].max(-1)  # (m, N)
    wrong = predicted != pairs.labels  # (m, N)
    score = np.where(wrong.mean(0) > 0.5, (wrong * sure).mean(0), 0)  # (N,)
    found = []
    for place in np.argsort(-score, kind="stable")[:_MOST_CASES]:
        if score[place]:
            of_pair = wrong[:, place]  # (m,)
            said = np.bincount(predicted[of_pair, place]).argmax()
            case = {"guid": pairs.guids[place], "label": pairs.classes[pairs.labels[place]]}
            case |= {"said": pairs.classes[said], "wrong": int(of_pair.sum()), "models": len(wrong)}
            found.append(case | {"share": float(sure[of_pair, place].mean())})
    return found

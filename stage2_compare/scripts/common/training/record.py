"""Writes the results of a run: metrics.json, history.csv, the predictions, and what lets the folder
travel. Nothing in the folder is code."""

from __future__ import annotations

import importlib.metadata
import io
import os
import platform
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from .. import metrics
from ..data.batches import read_through
from ..data.copies import copy_groups
from ..data.dataset import PairDataset
from ..data.splits import UNLABELLED, Split, fingerprints, to_predict
from ..data.tokens import tokenise
from ..errors import UserError, reason_of
from ..files import cannot_write, is_disk_full, quoted
from ..models.classifier import ImageTextClassifier
from ..models.loading import load_tokenizer, save_encoder
from ..progress import Progress
from ..runs import layout
from ..runs.folder import RunFolder, spreadsheet_bytes, table_bytes
from ..runs.reading import is_complete, is_run_of, read_record
from ..runs.weights import ENCODER_SHA256, read_best
from ..settings import TrainingRun
from .card import model_card
from .device import device_name, peak_memory_mb
from .engine import TrainingResult, evaluate, logit_scores, probabilities
from .features import encode_splits
from .inference import inference_record
from .prepare import PreparedRun
from .probes import probe
from .resume import COMMON, weights_sha256

_PATIENCE = 10  # seconds for git, which may have to read a slow disk
_PACKAGES = ("torch", "torchvision", "transformers", "numpy", "Pillow", "tokenizers")


def write_run(
    run: PreparedRun, folder: RunFolder, model: ImageTextClassifier, result: TrainingResult
) -> None:
    """Write all results of a run into its folder, and finish the folder; the model has its best
    weights."""
    precision, parameters = run.precision, list(model.parameters())
    commit, clean = git_state()
    record = {
        "best_val_f1_macro": result.best_row["val_f1_macro"],
        "epochs": len(result.history),
        "epochs_run": len(result.history),  # the protocol has the planned number
        "train_time_sec": sum(row["train_sec"] + row["val_sec"] for row in result.history),
        # Beside it: of a frozen encoder, once for all epochs. Without one, training reads the pairs.
        "encode_time_sec": run.encode_sec,
        "params_million": sum(p.numel() for p in parameters) / 1e6,
        "trainable_params_million": sum(p.numel() for p in parameters if p.requires_grad) / 1e6,
        "best_epoch": result.best_epoch,
        **_write_validation(run, folder, result),
        **run.identity,
        "out_of_memory": run.halvings,
        "processes": run.processes.count,
        "device": device_name(precision.device),
        "threads": torch.get_num_threads(),
        "peak_memory_mb": peak_memory_mb(precision.device),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _PACKAGES},
        },
        "command": sys.argv,
        "code": {"sha256": run.contents["code_sha256"], "git_commit": commit, "git_clean": clean},
        **_data_record(run),
    }
    if model.frozen:
        record[ENCODER_SHA256] = weights_sha256(model.encoder)
    record |= inference_record(run, model, folder.parent)  # it resets the peak memory
    _write_encoder(run, folder, model)
    _finish(run, folder, model, record)


def is_incomplete(run: PreparedRun, asked: TrainingRun, folder: RunFolder) -> bool:
    """Tell if the run that is ``asked`` for is finished, but lacks what its best.pt can add."""
    images = {name: dataset.images for name, dataset in run.datasets.items()}
    pairs = fingerprints(run.splits, images)
    same = folder.final, asked, pairs, lambda choice: run.checkpoints
    test = to_predict(run.splits, lambda name: images[name].digests)
    whole = is_complete(folder.final, test, asked.probe)
    # One of an earlier version, whose checkpoint lies elsewhere now, is known by its contents alone:
    # it lacks the record of the checkpoint's files.
    if whole and (is_run_of(*same) or not (folder.final / layout.BEST).is_file()):
        return False
    unfinished = (folder.partial / layout.CHECKPOINT).exists()
    return not unfinished and is_run_of(*same, run.contents)


def complete(run: PreparedRun, folder: RunFolder) -> None:
    """Let a finished run predict the test list of now, and probe it if asked. A copy of its folder
    with the answers takes its place."""
    name = folder.final.name
    print(f"{name}: its answers are made, nothing is trained (--restart would)", flush=True)
    folder.clear()  # what a process that was killed has left
    folder.need_space(sum(path.stat().st_size for path in folder.final.rglob("*")) / 1e6)
    earlier = shutil.ignore_patterns(layout.TEST_PREDICTIONS, layout.SUBMISSION)
    shutil.copytree(folder.final, folder.partial, ignore=earlier, dirs_exist_ok=True)
    record = read_record(folder.final / layout.METRICS_JSON)
    record = {key: value for key, value in record.items() if not key.startswith("test_")}
    record["model"] |= run.identity["model"] | {"batch_size": record["model"]["batch_size"]}
    model = run.build()
    state = read_best(folder.final)["model_state"]
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(
            f"{folder.final / layout.BEST} holds the weights of another model: copy the right file "
            "there, or train the run anew (--restart)"
        ) from error
    model.to(run.precision.device)
    if model.frozen:
        run.features, _ = encode_splits(run, model, run.micro)
    _finish(run, folder, model, record | _data_record(run))


def _finish(
    run: PreparedRun, folder: RunFolder, model: ImageTextClassifier, record: dict[str, Any]
) -> None:
    settings = run.settings
    if settings.probe:
        record["probe"], places, parts = probe(run, model)
        guids = [run.splits["val"].guids[place] for place in places]
        cells = parts.transpose(0, 1).flatten(1).numpy().round(6)  # (M, 4 C)
        table = pd.DataFrame(cells, columns=layout.part_columns(run.classes))
        table.insert(0, "guid", guids)
        folder.write(layout.PROJECTION, spreadsheet_bytes(table))
    for name in run.splits.keys() & {"test", UNLABELLED}:
        record |= _write_test(run, folder, model, name)
    folder.write_json(layout.METRICS_JSON, record)
    folder.write(layout.CARD, model_card(settings.name, record).encode("utf-8", "backslashreplace"))
    folder.finish()
    if UNLABELLED in run.splits:
        count = len(run.splits[UNLABELLED])
        print(f"{count:,} test pairs predicted: {folder.final / layout.SUBMISSION}", flush=True)


def _data_record(run: PreparedRun) -> dict[str, Any]:
    """Return what was read and what the tokenizer made of it, for training and validation
    together."""
    root, paths = Path(os.path.abspath(run.settings.paths.project_root)), {}
    for name, split in run.splits.items():
        path = Path(os.path.abspath(split.path))  # however it was typed
        inside = path.is_relative_to(root)
        paths[f"{name}_csv"] = (path.relative_to(root) if inside else path).as_posix()
    if test := to_predict(run.splits, lambda name: run.datasets[name].images.digests):
        paths["test_sha256"] = test[1]
    splits = [run.splits[name] for name in ("train", "val")]
    datasets = [run.datasets[name] for name in ("train", "val")]
    weights = [len(dataset) for dataset in datasets]
    labelled = {name: split for name, split in run.splits.items() if name != UNLABELLED}

    def mean(name: str) -> float:
        return float(np.average([getattr(d.tokens, name) for d in datasets], weights=weights))

    def total(counts: Iterable[dict[str, int]]) -> dict[str, int]:
        return dict(sum(map(Counter, counts), Counter()))

    return {
        "data": {**paths, "text_encoding": run.settings.paths.text_encoding},
        "samples": {name: len(split) for name, split in run.splits.items()},
        "class_counts": {name: dict(Counter(split.labels)) for name, split in labelled.items()},
        "text_encodings": total(split.encodings for split in splits),
        "text_notes": total(split.notes for split in splits),
        "image_notes": total(dataset.images.notes for dataset in datasets),
        "truncated_rate": mean("truncated_rate"),
        "unknown_rate": mean("unknown_rate"),
        "tokens_per_character": mean("per_character"),
        "duplicates": run.duplicates._asdict(),
    }


def _write_test(
    run: PreparedRun, folder: RunFolder, model: ImageTextClassifier, name: str
) -> dict[str, float]:
    """Write what the model says of the test pairs, and return its metrics where they have labels."""
    split, dataset = run.splits[name], run.datasets[name]
    pairs = read_through(run.features.get(name, dataset), run.micro)
    with Progress(desc="predicting test pairs", total=len(split)) as bar:
        logits = evaluate(model.head if run.features else model, pairs, run.precision, bar=bar)
    shares, scores = probabilities(logits), {}
    if name == "test":
        table = _predictions_table(split, dataset, shares, run.classes)
        scores = logit_scores(logits, dataset.labels)
    else:
        table = answers_table(split, shares, run.classes)
        folder.write(layout.SUBMISSION, table_bytes(submission_table(table), split.line_end))
    folder.write(layout.TEST_PREDICTIONS, spreadsheet_bytes(table))
    return {f"test_{key}": value for key, value in scores.items()}


def _write_validation(
    run: PreparedRun, folder: RunFolder, result: TrainingResult
) -> dict[str, Any]:
    """Write the figures and predictions of every epoch, and the predictions of the best one; return
    all metrics of the best and of the last epoch, and those of each class at the best one."""
    split, dataset, classes = run.splits["val"], run.datasets["val"], run.classes
    history = pd.DataFrame(result.history, columns=list(layout.HISTORY_COLUMNS))
    folder.write(layout.HISTORY, table_bytes(history))
    shares = np.stack([probabilities(logits) for logits in result.logits])  # (E, N, C)
    best = shares[result.best_epoch - 1]
    table = _predictions_table(split, dataset, best, classes)
    folder.write(layout.PREDICTIONS, spreadsheet_bytes(table))
    names = np.array(classes, dtype=object)[shares.argmax(2)]  # (E, N)
    epochs = dict(zip(layout.epoch_columns(len(names)), names, strict=True))
    table = pd.DataFrame({"guid": split.guids, "label": split.labels, **epochs})
    folder.write(layout.EPOCH_PREDICTIONS, spreadsheet_bytes(table))
    archive = io.BytesIO()
    np.savez_compressed(archive, **{layout.PROBABILITIES: shares.astype(np.float16)})
    folder.write(layout.EPOCH_PROBABILITIES, archive.getvalue())

    labels, predicted = dataset.labels, best.argmax(1)  # (N,)
    table = pd.DataFrame(metrics.per_class(labels, predicted, len(classes)), index=classes)
    bins, error = metrics.reliability(best.max(1), predicted == labels)
    columns = [*metrics.COLUMNS, "val_loss"]
    return {
        "best": {key: result.best_row[key] for key in columns},
        "last": {key: result.history[-1][key] for key in columns},
        "labels": classes,
        "confusion": metrics.confusion_matrix(labels, predicted, len(classes)).tolist(),
        "per_class": table.to_dict("index"),
        "calibration": {"ece": error, "bins": bins},
    }


def _predictions_table(
    split: Split, dataset: PairDataset, shares: np.ndarray, classes: list[str]
) -> pd.DataFrame:
    """Return predictions.csv: ``answers_table``, the guid of the first copy, and 1 where the text
    was cut."""
    table = answers_table(split, shares, classes)
    groups = [split.guids[first] for first in copy_groups(split, dataset.images)]
    return table.assign(**{layout.GROUP: groups, layout.CUT: dataset.tokens.cut.astype(int)})


def answers_table(split: Split, shares: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Return guid, label where all are known, predicted class and the probability of each class,
    from the probabilities (N, C)."""
    labels = {} if "" in split.labels else {"label": split.labels}
    predicted = np.array(classes, dtype=object)[shares.argmax(1)]
    table = pd.DataFrame({"guid": split.guids, **labels, "pred": predicted})
    columns = pd.DataFrame(shares, columns=layout.probability_columns(classes))
    return pd.concat([table, columns.map("{:.6g}".format)], axis=1)


def submission_table(answers: pd.DataFrame) -> pd.DataFrame:
    """Return guid and predicted class, in the form of the list of labelled pairs."""
    return answers[["guid", "pred"]].set_axis(["guid", "tag"], axis=1)


def _write_encoder(run: PreparedRun, folder: RunFolder, model: ImageTextClassifier) -> None:
    """Write the encoder's files, with which the run is opened anywhere. Keep them only if their
    tokenizer reads the validation texts as the run did; else say so."""
    encoder, path = model.encoder, folder.partial / layout.ENCODER
    shutil.rmtree(path, ignore_errors=True)  # of a process that was killed
    try:
        path.mkdir()
        save_encoder(path, encoder.configs, run.tokenizer, encoder.mean, encoder.std)
        for file in filter(os.path.isfile, path.rglob("*")):
            with open(file, "r+b") as written:
                os.fsync(written.fileno())  # before the run takes its name
        again = tokenise(run.splits["val"].texts, load_tokenizer(str(path)), run.max_length)
        if np.array_equal(again.ids, run.datasets["val"].tokens.ids):
            return
        reason = "a saved copy reads otherwise"
    except Exception as error:  # a foreign tokenizer can fail in any way
        if is_disk_full(error):
            raise cannot_write(path, error) from error
        reason = reason_of(error)
    shutil.rmtree(path)
    print(
        f"warning: the tokenizer of {quoted(run.settings.model.name)} cannot be kept ({reason}): "
        "predict.py will need the checkpoint itself",
        flush=True,
    )


def git_state(folder: Path = COMMON.parents[1]) -> tuple[str | None, bool | None]:
    """Return the commit of the code in a folder, and whether no file there differs from it; None
    where git does not say."""
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder)]
    command += ["status", "--porcelain=v2", "--branch", "--", "."]
    try:
        options = {"capture_output": True, "timeout": _PATIENCE, "check": True}
        told = subprocess.run(command, **options).stdout.decode("utf-8", "replace")
    except (OSError, subprocess.SubprocessError):  # no git, or no repository
        return None, None
    commit = re.search(r"^# branch\.oid (\w+)$", told, re.MULTILINE)  # not "(initial)"
    if not commit:
        return None, None
    return commit[1], all(line.startswith("#") for line in told.splitlines())

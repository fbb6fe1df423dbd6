"""make_splits.py: lists of pairs -> train.csv, val.csv, test.csv and folds, checked and reported."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files import MARK, alone, error_text, move, replacing, write_result
from . import report
from .copies import Keys, keys_of
from .image_store import inspect_images
from .pair_files import Fault, describe
from .quality import QUALITY, quality_json
from .splits import FOLD, UNFINISHED, Split, read_splits
from .splitting import choose_folds, choose_validation, connected_groups

BROKEN = "broken.csv"
_BROKEN_HEADER = b"guid,path,reason\n"
_TABLES = ("train.csv", "val.csv")  # of a split and of a fold
_STAGING = ".make_splits.tmp"  # new tables until all are there, and old ones until all are replaced


@dataclass(frozen=True)
class SplitSettings:
    """The flags of make_splits.py; relative paths start at the project root."""

    project_root: Path
    data_dir: Path | None
    train_file: Path | None
    test_file: Path | None
    val_ratio: float
    folds: int | None
    seed: int
    text_encoding: str
    skip_broken: bool
    output_dir: Path


def make_splits(settings: SplitSettings) -> None:
    """Cut the labelled pairs into training and validation, write the tables and print a report.

    Raises:
        UserError: names file, row and value. Then the tables are as they were.
    """
    root, folder = settings.project_root, settings.project_root / settings.output_dir
    # 1. Read the pairs, and find copies among them.
    lists = _find_lists(settings)
    _check_targets(folder, lists, settings.folds or 0)
    splits, keys, left_out = _read_pairs(settings, lists)
    split, test = splits["labelled"], splits.get("test")
    # 2. Choose the sides. Copies stay together.
    groups = connected_groups(keys["labelled"].near_texts, keys["labelled"].near_photos)
    chosen = {
        "": choose_validation(groups, split.labels, split.guids, settings.val_ratio, settings.seed)
    }
    if settings.folds:
        folds = choose_folds(groups, split.labels, split.guids, settings.folds, settings.seed)
        chosen |= {f"{FOLD}{number}/": fold for number, fold in enumerate(folds, start=1)}
    by_guid = sorted(range(len(split)), key=lambda i: (len(split.guids[i]), split.guids[i]))
    sides = {}
    for place, val in chosen.items():
        sides[f"{place}train"] = [i for i in by_guid if i not in val]
        sides[f"{place}val"] = [i for i in by_guid if i in val]
    # 3. Write the tables and report.
    tables = {f"{side}.csv": _table(split, indices, root) for side, indices in sides.items()}
    if test:
        tables["test.csv"] = _table(test, range(len(test)), root, test.line_end)
    if left_out:
        tables[BROKEN] = _broken_table(left_out)
    facts, lines = report.of_data(splits, keys, sides, groups, left_out)
    tables[QUALITY] = quality_json(tables, facts)
    changed = _write(folder, tables, settings.folds or 0)
    print("\n".join(lines))
    for name in tables:
        print(f"wrote {folder / name}")
    if changed:
        print("warning: the split that was there was another one; do not compare runs made with it")
    old = folder / "test.csv"
    if not test and old.exists():
        print(
            f"warning: {old} is of an earlier split and was left as it is: no test list was found"
        )


# Where the files lie


def _find_lists(settings: SplitSettings) -> dict[str, Path]:
    """Return the list of labelled pairs and, if there is one, that of test pairs."""
    root, data_dir = settings.project_root, settings.data_dir
    if settings.train_file:
        train = root / settings.train_file
    else:
        folders = [root / "data", root / "data/project5", root]
        if data_dir:
            folders = [root / data_dir, (root / data_dir).parent, root]
        train = _first_file([folder / "train.txt" for folder in folders])
    test = train.parent / "test_without_label.txt"
    lists = {"labelled": train}
    if settings.test_file:
        lists["test"] = root / settings.test_file
    elif os.path.isfile(test):
        lists["test"] = test
    for name, path in lists.items():
        print(f"{name} pairs: {path}", flush=True)
    return lists


def _first_file(candidates: list[Path]) -> Path:
    for path in candidates:
        if os.path.isfile(path):  # unlike Path.is_file, it accepts a name that is too long
            return path
    looked = ", ".join(map(str, dict.fromkeys(candidates)))
    raise UserError(
        f"no train.txt found (looked for {looked}); check --project-root, or give --train-file"
    )


def _check_targets(folder: Path, lists: dict[str, Path], folds: int) -> None:
    """Refuse to overwrite one of the lists, or to remove it with an earlier fold."""
    new = [f"{FOLD}{number}/{name}" for number in range(1, folds + 1) for name in _TABLES]
    for name in (*_TABLES, "test.csv", BROKEN, QUALITY, *new, *_later_folds(folder, folds)):
        # realpath also resolves "new/../train.txt", where the folder "new" is still to be made
        if os.path.realpath(folder / name) in map(os.path.realpath, lists.values()):
            raise UserError(
                f"{folder / name} is the list to be split and would be overwritten; "
                "give another --output-dir"
            )


def _later_folds(folder: Path, folds: int) -> list[str]:
    """Return the names of the tables of earlier folds after so many."""
    names = [name.replace(os.sep, "/") for name in glob(f"{FOLD}*/*.csv", root_dir=folder)]
    found = [re.fullmatch(rf"{FOLD}([1-9]\d{{0,8}})/(train|val)\.csv", name) for name in names]
    return sorted(name[0] for name in found if name and int(name[1]) > folds)


# The pairs


def _read_pairs(
    settings: SplitSettings, lists: dict[str, Path]
) -> tuple[dict[str, Split], dict[str, Keys], list[Fault]]:
    """Read all texts and open all photos.

    Returns:
        The pairs that can be used by the name of their list, their keys, and what is left out.

    Raises:
        UserError: files are missing or broken, and --skip-broken is not given. Then ``broken.csv``
            lists them.
    """
    root = settings.project_root
    reading = {
        "csv_paths": {name: path.absolute() for name, path in lists.items()},
        "project_root": root,
        "unlabelled": ("test",),
        "data_dir": settings.data_dir,
        "text_encoding": settings.text_encoding,
    }
    splits, faults = read_splits(**reading)
    paths = dict.fromkeys(path for split in splits.values() for path in split.image_paths)
    opened = [path for path in paths if os.path.isfile(path)]  # the others are faults already
    found = inspect_images(opened, title="Opening pictures")
    reasons = dict(zip(opened, found.faults, strict=True))
    for split in splits.values():
        for place, path in enumerate(split.image_paths):
            if why := reasons.get(path):
                faults.append(Fault(split.path, split.rows[place], split.guids[place], path, why))
    if faults:
        faults.sort(key=lambda fault: (fault.csv_path != splits["labelled"].path, fault.row))
        if not settings.skip_broken:
            raise _unusable(faults, settings)
        rows = {name: {f.row for f in faults if f.csv_path == splits[name].path} for name in splits}
        splits, _ = read_splits(**reading, leave_out=rows)
    place_of = {path: place for place, path in enumerate(opened)}
    photos = {n: [place_of[path] for path in split.image_paths] for n, split in splits.items()}
    keys = keys_of(
        [split.texts for split in splits.values()],
        [[found.digests[i] for i in places] for places in photos.values()],
        [np.asarray(found.fingerprints)[places] for places in photos.values()],
    )
    return splits, dict(zip(splits, keys, strict=True)), faults


def _unusable(faults: list[Fault], settings: SplitSettings) -> UserError:
    message = f"{describe(faults, settings.project_root)}, or give --skip-broken to leave them out"
    path = settings.project_root / settings.output_dir / BROKEN
    with suppress(UserError):  # the message counts more than the list
        write_result(path, _broken_table(faults))
        message += f". {path} lists all"
    return UserError(message)


# The tables


def _table(split: Split, indices: Iterable[int], root: Path, line_end: str = "\n") -> bytes:
    """Return the csv of these pairs. Texts that came from a column stay in a column."""
    by_path = bool(split.text_paths)
    lines = [("guid", "text_path" if by_path else "text", "image_path", "label")]
    for i in indices:
        text = _portable(split.text_paths[i], root) if by_path else split.texts[i]
        lines.append((split.guids[i], text, _portable(split.image_paths[i], root), split.labels[i]))
    return _csv(lines, line_end)


def _broken_table(faults: list[Fault]) -> bytes:
    lines = [(fault.guid, fault.path, fault.reason) for fault in faults]
    return _csv([("guid", "path", "reason"), *lines], "\n", errors="backslashreplace")


def _csv(lines: Iterable[tuple[str, ...]], line_end: str, errors: str = "strict") -> bytes:
    """Return a csv in UTF-8, with a byte order mark where Excel would misread it.

    Python's csv module would not quote a bare carriage return, and its reader breaks the row there.
    """
    text = "".join(",".join(map(_cell, line)) + line_end for line in lines)
    return (b"" if text.isascii() else MARK) + text.encode("utf-8", errors)


def _cell(value: str) -> str:
    return '"' + value.replace('"', '""') + '"' if any(c in value for c in ',"\r\n') else value


def _portable(path: str, root: Path) -> str:
    """Return the path with forward slashes; relative if it lies under the project root.

    So the project can be moved. Links are kept: a linked data folder belongs to the project.
    """
    full, top = Path(os.path.abspath(path)), Path(os.path.abspath(root))
    return (full.relative_to(top) if full.is_relative_to(top) else full).as_posix()


# All tables take their places in one step


def _write(folder: Path, tables: dict[str, bytes], folds: int) -> bool:
    """Replace all tables or none, and remove those of later folds.

    Returns:
        Whether another split was there.

    Raises:
        UserError: a table cannot be written.
    """
    obsolete = _later_folds(folder, folds)
    with suppress(OSError):  # an earlier list does not hold any more
        broken = (folder / BROKEN).read_bytes().removeprefix(MARK)
        if BROKEN not in tables and broken.startswith(_BROKEN_HEADER):
            obsolete.append(BROKEN)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone(folder / "train.csv"):
            earlier = replace_together(folder, tables, obsolete)
    except OSError as error:
        state = "the splits are as they were"
        if os.path.exists(folder / UNFINISHED):
            state = "the splits there do not belong together, run this command again"
        names = [str(name) for name in (error.filename, error.filename2) if name]
        name = next((name for name in names if _STAGING not in name), folder)
        raise UserError(
            f"{name}: cannot write it, {state} ({error_text(error)}); "
            "close it where it is open (Excel?), or check the disk and --output-dir"
        ) from None
    for part in dict.fromkeys((folder / name).parent for name in obsolete if "/" in name):
        print(f"removed the tables in {part}: there are {folds} folds now")
        with suppress(OSError):  # something else may lie there
            part.rmdir()
    for name in tables.keys() - {BROKEN, QUALITY}:
        if name in earlier and earlier[name].removeprefix(MARK) != tables[name].removeprefix(MARK):
            return True
    return False


def replace_together(
    folder: Path, tables: dict[str, bytes], obsolete: list[str]
) -> dict[str, bytes]:
    """Let new tables take the place of old ones, and return the content of these.

    The new ones are written into a folder beside. Then the old ones move out and the new ones in;
    if one cannot be moved, as what is open on Windows, all moves are taken back. While the marker
    ``UNFINISHED`` lies there, the tables may not belong together.
    """
    staging, marker = folder / _STAGING, folder / UNFINISHED
    shutil.rmtree(staging, ignore_errors=True)  # of a killed command
    was_mixed = marker.exists()
    moves, begun, earlier = [], [], {}
    try:
        for name in (*tables, *obsolete):
            if (folder / name).is_file():
                earlier[name] = (folder / name).read_bytes()
                moves.append((folder / name, staging / "old" / name))
        for name, content in tables.items():
            new = staging / "new" / name
            new.parent.mkdir(parents=True, exist_ok=True)
            with replacing(new) as file:  # a full disk shows here, before any change
                file.write(content)
            moves.append((new, folder / name))
        marker.touch()
        for source, target in moves:
            target.parent.mkdir(parents=True, exist_ok=True)
            begun.append((source, target))
            move(source, target)
        marker.unlink()
    except BaseException:
        for source, target in reversed(begun):  # if this fails, the marker stays
            if not source.exists():
                move(target, source)
            with suppress(OSError):  # it is not empty
                target.parent.rmdir()
        if not was_mixed:
            marker.unlink(missing_ok=True)
        raise
    finally:
        if not marker.exists():
            shutil.rmtree(staging, ignore_errors=True)
    return earlier

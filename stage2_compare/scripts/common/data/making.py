"""make_splits.py: lists of pairs -> train.csv, val.csv, test.csv and folds, checked and reported."""

from __future__ import annotations

import hashlib
import os
from argparse import Namespace
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

from ..errors import UserError, reason_of
from ..files import MARK, alone, remove_left_overs, replacing, write_result
from ..marks import read_marks
from ..settings import MOST_FOLDS
from ..words import Language
from .copies import Keys, keys_of
from .image_store import inspect_images
from .pair_files import TEST_LIST, TRAIN_LIST, Fault, describe
from .report import QUALITY, of_data, quality_json
from .splits import UNFINISHED, Split, check_classes, read_splits
from .splitting import choose_folds, choose_validation, connected_groups

BROKEN, SIDES = "broken.csv", ("train", "val")
_TABLES = ("train.csv", "val.csv", "test.csv", BROKEN, QUALITY)
FOLD = "fold_"  # begins the name of a fold's folder, which lies beside the splits
_OF_FOLDS = {f"{FOLD}{k}/{side}.csv": k for k in range(1, MOST_FOLDS + 1) for side in SIDES}


def make_splits(flags: Namespace) -> None:
    """Cut the labelled pairs into training and validation, write the tables and print a report;
    ``flags`` are those of make_splits.py. Where UserError is raised, the tables are as they were."""
    root, folder = flags.project_root, flags.project_root / flags.output_dir
    # 1. Read the pairs, and find copies among them.
    say = Language(flags.lang)
    lists = _find_lists(flags, folder, say)
    splits, keys, left_out = _read_pairs(flags, lists)
    split, test = splits["labelled"], splits.get("test")
    check_classes(split)
    given, meant = dict(zip(split.guids, split.labels, strict=True)), {}
    if flags.labels:
        meant = read_marks(root / flags.labels, given)
    # 2. Choose the sides. Copies stay together.
    groups = connected_groups(keys["labelled"].near_texts, keys["labelled"].near_photos)
    pairs = groups, split.labels, split.guids
    chosen = {"": choose_validation(*pairs, flags.val_ratio, flags.seed)}
    folds = choose_folds(*pairs, flags.folds, flags.seed) if flags.folds else []
    chosen |= {f"{FOLD}{number}/": fold for number, fold in enumerate(folds, start=1)}
    by_guid = sorted(range(len(split)), key=lambda i: (len(split.guids[i]), split.guids[i]))
    sides = {}
    for place, val in chosen.items():
        sides[f"{place}train"] = [i for i in by_guid if i not in val]
        sides[f"{place}val"] = [i for i in by_guid if i in val]
    # 3. Write the tables and report. The sides are the same without corrected labels.
    split.labels = list((given | meant).values())
    tables = {f"{side}.csv": _table(split, indices, root) for side, indices in sides.items()}
    if test:
        tables["test.csv"] = _table(test, range(len(test)), root, test.line_end)
    if left_out:
        tables[BROKEN] = _broken_table(left_out)
    facts, lines = of_data(splits, keys, sides, groups, left_out, say)
    if meant:
        digest = hashlib.sha256((root / flags.labels).read_bytes()).hexdigest()
        facts["corrected_labels"] = {"pairs": len(meant), "sha256": digest}
        lines.append(say("labels_corrected", n=len(meant), path=root / flags.labels))
    tables[QUALITY] = quality_json(tables, facts)
    lines += _write(folder, tables, len(folds), say)
    old = folder / "test.csv"
    if not test and old.exists():
        lines.append(say("earlier_test", path=old))
    print("\n".join(lines))


# The pairs


def _find_lists(flags: Namespace, output: Path, say: Language) -> dict[str, Path]:
    """Return the list of labelled pairs and, if there is one, that of test pairs; refuse one whose
    place a table would take."""
    root, data_dir = flags.project_root, flags.data_dir
    if flags.train_file:
        train = root / flags.train_file
    else:
        folders = [root / "data", root / "data/project5", root]
        if data_dir:
            folders = [root / data_dir, (root / data_dir).parent, root]
        candidates = [folder / TRAIN_LIST for folder in dict.fromkeys(folders)]
        # unlike Path.is_file, os.path.isfile accepts a name that is too long
        train = next(filter(os.path.isfile, candidates), None)
        if train is None:
            raise UserError(
                f"no {TRAIN_LIST} found (looked for {', '.join(map(str, candidates))}); check "
                "--project-root, or give --train-file"
            )
    lists = {"labelled": train}
    test = train.parent / TEST_LIST
    if flags.test_file or os.path.isfile(test):
        lists["test"] = root / flags.test_file if flags.test_file else test
    folder = Path(os.path.realpath(output))  # also of "new/..", where "new" is still to be made
    own = {folder / name for name in (*_TABLES, *_OF_FOLDS)}
    for name, path in lists.items():
        print(say(f"list_{name}", path=path), flush=True)
        if Path(os.path.realpath(path)) in own:
            raise UserError(
                f"{path} is the list to be split and would be overwritten; give another --output-dir"
            )
    return lists


def _read_pairs(
    flags: Namespace, lists: dict[str, Path]
) -> tuple[dict[str, Split], dict[str, Keys], list[Fault]]:
    """Read all texts and open all photos. Return the pairs that can be used by the name of their list,
    their keys, and what is left out; without --skip-broken, write ``broken.csv`` and raise UserError
    where files are missing or broken."""
    root = flags.project_root
    reading = {
        "csv_paths": {name: path.absolute() for name, path in lists.items()},
        "project_root": root,
        "data_dir": flags.data_dir,
        "text_encoding": flags.text_encoding,
    }
    splits, faults = read_splits(**reading)
    paths = dict.fromkeys(path for split in splits.values() for path in split.image_paths)
    # Those that are not there are faults already.
    photos, broken = inspect_images(list(filter(os.path.isfile, paths)))
    for split in splits.values():
        for row, guid, path in zip(split.rows, split.guids, split.image_paths, strict=True):
            if path in broken:
                faults.append(Fault(split.path, row, guid, path, broken[path]))
    if faults:
        faults.sort(key=lambda fault: (fault.csv_path != splits["labelled"].path, fault.row))
        if not flags.skip_broken:
            message = f"{describe(faults, root)}, or give --skip-broken to leave them out"
            path = root / flags.output_dir / BROKEN
            with suppress(UserError):  # the message counts more than the list
                write_result(path, _broken_table(faults))
                message += f". {path} lists all"
            raise UserError(message)
        rows = {name: {f.row for f in faults if f.csv_path == splits[name].path} for name in splits}
        splits, _ = read_splits(**reading, leave_out=rows)
    used = [
        (split.texts, *zip(*map(photos.get, split.image_paths), strict=True))
        for split in splits.values()
    ]
    return splits, dict(zip(splits, keys_of(*used), strict=True)), faults


# The tables


def _table(split: Split, indices: Iterable[int], root: Path, line_end: str = "\n") -> bytes:
    """Return the csv of these pairs; texts that came from a column stay in one."""
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
    """Return the path with forward slashes; relative if it lies under the project root, so that the
    project can be moved. Links are kept: a linked data folder belongs to the project."""
    full, top = Path(os.path.abspath(path)), Path(os.path.abspath(root))
    return (full.relative_to(top) if full.is_relative_to(top) else full).as_posix()


# All tables take their places in one step


def _write(folder: Path, tables: dict[str, bytes], folds: int, say: Language) -> list[str]:
    """Replace all tables, and remove those of later folds; say what was done, a line each."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        later = [name for name, k in _OF_FOLDS.items() if k > folds]
        obsolete = [name for name in (*later, BROKEN) if (folder / name).exists()]
        obsolete = [name for name in obsolete if name not in tables]
        kept = [name for name in tables.keys() - {BROKEN, QUALITY} if (folder / name).is_file()]
        earlier = {name: (folder / name).read_bytes().removeprefix(MARK) for name in kept}
        with alone(folder / "train.csv"):
            for part in (folder, *folder.glob(f"{FOLD}*")):  # whoever writes there holds the lock
                remove_left_overs(part, ".*.tmp", age=0)
            replace_together(folder, tables, obsolete)
    except OSError as error:
        state = "the splits are as they were"
        if os.path.exists(folder / UNFINISHED):
            state = "the splits there do not belong together, run this command again"
        raise UserError(
            f"{error.filename2 or error.filename or folder}: cannot write it, {state} "
            f"({reason_of(error)}); close it where it is open (Excel?), or check the disk and "
            "--output-dir"
        ) from None
    lines = []
    for part in dict.fromkeys((folder / name).parent for name in obsolete if "/" in name):
        lines.append(say("tables_removed", folder=part, n=folds))
    lines += [say("wrote", path=folder / name) for name in tables]
    if any(content != tables[name].removeprefix(MARK) for name, content in earlier.items()):
        lines.append(say("another_split"))
    return lines


def replace_together(folder: Path, tables: dict[str, bytes], obsolete: list[str]) -> None:
    """Write all new tables, and then let them take the places of the old ones. While the marker
    ``UNFINISHED`` lies there, the tables may not belong together."""
    for name in (*tables, *obsolete):
        if os.path.exists(folder / name):
            with open(folder / name, "r+b"):  # Windows replaces none that Excel has open
                pass
    with ExitStack() as moves:
        for name, content in tables.items():
            (folder / name).parent.mkdir(exist_ok=True)
            file = moves.enter_context(replacing(folder / name))
            file.write(content)
            file.flush()
        (folder / UNFINISHED).touch()
    for name in obsolete:
        (folder / name).unlink()
        with suppress(OSError):  # the folder of a fold is empty now, if nothing else is in it
            (folder / name).parent.rmdir()
    (folder / UNFINISHED).unlink()

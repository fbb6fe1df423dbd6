"""Cut the labelled pairs into training and validation, once for all models.

    python stage2_compare/scripts/make_splits.py --project-root .

Reads ``train.txt`` (``guid,tag``) beside the folder of ``<guid>.txt`` and ``<guid>.jpg``. Writes
``train.csv``, ``val.csv`` and, if there is a ``test_without_label.txt``, ``test.csv`` into
``outputs/splits``; with ``--folds K`` also ``fold_1/train.csv``, ``fold_1/val.csv`` and so on.
Class proportions are kept, and pairs with the same or nearly the same text or picture stay on one
side (see common/data/splitting.py). The same pairs, ratio and seed give the same split, in whatever
order ``train.txt`` has them. Every picture is opened; those that cannot be used are listed in
``broken.csv``, and with ``--skip-broken`` their pairs are left out.
"""

from __future__ import annotations

import argparse
import os
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from common.command import HelpFormatter, run_command
from common.data.pair_files import DATA_FOLDERS, IMAGE_SUFFIXES, Fault, describe
from common.data.quality import QUALITY, class_counts, quality_json, shared
from common.data.splits import (
    FOLD,
    UNFINISHED,
    Split,
    class_names,
    encoding_remarks,
    read_splits,
    squeezed,
)
from common.data.splitting import choose_folds, choose_validation, connected_groups
from common.data.text_copies import text_keys
from common.errors import UserError
from common.files import (
    console_width,
    error_text,
    listed,
    padded,
    quoted,
    replace_all,
    write_result,
)
from common.settings import ENCODINGS, Protocol, not_negative_int

BROKEN = "broken.csv"
MOST_FOLDS = 100
_BROKEN_HEADER = "guid,path,reason"
_BYTE_ORDER_MARK = "\ufeff"


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    root, output_dir = args.project_root, args.project_root / args.output_dir

    # 1. Read the pairs.
    lists = _find_lists(args)
    _check_targets(output_dir, lists, args.folds)
    pairs = _read_pairs(args, lists)
    split, test = pairs.splits["labelled"], pairs.splits.get("test")
    content = pairs.content()

    # 2. Choose the sides.
    groups = connected_groups(content["labelled"].near_texts, content["labelled"].near_images)
    sides = _choose_sides(split, groups, args)

    # 3. Write and report.
    tables = {f"{side}.csv": table(split, indices, root) for side, indices in sides.items()}
    if test:
        tables["test.csv"] = table(test, range(len(test)), root, test.line_end)
    if pairs.left_out:
        tables[BROKEN] = broken_table(pairs.left_out)
    changed = _write_tables(output_dir, tables, args.folds or 0)
    _report_counts(split, sides, test)
    for name, part in pairs.splits.items():
        _report_texts(name, part)
    for remark in encoding_remarks(pairs.splits.values()):
        print(remark)
    _report_guids(pairs.splits.values())
    _report_duplicates(split, content["labelled"])
    _report_largest(split, groups)
    if test:
        _report_overlap(split, content["labelled"], test, content["test"])
    _report_left_out(pairs.left_out)
    _report_files(output_dir, tables, changed)
    facts = _quality(split, content["labelled"], sides, groups, pairs)
    _write_quality(output_dir, tables, facts)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Cut the labelled pairs into training and validation, once for all models.",
        epilog="Relative paths start at the project root.",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--project-root", type=Path, default=Path("."), help="folder that holds data/ and outputs/")
    data_help = "folder of the texts and pictures; looked for in data/ by default"
    add("--data-dir", type=Path, help=data_help)
    train_help = "guid,tag of the labelled pairs; train.txt beside the data folder by default"
    add("--train-file", type=Path, help=train_help)
    test_help = (
        "test pairs, labelled or not; test_without_label.txt beside the train file by default"
    )
    add("--test-file", type=Path, help=test_help)
    ratio_help = "share of the labelled pairs that go to validation"
    add("--val-ratio", type=share, default=0.1, help=ratio_help)
    folds_help = (
        "also write K folds, fold_1 and so on, each with a train.csv and a val.csv: every pair is "
        "in the val.csv of one fold"
    )
    add("--folds", type=fold_count, metavar="K", help=folds_help)
    add("--seed", type=not_negative_int, default=Protocol.seed, help="of the choice of pairs")
    encoding_help = "of texts that are not UTF-8; auto decides for the whole data set"
    add("--text-encoding", choices=ENCODINGS, default="auto", help=encoding_help)
    skip_help = f"leave out pairs with files that are missing or broken, and list them in {BROKEN}"
    add("--skip-broken", action="store_true", help=skip_help)
    output_help = "where the tables go"
    add("--output-dir", type=Path, default=Path("outputs/splits"), help=output_help)
    return parser.parse_args(argv)


def share(text: str) -> float:
    """Parse a number between 0 and 1. argparse shows this function's name in its own error."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 1, got {text}")
    return value


# The sides


def _choose_sides(
    split: Split, groups: list[list[int]], args: argparse.Namespace
) -> dict[str, list[int]]:
    """Return the pairs of train and val, and of fold_1/train, fold_1/val and so on."""
    chosen = {"": choose_validation(groups, split.labels, split.guids, args.val_ratio, args.seed)}
    if args.folds:
        folds = choose_folds(groups, split.labels, split.guids, args.folds, args.seed)
        chosen |= {f"{FOLD}{number}/": fold for number, fold in enumerate(folds, start=1)}
    by_guid = sorted(range(len(split)), key=lambda i: (len(split.guids[i]), split.guids[i]))
    sides = {}
    for folder, val in chosen.items():
        sides[f"{folder}train"] = [i for i in by_guid if i not in val]
        sides[f"{folder}val"] = [i for i in by_guid if i in val]
    return sides


def fold_count(text: str) -> int:
    """Parse a number of folds. argparse shows this function's name in its own error."""
    value = int(text)
    if not 2 <= value <= MOST_FOLDS:
        raise argparse.ArgumentTypeError(f"must lie between 2 and {MOST_FOLDS}, got {text}")
    return value


# Where the files lie


def _find_lists(args: argparse.Namespace) -> dict[str, Path]:
    """Return the list of labelled pairs and, if there is one, that of test pairs."""
    root, train_file, test_file = args.project_root, args.train_file, args.test_file
    lists = {"labelled": root / train_file if train_file else _find_train(root, args.data_dir)}
    test_list = root / test_file if test_file else _find_test(lists["labelled"])
    if test_list:
        lists["test"] = test_list
    for name, path in lists.items():
        print(f"{name} pairs: {path}", flush=True)
    return lists


def _find_train(root: Path, data_dir: Path | None) -> Path:
    """Return the first ``train.txt`` in the data folder, beside it, or in the project root."""
    if data_dir:
        folders = [root / data_dir, (root / data_dir).parent, root]
    else:
        folders = [root / "data", root / "data/project5", root]
    candidates = [folder / "train.txt" for folder in folders]
    for path in candidates:
        if os.path.isfile(path):  # unlike Path.is_file, it accepts a name that is too long
            return path
    looked = ", ".join(map(str, dict.fromkeys(candidates)))
    raise UserError(
        f"no train.txt found (looked for {looked}); check --project-root, or give --train-file"
    )


def _find_test(train_file: Path) -> Path | None:
    path = train_file.parent / "test_without_label.txt"
    return path if os.path.isfile(path) else None


def _find_data_dir(root: Path, data_dir: Path | None, train_file: Path) -> Path | None:
    """Return the first folder that holds pictures, or None to let ``read_split`` search."""
    if data_dir:
        folders = [root / data_dir, root / data_dir / "data"]
    else:
        below_root = [root / name for name in DATA_FOLDERS]
        folders = [train_file.parent / "data", *below_root, train_file.parent]
    for folder in folders:
        if _holds_pictures(folder):
            return folder.absolute()
    return (root / data_dir).absolute() if data_dir else None


def _holds_pictures(folder: Path) -> bool:
    try:
        return any(name.lower().endswith(IMAGE_SUFFIXES) for name in os.listdir(folder))
    except OSError:
        return False


# The pairs


class _Content(NamedTuple):
    """The things that two pairs may share; N of each."""

    texts: list[str]  # with single blanks
    near_texts: list[str]  # the same for near copies too
    images: list[str]  # SHA-256 of the file
    near_images: list[str]  # the same for near copies too


class _Photo(NamedTuple):
    digest: str  # SHA-256 of the file
    fingerprint: Any  # uint8, see fingerprints.py


class _Pairs(NamedTuple):
    """The pairs that can be used, by the name of their list."""

    splits: dict[str, Split]
    photos: dict[str, _Photo]  # by path
    left_out: list[Fault]

    def content(self) -> dict[str, _Content]:
        """Return the content of each list; near copies have the same key in all of them."""
        from common.data.photo_copies import photo_keys  # numpy and scipy: --help must not wait

        paths = list(self.photos)
        photos = list(self.photos.values())
        digests = [photo.digest for photo in photos]
        keys = photo_keys(digests, [photo.fingerprint for photo in photos])
        near = dict(zip(paths, keys, strict=True))
        content = {}
        for name, split in self.splits.items():
            content[name] = _Content(
                texts=[squeezed(text) for text in split.texts],
                near_texts=text_keys(split.texts),
                images=[self.photos[path].digest for path in split.image_paths],
                near_images=[near[path] for path in split.image_paths],
            )
        return content


def _read_pairs(args: argparse.Namespace, lists: dict[str, Path]) -> _Pairs:
    """Read texts and pictures.

    Raises:
        UserError: files are missing or broken, and --skip-broken is not given. Then ``broken.csv``
            lists them.
    """
    root = args.project_root
    reading = {
        "csv_paths": {name: path.absolute() for name, path in lists.items()},
        "project_root": root,
        "unlabelled": ("test",),
        "data_dir": _find_data_dir(root, args.data_dir, lists["labelled"]),
        "text_encoding": args.text_encoding,
    }
    splits, faults = read_splits(**reading)
    photos = {}
    for name, split in splits.items():
        faults = [*faults, *_open_pictures(name, split, photos, faults)]
    if not faults:
        return _Pairs(splits, photos, [])
    faults.sort(key=lambda fault: (fault.csv_path != splits["labelled"].path, fault.row))
    if not args.skip_broken:
        message = f"{describe(faults, root)}, or give --skip-broken to leave them out"
        path = root / args.output_dir / BROKEN
        with suppress(UserError):  # the message counts more than the list
            write_result(path, broken_table(faults).encode("utf-8"))
            message += f". {path} lists all"
        raise UserError(message)
    rows = {}
    for name, split in splits.items():
        rows[name] = {fault.row for fault in faults if fault.csv_path == split.path}
    splits, _ = read_splits(**reading, leave_out=rows)
    return _Pairs(splits, photos, faults)


def _open_pictures(
    name: str, split: Split, photos: dict[str, _Photo], known: list[Fault]
) -> list[Fault]:
    """Open every picture once. Add the good ones to ``photos``, and return those that are broken."""
    from common.data.image_cache import inspect_images  # numpy and Pillow: --help must not wait

    missing = {fault.place for fault in known if fault.csv_path == split.path}
    places = {}
    for place, path in enumerate(split.image_paths):
        if place not in missing or os.path.isfile(path):
            places.setdefault(path, []).append(place)
    found = inspect_images(list(places), title=f"Opening pictures ({name})")
    faults = []
    for (path, same), *photo, reason in zip(places.items(), *found, strict=True):
        if not reason:
            photos[path] = _Photo(*photo)
        for place in same if reason else ():
            row, guid = split.rows[place], split.guids[place]
            faults.append(Fault(split.path, place, row, guid, path, reason))
    return faults


# The tables


def table(split: Split, indices: Iterable[int], root: Path, line_end: str = "\n") -> str:
    """Return the csv of these pairs. Texts that came from a column stay in a column."""
    by_path = bool(split.text_paths)
    lines = [("guid", "text_path" if by_path else "text", "image_path", "label")]
    for i in indices:
        text = _portable(split.text_paths[i], root) if by_path else split.texts[i]
        lines.append((split.guids[i], text, _portable(split.image_paths[i], root), split.labels[i]))
    return "".join(",".join(map(_cell, line)) + line_end for line in lines)


def _cell(value: str) -> str:
    """Quote a value of a csv where it needs quotes.

    Python's csv module does not quote a bare carriage return, and then its reader breaks the row.
    """
    return '"' + value.replace('"', '""') + '"' if any(c in value for c in ',"\r\n') else value


def _portable(path: str, root: Path) -> str:
    """Return the path with forward slashes; relative if it lies under the project root.

    So the project can be moved. Links are kept: a linked data folder belongs to the project.
    """
    full, top = Path(os.path.abspath(path)), Path(os.path.abspath(root))
    return (full.relative_to(top) if full.is_relative_to(top) else full).as_posix()


def broken_table(faults: list[Fault]) -> str:
    """Return the csv of files that are missing or broken."""
    lines = [",".join(map(_cell, (fault.guid, fault.path, fault.reason))) for fault in faults]
    text = "\n".join([_BROKEN_HEADER, *lines]) + "\n"
    # A name on Linux may hold bytes that are no characters.
    return _marked(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def _marked(text: str) -> str:
    """Return a table with a byte order mark where Excel would misread it."""
    return text if text.isascii() else _BYTE_ORDER_MARK + text


def _check_targets(folder: Path, lists: dict[str, Path], folds: int | None) -> None:
    """Refuse to overwrite one of the lists, or to remove it with an earlier fold."""
    folders = [folder, *_later_folds(folder, 0)]
    folders += [folder / f"{FOLD}{number}" for number in range(1, (folds or 0) + 1)]
    targets = [part / name for part in folders for name in ("train.csv", "val.csv")]
    for path in (*targets, folder / "test.csv", folder / BROKEN):
        # realpath also resolves "new/../train.txt", where the folder "new" is still to be made
        target = os.path.realpath(path)
        for other in filter(os.path.exists, lists.values()):
            if os.path.exists(target) and os.path.samefile(target, other):
                raise UserError(
                    f"{path} is the list to be split and would be overwritten; "
                    "give another --output-dir"
                )


def _later_folds(folder: Path, folds: int) -> list[Path]:
    """Return the folders of the folds after so many."""
    numbers = []
    with suppress(OSError):  # no such folder yet
        numbers = [name.removeprefix(FOLD) for name in os.listdir(folder) if name.startswith(FOLD)]
    later = sorted(int(number) for number in numbers if re.fullmatch("[1-9][0-9]{0,8}", number))
    folders = [folder / f"{FOLD}{number}" for number in later if number > folds]
    return [path for path in folders if path.is_dir()]


def _write_tables(folder: Path, tables: dict[str, str], folds: int) -> bool:
    """Write all tables or none, and remove later folds. Return True if a split was replaced.

    Raises:
        UserError: a table cannot be written.
    """
    marker = folder / UNFINISHED
    texts = {folder / name: _marked(text) for name, text in tables.items()}
    later = _later_folds(folder, folds)
    texts |= {part / name: None for part in later for name in ("train.csv", "val.csv")}
    try:
        earlier = replace_all(texts, marker)
    except BlockingIOError:
        raise UserError(
            f"{folder}: another command is writing there, or its disk has no locks; "
            "wait for it, or give another --output-dir"
        ) from None
    except OSError as error:
        hint = "close it where it is open (Excel?), or check the disk and --output-dir"
        state = "the splits are as they were"
        if os.path.exists(marker):
            state = "the splits there do not belong together, run this command again"
        raise UserError(
            f"{error.filename}: cannot write it, {state} ({error_text(error)}); {hint}"
        ) from None
    for part in later:
        print(f"removed the tables in {part}: there are {folds} folds now")
        with suppress(OSError):  # something else may lie there
            part.rmdir()
    if BROKEN not in tables:
        with suppress(OSError, UnicodeError):  # an earlier list does not hold any more
            if (folder / BROKEN).read_text("utf-8-sig").startswith(_BROKEN_HEADER + "\n"):
                (folder / BROKEN).unlink()
    for name, text in tables.items():
        before = earlier[folder / name]
        mark = _BYTE_ORDER_MARK.encode("utf-8")
        if before and name != BROKEN and before.removeprefix(mark) != text.encode("utf-8"):
            return True
    return False


def _quality(
    split: Split, content: _Content, sides: dict[str, list[int]], groups: list, pairs: _Pairs
) -> dict[str, Any]:
    """Return what quality.json says of the data."""
    texts, images = content.texts, content.images
    kinds = {
        "same_text": (texts, texts),
        "near_text": (content.near_texts, texts),
        "same_photo": (images, images),
        "near_photo": (content.near_images, images),
    }
    return {
        "class_counts": class_counts(sides, split.labels),
        "text_encodings": {name: part.encodings for name, part in pairs.splits.items()},
        "text_notes": {name: part.notes for name, part in pairs.splits.items() if part.notes},
        **{
            kind: shared(keys, exact, split.labels)[0]._asdict()
            for kind, (keys, exact) in kinds.items()
        },
        "largest_group": max(map(len, groups)),
        "left_out": len({(fault.csv_path, fault.row) for fault in pairs.left_out}),
    }


def _write_quality(folder: Path, tables: dict[str, str], facts: dict[str, Any]) -> None:
    """Write quality.json, when the tables that it is about are there.

    Raises:
        UserError: it cannot be written.
    """
    written = {name: _marked(text).encode("utf-8") for name, text in tables.items()}
    write_result(folder / QUALITY, quality_json(written, facts))
    print(f"wrote {folder / QUALITY}")


# The report


def _report_counts(split: Split, sides: dict[str, list[int]], test: Split | None) -> None:
    """Print the pairs of each class in each table, and warn of a class that one side lacks."""
    counts = {}
    for side, indices in sides.items():
        if side in ("train", "val") or side.endswith("/val"):  # of a fold: what it is measured on
            counts[side.removesuffix("/val")] = Counter(split.labels[i] for i in indices)
    if test:
        counts["test"] = Counter(test.labels)
    labels = set().union(*counts.values())
    rows = [(name, name) for name in class_names(labels - {""})]
    if "" in labels:
        rows.append(("(no label)", ""))
    width = max(console_width(title) for title, _ in [*rows, ("all", "")])
    print(" " * width + "".join(f"{side:>9}" for side in counts))
    for title, name in rows:
        print(padded(title, width) + "".join(f"{count[name]:>9,}" for count in counts.values()))
    print(f"{'all':<{width}}" + "".join(f"{count.total():>9,}" for count in counts.values()))
    for name in class_names(split.labels):
        for side in ("train", "val"):
            if not counts[side][name]:
                print(
                    f"warning: {side} has no pair of class {name!r}: "
                    "too few of its pairs have a text and a picture of their own"
                )


def _report_texts(name: str, split: Split) -> None:
    encodings = ", ".join(f"{n:,} {encoding}" for encoding, n in split.encodings.items())
    empty = split.notes.get("empty_text", 0)
    print(f"texts ({name}): {encodings}; {empty:,} empty; no file missing")
    odd = {note: n for note, n in split.notes.items() if note != "empty_text"}
    if odd:
        listed = ", ".join(f"{n:,} {note.replace('_', ' ')}" for note, n in odd.items())
        print(f"odd, but used ({name}): {listed}")


def _report_duplicates(split: Split, content: _Content) -> None:
    _report_shared(split, "same text", content.texts, content.texts)
    _report_shared(split, "nearly the same text", content.near_texts, content.texts)
    _report_shared(split, "same picture", content.images, content.images)
    _report_shared(split, "nearly the same picture", content.near_images, content.images)


def _report_shared(split: Split, kind: str, keys: list[str], exact: list[str]) -> None:
    """Print how many keys pairs share."""
    found, conflicts = shared(keys, exact, split.labels)
    more = f"; {found.conflicts:,} of them with conflicting labels" if found.groups else ""
    print(f"{kind}: {found.groups:,} shared by {found.pairs:,} pairs, each kept on one side{more}")
    for group in conflicts[:3]:
        print("  for example", _members(split, group))


def _report_largest(split: Split, groups: list[list[int]]) -> None:
    largest = max(groups, key=len)
    if len(largest) > 1:
        print(
            f"largest group: {len(largest):,} pairs that hang together by texts and pictures, "
            f"on one side: {_members(split, sorted(largest))}"
        )


def _members(split: Split, group: list[int]) -> str:
    """Name the first pairs of a group with their labels."""
    more = ", ..." if len(group) > 5 else ""
    return ", ".join(f"{split.guids[i]} ({split.labels[i]})" for i in group[:5]) + more


def _report_guids(splits: Iterable[Split]) -> None:
    """Warn of guids that a spreadsheet takes for formulas. They are written as they are."""
    formulas = [guid for split in splits for guid in split.guids if guid[0] in "=+-@"]
    if formulas:
        print(
            f"warning: {len(formulas):,} guids begin with = + - or @, for example "
            f"{quoted(formulas[0])}: Excel takes them for formulas, so do not save the files there"
        )


def _report_left_out(faults: list[Fault]) -> None:
    if faults:
        pairs = len({(fault.csv_path, fault.row) for fault in faults})
        print(f"left out: {pairs:,} pairs with {len(faults):,} files that are missing or broken:")
        shown = [f"{fault.guid}: {quoted(fault.path)} ({fault.reason})" for fault in faults]
        print(f"  {listed(shown)}")


def _report_overlap(split: Split, content: _Content, test: Split, test_content: _Content) -> None:
    guids = set(split.guids)
    texts, images = set(content.near_texts) - {""}, set(content.near_images)
    overlap = 0
    for i, guid in enumerate(test.guids):
        text, image = test_content.near_texts[i], test_content.near_images[i]
        overlap += guid in guids or text in texts or image in images
    if overlap:
        print(
            "warning: test pairs that share guid, text or picture (or nearly) with labelled ones: "
            f"{overlap:,}"
        )


def _report_files(folder: Path, tables: dict[str, str], changed: bool) -> None:
    for name in tables:
        print(f"wrote {folder / name}")
    if changed:
        print("warning: the split that was there was another one; do not compare runs made with it")
    old = folder / "test.csv"
    if old.name not in tables and old.exists():
        print(
            f"warning: {old} is of an earlier split and was left as it is: no test list was found"
        )


if __name__ == "__main__":
    run_command(main)

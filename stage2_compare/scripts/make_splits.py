"""Cut the labelled pairs into training and validation, once for all models.

    python stage2_compare/scripts/make_splits.py --project-root .

Reads ``train.txt`` (``guid,tag``) beside the folder of ``<guid>.txt`` and ``<guid>.jpg``, and writes ``train.csv``,
``val.csv`` and, when there is a ``test_without_label.txt``, ``test.csv`` into ``outputs/splits``. Class proportions are
kept, and pairs with the same text or the same picture stay on one side: a model must not meet in validation what it
learned by heart. The same pairs, ratio and seed give the same split, whatever the order of ``train.txt``.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from common.cli import DEFAULT_SEED, not_negative_int, run_command
from common.data.splits import (
    DATA_FOLDERS,
    IMAGE_SUFFIXES,
    Split,
    class_names,
    read_split,
    squeezed,
)
from common.errors import UserError


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    root = args.project_root
    train_file, test_file, data_dir = find_layout(
        root, args.data_dir, args.train_file, args.test_file
    )
    output_dir = root / args.output_dir

    print(f"labelled pairs: {train_file}", flush=True)
    split = read_split(train_file.absolute(), root, data_dir=data_dir)
    test = None
    if test_file:
        print(f"test pairs: {test_file}", flush=True)
        test = read_split(test_file.absolute(), root, allow_unlabelled=True, data_dir=data_dir)
    images = image_digests(split.image_paths + (test.image_paths if test else []))
    texts = [squeezed(text) for text in split.texts + (test.texts if test else [])]

    groups = tie(texts[: len(split)], images[: len(split)])
    chosen = choose_validation(groups, split.labels, split.guids, args.val_ratio, args.seed)
    by_guid = sorted(range(len(split)), key=lambda i: (len(split.guids[i]), split.guids[i]))
    sides = {
        "train": [i for i in by_guid if i not in chosen],
        "val": [i for i in by_guid if i in chosen],
    }
    tables = {
        output_dir / f"{side}.csv": table(split, indices, root) for side, indices in sides.items()
    }
    if test:
        tables[output_dir / "test.csv"] = table(test, range(len(test)), root)
    replaced = write_all(tables, keep=[train_file, test_file] if test_file else [train_file])

    report_counts(split, sides, test)
    for name, part in {"labelled": split, "test": test}.items():
        if part:
            report_texts(name, part)
    report_duplicates(split, texts, images)
    if test:
        report_overlap(split, test, texts, images)
    for path in tables:
        print(f"wrote {path}")
    if replaced:
        print("warning: the split that was there was another one; do not compare runs made with it")
    stale = output_dir / "test.csv"
    if not test and stale.exists():
        print(
            f"warning: {stale} is of an earlier split and was left as it is: no test list was found"
        )


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Cut the labelled pairs into training and validation, once for all models.",
        epilog="Relative paths start at the project root.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--project-root", type=Path, default=Path("."), help="folder that holds data/ and outputs/")
    add(
        "--data-dir",
        type=Path,
        help="folder of the texts and pictures; looked for in data/ by default",
    )
    add(
        "--train-file",
        type=Path,
        help="guid,tag of the labelled pairs; train.txt beside the data folder by default",
    )
    add(
        "--test-file",
        type=Path,
        help="pairs to put aside; test_without_label.txt beside the train file by default",
    )
    add(
        "--val-ratio",
        type=share,
        default=0.1,
        help="share of the labelled pairs that go to validation",
    )
    add("--seed", type=not_negative_int, default=DEFAULT_SEED)
    add("--output-dir", type=Path, default=Path("outputs/splits"))
    return parser.parse_args(argv)


def share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must lie between 0 and 1, got {text}")
    return value


# Where things lie


def find_layout(
    root: Path, data_dir: Path | None, train_file: Path | None, test_file: Path | None
) -> tuple[Path, Path | None, Path | None]:
    """Train file, test file and data folder; None for a test list that is not there, or a folder left to read_split."""
    if train_file:
        train = root / train_file
    else:
        places = (
            [root / data_dir, (root / data_dir).parent]
            if data_dir
            else [root / "data", root / "data/project5"]
        )
        candidates = [place / "train.txt" for place in [*places, root]]
        train = next((path for path in candidates if os.path.isfile(path)), None)
        if train is None:
            looked = ", ".join(map(str, dict.fromkeys(candidates)))
            raise UserError(
                f"no train.txt found (looked for {looked}); check --project-root, or give --train-file"
            )
    test = root / test_file if test_file else train.parent / "test_without_label.txt"
    if data_dir:
        folders = [root / data_dir, root / data_dir / "data"]
    else:
        folders = [train.parent / "data", *(root / name for name in DATA_FOLDERS), train.parent]
    folder = next(
        (folder for folder in folders if holds_pictures(folder)),
        root / data_dir if data_dir else None,
    )
    return (
        train,
        test if test_file or os.path.isfile(test) else None,
        folder.absolute() if folder else None,
    )


def holds_pictures(folder: Path) -> bool:
    try:
        return any(name.endswith(IMAGE_SUFFIXES) for name in os.listdir(folder))
    except OSError:
        return False


# Which pairs go where


def image_digests(paths: list[str]) -> list[str]:
    """SHA-256 of each file's bytes."""
    from tqdm import tqdm

    digests = []
    for path in tqdm(paths, desc="pictures", unit="file", disable=None, leave=False):
        try:
            digests.append(hashlib.sha256(Path(path).read_bytes()).hexdigest())
        except OSError as error:
            raise UserError(
                f"{path}: cannot read the picture ({error.strerror}); mend or replace the file"
            ) from None
    return digests


def tie(*columns: list[str]) -> list[list[int]]:
    """Groups of indices that share a value in any of the columns (N,), directly or through others.

    An empty value ties nobody: pictures without words have no text in common.
    """
    parent = list(range(len(columns[0])))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    for column in columns:
        first: dict[str, int] = {}
        for i, value in enumerate(column):
            if value:
                parent[root(i)] = root(first.setdefault(value, i))
    groups = defaultdict(list)
    for i in range(len(parent)):
        groups[root(i)].append(i)
    return list(groups.values())


def choose_validation(
    groups: list[list[int]], labels: list[str], guids: list[str], ratio: float, seed: int
) -> set[int]:
    """Indices of the validation pairs: whole groups, class counts as near to ``ratio`` as the groups allow.

    Groups with the same number of pairs of each class are of one kind and can stand in for each other. How many of each
    kind are taken settles the counts; which of them, a hash of seed and guid.
    """
    kinds = defaultdict(list)
    for group in groups:
        kinds[tuple(sorted(Counter(labels[i] for i in group).items()))].append(group)
    order = sorted(kinds, key=lambda kind: (-sum(n for _, n in kind), kind))
    totals = Counter(labels)
    taken = how_many(
        [dict(kind) for kind in order],
        [len(kinds[kind]) for kind in order],
        class_goals(totals, ratio),
    )

    def lot(group: list[int]) -> bytes:
        return hashlib.sha256(f"{seed}:{min(guids[i] for i in group)}".encode()).digest()

    chosen = {
        i
        for kind, n in zip(order, taken, strict=True)
        for group in sorted(kinds[kind], key=lot)[:n]
        for i in group
    }
    if not 0 < len(chosen) < len(labels):
        raise UserError(
            f"{len(labels)} pairs that share texts or pictures cannot be cut in two; more pairs are needed"
        )
    return chosen


def how_many(kinds: list[dict[str, int]], sizes: list[int], goals: dict[str, int]) -> list[int]:
    """How many groups of each kind go to validation (K,).

    ``kinds`` (K,) are the pairs per class in a group of each kind, ``sizes`` (K,) how many such groups there are,
    ``goals`` the pairs per class wanted. Each kind takes its share, and pays back what those before it rounded off
    (error diffusion). With the largest groups first, the single pairs at the end make the counts exact.
    """
    totals, seen, counts, taken = Counter(), Counter(), Counter(), []
    for kind, size in zip(kinds, sizes, strict=True):
        totals.update({name: size * n for name, n in kind.items()})
    for kind, size in zip(kinds, sizes, strict=True):
        least, most = 0, size
        for name, n in kind.items():
            last = (
                seen[name] + size * n == totals[name]
            )  # a class that a side lacks cannot be measured, or not learned
            if last and counts[name] == 0:
                least = 1
            if last and counts[name] == seen[name]:
                most = size - 1
            seen[name] += size * n
        owed = sum(
            n * (seen[name] * goals[name] / totals[name] - counts[name]) for name, n in kind.items()
        )
        nearest = round(
            owed / sum(n * n for n in kind.values())
        )  # the least squares of what will be owed
        taken.append(min(max(nearest, least), most))
        counts.update({name: taken[-1] * n for name, n in kind.items()})
    return taken


def class_goals(totals: dict[str, int], ratio: float) -> dict[str, int]:
    """Whole pairs per class, by largest remainders; a class of two or more has one on each side."""
    goals = {name: int(n * ratio) for name, n in totals.items()}
    by_remainder = sorted(totals, key=lambda name: (goals[name] - totals[name] * ratio, name))
    for name in by_remainder[: int(sum(totals.values()) * ratio + 0.5) - sum(goals.values())]:
        goals[name] += 1
    return {name: min(max(goal, 1), totals[name] - 1) for name, goal in goals.items()}


# What is written


def table(split: Split, indices: Iterable[int], root: Path) -> str:
    """The csv of these pairs. A text that came from a column stays in one."""
    by_path = bool(split.text_paths)
    lines = [("guid", "text_path" if by_path else "text", "image_path", "label")]
    for i in indices:
        text = portable(split.text_paths[i], root) if by_path else split.texts[i]
        lines.append((split.guids[i], text, portable(split.image_paths[i], root), split.labels[i]))
    return "".join(",".join(map(cell, line)) + "\n" for line in lines)


def cell(value: str) -> str:
    """The csv module leaves a bare carriage return unquoted, and its own reader then breaks the row there."""
    return '"' + value.replace('"', '""') + '"' if any(c in value for c in ',"\r\n') else value


def portable(path: str, root: Path) -> str:
    """Relative to the project root where it lies under it, with forward slashes, so that the project can be moved."""
    full = Path(
        os.path.abspath(path)
    )  # not resolve(): a linked data folder still counts as the project's
    top = Path(os.path.abspath(root))
    return (full.relative_to(top) if full.is_relative_to(top) else full).as_posix()


def write_all(tables: dict[Path, str], keep: list[Path]) -> bool:
    """Write all files or none; say whether one was there with another content. Never writes over a file in ``keep``."""
    old: dict[Path, bytes | None] = {}
    staged: dict[Path, Path] = {}
    done: list[Path] = []
    try:
        for path, text in tables.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if any(path.exists() and path.samefile(other) for other in keep):
                raise UserError(
                    f"{path} is the list to be split and would be overwritten; give another --output-dir"
                )
            old[path] = path.read_bytes() if path.exists() else None
            staged[path] = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            with open(staged[path], "wb") as file:
                file.write(text.encode("utf-8"))
                file.flush()
                os.fsync(file.fileno())
        for path, temporary in staged.items():
            os.replace(temporary, path)
            done.append(path)
    except (OSError, UnicodeError) as error:  # a data folder may have a name that is not Unicode
        for other in done:
            put_back(other, old[other])
        reason = getattr(error, "strerror", None) or error
        hint = "close it where it is open (Excel?), or check the disk and --output-dir"
        raise UserError(
            f"{path}: cannot write it, the splits are as they were ({reason}); {hint}"
        ) from None
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)
    return any(old[path] not in (None, text.encode("utf-8")) for path, text in tables.items())


def put_back(path: Path, content: bytes | None) -> None:
    """Undo a replacement: train.csv of one split beside val.csv of another would share pairs."""
    with contextlib.suppress(OSError):
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)


# What is told


def report_counts(split: Split, sides: dict[str, list[int]], test: Split | None) -> None:
    labels = {side: Counter(split.labels[i] for i in indices) for side, indices in sides.items()}
    if test:
        labels["test"] = Counter(test.labels)
    classes = class_names(
        split.labels + [label for label in test.labels if label] if test else split.labels
    )
    rows = [(name, [counts[name] for counts in labels.values()]) for name in classes]
    if test and labels["test"][""]:
        rows.append(("(no label)", [counts[""] for counts in labels.values()]))
    rows.append(("all", [sum(counts.values()) for counts in labels.values()]))
    width = max(len(name) for name, _ in rows)
    print(" " * width + "".join(f"{side:>9}" for side in labels))
    for name, numbers in rows:
        print(f"{name:<{width}}" + "".join(f"{n:>9,}" for n in numbers))
    for name in class_names(split.labels):
        for side, counts in list(labels.items())[:2]:
            if not counts[name]:
                print(
                    f"warning: {side} has no pair of class {name!r}: there are too few that can be told apart"
                )


def report_texts(name: str, split: Split) -> None:
    encodings = ", ".join(f"{n:,} {encoding}" for encoding, n in split.encodings.items())
    print(
        f"texts ({name}): {encodings}; {split.notes.get('empty_text', 0):,} empty; no file missing"
    )
    odd = [
        f"{n:,} {what.replace('_', ' ')}" for what, n in split.notes.items() if what != "empty_text"
    ]
    if odd:
        print(f"let pass ({name}): {', '.join(odd)}")


def report_duplicates(split: Split, texts: list[str], images: list[str]) -> None:
    for kind, column in {"text": texts, "picture": images}.items():
        sharing = defaultdict(list)
        for i, value in enumerate(column[: len(split)]):
            if value:
                sharing[value].append(i)
        shared = [group for group in sharing.values() if len(group) > 1]
        conflicts = [group for group in shared if len({split.labels[i] for i in group}) > 1]
        pairs = sum(map(len, shared))
        print(
            f"same {kind}: {len(shared):,} shared by {pairs:,} pairs, each kept on one side", end=""
        )
        print(f"; {len(conflicts):,} of them with conflicting labels" if shared else "")
        for group in conflicts[:3]:
            print(
                "  for example "
                + ", ".join(f"{split.guids[i]} ({split.labels[i]})" for i in group[:5])
            )


def report_overlap(split: Split, test: Split, texts: list[str], images: list[str]) -> None:
    n = len(split)
    known = set(split.guids), set(texts[:n]) - {""}, set(images[:n])
    rows = zip(test.guids, texts[n:], images[n:], strict=True)
    overlap = sum(
        any(value in seen for value, seen in zip(row, known, strict=True)) for row in rows
    )
    if overlap:
        print(
            f"warning: test pairs that share guid, text or picture with labelled ones: {overlap:,}"
        )


if __name__ == "__main__":
    run_command(main)

"""Which finished runs have no answers for the project's test list as it is now. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..data.image_store import photo_digests
from ..data.splits import Split, read_pairs, to_predict
from ..errors import UserError
from ..files import listed, printable
from ..runs.layout import METRICS_JSON
from ..runs.reading import has_predicted, read_record
from ..settings import ENCODINGS, TEST_CSV, Paths
from ..words import Language


def unanswered(folders: Iterable[Path], root: Path, say: Language) -> str:
    """Return a line that names the runs, of these folders, whose answers are not for the pairs of
    the project's test list; "" where there are none, and where the list cannot be read now. No other
    list is read: a record may name any file."""
    own, lists, names = TEST_CSV.as_posix(), {}, []
    if not (root / TEST_CSV).is_file():
        return ""
    try:
        for folder in folders:
            data = read_record(folder / METRICS_JSON).get("data")
            data = data if isinstance(data, dict) else {}
            if data.get("test_csv", data.get("unlabelled_csv", own)) != own:
                continue  # it was trained with a --test-csv of its own
            encoding = data.get("text_encoding")
            encoding = encoding if encoding in ENCODINGS else Paths.text_encoding
            if encoding not in lists:
                lists[encoding] = _read(Paths(project_root=root, text_encoding=encoding))
            if not has_predicted(folder, lists[encoding]):
                names.append(folder.name)
    except (UserError, OSError, LookupError, ValueError):
        return ""
    return printable(say("test_list_changed", path=own, runs=listed(names))) if names else ""


def _read(paths: Paths) -> tuple[Split, str] | None:
    """Read the test list; with the other lists, since the encoding is decided for all together."""
    splits, *_ = read_pairs(paths, None)

    def digests(name: str) -> list[str]:
        found, _ = photo_digests(splits[name].image_paths)
        return [found[path] for path in splits[name].image_paths]

    return to_predict(splits, digests)

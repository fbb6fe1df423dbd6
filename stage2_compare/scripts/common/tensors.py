"""Opens the files that torch.save wrote, without running code in them.

Below torch 2.6 ``torch.load(..., weights_only=True)`` still runs a TorchScript archive
(CVE-2025-32434), and all releases unpack a compressed member to any size. So an archive is refused
before torch reads it if it has members of another kind, or if they claim more than its bytes."""

from __future__ import annotations

import re
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

_ARCHIVE = b"PK\3\4"
_BEFORE_ARCHIVES = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch's magic number, pickled
_MEMBER = re.compile(
    r"[^/]+/(data\.pkl|data/\d+|version|byteorder|\.format_version|\.storage_alignment"
    r"|\.data/serialization_id)",
    re.ASCII,
)
# How torch ends every archive: zip64 end record, its locator, end record without a comment.
_END = struct.Struct("<4sQ2H2L4Q 4sLQL 4s4H2LH")
_MARKS = (b"PK\6\6", b"PK\6\7", b"PK\5\6")


def read_tensors(path: Path, mapped: bool = False) -> Any:
    """Read a file of tensors and plain types, onto the CPU.

    Args:
        mapped: leave the tensors in the file until they are used; the file must stay meanwhile.
    Raises:
        Exception: the file is absent, broken, or holds something else.
    """
    with open(path, "rb") as file:
        start = file.read(len(_BEFORE_ARCHIVES))
        is_archive = start.startswith(_ARCHIVE)
        if is_archive:
            _check_archive(file)
        elif start != _BEFORE_ARCHIVES:
            raise ValueError("it is no file of tensors as torch.save writes them")
    with warnings.catch_warnings():  # torch 2.1 deprecates what it reads with
        warnings.simplefilter("ignore")
        mmap = mapped and is_archive
        return torch.load(str(path), map_location="cpu", weights_only=True, mmap=mmap)


def _check_archive(file: BinaryIO) -> None:
    """Raise ValueError for an archive that is not plain tensors."""
    file.seek(0, 2)
    end = file.tell() - _END.size
    if end < 0:
        raise ValueError("it is cut off")
    file.seek(end)
    fields = _END.unpack(file.read())
    length, first, at, comment = (fields[place] for place in (8, 9, 12, -1))
    marks = tuple(fields[place] for place in (0, 10, 14))
    # The table of members lies where Python and torch both look for it: there is no second one.
    if (marks, at, first + length, comment) != (_MARKS, end, end, 0):
        raise ValueError("it is no archive as torch.save writes them, or it is cut off")
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    for member in members:
        if not _MEMBER.fullmatch(member.orig_filename):
            raise ValueError(f"it holds {member.orig_filename!r:.99}, which is no part of tensors")
    stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
    if not stored or sum(max(m.file_size, m.compress_size) for m in members) > end:
        raise ValueError("its members claim more bytes than it has")

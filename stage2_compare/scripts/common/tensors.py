"""Opens the files that torch.save wrote, without running code in them.

Below torch 2.6 ``torch.load(..., weights_only=True)`` still runs a TorchScript archive
(CVE-2025-32434), and all releases unpack a compressed member, and make a bytearray, of any size. So
all files of weights are read here, and looked into before torch reads them."""

from __future__ import annotations

import hashlib
import json
import mmap
import pickle
import re
import struct
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from .files import open_file

_ARCHIVE = b"PK\3\4"
_BEFORE_ARCHIVES = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch's magic number, pickled
_BYTEARRAY = b"bytearray\n"  # pickled: a few bytes that claim gigabytes
_MEMBER = re.compile(
    r"[^/]+/(data\.pkl|data/\d+|version|byteorder|\.format_version|\.storage_alignment"
    r"|\.data/serialization_id)",
    re.ASCII,
)
# How torch ends every archive: zip64 end record, its locator, end record without a comment.
_END = struct.Struct("<4sQ2H2L4Q 4sLQL 4s4H2LH")
_MARKS = (b"PK\6\6", b"PK\6\7", b"PK\5\6")


def read_tensors(path: Path, mapped: bool = False) -> Any:
    """Read a file of tensors and plain types, onto the CPU; ``mapped`` leaves the tensors in the file
    until they are used, and it must stay meanwhile. Raise any Exception where the file is absent,
    broken, or holds something else."""
    with open_file(path, sys.maxsize) as file, warnings.catch_warnings():
        start = file.read(len(_BEFORE_ARCHIVES))
        is_archive = start.startswith(_ARCHIVE)
        if is_archive:
            _check_archive(file)
        elif start != _BEFORE_ARCHIVES:
            raise ValueError("it is no file of tensors as torch.save writes them")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content.find(_BYTEARRAY) >= 0:
                raise ValueError("it holds a bytearray, which is no part of tensors")
        file.seek(0)
        warnings.simplefilter("ignore")  # torch 2.1 deprecates what it reads with
        # torch maps a file by its name, which must be UTF-8; what it reads is what was checked.
        name = str(path) if mapped and is_archive and str(path).isprintable() else None
        try:
            content = torch.load(
                name or file, map_location="cpu", weights_only=True, mmap=name is not None
            )
        except pickle.UnpicklingError:  # torch would say how to run what it holds
            raise ValueError(
                "it holds Python objects such as a whole model, save its state_dict() alone"
            ) from None
    _check_sizes(content)
    return content


def _check_sizes(content: Any) -> None:
    """Raise ValueError for a tensor that claims more values than the file holds for it: ``expand``
    makes gigabytes of one value."""
    waiting, seen = [content], set()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:  # a list may hold itself
            continue
        seen.add(id(each))
        if isinstance(each, Tensor) and each.nbytes > each.untyped_storage().nbytes():
            raise ValueError(f"a tensor {tuple(each.shape)} claims more values than it has")
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, (list, tuple)):
            waiting += each


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


def sha256_of_tensor(name: str, tensor: Tensor) -> str:
    """Return a hash of a tensor: of its name, type, shape and bytes."""
    values = tensor.cpu().numpy()
    digest = hashlib.sha256(f"{name} {values.dtype} {values.shape}".encode())
    digest.update(np.ascontiguousarray(values).reshape(-1))
    return digest.hexdigest()


def sha256_of_tensors(state: dict[str, Tensor]) -> str:
    """Return a hash of tensors by name, in any order."""
    return sha256_of_json({name: sha256_of_tensor(name, each) for name, each in state.items()})


def sha256_of_json(content: dict[str, Any]) -> str:
    """Return a hash of what JSON can hold; of the rest it takes the text."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()

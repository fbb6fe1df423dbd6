"""Files that are believed only when they are whole: a header, JSON padded to 4096 bytes, and a
content whose CRC-32 the header gives."""

from __future__ import annotations

import json
import zlib
from typing import Any, BinaryIO

HEADER_BYTES = 4096
_BLOCK = 1 << 20  # bytes read at once


class CheckedWriter:
    """Writes the content, then the header before it."""

    def __init__(self, file: BinaryIO):
        self._file, self._checksum = file, 0
        file.write(bytes(HEADER_BYTES))

    def write(self, content: Any) -> None:
        """Add bytes, or an array in C order."""
        self._file.write(content)
        self._checksum = zlib.crc32(content, self._checksum)

    def finish(self, key: str) -> None:
        """Write the header: ``key`` says what the file holds."""
        header = {"key": key, "checksum": self._checksum}
        self._file.seek(0)
        self._file.write(json.dumps(header).encode().ljust(HEADER_BYTES))


def is_whole(file: BinaryIO, key: str) -> bool:
    """Read a file to its end; tell if it is whole and holds what ``key`` says."""
    try:
        header = json.loads(file.read(HEADER_BYTES))
        if header["key"] != key:
            return False
        checksum = 0
        while block := file.read(_BLOCK):
            checksum = zlib.crc32(block, checksum)
        return checksum == header["checksum"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # a header of brackets
        return False

"""Reads a file's bytes, unpacked if they are packed (by magic bytes, not by name), with the position for progress."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import xxhash

_PACKED: dict[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": lambda raw: gzip.GzipFile(fileobj=raw),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
    b"\x28\xb5\x2f\xfd": lambda raw: pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd"),
}
_ARCHIVE = b"PK\x03\x04"
_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


class RawFile:
    """A file opened for reading its unpacked bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._size = max(1, path.stat().st_size)
        self._raw = path.open("rb")
        head = self._raw.read(8)
        self._raw.seek(0)
        unpack = next((opened for magic, opened in _PACKED.items() if head.startswith(magic)), None)
        self.stream: BinaryIO = (
            self._raw if unpack is None else cast(BinaryIO, io.BufferedReader(unpack(self._raw), 1 << 20))
        )
        if head.startswith(_ARCHIVE):
            self.close()
            raise OSError("it is a ZIP archive: unpack it first")

    def require_utf8(self) -> None:
        """Raise OSError if the first bytes are in another encoding."""
        head = cast(io.BufferedReader, self.stream).peek(4)[:4]
        name = _MARKS.get(head[:2]) or ("UTF-16 or UTF-32" if b"\0" in head else None)
        if name:
            self.close()
            raise OSError(f"it is {name}, not UTF-8: convert it, e.g. with `iconv -f UTF-16 -t UTF-8`")

    def fraction(self) -> float:
        return 1.0 if self._raw.closed else min(1.0, self._raw.tell() / self._size)

    def close(self) -> None:
        if self.stream is not self._raw:
            self.stream.close()
        self._raw.close()


def file_identity(path: Path) -> str:
    """Return 32 hexadecimal digits of the content's XXH3-128: the same file under another name is the same import."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

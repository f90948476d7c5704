"""A file's bytes, unpacked where they are gzip (by magic bytes, whatever the name), with its position for progress."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import BinaryIO, cast

import xxhash

_GZIP_MAGIC = b"\x1f\x8b"


class RawFile:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._size = max(1, path.stat().st_size)
        self._raw = path.open("rb")
        packed = self._raw.read(2) == _GZIP_MAGIC
        self._raw.seek(0)
        self.stream: BinaryIO = (
            cast(BinaryIO, io.BufferedReader(gzip.GzipFile(fileobj=self._raw), 1 << 20)) if packed else self._raw
        )

    def fraction(self) -> float:
        return 1.0 if self._raw.closed else min(1.0, self._raw.tell() / self._size)

    def close(self) -> None:
        if self.stream is not self._raw:
            self.stream.close()
        self._raw.close()


def file_identity(path: Path) -> str:
    """32 hexadecimal digits of the content's XXH3-128: the same file under another name is the same import."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

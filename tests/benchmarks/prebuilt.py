"""HTTP requests built before a run and kept in one file in memory, so that sending them costs the generator little.

The file is a row of requests, each behind its length in eight digits. wrk's script (`walk.lua`) and our own generator
(`load.py`) walk the same file: every body is sent once, so every messageId is new.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

LENGTH_DIGITS = 8
_MEMORY = Path("/dev/shm")
"""A file system in memory: reading it does not disturb the disk that is measured."""


def folder() -> tempfile.TemporaryDirectory[str]:
    """A temporary folder in memory where the machine has one."""
    in_memory = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK)
    return tempfile.TemporaryDirectory(prefix="bench-requests-", dir=_MEMORY if in_memory else None)


@dataclass(frozen=True, slots=True)
class Requests:
    """``n`` requests in a file."""

    path: Path
    n: int
    size_bytes: int

    @classmethod
    def write(cls, path: Path, requests: Iterable[bytes]) -> Requests:
        n = size = 0
        with path.open("wb") as file:
            for request in requests:
                file.write(b"%0*d" % (LENGTH_DIGITS, len(request)))
                file.write(request)
                n, size = n + 1, size + len(request)
        return cls(path, n, size)

    def delete(self) -> None:
        self.path.unlink()


def spans(data: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Where each request of a file's bytes begins and ends."""
    found, at, view = [], 0, memoryview(data)
    while at < len(view):
        first = at + LENGTH_DIGITS
        at = first + int(bytes(view[at:first]))
        found.append((first, at))
    both = np.array(found, np.int64).reshape(-1, 2)
    return both[:, 0].copy(), both[:, 1].copy()


class Walked(Sequence[memoryview]):
    """The requests of a file, none of them copied."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._view = memoryview(self._map)
        self._spans: list[tuple[int, int]] = []
        at = 0
        while at < len(self._view):
            first = at + LENGTH_DIGITS
            at = first + int(self._map[at:first])
            self._spans.append((first, at))

    def __len__(self) -> int:
        return len(self._spans)

    @overload
    def __getitem__(self, place: int) -> memoryview: ...
    @overload
    def __getitem__(self, place: slice) -> list[memoryview]: ...
    def __getitem__(self, place: int | slice) -> memoryview | list[memoryview]:
        if isinstance(place, slice):
            return [self._view[first:last] for first, last in self._spans[place]]
        first, last = self._spans[place]
        return self._view[first:last]

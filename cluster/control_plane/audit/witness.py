"""Writes down, outside the database, how far each audit log has come, so that a later rewriting contradicts it.

Whoever commits an entry appends its log's new head to a file in the data folder of its own machine. An entry that was
altered or removed afterwards, with all hashes computed anew, no longer has the hash that stands here. Whoever can write
both the database and this file can still deceive: against them, keep an export elsewhere.
"""

from __future__ import annotations

import fcntl
import os
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from cluster.control_plane.audit.chain import Head
from whisperer.ids import TenantId

MAX_BYTES = 16 << 20
"""A longer file is made shorter: the newest :data:`KEPT_HEADS` heads of each log stay."""
KEPT_HEADS = 8


class Noted(msgspec.Struct, array_like=True):
    """One line: a log's head."""

    tenant_id: str
    serial: int
    hash: str


class Witness:
    """The file. ``path`` None writes nothing down."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def note(self, heads: Iterable[Head]) -> None:
        """Append heads, whole lines at a time; several processes may do so at once."""
        lines = b"".join(msgspec.json.encode(Noted(*head)) + b"\n" for head in heads)
        if self._path is None or not lines:
            return
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.write(descriptor, lines)
            if os.fstat(descriptor).st_size > MAX_BYTES:
                self._shorten(descriptor)
        finally:
            os.close(descriptor)

    def known(self) -> Iterator[Head]:
        """Return every head that was written down, oldest first. A torn last line is left out."""
        if self._path is None or not self._path.exists():
            return
        with self._path.open("rb") as file:
            for line in file:
                try:
                    noted = msgspec.json.decode(line, type=Noted)
                except msgspec.DecodeError:
                    continue
                yield Head(TenantId(noted.tenant_id), noted.serial, noted.hash)

    def _shorten(self, descriptor: int) -> None:
        """Keep the newest heads of each log. In place and under the lock: other processes append to the same file."""
        kept: dict[TenantId, deque[Head]] = {}
        for head in self.known():
            kept.setdefault(head.tenant_id, deque(maxlen=KEPT_HEADS)).append(head)
        lines = b"".join(msgspec.json.encode(Noted(*head)) + b"\n" for heads in kept.values() for head in heads)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, lines)

"""Keeps the valid keys in a file of the data folder, for gateways that start while the control plane is away.

The file holds hashes, never keys, and belongs to its owner alone (0600). Each replica writes it when it hears that keys
changed, unless another wrote that version before it. So a key that was revoked just before both the database and all
gateways went away may work until the database is back: for whoever revokes a key, that is within one poll.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from pathlib import Path

import msgspec

from cluster.control_plane.key_records import KeyRecord

MOST_KEPT = 100_000
"""The newest keys; about 150 bytes each."""

_log = logging.getLogger(__name__)


class _File(msgspec.Struct, array_like=True):
    version: int
    keys: dict[str, KeyRecord]
    """By hash."""


_decode = msgspec.msgpack.Decoder(_File).decode
_encode = msgspec.msgpack.Encoder().encode


class KeptKeys:
    """The file, as one replica reads and writes it. Methods block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: _File | None = None
        self._read_of: tuple[int, int] | None = None

    def find(self, digest: str) -> KeyRecord | None:
        """Return whom the key with this hash acted for when the file was written."""
        found = self._current()
        return None if found is None else found.keys.get(digest)

    @property
    def version(self) -> int:
        """The control plane's version that the file is of, or -1 if there is none."""
        found = self._current()
        return -1 if found is None else found.version

    def write(self, version: int, keys: dict[str, KeyRecord]) -> None:
        """Replace the file unless it is of this version or a newer one. A failure is only logged."""
        if version <= self.version:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=f"{self._path.name}.")  # 0600
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(_encode(_File(version, keys)))
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(self._path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            _log.warning("the valid keys could not be kept in %s: %r", self._path, error)

    def _current(self) -> _File | None:
        with contextlib.suppress(FileNotFoundError):
            try:
                found = self._path.stat()
                if (found.st_ino, found.st_mtime_ns) != self._read_of:
                    self._read, self._read_of = _decode(self._path.read_bytes()), (found.st_ino, found.st_mtime_ns)
                return self._read
            except (OSError, msgspec.DecodeError) as error:
                if not isinstance(error, FileNotFoundError):
                    _log.warning("the keys kept in %s cannot be read: %r", self._path, error)
                    return None
                raise
        return None

"""Snapshots of a shard: named Arrow tables and a few facts about them, as of one journal position.

Guarantees: a snapshot is seen whole or not at all; one whose bytes do not match their checksums is passed over for the
one before, and reported. Leaves to others: what the tables mean, when to save, and how far to trim the journal
(:meth:`SnapshotStore.prune` says how far is safe).

One folder a snapshot, ``<lsn>-<epoch>-<random>``: an Arrow IPC file a table and, written last, ``manifest.json`` with
sizes and checksums. See docs/storage.md.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
from google_crc32c import value

from actors.blobs import BlobFolder, SealError, seal, unseal

FORMAT_VERSION = 1
MANIFEST = "manifest.json"

_NAME = re.compile(r"(\d{20})-(\d{10})-[0-9a-f]{8}\Z")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state of a shard after every record before ``lsn``."""

    name: str
    lsn: int
    epoch: int
    meta: dict[str, Any]
    tables: dict[str, pa.Table]


@dataclass(frozen=True, slots=True)
class Problem:
    """A snapshot that was passed over, and why."""

    name: str
    why: str


class _UnusableError(Exception):
    pass


class SnapshotStore:
    """The snapshots of one shard. One process saves and prunes; any may read.

    Parameters
    ----------
    uri : any ``pyarrow.fs`` URI or a path
    name_parts : sub-folders below it, such as ``"shard-0003"``
    compression : of the Arrow buffers
    """

    def __init__(
        self,
        uri: str | os.PathLike[str] | BlobFolder,
        *name_parts: str,
        compression: Literal["lz4", "zstd"] | None = "lz4",
    ) -> None:
        blobs = uri if isinstance(uri, BlobFolder) else BlobFolder(uri)
        for part in name_parts:
            _check_part(part)
        self._blobs = blobs
        self._prefix = "".join(f"{part}/" for part in name_parts)
        self._options = pa.ipc.IpcWriteOptions(compression=compression)
        self.problems: list[Problem] = []
        """What :meth:`latest` passed over when it was called last, newest first."""

    def save(self, tables: Mapping[str, pa.Table], meta: Mapping[str, Any], *, lsn: int, epoch: int) -> str:
        """Store the state after every record before ``lsn``; the snapshot's name.

        ``meta`` must survive JSON. Raises OSError; then nothing of it is ever seen.
        """
        name = f"{lsn:020d}-{epoch:010d}-{secrets.token_hex(4)}"
        files = {}
        for title, table in tables.items():
            _check_part(title)
            with self._blobs.writing(f"{self._prefix}{name}/{title}.arrow") as writer:
                # The file format takes one dictionary a column, chunks may have one each.
                whole = table.unify_dictionaries()
                with (
                    pa.PythonFile(writer, mode="w") as file,
                    pa.ipc.new_file(file, whole.schema, options=self._options) as arrow,
                ):
                    arrow.write_table(whole)
            files[title] = {"bytes": writer.n_bytes, "crc32c": writer.crc32c, "rows": table.num_rows}
        manifest = {"format": FORMAT_VERSION, "lsn": lsn, "epoch": epoch, "meta": dict(meta), "tables": files}
        self._blobs.put(f"{self._prefix}{name}/{MANIFEST}", seal(json.dumps(manifest, allow_nan=False).encode()))
        return name

    def latest(self) -> Snapshot | None:
        """The newest snapshot that is intact, or None; those passed over are in :attr:`problems` and logged."""
        self.problems = []
        for name in self.names():
            try:
                return self._load(name)
            except (_UnusableError, OSError) as error:
                self.problems.append(Problem(name, str(error)))
                _log.error("snapshot %s%s is not usable: %s", self._prefix, name, error)
        return None

    def names(self) -> list[str]:
        """Complete snapshots, newest first; their contents are not checked."""
        return self._folders()[0]

    def prune(self, keep: int = 2) -> int | None:
        """Delete all but the newest ``keep`` complete snapshots, and what interrupted saves left.

        Returns the position of the oldest one kept: every kept snapshot can be replayed from if the journal is trimmed
        no further. None when there is no snapshot.
        """
        if keep < 1:
            raise ValueError("keep at least one snapshot")
        complete, incomplete = self._folders()
        if not complete:
            return None
        for name in complete[keep:]:
            self._blobs.delete(f"{self._prefix}{name}/{MANIFEST}")  # first: no half-deleted one is ever seen as whole
            self._blobs.delete_folder(self._prefix + name)
        for name in incomplete:
            if name < complete[0]:
                self._blobs.delete_folder(self._prefix + name)
        return int(complete[:keep][-1][:20])

    def _folders(self) -> tuple[list[str], list[str]]:
        """(complete, incomplete) snapshot folders, newest first."""
        complete, seen = set(), set()
        for blob in self._blobs.names(self._prefix, unfinished=True):
            name, _, file = blob[len(self._prefix) :].partition("/")
            if _NAME.match(name):
                seen.add(name)
                if file == MANIFEST:
                    complete.add(name)
        return sorted(complete, reverse=True), sorted(seen - complete, reverse=True)

    def _load(self, name: str) -> Snapshot:
        try:
            manifest = json.loads(unseal(self._blobs.get(f"{self._prefix}{name}/{MANIFEST}")))
        except SealError as error:
            raise _UnusableError(f"{MANIFEST}: {error}") from error
        if manifest["format"] != FORMAT_VERSION:
            raise _UnusableError(f"format {manifest['format']} is not supported")
        tables = {}
        for title, expected in manifest["tables"].items():
            data = self._blobs.get(f"{self._prefix}{name}/{title}.arrow")
            if (len(data), value(data)) != (expected["bytes"], expected["crc32c"]):
                raise _UnusableError(f"{title}.arrow: checksum does not match")
            tables[title] = pa.ipc.open_file(pa.py_buffer(data)).read_all()
        return Snapshot(name, manifest["lsn"], manifest["epoch"], manifest["meta"], tables)


def _check_part(part: str) -> None:
    if not _PART.match(part):
        raise ValueError(f"{part!r} cannot be part of a path")

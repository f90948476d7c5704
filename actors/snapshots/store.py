"""Save and load snapshots of a shard: named Arrow tables and a few facts about them, as of one journal position.

Guarantees: a snapshot is seen whole or not at all; one whose bytes do not match their checksums is skipped for the one
before it, and reported; what a kept snapshot needs is never deleted. Writes only what changed: chunks that the snapshot
before last already has are named, not written. That one rather than the last, so that the two newest snapshots share no
byte: damage to one leaves the other whole. No pack is built upon, and no snapshot kept, beyond an age
(:mod:`actors.snapshots.retention`), so that what was erased does not survive in them. Leaves to others: what the tables
mean, when to save, in which process (:meth:`Draft.write` may run in a forked child), and how far to trim the journal
(:meth:`SnapshotStore.prune` reports how far is safe).

A snapshot is a folder ``<lsn>-<epoch>-<seconds>`` with ``manifest.json``, written last; the chunks are in
``packs/<snapshot>.pack``. See docs/storage.md.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from google_crc32c import value

from actors.files.blobs import BlobFolder, SealError, seal, unseal
from actors.files.fsync import PARTIAL_SUFFIX
from actors.snapshots import chunks, packs
from actors.snapshots.chunks import Chunk, Compression, DamagedChunkError
from actors.snapshots.packs import DamagedPackError, Index, Known, PackWriter, Place
from actors.snapshots.retention import TWO_NEWEST, Retention

FORMAT_VERSION = 3
"""1: one Arrow file per table next to the manifest. 3: chunks in packs. (2 is a version of the state, not of files.)"""
MANIFEST = "manifest.json"
PACKS = "packs"
WHOLE_EVERY = 48
"""After this many snapshots that build upon each other, one is written whole: unchanged data is read and rewritten."""

_SUFFIX, _DRAFT = ".pack", "draft-"
_GAP_BYTES = 1 << 20
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
    """A snapshot that was skipped, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Saved:
    """What saving a snapshot took.

    Attributes
    ----------
    n_bytes : written for it
    n_chunks, n_new : chunks it consists of, and how many of them were written
    """

    name: str
    n_bytes: int
    n_chunks: int
    n_new: int


class _UnusableError(Exception):
    pass


class Draft:
    """A snapshot that is being written, made by :meth:`SnapshotStore.draft`.

    Attributes
    ----------
    fd : what :meth:`write` writes to; everything else of this process may be closed while it does
    """

    def __init__(self, store: SnapshotStore, known: Known, path: Path, now: int) -> None:
        self.path = path
        self._now = now
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self._store = store
        self._known = known

    def write(self, tables: Iterable[tuple[str, pa.Table]]) -> bytes:
        """Write the tables one after another: none is requested before the one before it is written.

        Returns b"": all there is to know is in the file.
        """
        writer = PackWriter(self.fd, self._known, self._store.compression, self._now)
        for title, table in tables:
            _check_part(title)
            writer.add(title, table)
        writer.finish()
        return b""

    def publish(self, meta: Mapping[str, Any], *, lsn: int, epoch: int) -> Saved:
        """Publish what was written as the state after every record before ``lsn``.

        ``meta`` must survive JSON. Raises OSError, or DamagedPackError where nothing whole was written; then nothing of
        it is ever seen.
        """
        try:
            return self._store._publish(self, meta, lsn, epoch, self._now)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Discard what was written, unless it was published. Twice is harmless."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            self.path.unlink(missing_ok=True)


class SnapshotStore:
    """Hold the snapshots of one shard. One process saves and prunes, one at a time; any may read.

    Parameters
    ----------
    uri : any ``pyarrow.fs`` URI or a path
    name_parts : sub-folders below it, such as ``"shard-0003"``
    compression : of the Arrow buffers
    spool : this store's own folder for what is written before it is uploaded; not used where the URI is local
    retention : how old packs and snapshots may become
    clock : ms UTC

    Attributes
    ----------
    oldest_at : when the oldest kept pack was written, ms UTC, as of the last :meth:`prune`; None: not known
    """

    def __init__(
        self,
        uri: str | os.PathLike[str] | BlobFolder,
        *name_parts: str,
        compression: Compression | None = "lz4",
        spool: Path | None = None,
        retention: Retention = Retention(),  # noqa: B008 - a value
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        blobs = uri if isinstance(uri, BlobFolder) else BlobFolder(uri)
        for part in name_parts:
            _check_part(part)
        self.compression = compression
        self._blobs = blobs
        self._prefix = "".join(f"{part}/" for part in name_parts)
        self._spool = spool
        self._retention = retention
        self._clock = clock
        self.oldest_at: int | None = None
        self.problems: list[Problem] = []
        """What the last call of :meth:`latest` skipped, newest first."""

    def save(self, tables: Mapping[str, pa.Table], meta: Mapping[str, Any], *, lsn: int, epoch: int) -> str:
        """Store the state after every record before ``lsn``, in this process; return the snapshot's name."""
        draft = self.draft()
        try:
            draft.write(tables.items())
            return draft.publish(meta, lsn=lsn, epoch=epoch).name
        finally:
            draft.abandon()

    def draft(self) -> Draft:
        """Begin a snapshot: find out what need not be written again, and open a file to write to."""
        name = f"{self._prefix}{PACKS}/{_DRAFT}{secrets.token_hex(8)}{_SUFFIX}"
        path = self._blobs.begin(name, self._spool or Path(tempfile.gettempdir()))
        now = self._clock()
        return Draft(self, self._known(now - self._retention.build_upon_ms), path, now)

    def latest(self) -> Snapshot | None:
        """Return the newest intact snapshot, or None; those skipped are in :attr:`problems` and logged."""
        self.problems = []
        for name in self.names():
            try:
                return self._load(name)
            except (_UnusableError, OSError) as error:
                self.problems.append(Problem(name, str(error)))
                _log.error("snapshot %s%s is not usable: %s", self._prefix, name, error)
        return None

    def names(self) -> list[str]:
        """Return the complete snapshots, newest first, without checking their contents."""
        return self._folders()[0]

    def prune(self, keep: int = 2) -> int | None:
        """Delete all except the newest ``keep`` complete snapshots, any of those too old, and what crashes left.

        Returns the position of the oldest one kept: every kept snapshot can be replayed from if the journal is trimmed
        no further. None when there is no snapshot.
        """
        if keep < 1:
            raise ValueError("keep at least one snapshot")
        complete, incomplete = self._folders()
        if not complete:
            return None
        kept = self._young(complete[:keep])
        for name in complete[len(kept) :]:
            self._blobs.delete(f"{self._prefix}{name}/{MANIFEST}")  # first: no half-deleted one is ever seen as whole
            self._blobs.delete_folder(self._prefix + name)
        for name in incomplete:
            if name < complete[0]:
                self._blobs.delete_folder(self._prefix + name)
        self._prune_packs(kept)
        for path in () if self._spool is None else self._spool.glob(f"*{_DRAFT}*"):
            path.unlink(missing_ok=True)  # of a process that was killed while it wrote
        return int(kept[-1][:20])

    def _young(self, names: list[str]) -> list[str]:
        """Drop those that are older than any may become; the two newest are always young enough."""
        since = self._clock() - self._retention.keep_ms
        for n, name in enumerate(names[TWO_NEWEST:], TWO_NEWEST):
            with contextlib.suppress(_UnusableError, OSError):
                if self._manifest(name).get("at", 0) < since:
                    return names[:n]
        return names

    def _prune_packs(self, kept: list[str]) -> None:
        needed = set()
        oldest: list[int] = []
        self.oldest_at = None
        for name in kept:
            try:
                manifest = self._manifest(name)
                needed.update(manifest.get("packs", []))
                oldest.append(manifest.get("oldest", 0))
            except (_UnusableError, OSError) as error:
                _log.error("no pack is deleted: snapshot %s%s may need any of them: %s", self._prefix, name, error)
                return
        for blob in self._blobs.names(f"{self._prefix}{PACKS}", unfinished=True):
            name = blob.rpartition("/")[2]
            # A pack newer than every snapshot is one that is about to be published, here or by a newer incarnation.
            is_old = name.startswith(_DRAFT) or name.removesuffix(PARTIAL_SUFFIX).removesuffix(_SUFFIX) < kept[0]
            if is_old and name.removesuffix(_SUFFIX) not in needed:
                self._blobs.delete(blob)
        self.oldest_at = min(oldest) or None

    def _folders(self) -> tuple[list[str], list[str]]:
        """Return (complete, incomplete) snapshot folders, newest first."""
        complete, seen = set(), set()
        for blob in self._blobs.names(self._prefix, unfinished=True):
            name, _, file = blob[len(self._prefix) :].partition("/")
            if _NAME.match(name):
                seen.add(name)
                if file == MANIFEST:
                    complete.add(name)
        return sorted(complete, reverse=True), sorted(seen - complete, reverse=True)

    # -- writing ----------------------------------------------------------------------------------------------------

    def _known(self, since: int) -> Known:
        for name in self.names()[1:2]:
            with contextlib.suppress(_UnusableError, OSError):
                manifest = self._manifest(name)
                if manifest["format"] == FORMAT_VERSION:
                    index = self._index(name, manifest)
                    if index.n_since_whole < WHOLE_EVERY:
                        return packs.known_from(index, name, since)
        return packs.nothing_known()

    def _publish(self, draft: Draft, meta: Mapping[str, Any], lsn: int, epoch: int, now: int) -> Saved:
        size = os.fstat(draft.fd).st_size
        place = packs.read_trailer(os.pread(draft.fd, packs.TRAILER_BYTES, max(0, size - packs.TRAILER_BYTES)), size)
        index = packs.read_index(os.pread(draft.fd, place.n_bytes, place.offset), place)
        name = self._name(f"{lsn:020d}-{epoch:010d}", now)
        self._blobs.adopt(draft.path, self._pack(name))
        manifest = {
            "format": FORMAT_VERSION,
            "lsn": lsn,
            "epoch": epoch,
            "meta": dict(meta),
            "at": now,
            "packs": [entry.name or name for entry in index.packs],
            "oldest": min(entry.written_at for entry in index.packs),
            "bytes": size,
            "index": place._asdict(),
        }
        self._blobs.put(f"{self._prefix}{name}/{MANIFEST}", seal(json.dumps(manifest, allow_nan=False).encode()))
        every = list(index.chunks())
        return Saved(name, size, len(every), sum(chunk.pack == packs.OWN for chunk in every))

    def _name(self, place: str, now: int) -> str:
        """Return a name; of snapshots at one place, as an idle shard takes them, the later one has the greater name."""
        stamps = [int(name.rpartition("-")[2], 16) for name in self.names() if name.startswith(place)]
        return f"{place}-{max([now // 1000, *(stamp + 1 for stamp in stamps)]):08x}"

    # -- reading ----------------------------------------------------------------------------------------------------

    def _pack(self, name: str) -> str:
        return f"{self._prefix}{PACKS}/{name}{_SUFFIX}"

    def _manifest(self, name: str) -> dict[str, Any]:
        try:
            manifest: dict[str, Any] = json.loads(unseal(self._blobs.get(f"{self._prefix}{name}/{MANIFEST}")))
        except SealError as error:
            raise _UnusableError(f"{MANIFEST}: {error}") from error
        if manifest["format"] not in (1, FORMAT_VERSION):
            raise _UnusableError(f"format {manifest['format']} is not supported")
        return manifest

    def _index(self, name: str, manifest: dict[str, Any]) -> Index:
        place = Place(**manifest["index"])
        try:
            with self._blobs.reading(self._pack(name)) as file:
                size = manifest["bytes"]
                packs.check_head(file.read_at(packs.HEAD_BYTES, 0))
                tail = file.read_at(size - place.offset + 1, place.offset)
                if packs.read_trailer(tail[-packs.TRAILER_BYTES :], place.offset + len(tail)) != place:
                    raise DamagedPackError("its trailer is another one's")
                return packs.read_index(tail[: place.n_bytes], place)
        except DamagedPackError as error:
            raise _UnusableError(f"{name}{_SUFFIX}: {error}") from error

    def _load(self, name: str) -> Snapshot:
        manifest = self._manifest(name)
        tables = self._load_files(name, manifest) if manifest["format"] == 1 else self._load_packs(name, manifest)
        return Snapshot(name, manifest["lsn"], manifest["epoch"], manifest["meta"], tables)

    def _load_files(self, name: str, manifest: dict[str, Any]) -> dict[str, pa.Table]:
        tables = {}
        for title, expected in manifest["tables"].items():
            data = self._blobs.get(f"{self._prefix}{name}/{title}.arrow")
            if (len(data), value(data)) != (expected["bytes"], expected["crc32c"]):
                raise _UnusableError(f"{title}.arrow: checksum does not match")
            tables[title] = pa.ipc.open_file(pa.py_buffer(data)).read_all()
        return tables

    def _load_packs(self, name: str, manifest: dict[str, Any]) -> dict[str, pa.Table]:
        index = self._index(name, manifest)
        wanted: dict[int, dict[int, Chunk]] = defaultdict(dict)
        for chunk in index.chunks():
            wanted[chunk.pack][chunk.offset] = chunk
        pieces: dict[tuple[int, int], pa.Array] = {}
        for number, by_offset in wanted.items():
            pack = index.packs[number].name or name
            with self._blobs.reading(self._pack(pack)) as file:
                for offset, n_bytes, group in packs.runs(by_offset.values(), _GAP_BYTES):
                    data = pa.py_buffer(file.read_at(n_bytes, offset))
                    for chunk in group:
                        piece = data.slice(chunk.offset - offset, chunk.n_bytes)
                        try:
                            pieces[number, chunk.offset] = chunks.decode(piece, chunk)
                        except (DamagedChunkError, pa.ArrowException) as error:
                            raise _UnusableError(f"{pack}{_SUFFIX}, offset {chunk.offset}: {error}") from error
        tables = {}
        for stored in index.tables:
            schema = pa.ipc.read_schema(pa.py_buffer(stored.schema))
            columns = [
                pa.chunked_array([pieces[chunk.pack, chunk.offset] for chunk in column], field.type)
                for column, field in zip(stored.columns, schema, strict=True)
            ]
            tables[stored.title] = pa.table(columns, schema=schema)
        return tables


def _check_part(part: str) -> None:
    if not _PART.match(part):
        raise ValueError(f"{part!r} cannot be part of a path")

"""Keep the records and files of exports next to the warehouse's data, where every gateway finds them.

    exports/<tenant>/<id>.json       the record: without it nothing else of an export counts
    exports/<tenant>/<id>.<format>   the file, whole once the record is `done`
    exports/<tenant>/<id>.cancel     somebody wants it ended; its gateway looks

Only the gateway that began an export writes its record while it is open. One that has not done so for
:data:`SILENT_S` has ended, whatever ended it, and its export has failed: nothing stays open for ever. Everything here
blocks; ids and names come from callers and never become a path unless they have the form of ours.
"""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict

from msgspec.structs import replace

from actors.exports.record import Record, decode_record, encode_record
from actors.files.blobs import BlobFolder
from actors.files.fsync import PARTIAL_SUFFIX
from whisperer.access.download_links import not_found
from whisperer.ids import TenantId
from whisperer.vocabulary.exports import OPEN, ExportState
from whisperer.vocabulary.units import DAY_MS

FOLDER = "exports"
SILENT_S = 30.0
MOST_KEPT = 100
"""Exports of one tenant whose records are kept."""
RECORDS_KEPT_MS = 30 * DAY_MS
"""How long records without a file are kept."""

_ID = re.compile(r"exp_[0-9a-z]{22}")
_TENANT = re.compile(r"[A-Za-z0-9_]{1,64}")
_RECORD, _CANCEL = ".json", ".cancel"


class ExportStore:
    """Records and files below one warehouse's URI."""

    def __init__(self, warehouse: str) -> None:
        self.folder = BlobFolder(warehouse)

    def put(self, record: Record) -> None:
        """Write a record."""
        self.folder.put(_name(record) + _RECORD, encode_record(record))

    def show(self, tenant: TenantId, id: str, now: int) -> Record:
        """Return a record as it stands at ``now`` (ms UTC). Raises NotFoundError (`export_not_found`)."""
        if not _ID.fullmatch(id) or not _TENANT.fullmatch(tenant):
            raise not_found(id)
        try:
            record = decode_record(self.folder.get(f"{FOLDER}/{tenant}/{id}{_RECORD}"))
        except FileNotFoundError:
            raise not_found(id) from None
        return self._as_of(record, now)

    def records(self, tenant: TenantId, now: int) -> list[Record]:
        """Return a tenant's records as they stand at ``now``, oldest first."""
        found = []
        for name in self._names(tenant):
            if name.endswith(_RECORD):
                with contextlib.suppress(FileNotFoundError):
                    found.append(self._as_of(decode_record(self.folder.get(name)), now))
        return found

    def ask_to_end(self, record: Record) -> None:
        """Leave word that an open export is to end."""
        self.folder.put(_name(record) + _CANCEL, b"")

    def is_to_end(self, record: Record) -> bool:
        """Return whether somebody wants an export ended."""
        return self.folder.has(_name(record) + _CANCEL)

    def drop_file(self, record: Record) -> None:
        """Delete the file, also one that was not written to its end, and what was said about ending it."""
        for name in (place_of(record), place_of(record) + PARTIAL_SUFFIX, _name(record) + _CANCEL):
            self.folder.delete(name)

    def remove(self, record: Record) -> None:
        """Delete an export with its file; the record goes last, so that a crash leaves nothing that nobody finds."""
        self.drop_file(record)
        self.folder.delete(_name(record) + _RECORD)

    def tidy(self, now: int) -> int:
        """Delete files that are too old or belong to no finished export, and old records; return how many exports.

        Any number of gateways may do it at once, and while exports run.
        """
        parts: defaultdict[tuple[TenantId, str], set[str]] = defaultdict(set)
        for name in self.folder.names(FOLDER, unfinished=True):
            _, _, rest = name.partition("/")
            tenant, _, file = rest.partition("/")
            id, _, part = file.partition(".")
            if _ID.fullmatch(id) and part != _RECORD[1:] + PARTIAL_SUFFIX:
                parts[TenantId(tenant), id].add(part)
        n_tidied = 0
        for (tenant, id), found in parts.items():
            n_tidied += self._tidied(tenant, id, found, now)
        return n_tidied

    def _tidied(self, tenant: TenantId, id: str, parts: set[str], now: int) -> bool:
        others = parts - {_RECORD[1:]}
        try:
            stored = decode_record(self.folder.get(f"{FOLDER}/{tenant}/{id}{_RECORD}"))
        except FileNotFoundError:  # it was removed in between: a record is the first to come and the last to go
            for part in others:
                self.folder.delete(f"{FOLDER}/{tenant}/{id}.{part}")
            return True
        record = self._as_of(stored, now)
        if record.state in OPEN or (stored.state in OPEN and record.state is ExportState.CANCELLED):
            return False
        if record.state is not ExportState.DONE:
            if now - (record.finished_at or record.created_at) > RECORDS_KEPT_MS:
                self.remove(record)
                return True
            if others:
                self.drop_file(record)
            if record.state != stored.state:
                self.put(record)
        return record.state != stored.state or bool(others and record.state is not ExportState.DONE)

    def _as_of(self, record: Record, now: int) -> Record:
        if record.state in OPEN:
            if now - record.updated_at > 1000 * SILENT_S:
                error = "the process that worked on it ended; begin it again"
                return replace(record, state=ExportState.FAILED, finished_at=record.updated_at, error=error)
            if self.is_to_end(record):
                return replace(record, state=ExportState.CANCELLED, finished_at=now)
        if record.state is ExportState.DONE and record.expires_at is not None and now >= record.expires_at:
            return replace(record, state=ExportState.EXPIRED)
        return record

    def _names(self, tenant: TenantId) -> list[str]:
        return self.folder.names(f"{FOLDER}/{tenant}") if _TENANT.fullmatch(tenant) else []


def place_of(record: Record) -> str:
    """Return the name of the file's blob."""
    return f"{_name(record)}.{record.format}"


def _name(record: Record) -> str:
    return f"{FOLDER}/{record.tenant}/{record.id}"

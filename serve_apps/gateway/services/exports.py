"""Begins, shows and ends exports for callers, and gives their files to whoever has a link.

What an export contains needs its own permission besides that of the call: who may not see users is neither given an
export of them nor told of one. Beginning and deleting one is entered in the audit log, whoever does it; that a person
was given a link, before they have it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec

from actors.exports.record import Record, Task
from actors.exports.store import place_of
from actors.fair_queue import FairQueue
from actors.files.blobs import BlobFolder
from actors.jobs.export_runs import Exports as Runs
from cluster.control_plane import ControlPlane
from cluster.control_plane.audit.acting import ActorKind
from cluster.control_plane.audit.entries import Entry, Verb
from cluster.times import iso
from serve_apps.gateway.http.principal import Principal
from serve_apps.gateway.services.export_filters import read_filter
from serve_apps.gateway.services.export_gathering import Gatherer
from whisperer.access.download_links import LIFETIME_S, DownloadLinks, not_found
from whisperer.access.permissions import Permission
from whisperer.ids import TenantId, new_id
from whisperer.vocabulary.exports import ExportFormat, ExportKind, ExportState

MOST_FILTERS = 10
AT_ONCE = 32
TENANT_AT_ONCE = 4
"""Files that a replica gives at once, in total and of one tenant."""
SPOOLED = (ExportKind.USERS, ExportKind.AUDIT)
"""Kinds that are not in the warehouse."""
MEDIA_TYPES = {
    ExportFormat.NDJSON: "application/x-ndjson",
    ExportFormat.CSV: "text/csv; charset=utf-8; header=present",
    ExportFormat.PARQUET: "application/vnd.apache.parquet",
}


class ExportBody(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be exported, in which format, narrowed to what."""

    of: Literal["users", "events", "decisions", "deliveries", "outcomes", "rewards", "audit"]
    format: Literal["ndjson", "csv", "parquet"] = "ndjson"
    filter: Annotated[dict[str, Any], msgspec.Meta(max_length=MOST_FILTERS)] = {}


class ExportProgress(msgspec.Struct):
    """Rows so far, and the share of the work that is done, in [0, 1]; None while nobody knows it."""

    rows: int
    share: float | None


class ExportDocument(msgspec.Struct, kw_only=True):
    """An export. What follows ``error`` is None until it is done, and again once its file is gone.

    ``download_url`` is a link that is good for an hour; lists have none.
    """

    id: str
    of: str
    format: str
    filter: dict[str, Any]
    state: str
    progress: ExportProgress
    created_at: str | None
    created_by: str
    started_at: str | None
    finished_at: str | None
    error: str | None
    rows: int | None
    size_bytes: int | None
    sha256: str | None
    expires_at: str | None
    download_url: str | None


class File(msgspec.Struct):
    """The file of an export, to be given; always leave its turn."""

    record: Record
    folder: BlobFolder
    place: str
    leave: Callable[[], None]

    @property
    def name(self) -> str:
        """How it is called where it is saved."""
        return f"{self.record.of}-{(iso(self.record.created_at) or '')[:10]}-{self.record.id}.{self.record.format}"


class Exports:
    """Answers for exports. ``public_url``: of the installation, without a slash at its end."""

    def __init__(
        self,
        runs: Runs,
        gatherer: Gatherer,
        plane: ControlPlane,
        links: DownloadLinks,
        public_url: str,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._runs = runs
        self._gatherer = gatherer
        self._plane = plane
        self._links = links
        self._public_url = public_url
        self._clock_s = clock_s
        self._giving = FairQueue(
            AT_ONCE, TENANT_AT_ONCE, AT_ONCE, TENANT_AT_ONCE, what="downloads", code="too_many_downloads"
        )

    async def begin(self, tenant: TenantId, body: ExportBody, who: Principal) -> ExportDocument:
        """Begin an export, or put it in line.

        Raises ForbiddenError for a caller who may not see what it contains, InvalidBodyError for its filter,
        TooManyError, OverloadError, ConflictError (`too_many_exports`).
        """
        of = ExportKind(body.of)
        who.require(permission_for(of))
        narrowed = read_filter(tenant, of, body.filter)
        now = round(self._clock_s() * 1000)
        record = Record(
            id=new_id("exp", now),
            tenant=tenant,
            of=of,
            format=ExportFormat(body.format),
            state=ExportState.QUEUED,
            created_at=now,
            updated_at=now,
            by=who.name,
            filter=body.filter,
        )
        task = Task("", "", tenant, of, record.format, narrowed.since, narrowed.until, narrowed.equal)

        async def entered() -> None:
            told = {"of": body.of, "format": body.format, "filters": sorted(name[:100] for name in body.filter)}
            await self._enter(Entry(tenant, Verb.CREATED, "exports", record.id, after=told))

        gather = self._gatherer.of(tenant, narrowed)
        return document(await self._runs.begin(record, task, gather, is_spooled=of in SPOOLED, entered=entered))

    async def list(self, tenant: TenantId, state: str | None, who: Principal) -> list[ExportDocument]:
        """Return the exports whose content the caller may see, newest first, without links."""
        return [
            document(record)
            for record in reversed(await self._runs.records(tenant))
            if state in (None, record.state) and permission_for(record.of) in who.permissions
        ]

    async def show(self, tenant: TenantId, id: str, who: Principal) -> ExportDocument:
        """Return one export, with a link to its file once it is done.

        Raises NotFoundError (`export_not_found`), ForbiddenError for a caller who may not see what it contains.
        """
        record = await self._runs.show(tenant, id)
        who.require(permission_for(record.of))
        shown = document(record)
        if record.state is ExportState.DONE:
            if who.kind is ActorKind.PERSON:
                await self._enter(Entry(tenant, Verb.READ, "exports", id))
            shown.download_url = self._link(record)
        return shown

    async def end(self, tenant: TenantId, id: str, who: Principal) -> ExportDocument:
        """End an open export, or delete one with its file, and return it as it is then.

        Raises NotFoundError (`export_not_found`), ForbiddenError for a caller who may not see what it contains.
        """
        record = await self._runs.show(tenant, id)
        who.require(permission_for(record.of))
        ended = await self._runs.end(tenant, id)
        verb = Verb.CHANGED if ended.state is ExportState.CANCELLED and record.state != ended.state else Verb.DELETED
        await self._enter(Entry(tenant, verb, "exports", id, before={"state": record.state}))
        return document(ended)

    async def file(self, id: str, token: str) -> File:
        """Return the file that a token opens.

        Raises NotFoundError (`export_not_found`), ForbiddenError (`link_expired`), TooManyError, OverloadError.
        """
        tenant = self._links.opened(token, id, self._clock_s())
        record = await self._runs.show(tenant, id)
        if record.state is not ExportState.DONE:
            raise not_found(id)
        turn = self._giving.join(tenant)
        return File(record, self._runs.store.folder, place_of(record), turn.leave)

    def _link(self, record: Record) -> str:
        until = (record.expires_at or 0) // 1000
        token = self._links.signed(record.tenant, record.id, min(until, int(self._clock_s()) + LIFETIME_S))
        return f"{self._public_url}/v1/exports/{record.id}/file?token={token}"

    async def _enter(self, entry: Entry) -> None:
        await asyncio.to_thread(self._plane.note_in_audit_log, [entry])


def permission_for(of: ExportKind) -> Permission:
    """Return what a caller needs to be given such an export."""
    return Permission.AUDIT_READ if of is ExportKind.AUDIT else Permission.USERS_EXPORT


def document(record: Record) -> ExportDocument:
    """Return a record for callers, without a link."""
    is_done = record.state is ExportState.DONE
    return ExportDocument(
        id=record.id,
        of=record.of,
        format=record.format,
        filter=record.filter,
        state=record.state,
        progress=ExportProgress(record.n_rows, record.share),
        created_at=iso(record.created_at),
        created_by=record.by,
        started_at=iso(record.started_at),
        finished_at=iso(record.finished_at),
        error=record.error or None,
        rows=record.n_rows if is_done else None,
        size_bytes=record.size_bytes if is_done else None,
        sha256=record.sha256 if is_done else None,
        expires_at=iso(record.expires_at) if is_done else None,
        download_url=None,
    )

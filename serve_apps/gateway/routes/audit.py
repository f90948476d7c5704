"""The audit resource: who changed what, who looked at whom, and whether the log is whole."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends
from starlette.responses import Response

from cluster.control_plane import AuditEntry, AuditQuery, Verification
from cluster.control_plane.audit.entries import Verb
from cluster.control_plane.listing import After
from cluster.times import iso
from serve_apps.gateway.http.documented import NDJSON, answered
from serve_apps.gateway.http.exchange import answer, streamed
from serve_apps.gateway.http.listing import ANY, Asked, Filter, Listing, of_words
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.services.parts import Parts
from whisperer.access.permissions import Permission
from whisperer.errors import NotFoundError, RequestError
from whisperer.events.clock import instant
from whisperer.ids import TenantId

MAX_SERIAL = 2**63 - 1
EXAMPLE = {
    "serial": 42,
    "at": "2026-01-31T09:00:00.000Z",
    "actor": {"kind": "person", "id": "pe_0f6jkq2w1m9r4v7x3s8c5b", "name": "ada@example.com"},
    "operation": "PUT /v1/experiment",
    "verb": "changed",
    "resource": "experiments",
    "resource_id": "",
    "before": {"holdout": 0.05},
    "after": {"holdout": 0.1},
    "address": "203.0.113.7",
    "request_id": "b7f3c1",
    "previous": "9f2c…",
    "hash": "51ab…",
}
VERIFICATION = {"n_entries": 42, "hash": "51ab…", "n_witnessed": 17, "is_whole": True, "broken": None}


class ActorDocument(msgspec.Struct):
    """Who did it: a person, a key, the operator or a job."""

    kind: str
    id: str
    name: str


class AuditDocument(msgspec.Struct, kw_only=True):
    """One entry of the log."""

    serial: int
    at: str | None
    actor: ActorDocument
    operation: str
    verb: str
    resource: str
    resource_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    address: str
    request_id: str
    previous: str
    hash: str


class BrokenDocument(msgspec.Struct):
    """The first place where the log does not hold together."""

    serial: int
    reason: str


class VerificationDocument(msgspec.Struct, kw_only=True):
    """Whether the log is whole; ``n_witnessed`` heads noted outside the database were compared."""

    n_entries: int
    hash: str
    n_witnessed: int
    is_whole: bool
    broken: BrokenDocument | None


_BY = {
    "actor": Filter(about="id or name"),
    "resource": ANY,
    "resource_id": ANY,
    "verb": of_words(Verb),
    "user_id": Filter(about="who was looked at"),
    "since": Filter(about="ISO 8601", is_moment=True),
    "until": Filter(about="ISO 8601", is_moment=True),
}
LIST = Listing("audit", AuditDocument, key="serial", sorts=("serial",), usual="-serial", filters=_BY)
ALL = Listing("audit export", AuditDocument, key="serial", sorts=(), filters=_BY, has_pages=False)


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["audit"])
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.AUDIT_READ))]

    # One at a time: a log of a million entries takes a minute.
    verifying = asyncio.Semaphore(1)

    def query_of(tenant_id: TenantId, by: Mapping[str, str]) -> AuditQuery:
        user_id, resource_id = by.get("user_id"), by.get("resource_id")
        if user_id is not None:
            if resource_id is not None:
                raise RequestError("filter[user_id] and filter[resource_id] exclude each other")
            resource_id = parts.access.pseudonyms.of(tenant_id, user_id)
        moments = _moment("since", by.get("since")), _moment("until", by.get("until"))
        return AuditQuery(by.get("actor"), by.get("resource"), resource_id, by.get("verb"), *moments)

    @routes.get("/audit", summary="Entries of the audit log, newest first", openapi_extra=LIST.documented(EXAMPLE))
    async def list_audit(tenant_id: Reader, asked: Annotated[Asked, Depends(LIST.asked)]) -> Response:
        query, after = query_of(tenant_id, asked.filters), asked.after(tenant_id)
        serial = None if after is None else int(after.key)
        ask = partial(parts.plane.audit_entries, tenant_id, query, beyond=serial, limit=asked.limit + 1)
        found = await asyncio.to_thread(partial(ask, oldest_first=not asked.descends))
        shown = found[: asked.limit]
        last = After(str(shown[-1].serial)) if len(found) > asked.limit else None
        return asked.answer(tenant_id, [document(one) for one in shown], last)

    @routes.get(
        "/audit/verification",
        summary="Whether the log is whole: each entry unaltered, none missing",
        openapi_extra=answered(VerificationDocument, VERIFICATION),
    )
    async def verify_audit(tenant_id: Reader) -> Response:
        async with verifying:
            return answer(verified(await asyncio.to_thread(parts.plane.verify_audit, tenant_id, resting=1.0)))

    @routes.get(
        "/audit/export",
        summary="All entries, oldest first, one JSON object a line",
        response_class=Response,
        openapi_extra=answered(AuditDocument, EXAMPLE, media_type=NDJSON),
    )
    async def export_audit(tenant_id: Reader, asked: Annotated[Asked, Depends(ALL.asked)]) -> Response:
        query = query_of(tenant_id, asked.filters)

        async def lines() -> AsyncGenerator[bytes]:
            yield b""
            after = 0
            while page := await asyncio.to_thread(partial(parts.plane.audit_page, tenant_id, query, after=after)):
                yield b"".join(msgspec.json.encode(document(one)) + b"\n" for one in page)
                after = page[-1].serial

        return await streamed(lines(), NDJSON)

    @routes.get("/audit/{serial}", summary="One entry", openapi_extra=answered(AuditDocument, EXAMPLE))
    async def get_audit(serial: int, tenant_id: Reader) -> Response:
        found = None
        if 0 < serial <= MAX_SERIAL:
            found = await asyncio.to_thread(parts.plane.audit_entry, tenant_id, serial)
        if found is None:
            raise NotFoundError(f"the audit log has no entry {serial}", code="audit_entry_not_found")
        return answer(document(found))

    return routes


def _moment(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    found = instant(text)
    if found is None:
        raise RequestError(f"filter[{name}] must be an ISO 8601 time such as 2026-01-31T00:00:00Z, not {text[:80]!r}")
    return found


def document(entry: AuditEntry) -> AuditDocument:
    return AuditDocument(
        serial=entry.serial,
        at=iso(entry.at),
        actor=ActorDocument(entry.actor_kind, entry.actor_id, entry.actor_name),
        operation=entry.operation,
        verb=entry.verb,
        resource=entry.resource,
        resource_id=entry.resource_id,
        before=entry.before,
        after=entry.after,
        address=entry.address,
        request_id=entry.request_id,
        previous=entry.previous,
        hash=entry.hash,
    )


def verified(found: Verification) -> VerificationDocument:
    broken = None if found.broken is None else BrokenDocument(found.broken.serial, found.broken.reason)
    return VerificationDocument(
        n_entries=found.n_entries,
        hash=found.hash,
        n_witnessed=found.n_witnessed,
        is_whole=broken is None,
        broken=broken,
    )

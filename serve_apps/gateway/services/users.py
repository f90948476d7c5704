"""Answers what callers may ask about one user: the profile, everything held, and erasure.

An id is looked up first as a userId, then as an anonymousId; merged ids lead to the user they were merged into. Times
are returned as ISO 8601 in UTC; what a client wrote (traits, properties) is returned as written.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import msgspec

from actors.calls.shards import ShardCalls
from actors.jobs import Jobs, StoredEvents, UserHistory
from cluster.times import iso
from serve_apps.delivery.sink import Sink
from serve_apps.gateway.services.audit import audit, standing
from whisperer.errors import NotFoundError, UnavailableError
from whisperer.events.types import RESERVED_NAME, EventType
from whisperer.ids import TenantId, UserKey, anonymous_key, bare_id, is_anonymous, known_key, partition_of, tenant_seed
from whisperer.profiles import timeline
from whisperer.profiles.timeline import Entry
from whisperer.profiles.traits import MAX_BYTES, MAX_NAMES
from whisperer.shard.inspection import UserView, keys_for
from whisperer.shard.records import ALIAS_ARBITER

MAX_HOPS = 8
"""Homes asked for one id. Three find it, wherever it was joined; more are needed only while merges are under way."""

_KINDS = {
    **{int(t): t.wire for t in EventType},
    timeline.SEGMENT_ENTERED: "segment_entered",
    timeline.SEGMENT_EXITED: "segment_exited",
    timeline.MERGED: "merged",
}
_RESERVED = set(RESERVED_NAME.values())


_ABSENT = msgspec.Raw(b"")


class _Content(msgspec.Struct):
    properties: msgspec.Raw = _ABSENT
    traits: msgspec.Raw = _ABSENT
    context: msgspec.Raw = _ABSENT


_decode_content = msgspec.json.Decoder(_Content).decode


class Users:
    """Questions about users. ``warehouse``: its URI."""

    def __init__(self, shards: ShardCalls, sink: Sink, jobs: Jobs, warehouse: str) -> None:
        self._shards = shards
        self._sink = sink
        self._jobs = jobs
        self._warehouse = warehouse

    async def show(
        self, tenant: TenantId, user_id: str, as_of: int | None = None, *, full_timeline: bool = False
    ) -> dict[str, Any]:
        """Return the profile as of ``as_of`` (ms UTC). Raises NotFoundError.

        The timeline's newest entries include what was sent; with ``full_timeline`` older ones are also read from disk.
        """
        view = await self.find(tenant, user_id, as_of)
        known = not is_anonymous(view.key)
        return {
            "user_id": bare_id(view.key) if known else None,
            "anonymous_ids": view.anonymous_ids if known else [bare_id(view.key), *view.anonymous_ids],
            "previous_ids": view.previous_ids,
            "refused_anonymous_ids": view.refused_anonymous_ids,
            "traits": view.traits,
            "traits_held": {
                "names": view.n_traits,
                "bytes": view.traits_bytes,
                "most_names": MAX_NAMES,
                "most_bytes": MAX_BYTES,
            },
            "features": view.features,
            "scores": _scores(view),
            "event_counts": view.event_counts,
            "segments": view.segments,
            "timeline": await self._timeline(tenant, view.timeline, full_timeline),
            "first_seen": iso(view.first_seen),
            "last_seen": iso(view.last_seen),
            "time_zone": view.time_zone,
            "locale": view.locale,
            "partition": view.partition,
            **standing(view.standing),
            "candidacies": [audit(candidacy) for candidacy in view.candidacies],
        }

    async def export(self, tenant: TenantId, user_id: str) -> AsyncGenerator[bytes]:
        """Yield everything held on a user, as one JSON object in pieces.

        That is the profile, daily counts, every stored event as it was sent, and every decision, delivery, outcome and
        reward in the warehouse. Nothing is yielded before the warehouse has been read. Raises NotFoundError, and then
        what :class:`Jobs` raises.
        """
        turn = self._jobs.join(UserHistory, tenant)
        try:
            view = await self.find(tenant, user_id, None)
            await self._flush()
            stored = self._jobs.stream(UserHistory(self._warehouse, tenant, _all_keys(view)), turn)
            async with contextlib.aclosing(stored):
                first = await anext(stored)
                yield await self._begun(tenant, user_id, view)
                yield first
                async for piece in stored:
                    yield piece
                yield b"}"
        finally:
            turn.leave()

    async def _begun(self, tenant: TenantId, user_id: str, view: UserView) -> bytes:
        """Return the beginning of an export: an object left open."""
        begun = {
            "exported_at": iso(int(datetime.now(UTC).timestamp() * 1000)),
            "profile": await self.show(tenant, user_id, full_timeline=True),
            "daily_counts": [
                {"event": name, "day": str(iso(day * 86_400_000))[:10], "count": count}
                for name, day, count in view.daily_counts
            ],
        }
        return msgspec.json.encode(begun).removesuffix(b"}") + b","

    async def _flush(self) -> None:
        """Write everything acknowledged so far to the warehouse."""
        shards = self._shards.places.current.shards
        await asyncio.gather(*(self._shards.call(shard, "flush", timeout_s=120.0) for shard in shards))

    async def erase(self, tenant: TenantId, user_id: str) -> dict[str, Any]:
        """Remove a user, whichever ids lead there. Late events do not bring them back. Raises NotFoundError."""
        view = await self.find(tenant, user_id, None)
        partition = partition_of(view.key, tenant_seed(tenant))
        await self._shards.on_partition(tenant, partition, "erase", tenant, view.key)
        await asyncio.to_thread(self._sink.forget, tenant, _all_keys(view), time.time_ns() // 1_000_000)
        return {
            "user_id": bare_id(view.key),
            "erased": True,
            "note": "state is gone now; files follow within the retention (docs/identity.md)",
        }

    async def state_consent(
        self, tenant: TenantId, user_id: str, channel: str, purpose: str, granted: bool, source: str
    ) -> dict[str, Any]:
        """Record a statement about a channel and purpose ("*": all of them). Raises NotFoundError."""
        view = await self.find(tenant, user_id)
        partition = partition_of(view.key, tenant_seed(tenant))
        await self._shards.on_partition(
            tenant, partition, "state_consent", tenant, view.key, channel, purpose, granted, source
        )
        return {
            "user_id": bare_id(view.key),
            "channel": channel,
            "purpose": purpose,
            "granted": granted,
            "source": source,
        }

    async def find(self, tenant: TenantId, user_id: str, as_of: int | None = None) -> UserView:
        """Return the user whom an id leads to, wherever it was merged; ``key`` is the live one. Raises
        NotFoundError."""
        for key in keys_for(user_id):
            for hop in range(MAX_HOPS):
                partition = partition_of(key, tenant_seed(tenant))
                view: UserView | None = await self._shards.on_partition(tenant, partition, "user", tenant, key, as_of)
                if view is None:
                    break
                if view.moved_to is None:
                    return view
                key = view.moved_to
                if hop:  # the user it pointed to was merged as well: the arbiter knows the end of any chain
                    key = await self._shards.on_partition(tenant, ALIAS_ARBITER, "root", tenant, key)
        raise NotFoundError(f"there is no user {user_id[:80]!r}", code="user_not_found")

    async def _timeline(self, tenant: TenantId, entries: list[Entry], full: bool) -> list[dict[str, Any]]:
        """Return entries with their JSON, fetched from the shards they were written on."""
        by_origin: dict[int, list[int]] = {}
        for entry in entries:
            if entry.reference >= 0:
                by_origin.setdefault(entry.origin, []).append(entry.reference)
        origins = list(by_origin)
        answers = await asyncio.gather(
            *(self._shards.call(origin, "payloads", tenant, by_origin[origin], not full) for origin in origins),
            return_exceptions=True,
        )
        payloads: dict[tuple[int, int], dict[str, Any]] = {}
        for origin, answer in zip(origins, answers, strict=True):
            if isinstance(answer, UnavailableError):
                continue  # the entry stands without its JSON until that shard is back
            if isinstance(answer, BaseException):
                raise answer
            for reference, payload in zip(by_origin[origin], answer, strict=True):
                if payload is not None:
                    payloads[origin, reference] = payload
        if full:
            for origin, references in by_origin.items():
                missing = [reference for reference in references if (origin, reference) not in payloads]
                payloads.update(await self._stored(tenant, origin, missing))
        return [_entry(entry, payloads.get((entry.origin, entry.reference))) for entry in entries]

    async def _stored(
        self, tenant: TenantId, origin: int, references: list[int]
    ) -> dict[tuple[int, int], dict[str, Any]]:
        """Return what the journal of ``origin`` has dropped, from the warehouse, by origin and reference."""
        if not references:
            return {}
        positions = [timeline.unpack_reference(reference) for reference in references]
        answer = await self._jobs.ask(StoredEvents(self._warehouse, tenant, origin, positions))
        rows = msgspec.msgpack.decode(answer)
        return {
            (origin, reference): dict(zip(("message_id", "received_at", "payload"), row, strict=True))
            for reference, row in zip(references, rows, strict=True)
            if row is not None
        }


def _scores(view: UserView) -> dict[str, Any] | None:
    found = view.scores
    if found is None:
        return None
    shown = {"churn": found.churn, "engagement": found.engagement}
    return {**shown, "model": found.model or None, "at": iso(found.at) if found.at else None}


def _all_keys(view: UserView) -> list[UserKey]:
    return [view.key, *map(anonymous_key, view.anonymous_ids), *map(known_key, view.previous_ids)]


def _entry(entry: Entry, stored: dict[str, Any] | None) -> dict[str, Any]:
    shown: dict[str, Any] = {"type": _KINDS.get(entry.kind, "other"), "timestamp": iso(entry.timestamp)}
    if entry.kind in (timeline.SEGMENT_ENTERED, timeline.SEGMENT_EXITED):
        shown["segment"] = entry.name
    elif entry.name not in _RESERVED:
        shown["event"] = entry.name
    if stored is not None:
        shown["message_id"] = stored["message_id"]
        shown["received_at"] = iso(stored["received_at"])
        try:
            content = _decode_content(stored["payload"])
        except msgspec.MsgspecError:
            content = _Content()
        for name in ("properties", "traits", "context"):
            value = bytes(getattr(content, name))
            if value not in (b"", b"null"):
                shown[name] = msgspec.Raw(value)
    return shown

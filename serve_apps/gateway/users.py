"""What callers may ask about one user: the profile, everything held, and to be forgotten.

An id is looked for as a userId first, then as an anonymousId; merged ids lead to the user they were merged into. Times
leave here as ISO 8601 in UTC; what a client wrote (traits, properties) leaves as the client wrote it.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec

from actors.routing import Shards
from cluster.times import iso
from serve_apps.delivery.sink import Sink
from serve_apps.gateway.audit import audit, standing
from whisperer.errors import NotFoundError, UnavailableError
from whisperer.events.types import RESERVED_NAME, EventType
from whisperer.ids import bare_id, is_anonymous, partition_of, tenant_seed
from whisperer.profiles import timeline
from whisperer.profiles.timeline import Entry
from whisperer.shard.inspection import UserView, keys_for

MAX_HOPS = 32
"""Merges one id may lead through; aliases form a forest, so this bounds patience, not correctness."""

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
    def __init__(self, shards: Shards, sink: Sink) -> None:
        self._shards = shards
        self._sink = sink

    async def show(
        self, tenant: str, user_id: str, as_of: int | None = None, *, full_timeline: bool = False
    ) -> dict[str, Any]:
        """The profile as of ``as_of`` (ms UTC). Raises NotFoundError.

        The timeline's newest entries carry what was sent; with ``full_timeline`` older ones are read from disk too.
        """
        view = await self.find(tenant, user_id, as_of)
        known = not is_anonymous(view.key)
        return {
            "user_id": bare_id(view.key) if known else None,
            "anonymous_ids": view.anonymous_ids if known else [bare_id(view.key), *view.anonymous_ids],
            "previous_ids": view.previous_ids,
            "refused_anonymous_ids": view.refused_anonymous_ids,
            "traits": view.traits,
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

    async def export(self, tenant: str, user_id: str) -> dict[str, Any]:
        """Everything held on a user: the profile, daily counts, every stored event as it was sent, and every decision,
        delivery, outcome and reward in the warehouse.
        """
        view = await self.find(tenant, user_id, None)
        keys = _all_keys(view)
        shards = self._shards.map.shards
        await asyncio.gather(*(self._shards.call(shard, "flush", timeout_s=120.0) for shard in shards))
        events = await self._shards.call(shards[0], "events_of", tenant, keys, timeout_s=600.0)
        logged = await self._shards.call(shards[0], "logged", tenant, keys, timeout_s=600.0)
        return {
            "exported_at": iso(int(datetime.now(UTC).timestamp() * 1000)),
            "profile": await self.show(tenant, user_id, full_timeline=True),
            "daily_counts": [
                {"event": name, "day": str(iso(day * 86_400_000))[:10], "count": count}
                for name, day, count in view.daily_counts
            ],
            "events": [
                {
                    "type": event["type"],
                    "event": event["event"],
                    "user_key": event["user_key"],
                    "timestamp": iso(event["timestamp"]),
                    "received_at": iso(event["received_at"]),
                    "message_id": event["message_id"],
                    "sent": msgspec.Raw(event["payload"]),
                }
                for event in events
            ],
            **logged,
        }

    async def erase(self, tenant: str, user_id: str) -> dict[str, Any]:
        """Remove a user, whatever ids lead there. Late events do not bring them back. Raises NotFoundError."""
        view = await self.find(tenant, user_id, None)
        partition = partition_of(view.key, tenant_seed(tenant))
        await self._shards.on_partition(tenant, partition, "erase", tenant, view.key)
        await asyncio.to_thread(self._sink.forget, tenant, _all_keys(view))
        return {
            "user_id": bare_id(view.key),
            "erased": True,
            "note": "state is gone now; files follow within the retention (docs/identity.md)",
        }

    async def state_consent(
        self, tenant: str, user_id: str, channel: str, purpose: str, granted: bool, source: str
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

    async def find(self, tenant: str, user_id: str, as_of: int | None = None) -> UserView:
        """The user whom an id leads to, wherever it was merged; ``key`` is the live one. Raises NotFoundError."""
        for key in keys_for(user_id):
            for _ in range(MAX_HOPS):
                partition = partition_of(key, tenant_seed(tenant))
                view = await self._shards.on_partition(tenant, partition, "user", tenant, key, as_of)
                if view is None or view.moved_to is None:
                    break
                key = view.moved_to
            if view is not None and view.moved_to is None:
                return view
        raise NotFoundError(f"there is no user {user_id[:80]!r}", code="user_not_found")

    async def _timeline(self, tenant: str, entries: list[Entry], full: bool) -> list[dict[str, Any]]:
        """Entries with their JSON, fetched from the shards they were written on."""
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
        return [_entry(entry, payloads.get((entry.origin, entry.reference))) for entry in entries]


def _scores(view: UserView) -> dict[str, Any] | None:
    found = view.scores
    if found is None:
        return None
    shown = {"churn": found.churn, "engagement": found.engagement}
    return {**shown, "model": found.model or None, "at": iso(found.at) if found.at else None}


def _all_keys(view: UserView) -> list[str]:
    return [view.key, *(f"a:{i}" for i in view.anonymous_ids), *(f"u:{i}" for i in view.previous_ids)]


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

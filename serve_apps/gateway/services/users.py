"""Answers what callers may ask about one user: the profile, everything held, and erasure.

An id is looked up first as a userId, then as an anonymousId; merged ids lead to the user they were merged into. Times
are returned as ISO 8601 in UTC; what a client wrote (traits, properties) is returned as written.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from itertools import zip_longest
from typing import TypeVar

import msgspec

from actors.calls.shards import ShardCalls
from actors.jobs import Jobs, StoredEvents, UserHistory, read_events
from cluster.control_plane import ControlPlane
from cluster.control_plane.supply_documents import coupon_of_user
from cluster.times import iso
from serve_apps.delivery.sink import Sink
from serve_apps.gateway.services.audit import audit, consent_of, group_of, sends_of, suppressed_of
from serve_apps.gateway.services.inbox_message import InboxMessage
from serve_apps.gateway.services.profile import (
    ConsentStated,
    DayCount,
    Erased,
    Exported,
    Preferences,
    ScoresDocument,
    TimelineEntry,
    TraitsHeld,
    UserProfile,
)
from whisperer.errors import NotFoundError, UnavailableError
from whisperer.ids import (
    Partition,
    TenantId,
    UserKey,
    anonymous_key,
    bare_id,
    is_anonymous,
    known_key,
    partition_of,
    tenant_seed,
)
from whisperer.profiles import timeline
from whisperer.profiles.traits import MAX_BYTES, MAX_NAMES
from whisperer.shard.inspection import keys_for
from whisperer.shard.records import ALIAS_ARBITER
from whisperer.shard.views.inbox import InboxView
from whisperer.shard.views.user import EventView, Located, UserView

MAX_HOPS = 8
"""Homes asked for one id. Three find it, wherever it was joined; more are needed only while merges are under way."""

Place = tuple[int, int]
"""The shard that an event was written on, and its reference there."""


Led = TypeVar("Led", UserView, Located, InboxView)
Ask = Callable[[TenantId, Partition, UserKey], Awaitable[Led | None]]
"""Asks the home of a key's partition where it leads."""


class Users:
    """Questions about users. ``warehouse``: its URI."""

    def __init__(self, shards: ShardCalls, plane: ControlPlane, sink: Sink, jobs: Jobs, warehouse: str) -> None:
        self._shards = shards
        self._plane = plane
        self._sink = sink
        self._jobs = jobs
        self._warehouse = warehouse

    async def show(
        self,
        tenant: TenantId,
        user_id: str,
        as_of: int | None = None,
        *,
        full_timeline: bool = False,
        without_timeline: bool = False,
    ) -> UserProfile:
        """Return the profile as of ``as_of`` (ms UTC). Raises NotFoundError.

        The timeline's newest entries include what was sent; with ``full_timeline`` older ones are also read from disk,
        and ``without_timeline`` it is empty.
        """
        view = await self.led(tenant, user_id, keys_for(user_id), self._asking(as_of, not without_timeline))
        known = not is_anonymous(view.key)
        return UserProfile(
            user_id=bare_id(view.key) if known else None,
            anonymous_ids=view.anonymous_ids if known else [bare_id(view.key), *view.anonymous_ids],
            previous_ids=view.previous_ids,
            refused_anonymous_ids=view.refused_anonymous_ids,
            traits=view.traits,
            traits_held=TraitsHeld(view.n_traits, view.traits_bytes, MAX_NAMES, MAX_BYTES),
            features=view.features,
            scores=None if view.scores is None else ScoresDocument.of(view.scores),
            event_counts=view.event_counts,
            segments=view.segments,
            timeline=[] if without_timeline else await self._timeline(tenant, view, full_timeline),
            first_seen=iso(view.first_seen),
            last_seen=iso(view.last_seen),
            time_zone=view.time_zone,
            locale=view.locale,
            partition=view.partition,
            group=group_of(view.standing),
            consent=consent_of(view.standing),
            suppressed=suppressed_of(view.standing),
            sends=sends_of(view.standing),
            candidacies=[audit(candidacy) for candidacy in view.candidacies],
        )

    async def export(self, tenant: TenantId, user_id: str) -> AsyncGenerator[bytes]:
        """Yield everything held on a user, as one JSON object in pieces.

        That is the profile, daily counts, the inbox with what expired, coupon codes, every stored event as it was sent,
        and every decision, delivery, outcome and reward in the warehouse. Nothing is yielded before the warehouse has
        been read. Raises NotFoundError, and then what :class:`Jobs` raises.
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
        inbox = await self._shards.inbox(tenant, partition_of(view.key, tenant_seed(tenant)), view.key)
        codes = await asyncio.to_thread(self._plane.codes_of, tenant, _all_keys(view))
        begun = Exported(
            exported_at=iso(int(datetime.now(UTC).timestamp() * 1000)),
            profile=await self.show(tenant, user_id, full_timeline=True),
            daily_counts=[
                DayCount(name, str(iso(day * 86_400_000))[:10], count) for name, day, count in view.daily_counts
            ],
            inbox=[InboxMessage.of(entry) for entry in (inbox.entries if inbox else None) or ()],
            coupons=[coupon_of_user(code) for code in codes],
        )
        return msgspec.json.encode(begun).removesuffix(b"}") + b","

    async def _flush(self) -> None:
        """Write everything acknowledged so far to the warehouse."""
        shards = self._shards.places.current.shards
        await asyncio.gather(*(self._shards.call(shard, "flush", timeout_s=120.0) for shard in shards))

    async def erase(self, tenant: TenantId, user_id: str) -> Erased:
        """Remove a user, whichever ids lead there. Late events do not bring them back. Raises NotFoundError."""
        view = await self.find(tenant, user_id, None)
        partition, now = partition_of(view.key, tenant_seed(tenant)), time.time_ns() // 1_000_000
        # First, because a call that failed after the shard has forgotten the user could not be made again.
        await asyncio.to_thread(self._plane.forget_coupons, tenant, _all_keys(view), now)
        await self._shards.on_partition(tenant, partition, "erase", tenant, view.key)
        await asyncio.to_thread(self._sink.forget, tenant, _all_keys(view), now)
        await asyncio.to_thread(self._plane.forget_short_links, tenant, _all_keys(view))
        return Erased(bare_id(view.key))

    async def state_consent(
        self, tenant: TenantId, user_id: str, channel: str, purpose: str, granted: bool, source: str
    ) -> ConsentStated:
        """Record a statement about a channel and purpose ("*": all of them). Raises NotFoundError."""
        found = await self.led(tenant, user_id, keys_for(user_id), self._shards.located)
        await self._state(tenant, found.key, channel, purpose, granted, source)
        return ConsentStated(bare_id(found.key), channel, purpose, granted, source)

    async def preferences(self, tenant: TenantId, user_id: str) -> Preferences:
        """Return what a user agreed to and withdrew, for the user, given by userId. Raises NotFoundError."""
        view = await self.find_known(tenant, user_id)
        return Preferences(user_id, consent_of(view.standing), suppressed_of(view.standing))

    async def state_preference(
        self, tenant: TenantId, user_id: str, channel: str, purpose: str, granted: bool, source: str
    ) -> ConsentStated:
        """Record what a user, given by userId, states about a channel and purpose. Raises NotFoundError."""
        found = await self.led(tenant, user_id, [known_key(user_id)], self._shards.located)
        await self._state(tenant, found.key, channel, purpose, granted, source)
        return ConsentStated(user_id, channel, purpose, granted, source)

    async def _state(
        self, tenant: TenantId, key: UserKey, channel: str, purpose: str, granted: bool, source: str
    ) -> None:
        partition = partition_of(key, tenant_seed(tenant))
        await self._shards.on_partition(
            tenant, partition, "state_consent", tenant, key, channel, purpose, granted, source
        )

    async def find(
        self, tenant: TenantId, user_id: str, as_of: int | None = None, *, with_events: bool = False
    ) -> UserView:
        """Return the user whom an id leads to, wherever it was merged; ``key`` is the live one. Raises
        NotFoundError."""
        return await self.led(tenant, user_id, keys_for(user_id), self._asking(as_of, with_events))

    async def find_known(self, tenant: TenantId, user_id: str) -> UserView:
        """Return the user whom a userId leads to; unlike :meth:`find`, never one by an anonymousId of the same text.

        Raises NotFoundError.
        """
        return await self.led(tenant, user_id, [known_key(user_id)], self._asking(None))

    def _asking(self, as_of: int | None, with_events: bool = False) -> Ask[UserView]:
        return partial(self._shards.user, as_of=as_of, with_events=with_events)

    async def led(self, tenant: TenantId, user_id: str, keys: Iterable[UserKey], ask: Ask[Led]) -> Led:
        """Return what ``ask`` says of the live user whom the first of the keys leads to that leads to one.

        Raises NotFoundError.
        """
        for key in keys:
            if (found := await self._followed(tenant, key, ask)) is not None:
                return found
        raise NotFoundError(f"there is no user {user_id[:80]!r}", code="user_not_found")

    async def _followed(self, tenant: TenantId, key: UserKey, ask: Ask[Led]) -> Led | None:
        for hop in range(MAX_HOPS):
            found = await ask(tenant, partition_of(key, tenant_seed(tenant)), key)
            if found is None or found.moved_to is None:
                return found
            key = found.moved_to
            if hop:  # the user it pointed to was merged as well: the arbiter knows the end of any chain
                key = await self._shards.on_partition(tenant, ALIAS_ARBITER, "root", tenant, key)
        return None

    async def _timeline(self, tenant: TenantId, view: UserView, full: bool) -> list[TimelineEntry]:
        """Return entries with their JSON, which the shards have that they were written on."""
        events: dict[Place, EventView] = {}
        by_origin: dict[int, list[int]] = {}
        for entry, event in zip_longest(view.timeline, view.recent):
            if event is not None:
                events[entry.origin, entry.reference] = event
            elif entry.reference >= 0 and (full or entry.origin != view.shown_by):
                by_origin.setdefault(entry.origin, []).append(entry.reference)
        answers = await asyncio.gather(
            *(
                self._shards.events(origin, tenant, references, only_recent=not full)
                for origin, references in by_origin.items()
            ),
            return_exceptions=True,
        )
        for (origin, references), answer in zip(by_origin.items(), answers, strict=True):
            if isinstance(answer, UnavailableError):
                continue  # the entry stands without its JSON until that shard is back
            if isinstance(answer, BaseException):
                raise answer
            events |= _placed(origin, references, answer)
        if full:
            for origin, references in by_origin.items():
                missing = [reference for reference in references if (origin, reference) not in events]
                events |= await self._stored(tenant, origin, missing)
        return [TimelineEntry.of(entry, events.get((entry.origin, entry.reference))) for entry in view.timeline]

    async def _stored(self, tenant: TenantId, origin: int, references: list[int]) -> dict[Place, EventView]:
        """Return what the journal of ``origin`` has dropped, from the warehouse."""
        if not references:
            return {}
        positions = [timeline.unpack_reference(reference) for reference in references]
        answer = await self._jobs.ask(StoredEvents(self._warehouse, tenant, origin, positions))
        return _placed(origin, references, read_events(answer))


def _placed(origin: int, references: list[int], found: list[EventView | None]) -> dict[Place, EventView]:
    pairs = zip(references, found, strict=True)
    return {(origin, reference): event for reference, event in pairs if event is not None}


def _all_keys(view: UserView) -> list[UserKey]:
    return [view.key, *map(anonymous_key, view.anonymous_ids), *map(known_key, view.previous_ids)]

"""Answers what callers ask of one shard about its users, and stores what they state of them.

This part of the shard actor (:mod:`actors.shard.actor`) is what everybody outside calls, but for events. Methods take
the map version first and return (status, value): for a partition that lives elsewhere `stale_map`, for a full queue
`overloaded`. What is stored is durable before OK.
"""

from __future__ import annotations

import asyncio
from typing import Any

from actors.calls.plain import Plain, plain, read
from actors.calls.shards import CallStatus
from actors.calls.user_views import document, packed
from actors.shard.commit import Committer, wall_clock_ms
from actors.shard.listings import Listings
from actors.shard.loop.engagement_loop import EngagementLoop
from actors.shard.moving import Moving
from actors.shard.payloads import Payloads
from actors.shard.showing import Showing
from whisperer.errors import OverloadError
from whisperer.ids import DecisionId, TenantId, UserKey, partition_of, tenant_seed
from whisperer.journeys.inbox import Mark
from whisperer.shard import inspection
from whisperer.shard.decision import inbox, marking, replaying
from whisperer.shard.decision.replaying import ReplayAnswer
from whisperer.shard.machine import Shard
from whisperer.shard.records import (
    ALIAS_ARBITER,
    ConsentStated,
    Erase,
    InboxMarked,
    Outcome,
    Outcomes,
    RecordBody,
    Replays,
)
from whisperer.shard.views.listing import ListingCall
from whisperer.shard.views.user import UserView

Answer = tuple[str, Any]


class Answering:
    """The calls about users. Whoever is built on it makes the parts that are named here."""

    _shard: Shard
    _committer: Committer
    _loop: EngagementLoop
    _listings: Listings
    _moving: Moving
    _payloads: Payloads
    _showing: Showing
    _draining: bool

    # -- what is known of users ----------------------------------------------------------------------------------------

    async def user(
        self, map_version: int, tenant: TenantId, key: UserKey, as_of: int | None, with_events: bool = True
    ) -> Answer:
        """Return one user as of a time, or None; with the events behind the timeline that are in memory."""
        status, view = await self._user(map_version, tenant, key, as_of, with_events)
        return status, packed(view) if isinstance(view, UserView) else view

    async def user_document(
        self, map_version: int, tenant: TenantId, key: UserKey, as_of: int | None, with_events: bool = True
    ) -> Answer:
        """Return the same for a caller over the socket."""
        status, view = await self._user(map_version, tenant, key, as_of, with_events)
        return status, document(view) if isinstance(view, UserView) else view

    async def _user(
        self, map_version: int, tenant: TenantId, key: UserKey, as_of: int | None, with_events: bool
    ) -> Answer:
        refusal = self._refusal_for(map_version, tenant, [key])
        if refusal:
            return refusal
        view = await self._showing.user(tenant, key, as_of, with_events)
        return self._refusal_for(map_version, tenant, [key]) or (CallStatus.OK, view)  # it may have left meanwhile

    async def located(self, map_version: int, tenant: TenantId, key: UserKey) -> Answer:
        """Return where a key leads, Located | None."""
        refusal = self._refusal_for(map_version, tenant, [key])
        return refusal or (CallStatus.OK, plain(inspection.located(self._shard, tenant, key)))

    async def list_users(self, map_version: int, asked: Plain) -> Answer:
        """Return the first users of some partitions, ListedUsers, for a ListingCall."""
        refusal = self._refusal(map_version)
        if refusal:
            return refusal
        return await self._listings.answer(read(asked, ListingCall))

    async def root(self, map_version: int, tenant: TenantId, key: UserKey) -> Answer:
        """Return whom a key was finally joined into: asked of the partition that orders aliases."""
        refusal = self._refusal(map_version)
        if refusal:
            return refusal
        if self._moving.is_elsewhere(tenant, ALIAS_ARBITER):
            return CallStatus.STALE_MAP, None
        return CallStatus.OK, inspection.root(self._shard, tenant, key)

    async def payloads(self, tenant: TenantId, references: list[int], only_recent: bool) -> Plain:
        """Return the events behind timeline entries, list[EventView | None]: None where it is no longer in this shard's
        journal, or not in memory.
        """
        if only_recent:
            return plain(self._payloads.recent(tenant, references))
        return plain(await asyncio.to_thread(self._payloads.read, tenant, references))

    async def inbox(self, map_version: int, tenant: TenantId, key: UserKey, known_tag: str) -> Answer:
        """Return a user's in-app inbox, InboxView | None; without entries if its tag is the one that is known."""
        refusal = self._refusal_for(map_version, tenant, [key])
        if refusal:
            return refusal
        return CallStatus.OK, plain(inbox.view(self._shard.tenant(tenant), key, wall_clock_ms(), known_tag=known_tag))

    async def decision(self, tenant: TenantId, decision_id: DecisionId) -> Plain:
        """Return a decision that is in memory here, DecisionView | None."""
        return plain(inspection.decision(self._shard, tenant, decision_id))

    # -- what is asked and stated of them ------------------------------------------------------------------------------

    async def ask(
        self, map_version: int, tenant: TenantId, campaign: str, users: list[tuple[UserKey, str]], timeout_s: float
    ) -> Answer:
        """Decide what to do about these users now: (user key, occurrence) pairs, all of them at home here.

        Returns list[DecisionBrief].
        """
        refusal = self._refusal_for(map_version, tenant, [key for key, _ in users])
        if refusal:
            return refusal
        try:
            return CallStatus.OK, plain(await self._loop.ask(tenant, campaign, users, timeout_s))
        except OverloadError as error:
            return CallStatus.OVERLOADED, error.retry_after_s

    async def outcomes(self, map_version: int, tenant: TenantId, outcomes: list[Outcome]) -> Answer:
        """Record what users did about messages; OK once durable."""
        return await self._store(map_version, tenant, [o.user for o in outcomes], Outcomes(tenant, outcomes))

    async def replay(self, map_version: int, tenant: TenantId, wanted: list[tuple[UserKey, DecisionId]]) -> Answer:
        """Bring dead letters back; OK once durable, with a ReplayAnswer for each."""
        refusal = self._refusal_for(map_version, tenant, [key for key, _ in wanted])
        if refusal:
            return refusal
        said = replaying.answers(self._shard.tenant(tenant), wanted)
        back = [decision for (_, decision), answer in zip(wanted, said, strict=True) if answer == ReplayAnswer.REPLAYED]
        if back:
            stored = await self._store(map_version, tenant, [], Replays(tenant, back))
            if stored[0] != CallStatus.OK:
                return stored
        return CallStatus.OK, [str(answer) for answer in said]

    async def state_consent(
        self, map_version: int, tenant: TenantId, key: UserKey, channel: str, purpose: str, granted: bool, source: str
    ) -> Answer:
        """Record a user's wish about a channel and purpose; OK once durable."""
        return await self._store(
            map_version, tenant, [key], ConsentStated(tenant, key, channel, purpose, granted, source)
        )

    async def mark_inbox(
        self, map_version: int, tenant: TenantId, key: UserKey, entry: DecisionId, mark: str, action: int
    ) -> Answer:
        """Mark an entry of a user's inbox, or all with no ``entry``; OK once durable, with the entry as it is then,
        InboxView | None."""
        held, marked = self._shard.tenant(tenant), InboxMarked(tenant, key, entry, Mark(mark), action)
        if marking.changes(held, marked, wall_clock_ms()):
            stored = await self._store(map_version, tenant, [key], marked)
            if stored[0] != CallStatus.OK:
                return stored
        refusal = self._refusal_for(map_version, tenant, [key])  # it may have left meanwhile
        return refusal or (CallStatus.OK, plain(inbox.view(held, key, wall_clock_ms(), only=entry)))

    async def erase(self, map_version: int, tenant: TenantId, key: UserKey) -> Answer:
        """Erase a user; OK once that is durable."""
        return await self._store(map_version, tenant, [key], Erase(tenant, key))

    # -- who is at home, and storing -----------------------------------------------------------------------------------

    async def _store(self, map_version: int, tenant: TenantId, keys: list[UserKey], body: RecordBody) -> Answer:
        refusal = self._refusal_for(map_version, tenant, keys)
        if refusal:
            return refusal
        try:
            await self._submit(body)
        except OverloadError as error:
            return CallStatus.OVERLOADED, error.retry_after_s
        return CallStatus.OK, None

    async def _submit(self, body: RecordBody) -> None:
        await self._committer.submit(body)

    def _refusal(self, map_version: int) -> Answer | None:
        if self._draining:
            return CallStatus.MOVING, 1.0
        if map_version < 1:  # maps count from 1: a caller that has not seen one yet
            return CallStatus.STALE_MAP, None
        return None

    def _refusal_for(self, map_version: int, tenant: TenantId, keys: list[UserKey]) -> Answer | None:
        """Check the same for a call about users, who must be at home here."""
        refusal = self._refusal(map_version)
        if refusal:
            return refusal
        if self._moving.has_strays:
            seed = tenant_seed(tenant)
            if any(self._moving.is_elsewhere(tenant, partition_of(key, seed)) for key in keys):
                return CallStatus.STALE_MAP, None
        return None

"""Answers callers' own questions: what to do about these users now, and why a decision came out as it did.

A question has an *occurrence*: the same question about the same user and campaign is the same decision, however often
it is asked, so retrying after a failure is safe. Questions about a user go to the user's shard. A decision's id does
not say where it lives, so every shard is asked, and then the warehouse.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from actors.calls.shards import CallStatus, ShardCalls
from actors.jobs import DecisionAudit, Jobs, read_audit
from cluster.times import iso
from serve_apps.gateway.services.audit import Audit, audit, from_warehouse, sentence
from serve_apps.gateway.services.users import Users
from whisperer.errors import NotFoundError, UnavailableError
from whisperer.ids import DecisionId, TenantId, UserKey, known_key, partition_of, tenant_seed
from whisperer.shard.views.decision import UNKNOWN, DecisionBrief

MAX_USERS = 1_000
ANSWER_WITHIN_S = 2.0
"""How long a shard waits for the choice; after that the decision is returned as it is: `deciding`."""
SETTLE_S = 20.0
LOOK_UP_AT_ONCE = 64


class AskedDecision(msgspec.Struct, kw_only=True):
    """What a caller who asked acts on; the rest is in the audit. Field order is the order of the JSON."""

    decision_id: DecisionId
    user_id: str
    campaign: str
    campaign_version: int
    status: str
    reason: str | None
    reason_text: str | None
    refused_arms: dict[str, str]
    group: str | None
    arm: str | None
    propensity: float | None
    policy_version: str | None
    occurrence: str
    at: str | None


class UnknownUser(msgspec.Struct):
    """The answer about a user whom nobody knows."""

    user_id: str
    status: str = "unknown_user"


class DecisionQueries:
    """Questions about decisions. ``warehouse``: its URI."""

    def __init__(self, shards: ShardCalls, users: Users, jobs: Jobs, warehouse: str) -> None:
        self._shards = shards
        self._users = users
        self._jobs = jobs
        self._warehouse = warehouse

    async def ask(
        self, tenant: TenantId, campaign: str, user_ids: Sequence[str], occurrence: str
    ) -> list[AskedDecision | UnknownUser]:
        """Return one decision per user, in the order asked.

        Raises UnavailableError when a shard stays away; what the others decided then stands, and is returned when the
        same occurrence is asked again.
        """
        keys = {user_id: known_key(user_id) for user_id in user_ids}
        views = await self._ask_shards(tenant, campaign, list(keys.values()), occurrence)
        # Most ids are userIds of live users. The rest are looked up: anonymous ones, and those merged into others.
        strangers = [user_id for user_id, key in keys.items() if views[key].status == UNKNOWN]
        found = await self._keys(tenant, strangers)
        keys.update(found)
        moved = list(dict.fromkeys(key for key in found.values() if key not in views))
        views |= await self._ask_shards(tenant, campaign, moved, occurrence)
        if any(views[key].status == UNKNOWN for key in found.values()):
            raise UnavailableError("the campaign has not reached every shard yet", retry_after_s=1.0)
        return [_answer(user_id, views[keys[user_id]]) for user_id in user_ids]

    async def show(self, tenant: TenantId, decision_id: DecisionId) -> Audit:
        """Return the whole audit of one decision. Raises NotFoundError, and UnavailableError while a shard cannot be
        asked."""
        shards = self._shards.places.current.shards
        answers = await asyncio.gather(
            *(self._shards.decision(shard, tenant, decision_id) for shard in shards), return_exceptions=True
        )
        away: UnavailableError | None = None
        for answer in answers:
            if isinstance(answer, UnavailableError):
                away = answer
            elif isinstance(answer, BaseException):
                raise answer
            elif answer is not None:
                return audit(answer)
        stored = None
        if away is None:
            stored = read_audit(await self._jobs.ask(DecisionAudit(self._warehouse, tenant, decision_id)))
        if stored is not None:
            return audit(from_warehouse(stored))
        if away is not None:
            raise away  # the decision may be on the shard that is away
        raise NotFoundError(f"there is no decision {decision_id[:80]!r}", code="decision_not_found")

    async def _keys(self, tenant: TenantId, user_ids: Sequence[str]) -> dict[str, UserKey]:
        """Return the live keys of those users that exist."""
        at_once = asyncio.Semaphore(LOOK_UP_AT_ONCE)

        async def key_of(user_id: str) -> UserKey | None:
            async with at_once:
                try:
                    return (await self._users.find(tenant, user_id)).key
                except NotFoundError:
                    return None

        found = zip(user_ids, await asyncio.gather(*map(key_of, user_ids)), strict=True)
        return {user_id: key for user_id, key in found if key is not None}

    async def _ask_shards(
        self, tenant: TenantId, campaign: str, keys: Sequence[UserKey], occurrence: str
    ) -> dict[UserKey, DecisionBrief]:
        """Return user key -> view. Each shard is asked about all its users at once, repeatedly while it recovers."""
        seed = tenant_seed(tenant)
        views: dict[UserKey, DecisionBrief] = {}
        if not keys:
            return views

        async def ask(shard: int, asked: list[UserKey]) -> None:
            users = [(key, occurrence) for key in asked]
            status, found = await self._shards.ask(
                shard, tenant, campaign, users, ANSWER_WITHIN_S, timeout_s=ANSWER_WITHIN_S + 10.0
            )
            if status == CallStatus.OK:
                views.update(zip(asked, found, strict=True))

        async def attempt() -> bool:
            table = self._shards.places.table(tenant)
            by_shard: dict[int, list[UserKey]] = {}
            for key in keys:
                if key not in views:
                    by_shard.setdefault(table[partition_of(key, seed)], []).append(key)
            results = await asyncio.gather(*(ask(*one) for one in by_shard.items()), return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result
            return len(views) == len(keys)

        await self._shards.until(attempt, SETTLE_S, is_done=bool)
        return views


_iso = lru_cache(maxsize=64)(iso)
"""Users asked about together were decided about together, so their times repeat."""


def _answer(user_id: str, view: DecisionBrief) -> AskedDecision | UnknownUser:
    if view.status == UNKNOWN:
        return UnknownUser(user_id)
    return AskedDecision(
        decision_id=view.id,
        user_id=user_id,
        campaign=view.campaign,
        campaign_version=view.campaign_version,
        status=view.status,
        reason=view.reason,
        reason_text=sentence(view.reason) if view.reason else None,
        refused_arms=view.refused_arms,
        group=view.group,
        arm=view.arm,
        propensity=view.propensity,
        policy_version=view.policy_version,
        occurrence=view.occurrence,
        at=_iso(view.at),
    )

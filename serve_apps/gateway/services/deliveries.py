"""Answers what became of messages, from the warehouse, and has their shards bring dead letters back."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from actors.calls.shards import ShardCalls
from actors.jobs import Deliveries, DeliveryCounts, Jobs, read_deliveries, read_delivery_counts
from serve_apps.gateway.services.kept import Kept, now_ms
from whisperer.delivery.listing import DeliveryEntry, DeliveryQuery
from whisperer.errors import ConflictError, NotFoundError
from whisperer.ids import Partition, SendKey, TenantId, partition_of, tenant_seed
from whisperer.shard.decision.replaying import ReplayAnswer
from whisperer.vocabulary.units import DAY_MS

USUAL_DAYS = 30
"""How far back a list reaches that does not say since when, and what is counted."""
LOOK_BACK_MS = 100 * DAY_MS
"""How far back one message is looked for: no attribution window is longer than 90 days, no schedule than four."""

_WHY_NOT: dict[str, str] = {
    ReplayAnswer.NOT_DEAD: "it is not among the dead letters: they are those that a provider would not take, or whose "
    "every attempt failed",
    ReplayAnswer.SETTLED: "its attribution window is over, and what it earned is final",
    ReplayAnswer.BUSY: "its user has another open decision; try again when that is settled",
}


@dataclass(frozen=True, slots=True)
class Replay:
    """What became of a wish to bring some messages back. ``refused``: how many by why; ``last``: where to go on."""

    n_replayed: int
    refused: dict[str, int]
    last: tuple[int, str] | None


@dataclass(frozen=True, slots=True)
class StateCounts:
    """How many deliveries of the last USUAL_DAYS there were at ``as_of`` (ms UTC): channel -> state -> number."""

    as_of: int
    by_channel: dict[str, dict[str, int]]


class DeliveryQueries:
    """Questions about deliveries. ``warehouse``: its URI."""

    def __init__(self, shards: ShardCalls, jobs: Jobs, warehouse: str, clock: Callable[[], int] = now_ms) -> None:
        self._kept: Kept[StateCounts] = Kept(clock)
        self._shards = shards
        self._jobs = jobs
        self._warehouse = warehouse

    async def page(self, tenant: TenantId, query: DeliveryQuery) -> list[DeliveryEntry]:
        """Return a page of deliveries. Raises OverloadError while the tenant has too many questions open."""
        return read_deliveries(await self._jobs.ask(Deliveries(self._warehouse, tenant, query)))

    async def counts(self, tenant: TenantId) -> StateCounts:
        """Return how many deliveries each channel has in each state. Raises what :class:`Jobs` raises."""
        return await self._kept.get(tenant, "", lambda now: self._counted(tenant, now))

    async def counts_soon(self, tenant: TenantId) -> StateCounts | None:
        """Return them if they are there in a moment; raises as :meth:`counts`."""
        return await self._kept.soon(tenant, "", lambda now: self._counted(tenant, now))

    async def _counted(self, tenant: TenantId, now: int) -> StateCounts:
        since = now - USUAL_DAYS * DAY_MS
        found = read_delivery_counts(await self._jobs.ask(DeliveryCounts(self._warehouse, tenant, since, now + 1)))
        by_channel: dict[str, dict[str, int]] = {}
        for one in found:
            by_channel.setdefault(one.channel, {})[one.state] = one.n
        return StateCounts(now, by_channel)

    async def replay(self, tenant: TenantId, key: SendKey, now: int) -> DeliveryEntry:
        """Bring one message back, and return it as it was.

        Raises NotFoundError (`delivery_not_found`), and ConflictError (`not_dead`, `settled`, `busy`).
        """
        query = DeliveryQuery(now - LOOK_BACK_MS, now + 1, send_key=key, limit=1)
        found = await self.page(tenant, query)
        if not found:
            raise NotFoundError(f"there is no delivery {key[:80]!r}", code="delivery_not_found")
        [said] = await self._replay(tenant, found)
        if said == ReplayAnswer.NOT_FOUND:
            raise NotFoundError(
                f"the user of {key[:80]!r} has moved on, and what was decided is settled", code="delivery_not_found"
            )
        if said != ReplayAnswer.REPLAYED:
            raise ConflictError(f"{key[:80]} is not sent again: {_WHY_NOT[said]}", code=said)
        return found[0]

    async def replay_all(self, tenant: TenantId, query: DeliveryQuery) -> Replay:
        """Bring a page of dead letters back."""
        found = await self.page(tenant, query)
        said = Counter(await self._replay(tenant, found))
        n_replayed = said.pop(ReplayAnswer.REPLAYED, 0)
        last = (found[-1].at, found[-1].send_key) if len(found) == query.limit else None
        return Replay(n_replayed, dict(said), last)

    async def _replay(self, tenant: TenantId, wanted: list[DeliveryEntry]) -> list[str]:
        """Return what each message's shard says; raises UnavailableError while one stays away."""
        seed = tenant_seed(tenant)
        by_partition: dict[Partition, list[int]] = {}
        for place, one in enumerate(wanted):
            by_partition.setdefault(partition_of(one.user_key, seed), []).append(place)
        said = [str(ReplayAnswer.NOT_FOUND)] * len(wanted)

        async def ask(partition: Partition, places: list[int]) -> None:
            pairs = [(wanted[place].user_key, wanted[place].decision_id) for place in places]
            answers = await self._shards.on_partition(tenant, partition, "replay", tenant, pairs)
            for place, answer in zip(places, answers, strict=True):
                said[place] = answer

        await asyncio.gather(*(ask(*one) for one in by_partition.items()))
        return said

"""Call the directory: for the partition map, for changes of it, and for what all gateway replicas share."""

from __future__ import annotations

from typing import Any

from ray.exceptions import RayTaskError

from actors.calls.named_actor import DIRECTORY, NamedActor
from actors.calls.orders import Moved, Upgraded
from actors.calls.partition_map import PartitionMap
from actors.calls.plain import Plain, read
from actors.limiter import Ask, Lease
from whisperer.errors import WhispererError

EXCHANGE_TIMEOUT_S = 2.0
ORDER_TIMEOUT_S = 600.0


class DirectoryCalls:
    """Call the directory actor (:class:`actors.directory.actor.Directory`). Use from one event loop.

    Every method raises UnavailableError while the directory is away.
    """

    def __init__(self) -> None:
        self._actor = NamedActor(DIRECTORY)

    async def partition_map(self) -> PartitionMap:
        """Return the current map."""
        found: PartitionMap = await self._actor.call("partition_map")
        return found

    async def exchange_reports(self, report: Plain) -> list[Plain]:
        """Leave this replica's report, which says at least ``replica``; return those of all."""
        found: list[Plain] = await self._actor.call("exchange_reports", report, timeout_s=EXCHANGE_TIMEOUT_S)
        return found

    async def leave_delivery_report(self, report: Plain) -> None:
        """Leave what a replica of the delivery application, its ``replica``, says of its providers' accounts."""
        await self._actor.call("leave_delivery_report", report, timeout_s=EXCHANGE_TIMEOUT_S)

    async def delivery_reports(self) -> list[Plain]:
        """Return what the delivery application's replicas say."""
        found: list[Plain] = await self._actor.call("delivery_reports", timeout_s=EXCHANGE_TIMEOUT_S)
        return found

    async def lease(self, asks: list[Ask]) -> list[Lease]:
        """Lease tokens from the limiter (:mod:`actors.limiter`)."""
        found: list[Lease] = await self._actor.call(
            "lease", asks, timeout_s=EXCHANGE_TIMEOUT_S, away="the limiter is away"
        )
        return found

    async def move(self, tenant: str, partition: int, target: int) -> Moved:
        """Order a move of one partition; raises like every order (:meth:`_order`)."""
        return read(await self._order("move", tenant, partition, target), Moved)

    async def add(self) -> int:
        """Order one more shard, empty; return its number. Raises like every order."""
        number: int = await self._order("add")
        return number

    async def close(self, shard: int) -> int:
        """Order that a shard takes no new partitions; return the heir that takes them. Raises like every order."""
        heir: int = await self._order("close", shard)
        return heir

    async def remove(self, shard: int) -> None:
        """Order that a shard that was emptied is stopped. Raises like every order."""
        await self._order("remove", shard)

    async def upgrade(self, shard: int) -> Upgraded:
        """Order that a shard is handed over to a new process. Raises like every order."""
        return read(await self._order("upgrade", shard), Upgraded)

    async def _order(self, method: str, *args: Any) -> Any:
        """Have the directory change where partitions live or which shards there are.

        An order whose answer is lost is carried out all the same once the directory is back, and may be given again.
        Raises RequestError for what is impossible.
        """
        try:
            return await self._actor.call(
                method, *args, timeout_s=ORDER_TIMEOUT_S, away="the directory died; what it began goes on"
            )
        except RayTaskError as error:
            raise error.cause if isinstance(error.cause, WhispererError) else error from error

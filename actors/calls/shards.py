"""Call shards, the client side: find who has a partition and how to reach it, and repeat until it answers.

A call carries the version of the map that it was routed by; a shard that has since gained or lost a partition refuses
older versions (`stale_map`), and the caller fetches the map again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, ActorUnavailableError, GetTimeoutError, RayActorError

from actors.calls.inline_blocks import to_pieces
from actors.calls.map_holder import MapHolder
from actors.calls.named_actor import NAMESPACE
from actors.calls.partition_map import shard_name
from actors.calls.plain import Plain, plain, read
from actors.calls.retry import Pauses, T, retry
from actors.calls.shard_status import AnyStatus, Holdings, read_status
from actors.calls.shard_tail import ShardTail
from actors.calls.socket_client import DirectConnection, NoSuchCallError, connect
from actors.calls.user_views import unpacked
from actors.telemetry import tracing
from whisperer.errors import OverloadError, UnavailableError
from whisperer.ids import DecisionId, Partition, TenantId, UserKey
from whisperer.journeys.inbox import Mark
from whisperer.shard.views.decision import DecisionBrief, DecisionView
from whisperer.shard.views.inbox import InboxView
from whisperer.shard.views.listing import ListedUsers, ListingCall, UserQuery
from whisperer.shard.views.user import EventView, Located, UserView
from whisperer.vocabulary.named import Named


class CallStatus(Named):
    """Name how a shard answered a call."""

    OK = ""
    STALE_MAP = "stale_map"
    OVERLOADED = "overloaded"
    MOVING = "moving"


CALL_RESULTS = ANSWERED, DIED, UNAVAILABLE, FAILED = "answered", "died", "unavailable", "failed"

DIRECT = {
    "user": "user_document",
    **{name: name for name in ("located", "payloads", "state_consent", "inbox", "mark_inbox")},
}
"""Methods that are also called directly, which costs a twentieth, by the names that they have there."""

PAUSES = Pauses(first_s=0.01, longest_s=0.5)
"""While a shard recovers or a partition moves; most moves end within milliseconds."""

_log = logging.getLogger(__name__)


class ShardCalls:
    """Call shard actors by the current map; use from one event loop.

    ``on_call`` gets each call's method, its result (one of :data:`CALL_RESULTS`) and its seconds.
    """

    def __init__(
        self, places: MapHolder | None = None, on_call: Callable[[str, str, float], None] = lambda *_: None
    ) -> None:
        self.places = places or MapHolder()
        self._on_call = on_call
        self._names: dict[int, str] = {}
        """The actor that ``_handles`` and ``_direct`` lead to; an upgraded shard's has another name."""
        self._handles: dict[int, ActorHandle[Any]] = {}
        self._direct: dict[int, DirectConnection | None] = {}
        """None for a shard that only Ray reaches: it is on another machine."""
        self._connecting: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def handle(self, shard: int) -> ActorHandle[Any]:
        """Return a shard's actor. Raises UnavailableError while no such actor is known."""
        self._forget_if_renamed(shard)
        found = self._handles.get(shard)
        if found is None:
            name = self.places.current.name_of(shard)
            try:
                found = await asyncio.to_thread(ray.get_actor, name, NAMESPACE)
            except ValueError as error:
                raise UnavailableError(f"{shard_name(shard)} is starting", retry_after_s=1.0) from error
            self._handles[shard], self._names[shard] = found, name
        return found

    async def call(self, shard: int, method: str, *args: Any, timeout_s: float = 30.0) -> Any:
        """Call a shard actor's method once.

        Raises UnavailableError when the actor died or does not answer in time: the call may or may not have been done.
        """
        handle = await self.handle(shard)
        # Under the method's own name, by which Ray's dashboard lists tasks; `call` only adds whom it is for.
        remote: Callable[..., Awaitable[Any]] = handle.call.options(name=f"ShardActor.{method}").remote
        with self._counted(shard, method):
            return await asyncio.wait_for(remote(_traces(), method, *args), timeout_s)

    async def status(self, shard: int, *, timeout_s: float) -> AnyStatus:
        """Return a shard's status; raises like :meth:`call`."""
        return read_status(await self.call(shard, "status", timeout_s=timeout_s))

    async def holdings(self, shard: int) -> dict[TenantId, Holdings]:
        """Return what a shard holds of each tenant; raises like :meth:`call`."""
        return read(await self.call(shard, "holdings"), dict[TenantId, Holdings])

    async def ingest(self, shard: int, blocks: list[bytes], *, timeout_s: float) -> tuple[str, Any]:
        """Have a shard store encoded event blocks: directly if it is on this machine, otherwise through Ray.

        Returns (status, detail) like :meth:`actors.shard.actor.ShardActor.ingest`; raises like :meth:`call`.
        """
        direct = await self._direct_to(shard, timeout_s)
        version = self.places.current.version
        if direct is None:
            sizes, pieces = to_pieces(blocks)
            status, detail = await self.call(shard, "ingest", version, sizes, *pieces, timeout_s=timeout_s)
        else:
            arguments = [version, [len(block) for block in blocks]]
            status, detail = await self._call_directly(direct, shard, "ingest", arguments, blocks, timeout_s)
        return status, detail

    async def decision(self, shard: int, tenant: TenantId, decision_id: DecisionId) -> DecisionView | None:
        """Return a decision that a shard has in memory, or None; raises like :meth:`call`."""
        found = await self.call(shard, "decision", tenant, decision_id)
        return None if found is None else read(found, DecisionView)

    async def user(
        self,
        tenant: TenantId,
        partition: Partition,
        key: str,
        as_of: int | None,
        *,
        with_events: bool = True,
    ) -> UserView | None:
        """Return a user from the partition they live in, or None; raises like :meth:`on_partition`."""
        found = await self.on_partition(tenant, partition, "user", tenant, key, as_of, with_events)
        return None if found is None else unpacked(found)

    async def located(self, tenant: TenantId, partition: Partition, key: UserKey) -> Located | None:
        """Return where a key leads from the partition it belongs to, or None; raises like :meth:`on_partition`."""
        found = await self.on_partition(tenant, partition, "located", tenant, key)
        return None if found is None else Located(*found)

    async def inbox(
        self, tenant: TenantId, partition: Partition, key: UserKey, *, known_tag: str = ""
    ) -> InboxView | None:
        """Return a user's in-app inbox, or None; without entries if ``known_tag`` is its tag; raises like
        :meth:`on_partition`."""
        return _inbox(await self.on_partition(tenant, partition, "inbox", tenant, key, known_tag))

    async def mark_inbox(
        self, tenant: TenantId, partition: Partition, key: UserKey, *, entry: DecisionId, mark: Mark, action: int
    ) -> InboxView | None:
        """Mark an entry of an inbox, or all with no ``entry``; return it as it is then; raises like
        :meth:`on_partition`."""
        arguments = (tenant, key, entry, mark.value, action)
        return _inbox(await self.on_partition(tenant, partition, "mark_inbox", *arguments))

    async def list_users(self, query: UserQuery, *, timeout_s: float) -> list[ListedUsers]:
        """Return what each shard answers about the partitions at home there: together, all that the tenant has.

        All are asked again until every one answers by the same map. Raises UnavailableError after ``timeout_s``,
        OverloadError at once if a shard lists for too many.
        """

        async def attempt() -> list[tuple[str, Any]]:
            table, version = self.places.table(query.tenant), self.places.current.version
            by_home: dict[int, list[Partition]] = {}
            for partition, home in enumerate(table):
                by_home.setdefault(home, []).append(Partition(partition))
            calls = (
                self.call(
                    home, "list_users", version, plain(ListingCall(query=query, partitions=held)), timeout_s=timeout_s
                )
                for home, held in by_home.items()
            )
            found: list[tuple[str, Any]] = await asyncio.gather(*calls)
            return found

        def is_done(answers: list[tuple[str, Any]]) -> bool:
            return all(status in (CallStatus.OK, CallStatus.OVERLOADED) for status, _ in answers)

        answers = await self.until(attempt, timeout_s, is_done)
        waits = [float(value) for status, value in answers if status == CallStatus.OVERLOADED]
        if waits:
            raise OverloadError("too many lists of users are asked for at once", retry_after_s=max(waits))
        return [read(value, ListedUsers) for _, value in answers]

    async def newest(self, tenant: TenantId, *, timeout_s: float) -> list[ShardTail]:
        """Return what the warehouse may not have yet of a tenant, of every shard; raises like :meth:`call`.

        Shards of which this process's machine has no files bring the warehouse up to date first.
        """

        async def of(shard: int) -> ShardTail:
            is_near = await self._direct_to(shard, timeout_s) is not None
            found = await self.call(shard, "newest", tenant, is_near, timeout_s=timeout_s)
            return read(found, ShardTail)

        async def attempt() -> list[ShardTail]:
            await self.places.refresh()  # a shard that an older map does not name may have events too
            return list(await asyncio.gather(*map(of, self.places.current.shards)))

        return await self.until(attempt, timeout_s)

    async def events(
        self, shard: int, tenant: TenantId, references: list[int], *, only_recent: bool
    ) -> list[EventView | None]:
        """Return the events behind timeline entries that were written on a shard, in the order asked; raises like
        :meth:`call`."""
        found = await self._call_any_way(shard, "payloads", (tenant, references, only_recent), timeout_s=30.0)
        return read(found, list[EventView | None])

    async def ask(
        self,
        shard: int,
        tenant: TenantId,
        campaign: str,
        users: list[tuple[UserKey, str]],
        within_s: float,
        *,
        timeout_s: float,
    ) -> tuple[str, list[DecisionBrief]]:
        """Call :meth:`actors.shard.actor.ShardActor.ask`, directly or through Ray like :meth:`ingest`.

        Returns (status, decisions in the order asked), without decisions if the status is not OK.
        """
        direct = await self._direct_to(shard, timeout_s)
        arguments = [self.places.current.version, tenant, campaign, users, within_s]
        if direct is None:
            status, answer = await self.call(shard, "ask", *arguments, timeout_s=timeout_s)
        else:
            status, answer = await self._call_directly(direct, shard, "ask", arguments, (), timeout_s)
        return status, read(answer, list[DecisionBrief]) if status == CallStatus.OK else []

    async def _call_directly(
        self,
        direct: DirectConnection,
        shard: int,
        method: str,
        arguments: list[Any],
        tail: Sequence[bytes],
        timeout_s: float,
    ) -> Any:
        with self._counted(shard, method):
            return await asyncio.wait_for(direct.call(_traces(), method, arguments, tail), timeout_s)

    async def _call_any_way(self, shard: int, method: str, arguments: Sequence[Any], *, timeout_s: float) -> Any:
        """Call a method that takes and returns plain values: directly if the shard offers that, otherwise through Ray.

        Raises like :meth:`call`.
        """
        named = DIRECT.get(method)
        if named is not None:
            direct = await self._direct_to(shard, timeout_s)
            if direct is not None and named not in direct.lacks:
                try:
                    return await self._call_directly(direct, shard, named, list(arguments), (), timeout_s)
                except NoSuchCallError:  # a shard of the release before
                    direct.lacks.add(named)
        return await self.call(shard, method, *arguments, timeout_s=timeout_s)

    async def _direct_to(self, shard: int, timeout_s: float) -> DirectConnection | None:
        async with self._connecting[shard]:
            self._forget_if_renamed(shard)
            found = self._direct.get(shard)
            if shard in self._direct and (found is None or found.is_open):
                return found
            status, way = await self.call(shard, "direct_way", timeout_s=timeout_s)
            if status != CallStatus.OK:  # it does not serve: its refusal is the answer
                return None
            try:
                found = None if way is None else await connect(*way)
            except OSError as error:
                _log.info("%s is reached through Ray: its socket cannot be used (%s)", shard_name(shard), error)
                found = None
            self._direct[shard] = found
            return found

    @contextmanager
    def _counted(self, shard: int, method: str) -> Iterator[None]:
        """Count one call, and raise its failures as UnavailableError."""
        began, result = time.perf_counter(), FAILED
        try:
            yield
            result = ANSWERED
        except ActorDiedError as error:
            self._forget(shard)
            result = DIED
            raise UnavailableError(f"{shard_name(shard)} died", retry_after_s=1.0) from error
        except (ActorUnavailableError, RayActorError, GetTimeoutError, TimeoutError, ConnectionError) as error:
            if not isinstance(error, TimeoutError):  # slow is not gone: other calls are under way on the connection
                self._forget_way(shard)
            result = UNAVAILABLE
            raise UnavailableError(f"{shard_name(shard)} is recovering", retry_after_s=1.0) from error
        finally:
            self._on_call(method, result, time.perf_counter() - began)

    def _forget_if_renamed(self, shard: int) -> None:
        known = self._names.get(shard)
        if known is not None and known != self.places.current.name_of(shard):
            self._forget(shard)

    def _forget(self, shard: int) -> None:
        self._handles.pop(shard, None)
        self._names.pop(shard, None)
        self._forget_way(shard)

    def _forget_way(self, shard: int) -> None:
        found = self._direct.pop(shard, None)
        if found is not None:
            found.close()

    async def until(
        self,
        attempt: Callable[[], Awaitable[T]],
        timeout_s: float,
        is_done: Callable[[T], bool] = lambda _: True,
    ) -> T:
        """Repeat an idempotent attempt while shards recover or move; fetch the map before each repetition.

        Raises UnavailableError when ``timeout_s`` has passed.
        """
        return await retry(
            attempt,
            PAUSES,
            timeout_s=timeout_s,
            is_done=is_done,
            failures=(UnavailableError,),
            between=self.places.refresh,
        )

    async def on_partition(
        self, tenant: TenantId, partition: Partition, method: str, *args: Any, timeout_s: float = 20.0
    ) -> Any:
        """Call the home of a partition until it answers; the method takes the map version first.

        The method returns (status, value); it must be safe to call again.
        """

        async def attempt() -> Any:
            home, version = self.places.table(tenant)[partition], self.places.current.version
            return await self._call_any_way(home, method, (version, *args), timeout_s=timeout_s)

        _, value = await self.until(attempt, timeout_s, is_done=lambda answer: answer[0] == CallStatus.OK)
        return value


def _inbox(found: Plain) -> InboxView | None:
    return None if found is None else read(found, InboxView)


def _traces() -> list[tuple[str, str]]:
    return [(trace.request_id, trace.trace_id) for trace in tracing.current()]

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

import numpy as np
import ray
from numpy.typing import NDArray
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, ActorUnavailableError, GetTimeoutError, RayActorError, RayTaskError

from actors.calls.inline_blocks import to_pieces
from actors.calls.partition_map import PartitionMap, shard_name
from actors.calls.socket_client import DirectConnection, connect
from actors.limiter import Ask, Lease
from actors.telemetry import tracing
from whisperer.errors import UnavailableError, WhispererError

NAMESPACE = "whisperer"
DIRECTORY = "directory"
LEARNER = "learner"

OK = ""
STALE_MAP = "stale_map"
OVERLOADED = "overloaded"
MOVING = "moving"

CALL_RESULTS = ANSWERED, DIED, UNAVAILABLE, FAILED = "answered", "died", "unavailable", "failed"

_log = logging.getLogger(__name__)


class Shards:
    """Hold handles of the shard actors and the current map; use from one event loop.

    ``on_call`` gets each call's method, its result (one of :data:`CALL_RESULTS`) and its seconds.
    """

    def __init__(
        self, refresh_after_s: float = 1.0, on_call: Callable[[str, str, float], None] = lambda *_: None
    ) -> None:
        self._on_call = on_call
        self._handles: dict[int, ActorHandle[Any]] = {}
        self._direct: dict[int, DirectConnection | None] = {}
        """None for a shard that only Ray reaches: it is on another machine."""
        self._connecting: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._directory: ActorHandle[Any] | None = None
        self._learner: ActorHandle[Any] | None = None
        self._tables: dict[str, list[int]] = {}
        self._homes: dict[str, NDArray[np.int64]] = {}
        self._refresh_after_s = refresh_after_s
        self._fetched_at = 0.0
        self.map = PartitionMap(0, 1, 1)

    async def refresh(self) -> PartitionMap:
        """Fetch the map. Raises UnavailableError while the directory is away."""
        try:
            if self._directory is None:
                self._directory = await asyncio.to_thread(ray.get_actor, DIRECTORY, NAMESPACE)
            fetched = await self._directory.partition_map.remote()
        except (ValueError, RayActorError) as error:
            self._directory = None
            raise UnavailableError("the directory is starting", retry_after_s=1.0) from error
        if fetched.version >= self.map.version:
            for shard in [s for s in self._handles if fetched.name_of(s) != self.map.name_of(s)]:
                self._forget(shard)
            self.map = fetched
            self._tables.clear()
            self._homes.clear()
        self._fetched_at = time.monotonic()
        return self.map

    def table(self, tenant: str) -> list[int]:
        """Return the shard of each of the tenant's partitions, by the current map."""
        found = self._tables.get(tenant)
        if found is None:
            found = self._tables[tenant] = self.map.table(tenant)
        return found

    def homes(self, tenant: str) -> NDArray[np.int64]:
        """Return :meth:`table` as an array, for kernels."""
        found = self._homes.get(tenant)
        if found is None:
            found = self._homes[tenant] = np.array(self.table(tenant), np.int64)
        return found

    async def handle(self, shard: int) -> ActorHandle[Any]:
        """Return a shard's actor. Raises UnavailableError while no such actor is known."""
        found = self._handles.get(shard)
        if found is None:
            try:
                found = await asyncio.to_thread(ray.get_actor, self.map.name_of(shard), NAMESPACE)
            except ValueError as error:
                raise UnavailableError(f"{shard_name(shard)} is starting", retry_after_s=1.0) from error
            self._handles[shard] = found
        return found

    async def call(self, shard: int, method: str, *args: Any, timeout_s: float = 30.0) -> Any:
        """Call a shard actor's method once.

        Raises UnavailableError when the actor died or does not answer in time: the call may or may not have been done.
        """
        handle = await self.handle(shard)
        # Under the method's own name, by which Ray's dashboard lists tasks; `call` only adds whom it is for.
        remote: Callable[..., Awaitable[Any]] = handle.call.options(name=f"ShardActor.{method}").remote
        with self._told(shard, method):
            return await asyncio.wait_for(remote(_traces(), method, *args), timeout_s)

    async def ingest(self, shard: int, blocks: list[bytes], *, timeout_s: float) -> tuple[str, Any]:
        """Have a shard store encoded event blocks: directly if it is on this machine, otherwise through Ray.

        Returns (status, detail) like :meth:`actors.shard.actor.ShardActor.ingest`; raises like :meth:`call`.
        """
        direct = await self._direct_to(shard, timeout_s)
        version = self.map.version
        if direct is None:
            sizes, pieces = to_pieces(blocks)
            status, detail = await self.call(shard, "ingest", version, sizes, *pieces, timeout_s=timeout_s)
        else:
            arguments = [version, [len(block) for block in blocks]]
            status, detail = await self._call_directly(direct, shard, "ingest", arguments, blocks, timeout_s)
        return status, detail

    async def ask(
        self, shard: int, tenant: str, campaign: str, users: list[tuple[str, str]], within_s: float, *, timeout_s: float
    ) -> tuple[str, Any]:
        """Call :meth:`actors.shard.actor.ShardActor.ask`, directly or through Ray like :meth:`ingest`."""
        direct = await self._direct_to(shard, timeout_s)
        arguments = [self.map.version, tenant, campaign, users, within_s]
        if direct is None:
            status, answer = await self.call(shard, "ask", *arguments, timeout_s=timeout_s)
        else:
            status, answer = await self._call_directly(direct, shard, "ask", arguments, (), timeout_s)
        return status, answer

    async def _call_directly(
        self,
        direct: DirectConnection,
        shard: int,
        method: str,
        arguments: list[Any],
        tail: Sequence[bytes],
        timeout_s: float,
    ) -> Any:
        with self._told(shard, method):
            return await asyncio.wait_for(direct.call(_traces(), method, arguments, tail), timeout_s)

    async def _direct_to(self, shard: int, timeout_s: float) -> DirectConnection | None:
        async with self._connecting[shard]:
            found = self._direct.get(shard)
            if shard in self._direct and (found is None or found.is_open):
                return found
            status, way = await self.call(shard, "direct_way", timeout_s=timeout_s)
            if status != OK:  # it does not serve: its refusal is the answer
                return None
            try:
                found = None if way is None else await connect(*way)
            except OSError as error:
                _log.info("%s is reached through Ray: its socket cannot be used (%s)", shard_name(shard), error)
                found = None
            self._direct[shard] = found
            return found

    @contextmanager
    def _told(self, shard: int, method: str) -> Iterator[None]:
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

    def _forget(self, shard: int) -> None:
        self._handles.pop(shard, None)
        self._forget_way(shard)

    def _forget_way(self, shard: int) -> None:
        found = self._direct.pop(shard, None)
        if found is not None:
            found.close()

    async def exchange_reports(self, report: dict[str, Any], timeout_s: float = 2.0) -> list[dict[str, Any]]:
        """Leave this replica's report with the directory; return those of all. Raises UnavailableError."""
        try:
            if self._directory is None:
                self._directory = await asyncio.to_thread(ray.get_actor, DIRECTORY, NAMESPACE)
            found: list[dict[str, Any]] = await asyncio.wait_for(
                self._directory.exchange_reports.remote(report), timeout_s
            )
        except (ValueError, RayActorError, GetTimeoutError, TimeoutError) as error:
            self._directory = None
            raise UnavailableError("the directory is starting", retry_after_s=1.0) from error
        return found

    async def lease(self, asks: list[Ask], timeout_s: float = 2.0) -> list[Lease]:
        """Lease tokens from the limiter (:mod:`actors.limiter`). Raises UnavailableError."""
        try:
            if self._directory is None:
                self._directory = await asyncio.to_thread(ray.get_actor, DIRECTORY, NAMESPACE)
            found: list[Lease] = await asyncio.wait_for(self._directory.lease.remote(asks), timeout_s)
        except (ValueError, RayActorError, GetTimeoutError, TimeoutError) as error:
            self._directory = None
            raise UnavailableError("the limiter is away", retry_after_s=1.0) from error
        return found

    async def learner_status(self, timeout_s: float = 3.0) -> dict[str, Any]:
        """Return the learner's status; only a state and a reason while it does not answer."""
        try:
            if self._learner is None:
                self._learner = await asyncio.to_thread(ray.get_actor, LEARNER, NAMESPACE)
            found: dict[str, Any] = await asyncio.wait_for(self._learner.status.remote(), timeout_s)
            return {"state": "serving", **found}
        except (ValueError, RayActorError, GetTimeoutError, TimeoutError) as error:
            self._learner = None
            return {"state": "away", "reason": type(error).__name__}

    async def learned(self, timeout_s: float = 10.0) -> bytes:
        """Return every campaign's policy as of now (:func:`whisperer.decisions.posterior.decode`).

        Raises UnavailableError while the learner does not answer.
        """
        try:
            if self._learner is None:
                self._learner = await asyncio.to_thread(ray.get_actor, LEARNER, NAMESPACE)
            found: tuple[int, bytes] = await asyncio.wait_for(self._learner.policies.remote(0, 0.0), timeout_s)
        except (ValueError, RayActorError, GetTimeoutError, TimeoutError) as error:
            self._learner = None
            raise UnavailableError("the learner is starting", retry_after_s=1.0) from error
        return found[1]

    async def budgets(self, tenant: str, campaign: str, timeout_s: float = 3.0) -> list[dict[str, Any]]:
        """Return how a campaign's budget was used, by window (:meth:`actors.learner.budgets.Treasury.status`).

        Raises UnavailableError while the learner does not answer.
        """
        try:
            if self._learner is None:
                self._learner = await asyncio.to_thread(ray.get_actor, LEARNER, NAMESPACE)
            found: list[dict[str, Any]] = await asyncio.wait_for(
                self._learner.budgets.remote(tenant, campaign), timeout_s
            )
        except (ValueError, RayActorError, GetTimeoutError, TimeoutError) as error:
            self._learner = None
            raise UnavailableError("the learner is starting", retry_after_s=1.0) from error
        return found

    async def order(self, method: str, *args: Any, timeout_s: float = 600.0) -> Any:
        """Have the directory change where partitions live or which shards there are, then fetch the new map.

        Raises RequestError for what is impossible, UnavailableError when the directory died: it goes on once it is
        back.
        """
        await self.refresh()
        assert self._directory is not None
        try:
            answer = await asyncio.wait_for(getattr(self._directory, method).remote(*args), timeout_s)
        except (RayActorError, TimeoutError) as error:
            raise UnavailableError("the directory died; what it began goes on", retry_after_s=1.0) from error
        except RayTaskError as error:
            raise error.cause if isinstance(error.cause, WhispererError) else error from error
        await self.refresh()
        return answer

    async def until(
        self, attempt: Callable[[], Awaitable[Any]], timeout_s: float, is_done: Callable[[Any], bool] = lambda _: True
    ) -> Any:
        """Repeat an idempotent attempt while shards recover or move, with growing pauses.

        Raises UnavailableError when ``timeout_s`` has passed.
        """
        deadline = time.monotonic() + timeout_s
        pause = 0.01
        while True:
            try:
                answer = await attempt()
                if is_done(answer):
                    return answer
                failure: UnavailableError = UnavailableError("a partition is moving", retry_after_s=1.0)
            except UnavailableError as error:
                failure = error
            if time.monotonic() + pause > deadline:
                raise failure
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.5)
            try:
                await self.refresh()
            except UnavailableError as error:
                failure = error

    async def on_partition(self, tenant: str, partition: int, method: str, *args: Any, timeout_s: float = 20.0) -> Any:
        """Call the home of a partition until it answers; the method takes the map version first.

        The method returns (status, value); it must be safe to call again.
        """

        async def attempt() -> Any:
            return await self.call(self.table(tenant)[partition], method, self.map.version, *args, timeout_s=timeout_s)

        _, value = await self.until(attempt, timeout_s, is_done=lambda answer: answer[0] == OK)
        return value


def _traces() -> list[tuple[str, str]]:
    return [(trace.request_id, trace.trace_id) for trace in tracing.current()]

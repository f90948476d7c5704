"""Commit records in groups: what waits together is made durable together, then applied, then answered.

While the journal's thread syncs one group, the group before it is applied on the event loop and the next one gathers. A
group is applied in slices of some milliseconds, and everybody else has a turn between two slices.

Guarantees: a future resolves only after its record is durable and applied; records are applied in journal order; a
journal that fails takes its owner down (``on_failure``), because its acknowledgements could not be trusted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from actors.telemetry import tracing
from actors.telemetry.logs import Seldom
from actors.telemetry.measures import BYTES, COUNTS, Histogram, StepTimes
from whisperer.errors import OverloadError
from whisperer.ports import Journal
from whisperer.shard.effects import Effect
from whisperer.shard.machine import Shard
from whisperer.shard.records import RECORD_VERSION, Record, RecordBody, encode_record

GROUP_BYTES = 16 << 20
RETRY_AFTER_S = 1.0
SLICE_S = 0.03
"""After this long the loop's other work has its turn; one record takes under 50 ms (:mod:`actors.shard.weighing`)."""
SLOW_GROUP_S = 1.0
"""A group that takes longer to store or to apply is logged."""

_log = logging.getLogger("whisperer.shard")


def wall_clock_ms() -> int:
    """Return the time now, in ms UTC."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Waiting:
    body: RecordBody
    size: int
    done: asyncio.Future[None]
    at: float
    traces: tuple[tracing.Trace, ...] = ()


@dataclass(slots=True)
class CommitCounts:
    """What the committer has done since it started."""

    n_groups: int = 0
    n_records: int = 0
    n_bytes: int = 0
    sync_s: float = 0.0
    apply_s: float = 0.0
    sync: Histogram = field(default_factory=Histogram)
    """Seconds until a group was durable."""
    wait: Histogram = field(default_factory=Histogram)
    """Seconds from a group's first record being submitted until all of it was applied."""
    group_records: Histogram = field(default_factory=lambda: Histogram(COUNTS))
    group_bytes: Histogram = field(default_factory=lambda: Histogram(BYTES))


@dataclass(slots=True)
class _Group:
    """What is not applied yet of the records that were taken together."""

    waiting: list[Waiting]
    records: list[Record]
    n_records: int
    first_at: float
    positions: list[int] = field(default_factory=list)
    end: int = 0
    sync_s: float = 0.0
    apply_s: float = 0.0


class Committer:
    """Make records durable and apply them; owns the journal's only writing thread. Use from one event loop."""

    def __init__(
        self,
        journal: Journal,
        shard: Shard,
        *,
        on_effects: Callable[[list[Effect]], None],
        on_applied: Callable[[int, Record], None] = lambda _position, _record: None,
        on_failure: Callable[[BaseException], None],
        clock: Callable[[], int] = wall_clock_ms,
        max_waiting_bytes: int = 64 << 20,
    ) -> None:
        self.counts = CommitCounts()
        self.steps = StepTimes()
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self.waiting_bytes = 0
        self._journal = journal
        self._shard = shard
        self._on_effects = on_effects
        self._on_applied = on_applied
        self._on_failure = on_failure
        self._clock = clock
        self._max_waiting_bytes = max_waiting_bytes
        self._queue: list[Waiting] = []
        self._under_way: deque[_Group] = deque()
        """Groups taken and not yet applied: at most one being synced and one that is durable."""
        self._seldom = Seldom(_log)
        self._wake = asyncio.Event()
        self._last_now = shard.now
        self._applied: asyncio.Future[None] | None = None
        self.applied_end = journal.end
        """Journal position after the last record applied: where a snapshot taken now begins."""
        self._holding = asyncio.Lock()
        self._is_held = False
        self._task = asyncio.ensure_future(self._run())

    def submit(self, body: RecordBody, size: int = 256) -> asyncio.Future[None]:
        """Queue a record; the future resolves when it is durable and applied.

        Raises OverloadError when more than ``max_waiting_bytes`` are already waiting; nothing is queued then.
        """
        if not self.has_room(size):
            raise OverloadError("the shard's queue is full", retry_after_s=RETRY_AFTER_S)
        return self.submit_bounded(body, size)

    def has_room(self, size: int) -> bool:
        """Report whether records of this total size would be queued now."""
        return self.waiting_bytes + size <= self._max_waiting_bytes or not self._queue

    def submit_bounded(self, body: RecordBody, size: int = 256) -> asyncio.Future[None]:
        """:meth:`submit` however much is waiting: for the product's own needs, of which there are a bounded number.

        If callers' records could keep out a move, an answer or a letter, they would block, or keep refusing, the very
        work that those callers wait for.
        """
        waiting = self._waiting(body, size)
        self.waiting_bytes += size
        self._queue.append(waiting)
        self._wake.set()
        return waiting.done

    async def settle(self) -> None:
        """Wait until everything submitted so far is applied."""
        last = self._queue[-1].done if self._queue else self._applied
        if last is not None:
            await asyncio.wait([last])

    @asynccontextmanager
    async def held(self) -> AsyncIterator[Callable[[RecordBody], asyncio.Future[None]]]:
        """Apply nothing inside; what is submitted meanwhile waits. Yields a `submit` that goes ahead of it."""
        async with self._holding:
            self._is_held = True
            try:
                while self._applied is not None:
                    await asyncio.wait([self._applied])
                yield self._submit_first
            finally:
                self._is_held = False
                self._wake.set()

    def _submit_first(self, body: RecordBody) -> asyncio.Future[None]:
        waiting = self._waiting(body, 0)
        self._queue.insert(0, waiting)
        return waiting.done

    def _waiting(self, body: RecordBody, size: int) -> Waiting:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        return Waiting(body, size, done, time.perf_counter(), tracing.current())

    @property
    def n_waiting(self) -> int:
        """Records submitted and not yet applied."""
        return len(self._queue) + sum(len(group.waiting) for group in self._under_way)

    @property
    def oldest_waiting_s(self) -> float:
        """Age of the oldest record that is not yet applied; 0 when none waits."""
        first = self._under_way[0].waiting[0] if self._under_way else self._queue[0] if self._queue else None
        return 0.0 if first is None else time.perf_counter() - first.at

    async def close(self) -> None:
        """Wait until everything submitted is applied, then close the journal."""
        await self.settle()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.get_running_loop().run_in_executor(self.thread, self._journal.close)
        self.thread.shutdown()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            syncing: asyncio.Future[_Group] | None = None
            while True:
                if syncing is None and (self._is_held or not self._queue):
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                durable = await syncing if syncing is not None else None
                syncing = (
                    loop.run_in_executor(self.thread, self._store, self._take())
                    if self._queue and not self._is_held
                    else None
                )
                while durable is not None and durable.waiting:
                    self._apply_slice(durable)
                    # Let answers and new requests through before the next slice.
                    await asyncio.sleep(0)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._on_failure(error)

    def _take(self) -> _Group:
        size, n = 0, 0
        for waiting in self._queue:
            if n and size + waiting.size > GROUP_BYTES:
                break
            size += waiting.size
            n += 1
        taken, self._queue = self._queue[:n], self._queue[n:]
        self._last_now = max(self._last_now, self._clock())
        now = self._last_now
        self._applied = taken[-1].done
        records = [Record(RECORD_VERSION, self._journal.epoch, now, w.body) for w in taken]
        group = _Group(taken, records, len(taken), taken[0].at)
        self._under_way.append(group)
        return group

    def _store(self, group: _Group) -> _Group:
        """Append the group to the journal, in the journal's thread."""
        began = time.perf_counter()
        encoded = [encode_record(record) for record in group.records]
        started = time.perf_counter()
        group.positions = self._journal.append(encoded)
        group.sync_s = time.perf_counter() - started
        group.end = self._journal.end
        n_bytes, counts = sum(map(len, encoded)), self.counts
        counts.n_groups += 1
        counts.n_records += len(encoded)
        counts.n_bytes += n_bytes
        counts.sync_s += group.sync_s
        counts.sync.observe(group.sync_s)
        counts.group_records.observe(len(encoded))
        counts.group_bytes.observe(n_bytes)
        self.steps.add("encode", started - began)
        return group

    def _apply_slice(self, group: _Group) -> None:
        """Apply the group's next records, and answer them."""
        started = time.perf_counter()
        self.steps.begin()
        effects: list[Effect] = []
        n, clock, until = 0, time.perf_counter, started + SLICE_S
        for position, record in zip(group.positions, group.records, strict=True):
            effects += self._shard.apply([(position, record)])
            n += 1
            if clock() > until:
                break
        self.steps.passed("rest")
        apply_s = time.perf_counter() - started
        self.counts.apply_s += apply_s
        group.apply_s += apply_s
        done, group.waiting = group.waiting[:n], group.waiting[n:]
        applied, group.positions = group.positions[:n], group.positions[n:]
        records, group.records = group.records[:n], group.records[n:]
        self.applied_end = group.positions[0] if group.positions else group.end
        for position, record in zip(applied, records, strict=True):
            self._on_applied(position, record)
        for waiting in done:
            self.waiting_bytes -= waiting.size
            if not waiting.done.done():
                waiting.done.set_result(None)
        if not group.waiting:
            if self._applied is done[-1].done:
                self._applied = None
            self._under_way.popleft()
        self._on_effects(effects)
        self.steps.passed("answer")
        if group.waiting:
            return
        self.counts.wait.observe(time.perf_counter() - group.first_at)
        if group.sync_s > SLOW_GROUP_S or group.apply_s > SLOW_GROUP_S:
            self._tell_slow(group, done)

    def _tell_slow(self, group: _Group, last: list[Waiting]) -> None:
        traces = [trace for waiting in last[: tracing.MAX_CARRIED] for trace in waiting.traces]
        with tracing.within(traces):
            self._seldom.log(
                logging.WARNING,
                "slow group",
                "a slow group: %d records stored in %.2f s and applied in %.2f s, %d bytes wait behind it",
                group.n_records,
                group.sync_s,
                group.apply_s,
                self.waiting_bytes,
            )

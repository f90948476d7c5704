"""Group commit against a journal in memory whose disk the test controls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence

import pytest

from actors.shard import commit
from actors.shard.commit import Committer
from actors.telemetry import tracing
from whisperer.errors import JournalError, OverloadError
from whisperer.shard.machine import Shard
from whisperer.shard.records import Tick, decode_record


class MemoryJournal:
    """A journal whose syncs wait for the test to let them through."""

    def __init__(self) -> None:
        self.epoch = 1
        self.records: list[bytes] = []
        self.groups: list[int] = []
        self.may_sync = threading.Event()
        self.may_sync.set()
        self.fails = False

    @property
    def end(self) -> int:
        return len(self.records)

    def append(self, records: Sequence[bytes]) -> list[int]:
        self.may_sync.wait(10)
        if self.fails:
            raise JournalError("the disk is gone")
        start = len(self.records)
        self.records += records
        self.groups.append(len(records))
        return list(range(start, len(self.records)))

    def replay(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        yield from enumerate(self.records[start:], start)

    def read(self, position: int) -> bytes | None:
        return self.records[position]

    def trim(self, before: int) -> None: ...

    def close(self) -> None: ...


def committer(journal: MemoryJournal, failures: list[BaseException], clock: list[int]) -> Committer:
    return Committer(
        journal, Shard(0), on_effects=lambda _: None, on_failure=failures.append, clock=lambda: clock[0],
        max_waiting_bytes=10_000,
    )  # fmt: skip


async def test_records_that_wait_together_share_one_sync() -> None:
    journal, failures = MemoryJournal(), []
    commits = committer(journal, failures, [1])
    journal.may_sync.clear()
    first = commits.submit(Tick())
    await asyncio.sleep(0.01)
    rest = [commits.submit(Tick()) for _ in range(20)]
    assert not first.done()
    journal.may_sync.set()
    await asyncio.gather(first, *rest)
    assert journal.groups == [1, 20]
    await commits.close()


async def test_nothing_is_acknowledged_when_the_disk_fails_and_the_owner_is_told() -> None:
    journal, failures = MemoryJournal(), []
    commits = committer(journal, failures, [1])
    journal.fails = True
    waiting = commits.submit(Tick())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    assert isinstance(failures[0], JournalError)


async def test_time_never_goes_back_in_the_journal_when_the_clock_does() -> None:
    journal, clock = MemoryJournal(), [5_000]
    commits = committer(journal, [], clock)
    for now in (5_000, 4_000, 6_000, 1):
        clock[0] = now
        await commits.submit(Tick())
    assert [decode_record(r).now for r in journal.records] == [5_000, 5_000, 6_000, 6_000]
    await commits.close()


async def test_a_full_queue_refuses_and_keeps_what_it_has() -> None:
    journal = MemoryJournal()
    commits = committer(journal, [], [1])
    journal.may_sync.clear()
    waiting = [commits.submit(Tick(), 4_000) for _ in range(2)]
    with pytest.raises(OverloadError):
        commits.submit(Tick(), 4_000)
    journal.may_sync.set()
    await asyncio.gather(*waiting)
    await commits.submit(Tick(), 4_000)
    assert len(journal.records) == 3
    await commits.close()


async def test_while_held_nothing_is_applied_and_the_holders_record_goes_first() -> None:
    journal = MemoryJournal()
    commits = committer(journal, [], [1])
    await commits.submit(Tick())
    async with commits.held() as submit:
        later = commits.submit(Tick(), 999)
        await asyncio.sleep(0.01)
        assert len(journal.records) == 1
        assert not later.done()
        first = submit(Tick())
    await asyncio.gather(first, later)
    assert len(journal.records) == 3
    await commits.close()


async def test_what_waits_is_told_with_its_age() -> None:
    journal, failures = MemoryJournal(), []
    commit = committer(journal, failures, [1])
    assert (commit.n_waiting, commit.oldest_waiting_s) == (0, 0.0)
    journal.may_sync.clear()
    waiting = [commit.submit(Tick())]
    await asyncio.sleep(0)
    waiting.append(commit.submit(Tick()))
    assert commit.n_waiting == 2
    assert commit.oldest_waiting_s > 0.0
    journal.may_sync.set()
    await asyncio.gather(*waiting)
    assert (commit.n_waiting, commit.oldest_waiting_s) == (0, 0.0)
    await commit.close()


async def test_each_group_is_measured_once() -> None:
    journal, failures = MemoryJournal(), []
    commit = committer(journal, failures, [1])
    for n in (1, 3):
        await asyncio.gather(*(commit.submit(Tick()) for _ in range(n)))
    counts = commit.counts
    for histogram in (counts.sync, counts.wait, counts.group_records, counts.group_bytes):
        assert sum(histogram.counts) == 2
    assert counts.group_records.sum == 4
    assert counts.group_bytes.sum == counts.n_bytes
    assert counts.sync.sum == counts.sync_s
    assert set(commit.steps.seconds) == {"encode", "rest", "answer"}
    assert counts.wait.sum >= counts.sync_s
    await commit.close()


async def test_a_slow_group_is_told_with_the_requests_in_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.shard.commit.SLOW_GROUP_S", 0.0)
    seen: list[tuple[tracing.Trace, ...]] = []
    caplog.handler.addFilter(lambda _: seen.append(tracing.current()) or True)
    journal, failures = MemoryJournal(), []
    commit = committer(journal, failures, [1])
    waiting = []
    for name in ("r1", "r2"):
        with tracing.within([tracing.Trace(name, "t")]):
            waiting.append(commit.submit(Tick()))
    await asyncio.gather(*waiting)
    await commit.submit(Tick())
    assert [record.message.split(" stored")[0] for record in caplog.records] == ["a slow group: 2 records"]
    assert seen == [(tracing.Trace("r1", "t"), tracing.Trace("r2", "t"))]
    await commit.close()


async def test_what_the_product_needs_done_is_queued_however_full_the_queue_is() -> None:
    journal, failures = MemoryJournal(), []
    commits = committer(journal, failures, [1])
    journal.may_sync.clear()
    first = commits.submit(Tick())
    await asyncio.sleep(0.01)
    waiting = [first, *(commits.submit(Tick(), 5_000) for _ in range(1))]
    assert not commits.has_room(10_000)
    with pytest.raises(OverloadError):
        commits.submit(Tick(), 10_000)
    waiting.append(commits.submit_bounded(Tick(), 10_000))
    journal.may_sync.set()
    await asyncio.gather(*waiting)
    assert commits.waiting_bytes == 0
    await commits.close()


async def test_a_group_that_takes_long_is_applied_in_slices_and_others_have_their_turn_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal, failures = MemoryJournal(), []
    commits = committer(journal, failures, [1])
    monkeypatch.setattr(commit, "SLICE_S", 0.0)
    seen: list[tuple[int, int]] = []
    journal.may_sync.clear()
    waiting = [commits.submit(Tick()) for _ in range(5)]
    watching = asyncio.ensure_future(_watch(commits, seen))
    journal.may_sync.set()
    await asyncio.gather(*waiting)
    watching.cancel()
    # What was applied at each look, and where a snapshot of then would go on in the journal.
    assert {(n, n) for n in range(1, 5)} <= set(seen)
    assert commits.applied_end == 5
    assert commits.n_waiting == 0
    assert commits.waiting_bytes == 0
    await commits.close()


async def _watch(commits: Committer, seen: list[tuple[int, int]]) -> None:
    while True:
        seen.append((commits.applied_end, commits._shard.position + 1))
        await asyncio.sleep(0)

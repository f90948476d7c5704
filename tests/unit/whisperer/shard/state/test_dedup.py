"""Message ids are told apart for a window, and no tenant's make another's forgotten."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from whisperer.shard.state.dedup import N_GENERATIONS, Dedup

WINDOW = 1_000
TENANTS = ("a", "b", "c")


def ids(*numbers: int) -> tuple[NDArray[np.uint16], NDArray[np.uint64]]:
    """Partitions and hashes of messages with these numbers."""
    hashes = np.array([(n, n << 24) for n in numbers], np.uint64).reshape(-1, 2)
    return np.array([n % 4 for n in numbers], np.uint16), hashes


def admit(dedup: Dedup, tenant: str, numbers: range | list[int], now: int, **more: Any) -> int:
    return int(np.count_nonzero(dedup.admit(tenant, *ids(*numbers), now, **more)))


def test_one_tenant_s_flood_makes_no_other_s_id_forgotten() -> None:
    dedup = Dedup(max_ids=12_000, window_ms=WINDOW)
    assert admit(dedup, "quiet", range(1_000), 0) == 1_000
    for first in range(0, 60_000, 500):
        assert admit(dedup, "flood", range(first, first + 500), 1) == 500
        assert len(dedup) <= 12_000
    assert admit(dedup, "quiet", range(1_000), 2) == 0
    assert (dedup.evicted["quiet"], dedup.n_of("quiet")) == (0, 1_000)
    assert dedup.evicted["flood"] == 60_000 - dedup.n_of("flood") == dedup.n_evicted
    for first in range(60_000 - 9_000, 60_000, 100):  # its own oldest went, not its newest
        assert admit(dedup, "flood", range(first, first + 100), 2) == 0


def test_a_tenant_with_one_generation_loses_its_older_half() -> None:
    dedup = Dedup(max_ids=1_200, window_ms=WINDOW)
    for n, tenant in enumerate(f"t{n}" for n in range(12)):
        admit(dedup, tenant, range(99 + (n == 7)), 0)
    admit(dedup, "new", range(20), 1)
    assert dict(dedup.evicted) == {"t7": 50}
    assert admit(dedup, "t7", range(50, 100), 2) == 0
    assert admit(dedup, "t7", range(50), 2) == 50


def test_an_id_is_known_for_the_window_and_gone_after_a_window_and_a_half() -> None:
    dedup = Dedup(max_ids=10_000, window_ms=WINDOW)
    admit(dedup, "a", range(10), 0)
    admit(dedup, "a", range(10, 20), 499)
    assert admit(dedup, "a", range(10), 999) == 0
    dedup.rotate(1_498)
    assert len(dedup) == 20
    assert dedup.is_due(1_499)
    dedup.rotate(1_499)
    assert (len(dedup), dedup.n_evicted) == (0, 0)
    dedup.rotate(1_999)
    assert not dedup.is_due(9_999)


def test_nothing_is_due_before_the_first_ids_are_a_window_old_also_after_a_snapshot_or_a_move() -> None:
    dedup = Dedup(max_ids=1_000, window_ms=WINDOW)
    assert not dedup.is_due(0)
    admit(dedup, "a", range(10), 100)
    loaded, joined = Dedup(max_ids=1_000, window_ms=WINDOW), Dedup(max_ids=1_000, window_ms=WINDOW)
    loaded.load(*dedup.dump())
    joined.join("a", 0, dedup.extract("a", 0))
    for one in (dedup, loaded, joined):
        assert not one.is_due(100 + WINDOW - 1)
        assert one.is_due(100 + WINDOW)
        one.rotate(100 + WINDOW)
        assert (len(one), one.is_due(10 * WINDOW)) == (0, False)


class SharedGenerations:
    """As releases of before version 5 counted: generations that all tenants share."""

    def __init__(self, max_ids: int) -> None:
        self.max_ids, self.held = max_ids, []  # type: ignore[var-annotated]

    def rotate(self, now: int, incoming: int = 0) -> None:
        if not self.held:
            self.held.append([now, now, set()])
        started, _, current = self.held[-1]
        if current and (now - started >= WINDOW // 2 or len(current) + incoming > self.max_ids // 3):
            self.held.append([now, now, set()])
        while len(self.held) > 1:
            expired = now - self.held[0][1] >= WINDOW
            if not expired and sum(len(g[2]) for g in self.held) + incoming <= self.max_ids:
                break
            del self.held[0]

    def admit(self, tenant: str, numbers: list[int], now: int) -> list[bool]:
        self.rotate(now, len(numbers))
        self.held[-1][1] = now
        fresh = []
        for number in numbers:
            fresh.append(not any((tenant, number) in g[2] for g in self.held))
            if fresh[-1]:
                self.held[-1][2].add((tenant, number))
        return fresh


_STEPS = st.lists(
    st.tuples(st.integers(0, 400), st.sampled_from(TENANTS), st.lists(st.integers(0, 60), max_size=12)), max_size=40
)


@given(_STEPS)
def test_records_of_before_version_5_are_counted_as_they_were(steps: list[tuple[int, str, list[int]]]) -> None:
    dedup, reference, now = Dedup(max_ids=40, window_ms=WINDOW), SharedGenerations(40), 0
    for passed, tenant, numbers in steps:
        now += passed
        if not numbers:
            dedup.rotate(now, by_tenant=False)
            reference.rotate(now)
            continue
        expected = reference.admit(tenant, numbers, now)
        assert dedup.admit(tenant, *ids(*numbers), now, by_tenant=False).tolist() == expected
    assert len(dedup) == sum(len(g[2]) for g in reference.held)


@given(_STEPS, st.integers(0, 39), st.integers(0, 39))
def test_what_is_admitted_depends_neither_on_snapshots_nor_on_moves_and_nobody_within_its_share_loses_any(
    steps: list[tuple[int, str, list[int]]], snapshot_at: int, move_at: int
) -> None:
    dedup, now = Dedup(max_ids=60, window_ms=WINDOW), 0
    beside = Dedup(max_ids=60, window_ms=WINDOW)
    seen: dict[tuple[str, int], int] = {}
    most: dict[str, int] = {}
    for at, (passed, tenant, numbers) in enumerate(steps):
        now += passed
        if at == snapshot_at:
            meta, arrays = dedup.dump()
            assert Dedup.n_arrays(meta) == len(arrays)
            dedup = Dedup(max_ids=60, window_ms=WINDOW)
            dedup.load(meta, arrays)
        if at == move_at:
            for partition in range(4):
                elsewhere = Dedup(max_ids=60, window_ms=WINDOW)
                elsewhere.join("a", partition, dedup.extract("a", partition))
                dedup.drop("a", partition)
                dedup.join("a", partition, elsewhere.extract("a", partition))
        dedup.rotate(now)
        beside.rotate(now)
        if not numbers:
            continue
        fresh = dedup.admit(tenant, *ids(*numbers), now).tolist()
        if at < move_at:
            assert fresh == beside.admit(tenant, *ids(*numbers), now).tolist()
        for number, is_fresh in zip(numbers, fresh, strict=True):
            last = seen.get((tenant, number))
            if not is_fresh:
                assert last is not None, "an id that never came is taken for a repeat"
                assert now - last < 2 * WINDOW
            elif last is not None and now - last < WINDOW:
                assert dedup.evicted[tenant], "a repeat within the window counted again"
            if is_fresh:
                seen[tenant, number] = now
        most[tenant] = max(most.get(tenant, 0), dedup.n_of(tenant) + dedup.evicted[tenant])
        assert len(dedup) <= 60 + len(numbers)
    for tenant in TENANTS:
        if most.get(tenant, 0) + 12 <= 60 // len(TENANTS):
            assert dedup.evicted[tenant] == 0


def test_a_snapshot_of_an_earlier_release_is_read_and_lasts_its_window() -> None:
    old = {"n_evicted": 3, "slots": [["a", 0, 0], ["a", 1, 1], ["a", 2, 2], ["a", 3, 3]], "generations": [[0, 5]]}
    first = Dedup(max_ids=100, window_ms=WINDOW)
    admit(first, "a", range(8), 5, by_tenant=False)
    keys = first.dump()[1][0]
    dedup = Dedup(max_ids=100, window_ms=WINDOW)
    dedup.load(old, [keys])
    assert dedup.n_evicted == 3
    assert admit(dedup, "a", range(10), 6) == 2
    assert (len(dedup), dedup.n_of("a")) == (10, 2)
    assert dedup.is_due(1_005)
    dedup.rotate(1_005)
    assert len(dedup) == 2


@pytest.mark.parametrize("n", [1, 2, 5])
def test_bounds_hold_however_small_they_are(n: int) -> None:
    dedup = Dedup(max_ids=n, window_ms=WINDOW)
    for at in range(50):
        admit(dedup, f"t{at % 3}", [at, at + 100], at)
        assert len(dedup) <= max(n, 2)
    assert n < N_GENERATIONS or n >= N_GENERATIONS

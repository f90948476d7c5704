"""Daily rings, histories, timelines and traits, each against the plainest possible model."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from whisperer.profiles import daily, traits
from whisperer.profiles.columns import Table
from whisperer.profiles.history import EVER, History
from whisperer.profiles.pages import registers_of
from whisperer.profiles.population import Population
from whisperer.profiles.record import WINDOW_DAYS, users
from whisperer.profiles.timeline import KEEP, Timeline


def four_users() -> Table:
    table = users()
    table.extend(4)
    return table


EVENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 400), st.integers(1, 3)), max_size=40)


@settings(deadline=None)
@given(batches=st.lists(EVENTS, max_size=6), later=st.integers(0, 120), days=st.integers(1, 90))
def test_a_window_of_the_ring_counts_what_a_list_would(
    batches: list[list[tuple[int, int, int]]], later: int, days: int
) -> None:
    table = four_users()
    seen: dict[int, Counter[int]] = defaultdict(Counter)
    for batch in batches:
        if batch:
            daily.add(table, *(np.array(column, np.int64) for column in zip(*batch, strict=True)))
        for row, day, count in batch:
            seen[row][day] += count
    for row in range(4):
        today = max(seen[row], default=1) + later
        wanted = sum(count for day, count in seen[row].items() if today - days < day <= today)
        assert daily.window(table, np.array([row]), today, days).tolist() == [wanted]
        active = {day for day in seen[row] if day > max(seen[row]) - WINDOW_DAYS}
        assert set(daily.active_days(table, row).tolist()) == active


@settings(deadline=None)
@given(batches=st.lists(EVENTS, max_size=6))
def test_a_history_is_a_counter_of_the_days_that_windows_reach(batches: list[list[tuple[int, int, int]]]) -> None:
    table = four_users()
    history = History(table)
    wanted: Counter[tuple[int, int, int]] = Counter()
    for batch in batches:
        rows, days, counts = (np.array(c, np.int64) for c in (zip(*batch, strict=True) if batch else ([], [], [])))
        names = rows % 2
        daily.add(table, rows, days, counts)
        history.add(rows, names, days, counts)
        history.add(rows, names, np.full(len(rows), EVER), counts)
        for row, day, count in batch:
            wanted[row, row % 2, day] += count
            wanted[row, row % 2, EVER] += count
    newest = np.array([max((d for r, _, d in wanted if r == row), default=0) for row in range(4)], np.int64)
    copy = History(four_users())
    copy._table.records[:4] = table.records[:4]
    for name in ("_history_at", "_history_n", "_history_class"):
        copy._table[name][:] = 0
    copy.load(history.dump())
    for row in range(4):
        model = sorted(
            (n, d, c) for (r, n, d), c in wanted.items() if r == row and (d == EVER or d > newest[row] - WINDOW_DAYS)
        )
        assert history.of(row) == model == copy.of(row)
    for row, name, day in wanted:
        if day > newest[row] - WINDOW_DAYS:
            assert history.count(np.array([row]), name, range(day, day + 1)).tolist() == [wanted[row, name, day]]


def test_a_count_beyond_32_bits_stays_exact() -> None:
    history = History(four_users())
    one = np.array([0])
    for _ in range(3):
        history.add(one, one, np.array([EVER]), np.array([3_000_000_000]))
    assert history.of(0) == [(0, EVER, 9_000_000_000)]
    assert history.count(one, 0, None).tolist() == [9_000_000_000]
    copy = History(four_users())
    copy.load(history.dump())
    assert copy.of(0) == history.of(0)


@settings(deadline=None, max_examples=30)
@given(times=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 500)), max_size=400))
def test_a_timeline_is_the_top_of_a_sorted_list(times: list[tuple[int, int]]) -> None:
    line = Timeline(four_users())
    model: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for sequence, (row, at) in enumerate(times):
        line.append(np.array([row]), at, sequence, 1, 0)
        model[row].append((at, sequence))
    for row in range(3):
        wanted = sorted(model[row], reverse=True)[:KEEP]
        assert [(e.timestamp, e.sequence) for e in line.of(row, ["x"])] == wanted
    copy = Timeline(four_users())
    copy.load(line.dump())
    assert [copy.of(row, ["x"]) for row in range(3)] == [line.of(row, ["x"]) for row in range(3)]


def test_a_full_timeline_drops_the_oldest_and_of_equal_ones_the_last_to_come() -> None:
    line = Timeline(four_users())
    arrivals = [(at * 37 % 101 // 2, number % 3, number) for number, at in enumerate(range(200))]
    for timestamp, sequence, number in arrivals:
        line.append(np.array([1]), timestamp, sequence, 1, 0, reference=number)
    wanted = sorted(arrivals, key=lambda entry: (-entry[0], -entry[1], entry[2]))[:KEEP]
    assert [(e.timestamp, e.sequence, e.reference) for e in line.of(1, ["x"])] == wanted
    copy = Timeline(four_users())
    copy.load(line.dump())
    assert copy.of(1, ["x"]) == line.of(1, ["x"])
    assert line.dump(range(0, 1))["row"].size == 0


WRITES = st.lists(
    st.tuples(st.sampled_from("abc"), st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from([b"1", b'"x"', b"null"]))),
    max_size=12,
)  # fmt: skip


@settings(deadline=None)
@given(writes=WRITES, data=st.data())
def test_traits_end_the_same_in_any_order_and_any_grouping(
    writes: list[tuple[str, tuple[int, int, bytes]]], data: st.DataObject
) -> None:
    straight = registers_of(traits.write(None, writes, traits.STATED).stored)
    shuffled = None
    for write in data.draw(st.permutations(writes)):
        shuffled = traits.write(shuffled, [write, write], traits.STATED).stored
    assert registers_of(shuffled) == straight


@settings(deadline=None)
@given(writes=WRITES, more=WRITES)
def test_traits_say_whether_a_value_is_another_now(
    writes: list[tuple[str, tuple[int, int, bytes]]], more: list[tuple[str, tuple[int, int, bytes]]]
) -> None:
    before = traits.write(None, writes, traits.STATED).stored
    done = traits.write(before, more, traits.STATED)
    after = done.stored
    for name in "abc":
        if traits.raw_values(before).get(name) != traits.raw_values(after).get(name):
            assert name in done.changed
        if name not in done.changed:
            assert traits.value_of(before, name) == traits.value_of(after, name)
    for name in "abc":
        assert traits.value_of(after, name).items() <= traits.values_of(after).items()
        assert (name in traits.value_of(after, name)) == (name in traits.values_of(after))


def test_names_beyond_the_limit_are_counted_together() -> None:
    people = Population()
    people.names._limit = 3
    assert [people.names.code(n) for n in ("a", "b", "c", "d", "a")] == [1, 2, 0, 0, 1]
    assert people.names.texts[0] == "(other)"

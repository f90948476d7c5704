"""One pass over a batch of events does what the plainest model does event by event."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from whisperer.events.block import EVENT
from whisperer.events.types import Flag
from whisperer.profiles.history import EVER
from whisperer.profiles.population import NO_CHECK, Population
from whisperer.profiles.record import WINDOW_DAYS
from whisperer.profiles.state import ProfileState
from whisperer.profiles.timeline import KEEP
from whisperer.profiles.traits import JOINED
from whisperer.vocabulary.units import DAY_MS

NAMES = ["Bought", "Looked"]
ZONES = ["", "Asia/Tokyo", "Europe/Vienna"]
LOCALES = ["", "de", "ja"]
EVENT_OF_ROW = st.fixed_dictionaries(
    {
        "row": st.integers(0, 2),
        "timestamp": st.integers(19_000, 19_200).map(lambda day: day * DAY_MS) | st.integers(0, 3),
        "revenue": st.sampled_from([0, 5, -7, 10**15]),
        "name": st.integers(0, 1),
        "zone": st.integers(0, 2),
        "locale": st.integers(0, 2),
        "kind": st.integers(1, 6),
        "flags": st.sampled_from([0, int(Flag.INACTIVE), int(Flag.TRAITS)]),
    }
)


def observe(people: Population, stream: list[dict[str, int]], sequence: int) -> None:
    events = np.zeros(len(stream), EVENT)
    for name in ("timestamp", "revenue", "name", "zone", "locale", "kind", "flags"):
        events[name] = [event[name] for event in stream]
    rows = np.array([event["row"] for event in stream], np.int64)
    numbers = np.arange(sequence, sequence + len(stream))
    people.observe(
        np.frombuffer(events.tobytes(), EVENT),
        np.arange(len(stream)),
        rows,
        people.names.codes(NAMES),
        people.zones.codes(ZONES),
        people.locales.codes(LOCALES),
        numbers,
        9,
        numbers * 2,
    )


def model(stream: list[dict[str, int]], row: int) -> tuple[Any, ...]:
    mine = [(number, e) for number, e in enumerate(stream) if e["row"] == row]
    if not mine:
        return (-1, -1, 0, 0, "", -1, "", -1, [], [])
    events = [e for _, e in mine]
    days = [max(1, e["timestamp"] // DAY_MS) for e in events]
    history = Counter((NAMES[e["name"]], EVER) for e in events)
    history.update(
        (NAMES[e["name"]], day) for e, day in zip(events, days, strict=True) if day > max(days) - WINDOW_DAYS
    )
    zone_at, zone = max(((e["timestamp"], ZONES[e["zone"]]) for e in events if e["zone"]), default=(-1, ""))
    locale_at, locale = max(((e["timestamp"], LOCALES[e["locale"]]) for e in events if e["locale"]), default=(-1, ""))
    line = sorted(((e["timestamp"], n, e["kind"], NAMES[e["name"]], 9, n * 2) for n, e in mine), reverse=True)
    return (
        min(e["timestamp"] for e in events),
        max((e["timestamp"] for e in events if not e["flags"] & Flag.INACTIVE), default=-1),
        len(events),
        sum(e["revenue"] for e in events),
        zone,
        zone_at,
        locale,
        locale_at,
        sorted((name, day, count) for (name, day), count in history.items()),
        line[:KEEP],
    )


@settings(deadline=None, max_examples=80)
@given(batches=st.lists(st.lists(EVENT_OF_ROW, min_size=1, max_size=60), max_size=5))
def test_a_pass_is_the_sum_of_its_events(batches: list[list[dict[str, int]]]) -> None:
    people = Population()
    people.add(["u:ann", "u:bob", "u:cyd"], [0, 0, 0])
    stream: list[dict[str, int]] = []
    for batch in batches:
        observe(people, batch, len(stream))
        stream += batch
    for row in range(3):
        state = people.extract(row)
        assert (
            state.first_seen,
            state.last_seen,
            state.n_events,
            state.revenue,
            state.zone,
            state.zone_at,
            state.locale,
            state.locale_at,
            sorted(state.history),
            [tuple(entry) for entry in state.timeline],
        ) == model(stream, row)


def test_a_user_of_many_names_and_days_takes_ever_larger_blocks() -> None:
    people = Population()
    people.add(["u:ann"], [0])
    rows = np.zeros(400, np.int64)
    for day in range(19_000, 19_030):
        people.history.add(rows, np.arange(400), np.full(400, day), np.full(400, 2))
    assert len(people.history.of(0)) == 12_000
    assert people.history.count(rows[:1], 399, range(19_010, 19_015)).tolist() == [10]
    people.clear(0)
    assert people.history.of(0) == []
    used = people.history.nbytes
    for day in range(19_000, 19_030):
        people.history.add(rows, np.arange(400), np.full(400, day), np.full(400, 1))
    assert people.history.nbytes == used, "freed blocks are used again"


def test_a_bucket_beyond_16_bits_makes_room_in_the_middle_of_a_pass() -> None:
    people = Population()
    people.add(["u:ann", "u:bob"], [0, 0])
    event = {
        "row": 1,
        "timestamp": 19_000 * DAY_MS,
        "revenue": 0,
        "name": 0,
        "zone": 0,
        "locale": 0,
        "kind": 1,
        "flags": 0,
    }
    for start in range(0, 70_000, 35_000):
        observe(people, [event] * 35_000, start)
    assert people.extract(1).history == [("Bought", EVER, 70_000), ("Bought", 19_000, 70_000)]
    assert people.table["daily"][1].max() == 70_000
    assert people.table["next_check"][1] == NO_CHECK


AMOUNTS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([2**63 - 1, -(2**63), 9 * 10**18, -9 * 10**18, 1, -1, 0])


def paid(people: Population, amounts: list[int], *, wraps: bool = False) -> tuple[int, int]:
    """(what the user of row 0 has paid, how many amounts did not fit)"""
    events = np.zeros(len(amounts), EVENT)
    events["timestamp"], events["revenue"], events["kind"] = 19_100 * DAY_MS, amounts, 1
    codes, numbers = (people.names.codes(NAMES), people.zones.codes(ZONES), people.locales.codes(LOCALES)), np.arange(9)
    rows = np.zeros(len(amounts), np.int64)
    full = people.observe(events, np.arange(len(amounts)), rows, *codes, numbers, 9, numbers, wraps=wraps)
    return int(people.table["revenue"][0]), full


@settings(deadline=None)
@given(st.lists(AMOUNTS, min_size=1, max_size=8))
def test_money_is_added_exactly_and_stays_at_the_end_of_what_can_be_held(amounts: list[int]) -> None:
    people = Population()
    people.add(["u:0"], [0])
    held = full = 0
    for amount in amounts:
        total = held + amount
        held = min(max(total, -(2**63)), 2**63 - 1)
        full += held != total
    assert paid(people, amounts) == (held, full)


@given(AMOUNTS, AMOUNTS)
def test_merged_users_money_never_wraps(ours: int, theirs: int) -> None:
    people = Population()
    people.add(["u:0"], [0])
    people.table["revenue"][0] = ours
    people.combine(0, ProfileState(revenue=theirs), JOINED)
    assert int(people.table["revenue"][0]) == min(max(ours + theirs, -(2**63)), 2**63 - 1)


def test_records_of_earlier_releases_are_added_as_they_added() -> None:
    people = Population()
    people.add(["u:0"], [0])
    assert paid(people, [9 * 10**18] * 2, wraps=True) == (18 * 10**18 - 2**64, 0)

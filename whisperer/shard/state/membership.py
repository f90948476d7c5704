"""Keep segment memberships live: which users are in which segments.

Each published segment has a column of members. It is evaluated for the users an event touched, for those whose
``next_check`` has come (a Tick) and, once after publishing, for everyone in slices (a backfill, driven by Ticks).
The result of a trait test is remembered per user until the trait changes; everything else is read from columns.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whisperer.profiles import features, traits
from whisperer.profiles.population import LIVE, NO_CHECK, Population
from whisperer.segments import program
from whisperer.segments.parse import parse_json
from whisperer.segments.program import Program
from whisperer.segments.trait_test import TraitTest
from whisperer.shard.records import SegmentConfig
from whisperer.vocabulary.units import DAY_MS

AT_ONCE = 20_000
"""Users that one Tick evaluates for one segment without trait tests, in a backfill or when due: about 20 ms.

With trait tests or more segments it evaluates fewer. Up to record version 4 it was this many for each segment.
"""
MOST_LOOKS, LEAST_LOOKS = 64, 2
TESTS_A_USER = 3_000
"""Most tests for one user's events in one block: evaluations of the user times tests of all segments, 10 us each."""
TEST_COST = 8
"""Cost of one trait test of one user, where a segment without trait tests costs 1."""

_UNKNOWN = -1
_READ_AT_ONCE = 1_000
"""Decoded traits kept while a batch of users is evaluated."""


@dataclass(slots=True)
class Live:
    """Hold one published segment, compiled, and how far its backfill is."""

    config: SegmentConfig
    program: Program
    backfilled: int = 0
    """Rows below this one have been evaluated."""
    backfill_end: int = 0

    @property
    def column(self) -> str:
        """Return the name of the segment's column of members."""
        return f"in:{self.config.name}"

    @property
    def cost(self) -> int:
        """Return what evaluating one user costs, where a segment without trait tests costs 1."""
        return 1 + TEST_COST * len(self.program.trait_tests)

    @property
    def progress(self) -> float | None:
        """Return the share of the backfill that is done, None when it is complete."""
        return None if self.backfilled >= self.backfill_end else self.backfilled / self.backfill_end


@dataclass(slots=True, frozen=True)
class Changes:
    """List who entered (True) or left (False) one segment; rows are distinct."""

    segment: str
    version: int
    rows: NDArray[np.int64]
    entered: NDArray[np.bool_]


def test_column(test: TraitTest) -> str:
    """Return the name of the column that remembers a trait test's results."""
    return f"test:{test.key}"


class RowsView:
    """Show the users at ``rows`` as of ``now`` to predicates (:class:`whisperer.segments.rows.Rows`).

    What several predicates ask for is computed once.
    """

    def __init__(self, people: Population, rows: NDArray[np.int64], now: int) -> None:
        self.n = len(rows)
        self.now = now
        self._people = people
        self._rows = rows
        self._read: dict[tuple[int, str], Mapping[str, Any]] = {}
        self._batch = features.Batch(people.table, rows, now)
        self._features: dict[str, NDArray[np.float64]] = {}
        self._counts: dict[tuple[str, int | None], NDArray[np.int64]] = {}

    def trait_test(self, test: TraitTest) -> NDArray[np.bool_]:
        """Return whether each user passes the test, shape (n,); remembered in the table until the trait changes."""
        name = test_column(test)
        if name not in self._people.table:
            self._people.table.add_column(name, np.int8, _UNKNOWN)
        known = self._people.table[name]
        stated = self._people.traits
        of_none: bool | None = None
        for row in self._rows[known[self._rows] == _UNKNOWN].tolist():
            held = stated[row]
            if held is None:  # no traits, as for many a new user: all of these test alike
                of_none = test.matches({}) if of_none is None else of_none
                known[row] = of_none
            else:
                known[row] = test.matches(self._stated(row, test.trait))
        found: NDArray[np.bool_] = known[self._rows] == 1
        return found

    def _stated(self, row: int, trait: str) -> Mapping[str, Any]:
        """Return one decoded trait; many tests may read the same one."""
        found = self._read.get((row, trait))
        if found is None:
            if len(self._read) >= _READ_AT_ONCE:
                self._read.clear()
            found = self._read[row, trait] = traits.value_of(self._people.traits[row], trait)
        return found

    def feature(self, name: str) -> NDArray[np.float64]:
        """Return one feature of each user, shape (n,)."""
        if name not in self._features:
            self._features[name] = features.FEATURES[name].of(self._batch)
        return self._features[name]

    def event_count(self, event: str, days: int | None) -> NDArray[np.int64]:
        """Count each user's events of a name, ever (None) or in the last ``days`` UTC days with today, shape (n,)."""
        found = self._counts.get((event, days))
        if found is None:
            found = self._counts[event, days] = self._count(event, days)
        return found

    def _count(self, event: str, days: int | None) -> NDArray[np.int64]:
        code = self._people.names.find(event)
        if code is None:
            return np.zeros(self.n, np.int64)
        today = self.now // DAY_MS
        window = (
            None if days is None else range(max(1, today - days + 1), today + 2)
        )  # a clock ahead of ours may date events tomorrow
        return self._people.history.count(self._rows, code, window)

    def last_seen(self) -> NDArray[np.int64]:
        """Return when each user was last seen, ms UTC, -1 if never, shape (n,)."""
        return self._people.table["last_seen"][self._rows]


@dataclass(slots=True)
class LiveSegments:
    """Hold a tenant's published segments in one shard and keep their columns up to date."""

    live: dict[str, Live] = field(default_factory=dict)
    looks: int = MOST_LOOKS
    """Most evaluations of one user per block: after each event up to this number, then after several together."""
    n_tests: int = 0
    most_tests_a_trait: int = 0
    """The largest number of trait tests that read the same trait."""
    _tests: dict[str, list[str]] = field(default_factory=dict)
    """Trait -> columns of the tests that read it."""

    @property
    def is_backfilling(self) -> bool:
        return any(live.progress is not None for live in self.live.values())

    def uses(self, names: Collection[str]) -> bool:
        """Return whether any segment reads one of these features."""
        return any(not live.program.features.isdisjoint(names) for live in self.live.values())

    def publish(self, people: Population, configs: list[SegmentConfig]) -> None:
        """Replace a tenant's published segments: new and changed ones start a backfill, absent ones end."""
        wanted = {config.name: config for config in configs}
        for name in [n for n in self.live if n not in wanted]:
            people.table.drop_column(self.live.pop(name).column)
        for name, config in wanted.items():
            held = self.live.get(name)
            if held is not None and held.config.version == config.version:
                continue
            compiled = program.compile(parse_json(config.predicate), features.FEATURES)
            self.live[name] = Live(config, compiled, backfill_end=people.table.n)
            if held is None:
                people.table.add_column(self.live[name].column, np.bool_, False)
        self.n_tests = sum(live.program.n_tests for live in self.live.values())
        self.looks = min(max(TESTS_A_USER // max(self.n_tests, 1), LEAST_LOOKS), MOST_LOOKS)
        tests = {test for live in self.live.values() for test in live.program.trait_tests}
        self._tests = {}
        for test in tests:
            self._tests.setdefault(test.trait, []).append(test_column(test))
        self.most_tests_a_trait = max(map(len, self._tests.values()), default=0)
        used = set(map(test_column, tests))
        for column in [c for c in people.table.names if c.startswith("test:") and c not in used]:
            people.table.drop_column(column)

    def traits_changed(self, people: Population, row: int, names: Collection[str]) -> None:
        """Forget the remembered tests that read these traits of a user, whose values have changed."""
        for name in names:
            for column in self._tests.get(name, ()):
                if column in people.table:
                    people.table[column][row] = _UNKNOWN

    def evaluate(self, people: Population, rows: NDArray[np.int64], now: int) -> list[Changes]:
        """Bring the memberships of distinct live ``rows`` up to date as of ``now`` and return what changed."""
        if not rows.size or not self.live:
            return []
        found = []
        next_check = np.full(len(rows), NO_CHECK)
        view = RowsView(people, rows, now)
        for live in self.live.values():
            member, check = live.program.evaluate(view)
            np.minimum(next_check, check, out=next_check)
            found += _changes(people, rows, live, member)
        people.table["next_check"][rows] = next_check
        return found

    def due(self, people: Population, now: int, *, is_bounded: bool = True) -> NDArray[np.int64]:
        """Return live rows whose next check is due, as many as one Tick evaluates; the next Tick follows at once."""
        n = people.table.n
        found = np.flatnonzero((people.table["next_check"][:n] <= now) & (people.table["status"][:n] == LIVE))
        if not is_bounded:
            return found[:AT_ONCE]
        unread = any(live.progress is not None for live in self.live.values())  # tests may not be remembered yet
        cost = sum(live.cost if unread else 1 for live in self.live.values())
        return found[: _slice(AT_ONCE, cost)]

    def backfill(self, people: Population, now: int, *, is_bounded: bool = True) -> list[Changes]:
        """Evaluate the next slice of each segment whose backfill is incomplete, in turn, and return what changed."""
        found = []
        room = AT_ONCE
        for live in [live for live in self.live.values() if live.progress is not None]:
            if room <= 0:
                break
            size = _slice(room, live.cost) if is_bounded else AT_ONCE
            stop = min(live.backfilled + size, live.backfill_end)
            if is_bounded:
                room -= (stop - live.backfilled) * live.cost
            rows = np.arange(live.backfilled, stop)
            rows = rows[people.table["status"][rows] == LIVE]
            member, check = live.program.evaluate(RowsView(people, rows, now))
            people.table["next_check"][rows] = np.minimum(people.table["next_check"][rows], check)
            found += _changes(people, rows, live, member)
            live.backfilled = stop
        return found

    def of(self, people: Population, row: int) -> list[str]:
        """Return the names of the segments that a user is in, sorted."""
        return sorted(name for name, live in self.live.items() if people.table[live.column][row])

    def members(self, people: Population, name: str) -> int:
        """Count the live members of a segment."""
        n = people.table.n
        return int(np.count_nonzero(people.table[self.live[name].column][:n] & (people.table["status"][:n] == LIVE)))


def _slice(room: int, cost: int) -> int:
    """Return how many users fit in ``room``; at least 10, so that a backfill ends."""
    return max(room // cost, 10)


def _changes(people: Population, rows: NDArray[np.int64], live: Live, member: NDArray[np.bool_]) -> list[Changes]:
    column = people.table[live.column]
    changed = np.flatnonzero(column[rows] != member)
    if not changed.size:
        return []
    rows, member = rows[changed], member[changed]
    column[rows] = member
    return [Changes(live.config.name, live.config.version, rows, member)]

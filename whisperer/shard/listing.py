"""List a tenant's users in one shard: filter, sort, cut to a page; in slices, between which the shard does other work.

Guarantees: a user who does not change while this goes on is looked at exactly once, so they are on the page if and only
if they belong there. Whoever changes meanwhile may be shown in the place that they had, and as they are at the end; an
erased user is not shown. A slice is bounded in rows, in profiles read and in bytes copied, whatever was asked for.
Leaves to others when the next slice runs, and whether the partitions stayed at home (:mod:`actors.shard.listings`).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whisperer.ids import N_PARTITIONS, Partition, UserKey
from whisperer.profiles import trait_texts, traits
from whisperer.profiles.key_order import LAST, First, beginning
from whisperer.profiles.population import LIVE, VACANT, Population
from whisperer.profiles.record import NEVER
from whisperer.profiles.trait_columns import READ_AT_ONCE
from whisperer.shard.state.tenant import Tenant
from whisperer.shard.views.listing import (
    BY_ID,
    MOST_TRAITS_BYTES,
    NUMBERS,
    Bound,
    ListedUser,
    ListedUsers,
    TraitSought,
    UserQuery,
)

ROWS = 32_768
"""Rows that one slice looks at: 2 ms."""
SHOWN_AT_ONCE, BYTES_AT_ONCE = 50, 256 << 10
"""Users that one slice shows, and bytes of their traits after which it ends."""

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le,
}  # fmt: skip

Slices = Generator[None, None, ListedUsers]
"""Runs one slice each time it is advanced, and returns the answer."""


def listed(tenant: Tenant, query: UserQuery, partitions: list[Partition]) -> Slices:
    """List the first users of these partitions."""
    unknown = [name for name in query.segments if name not in tenant.segments.live]
    if unknown:
        return ListedUsers(unknown=unknown)
    people = tenant.people
    found = yield from _found(tenant, query, partitions)
    places = found.places(people.keys)
    users: list[ListedUser] = []
    n_bytes = n_slice = 0
    for n, (row, (number, key)) in enumerate(places):
        if people.keys.text(row) == key and people.table["status"][row] == LIVE:  # otherwise gone since
            users.append(_shown(tenant, query, row, number, key))
            size = sum(map(len, users[-1].traits.values()))
            n_bytes, n_slice = n_bytes + size, n_slice + size
        if n_bytes >= MOST_TRAITS_BYTES and n + 1 < len(places):
            return ListedUsers(users=users, end=places[n][1])
        if n_slice >= BYTES_AT_ONCE or n % SHOWN_AT_ONCE == SHOWN_AT_ONCE - 1:
            n_slice = 0
            yield
    return ListedUsers(users=users, end=places[-1][1] if found.is_more else None)


def _found(tenant: Tenant, query: UserQuery, partitions: list[Partition]) -> Generator[None, None, First]:
    """Look at every row once, and again from the beginning if a user who was found is erased meanwhile."""
    people = tenant.people
    at_home = np.zeros(N_PARTITIONS, np.bool_)
    at_home[partitions] = True
    while True:
        found = First(query.limit, query.after, ids_descend=query.descends and query.sort == BY_ID)
        start, end = 0, people.table.n
        for sought in query.sought:
            people.trait_columns.use(sought.trait, end)
        while start < end:
            if (people.table["status"][found.rows] & VACANT).any():
                break
            start = _slice(tenant, query, at_home, found, start, min(start + ROWS, end))
            yield
        if not (people.table["status"][found.rows] & VACANT).any():
            return found


def _slice(tenant: Tenant, query: UserQuery, at_home: NDArray[np.bool_], found: First, start: int, end: int) -> int:
    """Offer the rows from ``start`` on that pass the filters, and return where the next slice starts."""
    people, table = tenant.people, tenant.people.table
    here = slice(start, end)
    passes = (table["status"][here] == LIVE) & (table["n_events"][here] > 0) & at_home[table["partition"][here]]
    for name in query.segments:
        live = tenant.segments.live.get(name)
        passes &= False if live is None else table[live.column][here]
    for bound in query.bounds:
        passes &= _within(people, bound, here)
    numbers = _numbers(people, query, here)
    passes &= found.can_enter(numbers)
    rows = np.flatnonzero(passes) + start
    if query.key_prefix:
        rows = rows[beginning(people.keys, rows, UserKey(query.key_prefix))]
    for sought in query.sought:
        unread = people.trait_columns.unread(sought.trait, rows)
        most = READ_AT_ONCE // len(query.sought)
        if len(unread) > most:
            end = int(unread[most])
            rows = rows[rows < end]
        rows = rows[_matches(people, sought, rows)]
    found.offer(people.keys, rows, numbers[rows - start])
    return end


def _within(people: Population, bound: Bound, here: slice) -> NDArray[np.bool_]:
    column = people.table[NUMBERS[bound.number]][here]
    passes: NDArray[np.bool_] = _COMPARE[bound.comparison](column, bound.value)
    return passes if column.dtype.kind == "f" else passes & (column != NEVER)


def _numbers(people: Population, query: UserQuery, here: slice) -> NDArray[np.int64]:
    """Return what the rows are ordered by, ascending, whichever way was asked for."""
    if query.sort == BY_ID:
        return np.zeros(here.stop - here.start, np.int64)
    column = people.table[NUMBERS[query.sort]][here]
    if column.dtype.kind == "f":  # from 0 to 1, so that its bits are in the order of its values; 0.0 for -0.0
        known, numbers = ~np.isnan(column), (column + np.float32(0)).view(np.int32).astype(np.int64)
    else:
        known, numbers = column != NEVER, column.astype(np.int64)
    return np.where(known, -numbers if query.descends else numbers, LAST)


def _matches(people: Population, sought: TraitSought, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    texts = people.trait_columns.texts(people.traits, sought.trait, rows)
    if sought.is_prefix:
        return trait_texts.matching(texts, trait_texts.beginning_with(sought.value), is_prefix=True)
    passes = np.zeros(len(rows), np.bool_)
    for text in trait_texts.equal_to(sought.value):
        passes |= trait_texts.matching(texts, text, is_prefix=False)
    return passes


def _shown(tenant: Tenant, query: UserQuery, row: int, number: int, key: UserKey) -> ListedUser:
    people, table = tenant.people, tenant.people.table
    record = table.records[row]
    held = traits.Values(people.traits[row])
    shown = held.all() if query.traits is None else {name: held[name] for name in query.traits if name in held}
    score, engagement = (float(table[NUMBERS[name]][row]) for name in ("score", "engagement"))
    return ListedUser(
        key=key,
        number=number,
        first_seen=_time(record["first_seen"]),
        last_seen=_time(record["last_seen"]),
        events=int(record["n_events"]),
        score=None if np.isnan(score) else score,
        engagement=None if np.isnan(engagement) else engagement,
        time_zone=people.zones.texts[int(record["zone"])] or None,
        locale=people.locales.texts[int(record["locale"])] or None,
        segments=tenant.segments.of(people, row) if query.shows_segments else [],
        traits=shown,
    )


def _time(ms: Any) -> int | None:
    return None if ms == NEVER else int(ms)


def warm() -> None:
    """Call every kernel once, compiled or loaded from disk, before anybody waits for it."""
    people = Population()
    rows = people.add([UserKey("u:a"), UserKey("u:b")], np.zeros(2, np.uint16))
    first = First(1, (0, UserKey("u:a")), ids_descend=False)
    first.offer(people.keys, rows, np.zeros(2, np.int64))
    beginning(people.keys, rows, UserKey("u:"))
    trait_texts.matching(trait_texts.read(people.traits, [0, 1], "a"), b'"a', is_prefix=True)

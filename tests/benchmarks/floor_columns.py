"""The shard's half of the floor, compiled: dedup, users, columns, history, timeline, three segments.

Imports nothing of the product. Straight lines: one tenant, no merges, no erasure, no late or moved users, tables as large
as they will ever be. The features are the default ones: first and last seen, counts ever and by day for 90 days, counts
by name ever and by day, revenue, time zone, locale, plan; the segments are those of `bench_ingest.SEGMENTS`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import uint64

from tests.benchmarks.floor_hash import compiled, hashed, inlined
from tests.benchmarks.floor_kernels import (
    DAY_MS,
    ID_HIGH,
    ID_LOW,
    KEY,
    KEY_END,
    KEY_HASH,
    KIND,
    LOCALE,
    LOCALE_END,
    NAME,
    NAME_END,
    PARTITION,
    REVENUE,
    TIME,
    WINDOW,
    ZONE,
    ZONE_END,
)

FIRST, LAST, EVENTS, MONEY, ZONE_AT, LOCALE_AT, CHECK, ARENA, ARENA_END, HEAD = range(10)
N_LONG = 10
"""Columns of 64 bits a user; HEAD is the newest entry of the user's timeline."""
U_PARTITION, U_ZONE, U_LOCALE, U_NEWEST, U_SEGMENTS, U_PLAN = range(6)
N_SHORT = 6
"""Columns of 32 bits a user."""
T_TIME, T_SEQUENCE, T_REFERENCE, T_KIND, T_NEXT = range(5)
N_TIMELINE = 5
BUSY, PRO, AWAY = 1, 2, 4
BUSY_COUNT, BUSY_DAYS, PRO_EVENTS = 3, 7, 5
AWAY_MS = 14 * DAY_MS
ENTERED, EXITED = 32, 33
N_USERS, N_TEXT, N_LOG, N_EFFECTS, N_REPEATS = range(5)


class State:
    """Tables for so many users and events in all."""

    def __init__(self, n_users: int, n_events: int) -> None:
        self.ids = np.zeros((_power_of_two(2 * n_events), 2), np.uint64)
        self.users = np.zeros(_power_of_two(2 * n_users), np.int32)
        self.hashes = np.zeros(n_users, np.uint64)
        self.arena = np.zeros(32 * n_users, np.uint8)
        self.long = np.full((n_users, N_LONG), -1, np.int64)
        self.short = np.zeros((n_users, N_SHORT), np.int32)
        self.daily = np.zeros((n_users, WINDOW), np.uint16)
        self.history = np.zeros((_power_of_two(3 * n_events), 2), np.uint64)
        self.timeline = np.zeros((2 * n_events + 64, N_TIMELINE), np.int64)
        self.codes = np.zeros((4096, 2), np.uint64)
        self.sequence = np.zeros(64, np.int64)
        self.counts = np.zeros(5, np.int64)
        self.rows = np.zeros(2_500, np.int64)

    def arrays(self) -> tuple[Any, ...]:
        return (
            self.ids, self.users, self.hashes, self.arena, self.long, self.short, self.daily, self.history,
            self.timeline, self.codes, self.sequence, self.counts, self.rows,
        )  # fmt: skip


def _power_of_two(n: int) -> int:
    return 1 << max(6, (n - 1).bit_length())


@inlined
def _mixed(x: Any) -> Any:
    y = x * uint64(0x9E3779B97F4A7C15)
    return y ^ (y >> uint64(32))


@compiled
def _is_new(ids: Any, low: Any, high: Any) -> bool:
    mask = len(ids) - 1
    at = np.int64(low & uint64(mask))
    while ids[at, 0] != 0 or ids[at, 1] != 0:
        if ids[at, 0] == low and ids[at, 1] == high:
            return False
        at = (at + 1) & mask
    ids[at, 0], ids[at, 1] = low, high
    return True


@compiled
def _user(b: Any, row: Any, users: Any, hashes: Any, arena: Any, long: Any, short: Any, counts: Any) -> int:
    """The user's number, a new one where the key is new; equal hashes are compared by bytes."""
    mask = len(users) - 1
    key_hash = uint64(row[KEY_HASH])
    at = np.int64(key_hash & uint64(mask))
    length = row[KEY_END] - row[KEY]
    while users[at]:
        user = users[at] - 1
        if hashes[user] == key_hash and long[user, ARENA_END] - long[user, ARENA] == length:
            same = True
            first = long[user, ARENA]
            for k in range(length):
                if arena[first + k] != b[row[KEY] + k]:
                    same = False
                    break
            if same:
                return user
        at = (at + 1) & mask
    user = counts[N_USERS]
    counts[N_USERS] += 1
    users[at] = user + 1
    hashes[user] = key_hash
    first = counts[N_TEXT]
    for k in range(length):
        arena[first + k] = b[row[KEY] + k]
    counts[N_TEXT] += length
    long[user, ARENA], long[user, ARENA_END] = first, first + length
    long[user, EVENTS] = long[user, MONEY] = 0
    short[user, U_PARTITION] = row[PARTITION]
    return user


@inlined
def _packed(user: int, name: int, day: int) -> Any:
    return (uint64(user) << uint64(40)) | (uint64(name) << uint64(24)) | uint64(day + 1)


@compiled
def _count(history: Any, key: Any) -> None:
    mask = len(history) - 1
    at = np.int64(_mixed(key) & uint64(mask))
    while history[at, 0] != 0 and history[at, 0] != key:
        at = (at + 1) & mask
    history[at, 0] = key
    history[at, 1] += uint64(1)


@compiled
def _counted(history: Any, key: Any) -> int:
    mask = len(history) - 1
    at = np.int64(_mixed(key) & uint64(mask))
    while history[at, 0] != 0:
        if history[at, 0] == key:
            return np.int64(history[at, 1])
        at = (at + 1) & mask
    return 0


@compiled
def _code(codes: Any, text: Any) -> int:
    """Number of a text by its hash: its place in the table, so no two share one."""
    mask = len(codes) - 1
    at = np.int64(text & uint64(mask))
    while codes[at, 0] != 0 and codes[at, 0] != text:
        at = (at + 1) & mask
    codes[at, 0] = text
    return at


@compiled
def _note(timeline: Any, long: Any, user: int, at: int, sequence: int, reference: int, kind: int, counts: Any) -> None:
    entry = counts[N_LOG]
    counts[N_LOG] += 1
    timeline[entry, T_TIME], timeline[entry, T_SEQUENCE], timeline[entry, T_REFERENCE] = at, sequence, reference
    timeline[entry, T_KIND], timeline[entry, T_NEXT] = kind, long[user, HEAD]
    long[user, HEAD] = entry


@compiled
def apply(
    b: Any, events: Any, n: int, now: int, position: int, busy: Any,
    ids: Any, users: Any, hashes: Any, arena: Any, long: Any, short: Any, daily: Any, history: Any,
    timeline: Any, codes: Any, sequence: Any, counts: Any, rows: Any,
) -> None:  # fmt: skip
    """Bring n scanned events to their users; ``rows`` gets each event's user, -1 for a repeat."""
    busy_code = _code(codes, busy)
    for e in range(n):
        row = events[e]
        partition = row[PARTITION]
        sequence[partition] += 1
        number = sequence[partition]
        rows[e] = -1
        if not _is_new(ids, uint64(row[ID_LOW]), uint64(row[ID_HIGH])):
            counts[N_REPEATS] += 1
            continue
        user = _user(b, row, users, hashes, arena, long, short, counts)
        rows[e] = user
        at = row[TIME] if 0 <= row[TIME] < now else now
        day = at // DAY_MS
        name = _code(codes, hashed(b, row[NAME], row[NAME_END], 3)) if row[NAME_END] else row[KIND]
        if long[user, FIRST] < 0 or at < long[user, FIRST]:
            long[user, FIRST] = at
        long[user, LAST] = max(long[user, LAST], at)
        long[user, EVENTS] += 1
        long[user, MONEY] += row[REVENUE]
        if row[ZONE_END] and at >= long[user, ZONE_AT]:
            short[user, U_ZONE] = _code(codes, hashed(b, row[ZONE], row[ZONE_END], 3))
            long[user, ZONE_AT] = at
        if row[LOCALE_END] and at >= long[user, LOCALE_AT]:
            short[user, U_LOCALE] = _code(codes, hashed(b, row[LOCALE], row[LOCALE_END], 3))
            long[user, LOCALE_AT] = at
        newest = short[user, U_NEWEST]
        if day > newest:
            for cell in range(max(newest + 1, day - WINDOW + 1), day + 1):
                daily[user, cell % WINDOW] = 0
            short[user, U_NEWEST] = newest = day
        if day > newest - WINDOW:
            daily[user, day % WINDOW] += 1
        _count(history, _packed(user, name, -1))
        _count(history, _packed(user, name, day))
        _note(timeline, long, user, at, number, position + e, row[KIND], counts)
        # Segments as of now, and when time alone would change them.
        today = now // DAY_MS
        held = short[user, U_SEGMENTS]
        found = held & ~AWAY
        if name == busy_code:
            n_busy = 0
            for d in range(today - BUSY_DAYS + 1, today + 1):
                n_busy += _counted(history, _packed(user, name, d))
            found = (found | BUSY) if n_busy >= BUSY_COUNT else (found & ~BUSY)
        if short[user, U_PLAN]:
            month = 0
            for d in range(max(today - 29, newest - WINDOW + 1), newest + 1):
                month += daily[user, d % WINDOW]
            found = (found | PRO) if month >= PRO_EVENTS else (found & ~PRO)
        if long[user, LAST] + AWAY_MS <= now:
            found |= AWAY
        long[user, CHECK] = min(long[user, LAST] + AWAY_MS, (today + 1) * DAY_MS)
        if found != held:
            short[user, U_SEGMENTS] = found
            for bit in (BUSY, PRO, AWAY):
                if (found ^ held) & bit:
                    counts[N_EFFECTS] += 1
                    _note(timeline, long, user, now, number, -1, ENTERED if found & bit else EXITED, counts)

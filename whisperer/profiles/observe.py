"""Apply events to the columns of their users, in one pass over a batch.

Each event is one step: seen times, counts, revenue, daily ring, history, place, timeline. Results do not depend on how
events are grouped into batches.
"""

from __future__ import annotations

from typing import Any

from whisperer.events.block import EVENT
from whisperer.events.kernels.intrinsics import kernel
from whisperer.events.types import Flag
from whisperer.profiles import history, timeline
from whisperer.profiles.daily import count_day
from whisperer.profiles.history import EVER, MAX_DAY
from whisperer.profiles.record import NEVER, WINDOW_DAYS
from whisperer.profiles.slabs import int64
from whisperer.vocabulary.units import DAY_MS

SEEN = EVENT[["timestamp", "revenue", "name", "zone", "locale", "kind", "flags"]]
"""The fields of an event that are read, at their offsets in EVENT, whose padding the compiler does not accept."""

_INACTIVE = int(Flag.INACTIVE)
_count_day, _fits, _bump = count_day, history.fits, history.bump
_has_place, _write, _what_of = timeline.has_place, timeline.write, timeline.what_of

MOST, LEAST = 2**63 - 1, -(2**63)
"""Sums of money stop here instead of wrapping into the other sign."""

DONE, HISTORY_FULL, LINE_FULL, TOO_NARROW = range(4)
"""Why the pass ended: all done, or the next event needs something to grow first."""


@kernel
def _day(timestamp: int) -> Any:
    return min(max(timestamp // DAY_MS, 1), MAX_DAY)


@kernel
def passes(held: Any, amount: Any) -> Any:
    """Check if a sum of two int64 exceeds int64."""
    return (amount > 0 and held > MOST - amount) or (amount < 0 and held < LEAST - amount)


@kernel
def _touch(records: Any, daily: Any, past: Any, lines: Any, events: Any, at: Any, rows: Any, done: int) -> Any:
    """Request the memory of all rows, level by level, before waiting for any of it."""
    unused = 0
    for i in range(done, len(rows)):
        unused += records[rows[i]].n_events + int64(records[rows[i]]._line_head)
        unused += int64(daily[rows[i], _day(events[at[i]].timestamp) % WINDOW_DAYS])
    for i in range(done, len(rows)):
        record = records[rows[i]]
        n = int64(record._line_n)
        unused += past[int64(record._history_at) + (int64(record._history_n) >> 1), 0]
        unused += lines[int64(record._line_at) + (n - 1 if n else 0), 0]
    return unused


@kernel
def observe(
    records: Any,
    daily: Any,
    limit: int,
    past: Any,
    lines: Any,
    events: Any,
    at: Any,
    rows: Any,
    names: Any,
    zones: Any,
    locales: Any,
    sequence: Any,
    origin: int,
    reference: Any,
    most: int,
    ties: Any,
    wraps: bool,
    state: Any,
) -> Any:
    """Apply ``events[at[i]]`` to ``rows[i]``, starting at i = ``state[0]``; return why it ended.

    ``state[0]`` becomes where it ended; ``state[2]`` counts amounts of money that did not fit. ``most`` is how many
    history entries a user may have. ``wraps``: sums wrap into the other sign, as they did in earlier releases.

    ``ties`` marks events whose time zone or locale differs from the one held and has the same time: their texts, which
    are not available here, decide.
    """
    state[1] = _touch(records, daily, past[0], lines[0], events, at, rows, state[0])
    for i in range(state[0], len(rows)):
        event, row = events[at[i]], rows[i]
        record = records[row]
        state[0] = i
        if not _fits(past, record):
            return HISTORY_FULL
        if not _has_place(lines, record):
            return LINE_FULL
        timestamp = event.timestamp
        day = _day(timestamp)
        if not _count_day(records, daily, limit, row, day, 1):
            return TOO_NARROW
        if record.first_seen == NEVER or timestamp < record.first_seen:
            record.first_seen = timestamp
        if timestamp > record.last_seen and not event.flags & _INACTIVE:
            record.last_seen = timestamp
        record.n_events += 1
        if not wraps and passes(record.revenue, event.revenue):
            record.revenue = MOST if event.revenue > 0 else LEAST
            state[2] += 1
        else:
            record.revenue += event.revenue
        name = names[event.name]
        _bump(past, record, name, EVER, 1, most)
        _bump(past, record, name, day, 1, most)
        zone, locale = zones[event.zone], locales[event.locale]
        if zone:
            if timestamp > record.zone_at:
                record.zone, record.zone_at = zone, timestamp
            elif timestamp == record.zone_at and zone != record.zone:
                ties[i] = True
        if locale:
            if timestamp > record.locale_at:
                record.locale, record.locale_at = locale, timestamp
            elif timestamp == record.locale_at and locale != record.locale:
                ties[i] = True
        what = _what_of(origin, name, int64(event.kind))
        _write(lines, record, timestamp, sequence[at[i]], reference[at[i]], what)
    state[0] = len(rows)
    return DONE

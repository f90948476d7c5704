"""Announce segment changes: on the users' timelines, to listeners, and to campaigns triggered by an entry."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from whisperer.profiles import timeline
from whisperer.shard.decision import triggers
from whisperer.shard.effects import Effect, SegmentChanged
from whisperer.shard.state.membership import Changes
from whisperer.shard.state.tenant import Tenant


def announce(
    tenant: Tenant,
    changes: list[Changes],
    now: int,
    sequence_of: Callable[[NDArray[np.int64]], NDArray[np.int64]] | None = None,
    *,
    backfilled: bool = False,
) -> Iterator[tuple[int, Effect]]:
    """Yield (row, effect) for every change, segment by segment; an entry may make the user a candidate.

    ``sequence_of`` maps rows to the sequence of the event that caused each change; without it, the partition's newest
    sequence is used. An entry found by a backfill (``backfilled``) triggers no campaign.
    """
    people = tenant.people
    for found in changes:
        rows, entered = found.rows, found.entered
        tenant.touch(rows)
        caused = sequence_of(rows) if sequence_of else tenant.sequence[people.table["partition"][rows]]
        kinds = np.where(entered, timeline.SEGMENT_ENTERED, timeline.SEGMENT_EXITED)
        people.timeline.append(rows, np.full(len(rows), now), caused, kinds, people.names.code(found.segment))
        waits = bool(tenant.loop.campaigns.on_segment.get(found.segment)) and not backfilled
        users = people.keys.texts(rows)
        for row, user, has_entered, at in zip(rows.tolist(), users, entered.tolist(), caused.tolist(), strict=True):
            yield row, SegmentChanged(tenant.id, user, found.segment, found.version, has_entered, now)
            if waits and has_entered:
                for effect in triggers.entry(tenant, found.segment, found.version, row, at, now):
                    yield row, effect


def reevaluate(tenant: Tenant, rows: NDArray[np.int64], now: int) -> Iterator[Effect]:
    """Update the memberships of these live rows and announce what changed."""
    for _, effect in announce(tenant, tenant.segments.evaluate(tenant.people, rows, now), now):
        yield effect

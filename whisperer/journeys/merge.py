"""Merge the engagements of two users who turn out to be one.

``merge`` is commutative, and associative if each decision is on one side only. Standing, decisions, schedules and
inboxes are idempotent as well; ``goal_milli`` is **not**: each side counts the goals that its own events brought, and
the sum is right if no event was counted on both sides. So a merge must be applied once, as letters between partitions
are.

Leaves to the caller what becomes of two decisions that are open at once, and of entries beyond what an inbox holds.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from whisperer.eligibility.merge import merge as merge_standings
from whisperer.ids import DecisionId
from whisperer.journeys.engagement import (
    KEEP,
    KEEP_PAST,
    OPEN,
    PAST_BYTES,
    Decision,
    Engagement,
    Exposure,
    bounded,
    remember,
)
from whisperer.journeys.inbox import joined

_encode = msgspec.msgpack.Encoder().encode


def merge(a: Engagement, b: Engagement) -> Engagement:
    """Return a new engagement that shares the decisions of both sides, so change neither side afterwards."""
    by_id = {decision.id: decision for decision in a.decisions}
    for decision in b.decisions:
        held = by_id.get(decision.id)
        by_id[decision.id] = decision if held is None else max(held, decision, key=_progress)
    fired = dict(a.fired)
    for campaign, instant in b.fired.items():
        fired[campaign] = max(instant, fired.get(campaign, instant))
    decisions = kept(sorted(by_id.values(), key=lambda decision: (decision.at, decision.id)))
    return Engagement(
        standing=merge_standings(a.standing, b.standing),
        decisions=decisions,
        exposures=_exposures(a.exposures, b.exposures),
        fired=dict(sorted(fired.items())),
        past=_past(a.past, b.past, by_id.keys() - {decision.id for decision in decisions}),
        inbox=joined(a.inbox, b.inbox) if a.inbox or b.inbox else [],
    )


def kept(decisions: Iterable[Decision]) -> list[Decision]:
    """Return decisions that are open or immature and the newest KEEP of the rest, in the order given (oldest first)."""
    ordered = list(decisions)
    excess = sum(is_settled(decision) for decision in ordered) - KEEP
    left = []
    for decision in ordered:
        if excess > 0 and is_settled(decision):
            excess -= 1
        else:
            left.append(decision)
    return left


def is_settled(decision: Decision) -> bool:
    """Return whether a decision is closed and its reward is final, or there was no choice to reward."""
    return decision.status not in OPEN and (decision.matured or decision.chosen_at < 0)


def _past(a: bytes, b: bytes, dropped: Iterable[DecisionId]) -> bytes:
    """Join remembered ids, sorted: which came first is no longer known, and both sides must get the same result."""
    both = remember(b"", dropped) + a + b
    entries = {both[at : at + PAST_BYTES] for at in range(0, len(both), PAST_BYTES)}
    return b"".join(sorted(entries))[-KEEP_PAST * PAST_BYTES :]


def _exposures(a: dict[str, Exposure], b: dict[str, Exposure]) -> dict[str, Exposure]:
    joined = {}
    for campaign in sorted({*a, *b}):
        sides = [side[campaign] for side in (a, b) if campaign in side]
        joined[campaign] = Exposure(min(e.since for e in sides), bounded(sum(e.goal_milli for e in sides)))
    return joined


def _progress(decision: Decision) -> tuple[bool, int, bool, int, bytes]:
    """Rank copies of one decision: the further advanced is kept, and the bytes break ties alike from either side."""
    closed = decision.status not in OPEN
    return decision.matured, decision.revision, closed, len(decision.outcomes), _encode(decision)

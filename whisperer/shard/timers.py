"""Which decisions have something due, and when: a queue that Ticks empty.

A decision's moments follow from its state (:func:`next_due`); the queue only remembers which to look at. Entries that
are out of date are passed over, so nothing is ever taken out; the queue is made anew from the decisions at recovery. So
what it gives must follow from the decisions alone: an entry counts only while its moment is still its decision's.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from whisperer.journeys.engagement import DECIDING, SENDING, Decision

DECISION_DEADLINE_MS = 60_000
NEVER = -1


def next_due(decision: Decision) -> int:
    """The next moment (ms UTC) at which time alone changes a decision, or NEVER."""
    moments = []
    if decision.status == DECIDING:
        moments.append(decision.at + DECISION_DEADLINE_MS)
    elif decision.status == SENDING:
        if decision.send is not None and decision.send.next_at >= 0:
            moments.append(decision.send.next_at)
    elif decision.mature_at >= 0 and not decision.matured:
        moments.append(decision.mature_at)
        if decision.early_at >= 0:
            moments.append(decision.early_at)
    return min(moments, default=NEVER)


class Timers:
    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def watch(self, decision: Decision) -> None:
        """Look at a decision again when its next moment comes; call it whenever that may have changed."""
        due = next_due(decision)
        if due != NEVER:
            heapq.heappush(self._heap, (due, decision.id))

    def is_due(self, now: int) -> bool:
        return bool(self._heap) and self._heap[0][0] <= now

    def take(self, now: int) -> Iterator[tuple[int, str]]:
        """(moment, id) of what has come, in order; what was thought to come, and what is told twice, among it."""
        while self._heap and self._heap[0][0] <= now:
            yield heapq.heappop(self._heap)

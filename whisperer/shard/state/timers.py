"""Track which decisions have something due, and when: a queue that Ticks empty.

A decision's moments follow from its state (:func:`next_due`); the queue only remembers which decisions to look at.
Entries are never removed early: outdated ones are skipped when they come up. As recovery rebuilds the queue from the
decisions, results must depend on the decisions alone: an entry counts only if its moment is still its decision's next.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from whisperer.ids import DecisionId
from whisperer.journeys.engagement import Decision, DecisionStatus

DECISION_DEADLINE_MS = 60_000
NEVER = -1


def next_due(decision: Decision) -> int:
    """Return the next moment (ms UTC) at which time alone changes a decision, or NEVER."""
    moments = []
    if decision.status == DecisionStatus.DECIDING:
        moments.append(decision.at + DECISION_DEADLINE_MS)
    elif decision.status == DecisionStatus.SENDING:
        if decision.send is not None and decision.send.next_at >= 0:
            moments.append(decision.send.next_at)
    elif decision.mature_at >= 0 and not decision.matured:
        moments.append(decision.mature_at)
        if decision.early_at >= 0:
            moments.append(decision.early_at)
    return min(moments, default=NEVER)


class Timers:
    """Hold (moment, decision id) entries by time."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, DecisionId]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def watch(self, decision: Decision) -> None:
        """Queue a decision for its next moment; call this whenever that moment may have changed."""
        due = next_due(decision)
        if due != NEVER:
            heapq.heappush(self._heap, (due, decision.id))

    def is_due(self, now: int) -> bool:
        """Return whether any entry's moment has come."""
        return bool(self._heap) and self._heap[0][0] <= now

    def take(self, now: int) -> Iterator[tuple[int, DecisionId]]:
        """Remove and yield, in order, entries (moment, id) whose moment has come, outdated and duplicate ones too."""
        while self._heap and self._heap[0][0] <= now:
            yield heapq.heappop(self._heap)

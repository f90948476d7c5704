"""Counts what this replica refused and noticed since it started, with a bounded sample for debugging."""

from __future__ import annotations

from collections import Counter, defaultdict, deque

import msgspec

from serve_apps.gateway.metrics.documents import EventView
from whisperer.events.block import EventBlock, key_of
from whisperer.events.outcome import Admission
from whisperer.events.refusals import Refusal
from whisperer.events.types import EventType
from whisperer.ids import TenantId

NOBODY = ""
"""Stands for the tenant when no good key was presented."""

LATEST_KEPT = 30
LATEST_PER_BLOCK = 5


class RefusedSample(msgspec.Struct, frozen=True):
    """One refusal; ``message_id`` is "" if a whole request was refused."""

    at: int
    code: str
    message: str
    message_id: str = ""


class ReplicaCounts:
    """The counts of one replica. ``sample``: refusals kept per tenant."""

    def __init__(self, sample: int) -> None:
        self.rejected: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.notices: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.samples: defaultdict[str, deque[RefusedSample]] = defaultdict(lambda: deque(maxlen=sample))
        self.latest: deque[EventView] = deque(maxlen=LATEST_KEPT)

    def refuse(self, tenant: str, refusal: Refusal, now: int, n_events: int = 1) -> None:
        """Count a whole request that was turned away; a batch counts its events."""
        self.rejected[tenant][refusal.code.value] += n_events
        self.samples[tenant].append(RefusedSample(now, refusal.code.value, refusal.message))

    def outcome(self, tenant: TenantId, outcome: Admission, now: int) -> None:
        """Count what admission rejected and noticed in a request."""
        for one in outcome.rejected:
            self.rejected[tenant][one.code.value] += 1
            self.samples[tenant].append(RefusedSample(now, one.code.value, one.message, one.message_id or ""))
        for notice, count in outcome.notices.items():
            self.notices[tenant][notice.value] += count

    def saw(self, block: EventBlock) -> None:
        """Keep a block's last few events for the home page; ``tenant`` is the id."""
        n = len(block)
        rows = block.events()
        for i in range(max(0, n - LATEST_PER_BLOCK), n):
            self.latest.appendleft(
                EventView(
                    block.tenant,
                    EventType(int(rows["kind"][i])).wire,
                    block.names[rows["name"][i]],
                    key_of(block, i),
                    int(rows["timestamp"][i]),
                    int(rows["received"][i]),
                )
            )

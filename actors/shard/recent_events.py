"""Find a user's latest events in memory, for messages whose template shows them.

Events that another shard wrote, or that memory let go of (:mod:`.payloads`), are left out: reading a journal would hold
up the messages of everybody else.
"""

from __future__ import annotations

from actors.shard.payloads import Payloads
from whisperer.content.recent import RecentEvent, bounded
from whisperer.events.types import EventType
from whisperer.ids import TenantId
from whisperer.shard.machine import Shard


class RecentEvents:
    """Looks in one shard's memory. Use from its event loop."""

    def __init__(self, shard_id: int, shard: Shard, payloads: Payloads) -> None:
        self._id = shard_id
        self._shard = shard
        self._payloads = payloads

    def of(self, tenant: TenantId, row: int) -> list[RecentEvent]:
        """Return the tracked events of a user, given by row, newest first."""
        people = self._shard.tenant(tenant).people
        entries = [
            entry
            for entry in people.timeline.of(row, people.names.texts)
            if entry.kind == EventType.TRACK and entry.origin == self._id and entry.reference >= 0
        ]
        found = self._payloads.recent(tenant, [entry.reference for entry in entries])
        return bounded(
            (entry.name, entry.timestamp, event.payload)
            for entry, event in zip(entries, found, strict=True)
            if event is not None
        )

"""Brings what readers did with a message to their user's home shard."""

from __future__ import annotations

import time

from actors.calls.shards import ShardCalls
from whisperer.feedback.links import Link
from whisperer.feedback.outcome import OutcomeKind
from whisperer.ids import partition_of, tenant_seed
from whisperer.shard.records import Outcome


class Outcomes:
    def __init__(self, shards: ShardCalls) -> None:
        self._shards = shards

    async def record(self, link: Link, kind: OutcomeKind) -> None:
        """Journal an outcome; returns when it is on disk. Raises UnavailableError when the shard stays away."""
        now = time.time_ns() // 1_000_000
        outcome = Outcome(link.user_key, link.decision_id, kind, now, link.url, link.channel, link.purpose)
        partition = partition_of(link.user_key, tenant_seed(link.tenant))
        await self._shards.on_partition(link.tenant, partition, "outcomes", link.tenant, [outcome])

"""Statuses of shards, as they give them."""

from __future__ import annotations

from typing import Any

import msgspec

from actors.calls.shard_status import (
    CallsState,
    CommitHistograms,
    CommitState,
    CompactionState,
    LetterboxState,
    MovesState,
    RecoveryState,
    RetentionState,
    ScoringState,
    ShardStatus,
    SnapshotState,
)
from actors.shard.commit import CommitCounts


def serving(name: str = "shard-0", **more: Any) -> ShardStatus:
    """A shard that serves and has done nothing yet."""
    counts = CommitCounts()
    histograms = CommitHistograms(
        counts.sync.state(), counts.wait.state(), counts.group_records.state(), counts.group_bytes.state()
    )
    found = ShardStatus(
        name=name,
        pid=1,
        epoch=1,
        state="serving",
        journal_trouble=None,
        rss_bytes=0,
        journal_bytes=0,
        journal_end=0,
        exported=0,
        warehouse_rows=0,
        snapshot_position=-1,
        snapshot=SnapshotState(taken=0, at=None),
        moves=MovesState(0, 0),
        recovery=RecoveryState(0, 0.0),
        waiting_bytes=0,
        letters=LetterboxState(0, 0, {"gap": 0, "elsewhere": 0}),
        compaction=CompactionState(),
        erasures_waiting=0,
        retention=RetentionState(30.0, None, None, None),
        candidates_waiting=0,
        messages_to_send=0,
        messages_under_way=0,
        commit=CommitState(0, 0, 0, 0.0, 0.0, {}, 0, 0.0, histograms),
        calls=CallsState(0, []),
        scoring=ScoringState(),
        sequence=0,
        partitions=0,
        users=0,
        dedup_ids=0,
        dedup_bytes=0,
        dedup_evicted=0,
        tenants={},
    )
    return msgspec.structs.replace(found, **more)

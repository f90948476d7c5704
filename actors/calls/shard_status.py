"""Define a shard's status: what its process holds, does and has done, with the counts of its tenants.

It travels as a plain document (:mod:`actors.calls.plain`). Leaves to others: collecting it
(:mod:`actors.shard.status`), and adding several up (:mod:`whisperer.shard.views.counts`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from actors.calls.plain import read
from actors.telemetry.measures import HistogramState
from whisperer.ids import Partition, TenantId
from whisperer.shard.views.counts import TenantCounts

SERVING = "serving"


class SnapshotState(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Describe the newest snapshot; None where there is none yet.

    Attributes
    ----------
    taken : snapshots since the start
    at : Unix time
    pause_ms : how long it stopped the shard
    seconds, bytes, chunks, new_chunks : how long it took, what was written, of what it consists
    """

    taken: int
    at: float | None
    pause_ms: float | None = None
    seconds: float | None = None
    bytes: int | None = None
    chunks: int | None = None
    new_chunks: int | None = None


class MovesState(msgspec.Struct):
    """Count the partitions that moved since the start."""

    left: int
    joined: int


class RecoveryState(msgspec.Struct):
    """Describe the start of this incarnation: records replayed, and how long it took."""

    records: int
    seconds: float


class TookOver(msgspec.Struct):
    """Say how long a successor took to take over, with what :class:`RecoveryState` says of it."""

    took_over_s: float
    records: int
    seconds: float


class LetterboxState(msgspec.Struct):
    """Count letters to other partitions that wait, and others' since the start, by fate."""

    waiting: int
    taken: int
    refused: dict[str, int]
    """By reason."""


class CompactionState(msgspec.Struct):
    """Count the warehouse's files merged since the start, and the dates that wait for it; ``at``: Unix time."""

    files_merged: int = 0
    dates_waiting: int = 0
    at: int = 0


class RetentionState(msgspec.Struct):
    """Give the age in seconds of the oldest bytes that are kept; None for none, or where it is not known."""

    promised_days: float
    journal_age_s: float | None
    snapshots_age_s: float | None
    erasure_age_s: float | None


class CommitHistograms(msgspec.Struct):
    """Seconds of a sync and of a record's wait; records and bytes of a group."""

    sync: HistogramState
    wait: HistogramState
    group_records: HistogramState
    group_bytes: HistogramState


class CommitState(msgspec.Struct):
    """Count what was committed since the start, and what waits for it."""

    groups: int
    records: int
    bytes: int
    sync_s: float
    apply_s: float
    step_s: dict[str, float]
    waiting: int
    oldest_waiting_s: float
    histograms: CommitHistograms


class CallsState(msgspec.Struct):
    """Count the calls under way, and (method, reason, number) of those answered; "" if a call was done."""

    under_way: int
    answered: list[tuple[str, str, int]]


class ScoreModelState(msgspec.Struct):
    """Name the model that a tenant's last sweep used; ``fault`` says why it is not the one chosen."""

    model: str
    digest: str
    fault: str


class ScoringState(msgspec.Struct):
    """Count sweeps since the start, and describe the last one.

    Attributes
    ----------
    users, chunks : scored, and written because something changed
    fallbacks : sweeps of a tenant without the model chosen
    last_s, last_users : of the last sweep, over all tenants
    models : by tenant
    """

    sweeps: int = 0
    users: int = 0
    chunks: int = 0
    seconds: float = 0.0
    fallbacks: int = 0
    last_s: float = 0.0
    last_users: int = 0
    models: dict[str, ScoreModelState] = {}


class ListingState(msgspec.Struct, kw_only=True):
    """Count lists of users since the start.

    Attributes
    ----------
    lists, refused : answered, and turned away because too many waited or one took too long
    slices, seconds : of work, between which the shard does other things
    longest_slice_s, longest_slice_cpu_s : the longest hold of the shard, by the clock and of its own processor time
    column_bytes : memory of the traits that users were looked for by
    """

    lists: int = 0
    refused: int = 0
    slices: int = 0
    seconds: float = 0.0
    longest_slice_s: float = 0.0
    longest_slice_cpu_s: float = 0.0
    column_bytes: int = 0


class ShardStatus(msgspec.Struct, kw_only=True):
    """Describe a shard that answers.

    Attributes
    ----------
    journal_trouble : why the journal takes nothing now, or None
    journal_bytes, journal_end : kept, and ever written
    exported : position up to which the warehouse has everything
    snapshot_position : -1 before the first one
    messages_under_way : that a provider may have and has not answered for
    sequence : events counted
    partitions : that hold something
    dedup_ids, dedup_bytes, dedup_evicted : message ids remembered, their memory, and ids forgotten before their time
    """

    name: str
    pid: int
    epoch: int
    state: str
    journal_trouble: str | None
    rss_bytes: int
    journal_bytes: int
    journal_end: int
    exported: int
    warehouse_rows: int
    snapshot_position: int
    snapshot: SnapshotState
    moves: MovesState
    recovery: RecoveryState
    waiting_bytes: int
    letters: LetterboxState
    compaction: CompactionState
    erasures_waiting: int
    retention: RetentionState
    candidates_waiting: int
    messages_to_send: int
    messages_under_way: int
    commit: CommitState
    calls: CallsState
    scoring: ScoringState
    sequence: int
    partitions: int
    users: int
    dedup_ids: int
    dedup_bytes: int
    dedup_evicted: int
    tenants: dict[TenantId, TenantCounts]
    listing: ListingState = msgspec.field(default_factory=ListingState)


class ShardAway(msgspec.Struct):
    """Say of a shard that has no numbers to give only what it is doing and, if known, why."""

    name: str
    state: str
    reason: str | msgspec.UnsetType = msgspec.UNSET
    tenants: dict[TenantId, TenantCounts] = {}


class Holdings(msgspec.Struct):
    """List the partitions of one tenant that live on a shard, with their users and events ever, in parallel."""

    partition: list[Partition]
    users: list[int]
    events: list[int]


AnyStatus = ShardStatus | ShardAway


def read_status(document: Mapping[str, Any]) -> AnyStatus:
    """Return the status that a shard answered, also one of the release before."""
    return read(document, ShardStatus) if "pid" in document else read(document, ShardAway)

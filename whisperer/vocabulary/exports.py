"""Name what can be exported, in which formats, and where an export stands."""

from __future__ import annotations

from whisperer.vocabulary.named import Named


class ExportKind(Named):
    """Name what is exported: users as they are, rows of the warehouse, the audit log."""

    USERS = "users"
    EVENTS = "events"
    DECISIONS = "decisions"
    DELIVERIES = "deliveries"
    OUTCOMES = "outcomes"
    REWARDS = "rewards"
    AUDIT = "audit"


class ExportFormat(Named):
    """Name the format of an export's file, which is also the end of the file's name."""

    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"


class ExportState(Named):
    """Name where an export stands. The first two are open; `expired` was `done` until its file was deleted."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


OPEN = (ExportState.QUEUED, ExportState.RUNNING)

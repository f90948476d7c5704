"""What actors read of an installation's record: places and sizes, nothing of the launcher's."""

from __future__ import annotations

from pathlib import Path

import msgspec


class ClusterSection(msgspec.Struct, frozen=True):
    shards: int
    cpu_shard: float
    cpu_directory: float
    cpu_learner: float


class JournalSection(msgspec.Struct, frozen=True):
    url: str
    segment_bytes: int


class SnapshotSection(msgspec.Struct, frozen=True):
    interval_s: float
    uri: str
    keep: int


class WarehouseSection(msgspec.Struct, frozen=True):
    uri: str
    flush_interval_s: float


class DedupSection(msgspec.Struct, frozen=True):
    max_ids: int
    window_h: float


class Settings(msgspec.Struct, frozen=True):
    cluster: ClusterSection
    journal: JournalSection
    snapshots: SnapshotSection
    warehouse: WarehouseSection
    dedup: DedupSection


class Installation(msgspec.Struct, frozen=True):
    """The part of `installation.json` that actors need; the launcher fills every URL."""

    data_dir: str
    ray_address: str
    settings: Settings
    link_secret: str = ""


def load(path: str | Path) -> Installation:
    return msgspec.json.decode(Path(path).read_bytes(), type=Installation)

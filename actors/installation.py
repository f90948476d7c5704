"""Read what actors need of an installation's record: places and sizes, nothing of the launcher's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from actors.telemetry import logs


class ClusterSection(msgspec.Struct, frozen=True):
    shards: int
    cpu_shard: float
    cpu_directory: float
    cpu_learner: float
    shards_on_workers: bool = False


class JournalSection(msgspec.Struct, frozen=True):
    url: str
    segment_bytes: int
    wait_replicas: int = 0
    wait_timeout_s: float = 1.0
    timeout_s: float = 5.0
    patience_s: float = 30.0
    require_fsync: bool = True


class SnapshotSection(msgspec.Struct, frozen=True):
    interval_s: float
    uri: str
    keep: int
    retention_days: float = 30.0


class WarehouseSection(msgspec.Struct, frozen=True):
    uri: str
    flush_interval_s: float
    compact_interval_s: float = 600.0
    compact_files: int = 8
    compact_below_bytes: int = 16 << 20


class ModelsSection(msgspec.Struct, frozen=True):
    uri: str = ""


class DedupSection(msgspec.Struct, frozen=True):
    max_ids: int
    window_h: float


class ScoringSection(msgspec.Struct, frozen=True):
    first_after_s: float = 60.0
    interval_s: float = 3_600.0


class ProgramsSection(msgspec.Struct, frozen=True):
    successor: str = "actors.shard.successor:ShardActor"


class DeliverySection(msgspec.Struct, frozen=True):
    stop_timeout_s: float = 60.0


class LogsSection(msgspec.Struct, frozen=True):
    json: bool = True
    debug: bool = False


class Settings(msgspec.Struct, frozen=True):
    cluster: ClusterSection
    journal: JournalSection
    snapshots: SnapshotSection
    warehouse: WarehouseSection
    dedup: DedupSection
    scoring: ScoringSection = ScoringSection()
    logs: LogsSection = LogsSection()
    programs: ProgramsSection = ProgramsSection()
    delivery: DeliverySection = DeliverySection()
    models: ModelsSection = ModelsSection()


class Installation(msgspec.Struct, frozen=True):
    """The part of `installation.json` that actors need; the launcher fills every URL."""

    data_dir: str
    ray_address: str
    settings: Settings
    link_secret: str = ""
    temp_dir: str = ""


def load(path: str | Path) -> Installation:
    """Read an installation's record."""
    return msgspec.json.decode(Path(path).read_bytes(), type=Installation)


def configure_logs(path: str | Path, process: str, **more: Any) -> None:
    """Send this process's log lines where the installation's settings say; ``more`` is added to each."""
    installation = load(path)
    chosen = installation.settings.logs
    logs.configure(
        process, folder=Path(installation.data_dir) / "logs", as_json=chosen.json, debug=chosen.debug, **more
    )

"""Define an installation's settings: their sections, types and defaults.

Decides nothing and reads nothing: :mod:`cluster.settings` reads files, the environment and the command line and refuses
what is impossible; the launcher records the result in ``installation.json``, from which every process reads these
structs again. A record of another release is read too: what it lacks has its default, what is unknown here is ignored.
``cluster/settings.toml`` says what each setting means; a test keeps its values and these defaults the same.
"""

from __future__ import annotations

import msgspec


class ServerSettings(msgspec.Struct, frozen=True):
    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str = ""
    trusted_proxies: str = ""
    proxy_protocol: bool = False
    tls_certificate: str = ""
    tls_key: str = ""
    cors_origins: str = ""


class ClusterSettings(msgspec.Struct, frozen=True):
    shards: int = 2
    num_cpus: int = 0
    cpu_gateway: float = 0.2
    cpu_shard: float = 0.2
    cpu_directory: float = 0.05
    cpu_learner: float = 0.05
    cpu_decisions: float = 0.1
    cpu_content: float = 0.1
    cpu_delivery: float = 0.1
    object_store_mib: int = 128
    start_timeout_s: float = 300.0
    drain_timeout_s: float = 30.0
    serve_control_interval_s: float = 0.5
    node_address: str = "127.0.0.1"
    gcs_redis: str = ""
    shards_on_workers: bool = False
    applications_on_head: bool = False
    tls_certificate: str = ""
    tls_key: str = ""
    tls_authority: str = ""


class JournalSettings(msgspec.Struct, frozen=True):
    url: str = ""
    segment_bytes: int = 128 << 20
    wait_replicas: int = 0
    wait_timeout_s: float = 1.0
    timeout_s: float = 5.0
    patience_s: float = 30.0
    require_fsync: bool = True


class SnapshotSettings(msgspec.Struct, frozen=True):
    interval_s: float = 300.0
    uri: str = ""
    keep: int = 2
    retention_days: float = 30.0


class WarehouseSettings(msgspec.Struct, frozen=True):
    uri: str = ""
    flush_interval_s: float = 60.0
    compact_interval_s: float = 600.0
    compact_files: int = 8
    compact_below_bytes: int = 16 << 20


class ModelSettings(msgspec.Struct, frozen=True):
    uri: str = ""


class ScoringSettings(msgspec.Struct, frozen=True):
    first_after_s: float = 60.0
    interval_s: float = 3_600.0


class ControlPlaneSettings(msgspec.Struct, frozen=True):
    url: str = ""
    key_file: str = ""
    poll_interval_ms: int = 500


class DedupSettings(msgspec.Struct, frozen=True):
    max_ids: int = 5_000_000
    window_h: int = 24


class IdentitySettings(msgspec.Struct, frozen=True):
    placeholder_ids: str = (
        "-1, [], [object Object], anon, anonymous, distinct_id, distinctId, email, false, guest, id, n/a, NaN, nil, "
        "None, not_authenticated, null, true, undefined, unknown, {}"
    )


class TierSettings(msgspec.Struct, frozen=True):
    """What a tenant, and each of its keys, may send and call; 0 means no limit."""

    tenant_events_per_s: int = 0
    tenant_requests_per_s: int = 0
    tenant_calls_per_s: int = 0
    key_events_per_s: int = 0
    key_requests_per_s: int = 0
    key_calls_per_s: int = 0


class LimitSettings(TierSettings, frozen=True):
    body_timeout_s: float = 30.0
    body_first_byte_s: float = 2.0
    body_bytes_per_s: int = 1024
    address_connections: int = 256


class GatewaySettings(msgspec.Struct, frozen=True):
    min_replicas: int = 1
    max_replicas: int = 1
    max_ongoing_requests: int = 1000
    target_ongoing_requests: int = 64
    max_queued_events: int = 200_000
    max_in_flight_bytes: int = 64 << 20
    coalesce_events: int = 20_000
    rejected_sample: int = 50


class ApplicationSettings(msgspec.Struct, frozen=True):
    """An application that shards call: decisions, content."""

    min_replicas: int = 1
    max_replicas: int = 1
    max_ongoing_requests: int = 64
    target_ongoing_requests: int = 4


class DeliverySettings(ApplicationSettings, frozen=True):
    max_ongoing_requests: int = 4096
    target_ongoing_requests: int = 16
    open_networks: str = ""
    stop_timeout_s: float = 60.0


class CallbackSettings(msgspec.Struct, frozen=True):
    calls_per_s: int = 100
    soft_bounces: int = 3
    soft_bounce_days: float = 7.0
    sns_url: str = ""


class JobSettings(msgspec.Struct, frozen=True):
    memory_mib: int = 768


class ExportSettings(msgspec.Struct, frozen=True):
    most_mib: int = 2048
    tenant_mib: int = 8192
    keep_days: float = 7.0


class LogSettings(msgspec.Struct, frozen=True):
    json: bool = True
    debug: bool = False


class DemoSettings(msgspec.Struct, frozen=True):
    tenant: str = "demo"
    users: int = 5000
    events_per_s: float = 40.0
    seed: int = 7


class ProgramSettings(msgspec.Struct, frozen=True):
    gateway: str = "serve_apps.gateway.app:build"
    decisions: str = "serve_apps.decisions.app:build"
    content: str = "serve_apps.content.app:build"
    delivery: str = "serve_apps.delivery.app:build"
    boot: str = "actors.boot"
    drain: str = "actors.drain"
    successor: str = "actors.shard.successor:ShardActor"
    simulator: str = "training.simulator"


class Settings(msgspec.Struct, frozen=True):
    """All settings, by section. Places that are "" are in the data folder; what the launcher records names them."""

    server: ServerSettings = ServerSettings()
    cluster: ClusterSettings = ClusterSettings()
    journal: JournalSettings = JournalSettings()
    snapshots: SnapshotSettings = SnapshotSettings()
    warehouse: WarehouseSettings = WarehouseSettings()
    models: ModelSettings = ModelSettings()
    scoring: ScoringSettings = ScoringSettings()
    control_plane: ControlPlaneSettings = ControlPlaneSettings()
    dedup: DedupSettings = DedupSettings()
    identity: IdentitySettings = IdentitySettings()
    jobs: JobSettings = JobSettings()
    exports: ExportSettings = ExportSettings()
    limits: LimitSettings = LimitSettings()
    tier_free: TierSettings = TierSettings(500, 100, 20, 500, 50, 10)
    tier_pro: TierSettings = TierSettings(10_000, 1_000, 200, 10_000, 500, 100)
    tier_enterprise: TierSettings = TierSettings(100_000, 10_000, 1_000, 100_000, 10_000, 500)
    gateway: GatewaySettings = GatewaySettings()
    decisions: ApplicationSettings = ApplicationSettings()
    content: ApplicationSettings = ApplicationSettings()
    delivery: DeliverySettings = DeliverySettings()
    callbacks: CallbackSettings = CallbackSettings()
    logs: LogSettings = LogSettings()
    demo: DemoSettings = DemoSettings()
    programs: ProgramSettings = ProgramSettings()

"""A running installation: its shards and tenants."""

from __future__ import annotations

import msgspec


class TenantStatus(msgspec.Struct):
    users: int | None = None
    events_accepted: int | None = None
    events_duplicate: int | None = None
    events_rejected: dict[str, int] = {}
    candidates: int = 0
    sent: int = 0
    unknown: int = 0
    no_send: int = 0
    refused: dict[str, int] = {}
    pending: int = 0
    conversions: int = 0


class TenantBytes(msgspec.Struct):
    bytes: dict[str, int] = {}


class Shard(msgspec.Struct):
    """A shard; one that is away has no more than its state."""

    state: str
    number: int = -1
    node: str | None = None
    pid: int | None = None
    epoch: int | None = None
    sequence: int | None = None
    users: int | None = None
    rss_bytes: int | None = None
    messages_under_way: int = 0
    tenants: dict[str, TenantBytes] = {}


class Status(msgspec.Struct):
    """The local part of `whisperer status`, and the server's if it is ready."""

    ready: bool
    reason: str
    url: str
    n_processes: int
    rss_bytes: int
    tenants: dict[str, TenantStatus]
    shards: list[Shard]


class Shards(msgspec.Struct):
    shards: list[Shard]
    map_version: int | None = None


class Holding(msgspec.Struct):
    shard: int
    tenant: str
    partition: list[int]
    users: list[int]
    events: list[int]


class Holdings(msgspec.Struct):
    shards: list[int]
    draining: list[int]
    holdings: list[Holding]


class AddedShard(msgspec.Struct):
    shard: int


class Moved(msgspec.Struct):
    users: int = 0
    pause_ms: float = 0.0


class Upgraded(msgspec.Struct):
    name: str
    prepared_s: float
    pause_s: float
    records: int

"""Last step: rows of addressed events become columns of the shards' builders.

Rows are gathered for the whole request first, so an event rejected, or a request that fails halfway, leaves no trace
in a builder.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Raw

from whisperer.events.block import BlockBuilder

Row = tuple[str, int, int, int, int, int, bytes, str, str, str, str, bytes | Raw]
"""key, partition, kind, flags, timestamp, revenue, message_hash, name, zone, locale, message_id, payload"""


class ShardRows:
    """What one request adds to one shard. ``links``: (index of row, linked user key)."""

    __slots__ = ("links", "rows")

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.links: list[tuple[int, str]] = []


def collect(
    shard_rows: Mapping[int, ShardRows],
    builders: Mapping[int, BlockBuilder],
    *,
    received_at: int,
    client_ip: str | None,
) -> None:
    """Append every row to its shard's builder. Raises KeyError, having changed nothing, if a builder is missing."""
    for builder, added in [(builders[shard], added) for shard, added in shard_rows.items()]:
        _append(builder, added, received_at, client_ip)


def _append(builder: BlockBuilder, added: ShardRows, received_at: int, client_ip: str | None) -> None:
    start = len(builder.keys)
    keys, partitions, kinds, flags, times, revenues, hashes, names, zones, locales, ids, payloads = zip(
        *added.rows, strict=True
    )
    builder.keys.extend(keys)
    builder.partition.extend(partitions)
    builder.kind.extend(kinds)
    builder.flags.extend(flags)
    builder.timestamp.extend(times)
    builder.received.extend([received_at] * len(keys))
    builder.revenue.extend(revenues)
    builder.message_hash.extend(hashes)
    builder.message_ids.extend(ids)
    builder.name.extend(map(builder.names.__getitem__, names))
    builder.zone.extend(map(builder.zones.__getitem__, zones))
    builder.locale.extend(map(builder.locales.__getitem__, locales))
    builder.payloads.extend(payloads)
    builder.links.extend([(start + index, key) for index, key in added.links])
    if client_ip:
        builder.connections.append((start, len(builder.keys), client_ip))

"""Last step: columns of accepted events are dealt out to the builders of their shards.

Nothing is appended before every column of the request is complete, so an event rejected, or a request that fails
halfway, leaves no trace in a builder.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec import Raw

from whisperer.events.block import BlockBuilder


class Accepted(NamedTuple):
    """Accepted events, column by column, all of one length; ``links`` has None where an event ties no second key."""

    keys: Sequence[str]
    partitions: Sequence[int]
    kinds: Sequence[int]
    flags: Sequence[int]
    times: Sequence[int]
    revenues: Sequence[int]
    message_hashes: Sequence[bytes]
    names: Sequence[str]
    zones: Sequence[str]
    locales: Sequence[str]
    links: Sequence[str | None]
    message_ids: Sequence[str]
    payloads: Sequence[bytes | Raw]


def collect(
    accepted: Accepted,
    shard_of: Sequence[int],
    builders: Mapping[int, BlockBuilder],
    *,
    received_at: int,
    client_ip: str | None,
) -> None:
    """Append every event to its shard's builder. Raises KeyError, having changed nothing, if a builder is missing."""
    dealt: defaultdict[int, list[tuple[object, ...]]] = defaultdict(list)
    for partition, row in zip(accepted.partitions, zip(*accepted, strict=True), strict=True):
        dealt[shard_of[partition]].append(row)
    for builder, rows in [(builders[shard], rows) for shard, rows in dealt.items()]:
        _append(builder, Accepted(*zip(*rows, strict=True)), received_at, client_ip)


def _append(builder: BlockBuilder, columns: Accepted, received_at: int, client_ip: str | None) -> None:
    start = len(builder.keys)
    builder.keys.extend(columns.keys)
    builder.partition.extend(columns.partitions)
    builder.kind.extend(columns.kinds)
    builder.flags.extend(columns.flags)
    builder.timestamp.extend(columns.times)
    builder.received.extend([received_at] * len(columns.keys))
    builder.revenue.extend(columns.revenues)
    builder.message_hash.extend(columns.message_hashes)
    builder.message_ids.extend(columns.message_ids)
    builder.name.extend(map(builder.names.__getitem__, columns.names))
    builder.zone.extend(map(builder.zones.__getitem__, columns.zones))
    builder.locale.extend(map(builder.locales.__getitem__, columns.locales))
    builder.payloads.extend(columns.payloads)
    builder.links.extend([(place, key) for place, key in enumerate(columns.links, start) if key is not None])
    if client_ip:
        builder.connections.append((start, len(builder.keys), client_ip))

"""A block: n events of one tenant for one shard, column by column.

The gateway builds it, the journal stores it as it is, the shard reads it with numpy. One encoding from socket to disk.
The payload is each event's JSON as the client sent it, so nothing a client wrote is ever re-formatted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

BLOCK_VERSION = 1
MAX_BLOCK_EVENTS = 65_535  # an event's place in its block is 16 bits of its timeline reference


class EventBlock(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Wire form. Arrays are little-endian bytes; lists have one entry an event unless said otherwise.

    Attributes
    ----------
    tenant : tenant id
    received_at : int, ms UTC, the gateway's clock when the newest of these events arrived
    partition : uint16[n]
    kind : uint8[n], :class:`~whisperer.events.types.EventType`
    flags : uint8[n], :class:`~whisperer.events.types.Flag`
    timestamp : int64[n], ms UTC, event time after skew correction
    received : int64[n], ms UTC, receipt of each event's own request
    revenue : int64[n], micro-units, 0 where none
    message_hash : 16 bytes an event, :func:`whisperer.ids.message_hash`
    name : uint16[n], index into ``names``
    names : distinct event names (reserved ``$identify`` ... for other calls)
    zone, locale : uint16[n], index into ``zones`` / ``locales``; entry 0 of those is "" and means "not given"
    keys : user keys (``u:...`` or ``a:...``)
    links : (index of event, linked user key): for a known user's event that also carries an anonymousId, ``a:...``;
        for alias, the previousId as ``u:...``
    message_ids : the clients' message ids
    lengths : uint32[n], bytes of each payload
    payload : the events' JSON, one after another
    connections : (start, stop, ip): events start..stop-1 came over a connection from this address, which is their
        ``context.ip`` where the payload gives none (:func:`connection_ip`)
    """

    version: int
    tenant: str
    received_at: int
    partition: bytes
    kind: bytes
    flags: bytes
    timestamp: bytes
    received: bytes
    revenue: bytes
    message_hash: bytes
    name: bytes
    names: list[str]
    zone: bytes
    zones: list[str]
    locale: bytes
    locales: list[str]
    keys: list[str]
    links: list[tuple[int, str]]
    message_ids: list[str]
    lengths: bytes
    payload: bytes
    connections: list[tuple[int, int, str]] = []

    def __len__(self) -> int:
        return len(self.keys)


encode_block = msgspec.msgpack.Encoder().encode
decode_block = msgspec.msgpack.Decoder(EventBlock).decode


@dataclass(slots=True)
class Columns:
    """The numpy view of a block; every array has shape (n_events,) but ``message_hash`` (n_events, 2) uint64."""

    partition: NDArray[np.uint16]
    kind: NDArray[np.uint8]
    flags: NDArray[np.uint8]
    timestamp: NDArray[np.int64]
    received: NDArray[np.int64]
    revenue: NDArray[np.int64]
    message_hash: NDArray[np.uint64]
    name: NDArray[np.uint16]
    zone: NDArray[np.uint16]
    locale: NDArray[np.uint16]


def columns_of(block: EventBlock) -> Columns:
    return Columns(
        partition=np.frombuffer(block.partition, np.uint16),
        kind=np.frombuffer(block.kind, np.uint8),
        flags=np.frombuffer(block.flags, np.uint8),
        timestamp=np.frombuffer(block.timestamp, np.int64),
        received=np.frombuffer(block.received, np.int64),
        revenue=np.frombuffer(block.revenue, np.int64),
        message_hash=np.frombuffer(block.message_hash, np.uint64).reshape(-1, 2),
        name=np.frombuffer(block.name, np.uint16),
        zone=np.frombuffer(block.zone, np.uint16),
        locale=np.frombuffer(block.locale, np.uint16),
    )


def payload_offsets(block: EventBlock) -> NDArray[np.int64]:
    """Start of each payload and the end of the last: int64[n + 1]."""
    ends = np.cumsum(np.frombuffer(block.lengths, np.uint32), dtype=np.int64)
    return np.concatenate((np.zeros(1, np.int64), ends))


def connection_ip(block: EventBlock, index: int) -> str | None:
    """Address of the connection that event came over; None if it was not known."""
    place = bisect_right(block.connections, index, key=lambda run: run[0]) - 1
    if place < 0 or index >= block.connections[place][1]:
        return None
    return block.connections[place][2]


class _Codes(dict[str, int]):
    """Distinct strings in order of first use; looking one up gives its code."""

    def __missing__(self, text: str) -> int:
        code = self[text] = len(self)
        return code


@dataclass(slots=True)
class BlockBuilder:
    """Collects addressed events and turns them into a block.

    Append to the lists directly in the hot loop, or use :meth:`add`. ``build`` may be called once.
    """

    tenant: str
    partition: list[int] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    timestamp: list[int] = field(default_factory=list)
    received: list[int] = field(default_factory=list)
    revenue: list[int] = field(default_factory=list)
    message_hash: list[bytes] = field(default_factory=list)
    name: list[int] = field(default_factory=list)
    names: _Codes = field(default_factory=_Codes)
    zone: list[int] = field(default_factory=list)
    zones: _Codes = field(default_factory=lambda: _Codes({"": 0}))
    locale: list[int] = field(default_factory=list)
    locales: _Codes = field(default_factory=lambda: _Codes({"": 0}))
    keys: list[str] = field(default_factory=list)
    links: list[tuple[int, str]] = field(default_factory=list)
    message_ids: list[str] = field(default_factory=list)
    payloads: list[bytes | memoryview | msgspec.Raw] = field(default_factory=list)
    connections: list[tuple[int, int, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.keys)

    def add(
        self,
        *,
        key: str,
        partition: int,
        kind: int,
        name: str,
        timestamp: int,
        received: int,
        message_id: str,
        message_hash: bytes,
        payload: bytes | memoryview | msgspec.Raw,
        flags: int = 0,
        revenue: int = 0,
        zone: str = "",
        locale: str = "",
        link: str | None = None,
    ) -> None:
        if link is not None:
            self.links.append((len(self.keys), link))
        self.keys.append(key)
        self.partition.append(partition)
        self.kind.append(kind)
        self.flags.append(flags)
        self.timestamp.append(timestamp)
        self.received.append(received)
        self.revenue.append(revenue)
        self.message_hash.append(message_hash)
        self.message_ids.append(message_id)
        self.name.append(self.names[name])
        self.zone.append(self.zones[zone])
        self.locale.append(self.locales[locale])
        self.payloads.append(payload)

    def build(self) -> EventBlock:
        return EventBlock(
            version=BLOCK_VERSION,
            tenant=self.tenant,
            received_at=max(self.received, default=0),
            partition=np.array(self.partition, np.uint16).tobytes(),
            kind=bytes(self.kind),
            flags=bytes(self.flags),
            timestamp=np.array(self.timestamp, np.int64).tobytes(),
            received=np.array(self.received, np.int64).tobytes(),
            revenue=np.array(self.revenue, np.int64).tobytes(),
            message_hash=b"".join(self.message_hash),
            name=np.array(self.name, np.uint16).tobytes(),
            names=list(self.names),
            zone=np.array(self.zone, np.uint16).tobytes(),
            zones=list(self.zones),
            locale=np.array(self.locale, np.uint16).tobytes(),
            locales=list(self.locales),
            keys=self.keys,
            links=self.links,
            message_ids=self.message_ids,
            lengths=np.array(_lengths(self.payloads), np.uint32).tobytes(),
            payload=b"".join(self.payloads),
            connections=self.connections,
        )


def _lengths(payloads: Sequence[bytes | memoryview | msgspec.Raw]) -> list[int]:
    return [len(p) for p in payloads]


def split(block: EventBlock, shard_of: Sequence[int]) -> dict[int, EventBlock]:
    """The block's events by shard under another partition map, each part in order."""
    columns = columns_of(block)
    shards = np.array(shard_of)[columns.partition]
    targets = np.unique(shards).tolist()
    if len(targets) <= 1:
        return {target: block for target in targets}
    return {target: _select(block, np.flatnonzero(shards == target)) for target in targets}


def _select(block: EventBlock, chosen: NDArray[np.int64]) -> EventBlock:
    columns, offsets = columns_of(block), payload_offsets(block)
    places = chosen.tolist()
    old_to_new = {old: new for new, old in enumerate(places)}
    return msgspec.structs.replace(
        block,
        **{
            name: getattr(columns, name)[chosen].tobytes()
            for name in ("partition", "kind", "flags", "timestamp", "received", "revenue", "name", "zone", "locale")
        },
        message_hash=columns.message_hash[chosen].tobytes(),
        keys=[block.keys[i] for i in places],
        links=[(old_to_new[i], link) for i, link in block.links if i in old_to_new],
        message_ids=[block.message_ids[i] for i in places],
        lengths=np.frombuffer(block.lengths, np.uint32)[chosen].tobytes(),
        payload=b"".join(block.payload[offsets[i] : offsets[i + 1]] for i in places),
    )

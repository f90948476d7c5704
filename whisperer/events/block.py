"""A block: n events of one tenant for one shard, one fixed row an event, with texts and payloads beside.

The gateway builds it, the journal stores it as it is, kernels of the shard read it. One encoding from socket to disk.
The payload is each event's JSON as the client sent it, so nothing a client wrote is ever re-formatted; a block holds it
compressed (LZ4), because moving and syncing bytes costs more than packing them (docs/decisions.md, 2026-11-24).

A :class:`Part` is what one request brings for one shard; :func:`merge` makes the block of all that wait together.
Blocks of version 1 (columns apart, msgpack texts) are read by :mod:`~whisperer.events.block_v1`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from whisperer.errors import JournalDamagedError
from whisperer.events.types import Flag

BLOCK_VERSION = 2
MAX_BLOCK_EVENTS = 65_535  # an event's place in its block is 16 bits of its timeline reference

EVENT = np.dtype(
    [
        ("message_a", "<u8"),  # whisperer.ids.message_hash, first and last 8 bytes
        ("message_b", "<u8"),
        ("key_hash", "<u8"),  # whisperer.ids.key_hash; the partition is its high bits
        ("timestamp", "<i8"),  # ms UTC, event time after skew correction
        ("received", "<i8"),  # ms UTC, receipt of the event's own request
        ("revenue", "<i8"),  # micro-units, 0 where none
        ("payload_at", "<u4"),  # the event's JSON, in `payload`
        ("payload_bytes", "<u4"),
        ("text_at", "<u4"),  # user key, messageId and linked key, one after another, in `text`
        ("key_bytes", "<u2"),
        ("message_bytes", "<u2"),
        ("link_bytes", "<u2"),  # 0 where the event ties no second key
        ("name", "<u2"),  # index into `names`
        ("zone", "<u2"),  # index into `zones`, `locales`; entry 0 is "" and means "not given"
        ("locale", "<u2"),
        ("partition", "<u2"),
        ("kind", "u1"),  # whisperer.events.types.EventType
        ("flags", "u1"),  # whisperer.events.types.Flag
        ("_", "V4"),
    ]
)
assert EVENT.itemsize == 80

Rows: TypeAlias = NDArray[Any]  # of EVENT
_INT = np.int64
_CODEC = pa.Codec("lz4_raw")


class EventBlock(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Wire form.

    Attributes
    ----------
    tenant : tenant id
    received_at : int, ms UTC, the gateway's clock when the newest of these events arrived
    rows : :data:`EVENT` [n]
    text : UTF-8 of user keys (``u:...`` or ``a:...``), message ids and linked keys, addressed by the rows. A linked
        key is, for a known user's event that also carries an anonymousId, ``a:...``; for alias, the previousId as
        ``u:...``
    payload : LZ4 block of the events' JSON, which the rows address once it is unpacked (:func:`unpack`)
    payload_size : bytes of it unpacked
    names : distinct event names (reserved ``$identify`` ... for other calls)
    connections : (start, stop, ip): events start..stop-1 came over a connection from this address, which is their
        ``context.ip`` where the payload gives none (:func:`connection_ip`)
    """

    version: int
    tenant: str
    received_at: int
    rows: bytes
    text: bytes
    payload: bytes
    payload_size: int
    names: list[str]
    zones: list[str]
    locales: list[str]
    connections: list[tuple[int, int, str]] = []

    def __len__(self) -> int:
        return len(self.rows) // EVENT.itemsize

    def events(self) -> Rows:
        """The rows as a read-only record array of :data:`EVENT`."""
        return np.frombuffer(self.rows, EVENT)


@dataclass(slots=True, frozen=True)
class Part:
    """A block's content before it has a tenant; attributes as there, the payload not packed. ``rows`` are read only."""

    rows: Rows
    text: bytes
    payload: bytes
    names: Sequence[str]
    zones: Sequence[str] = ("",)
    locales: Sequence[str] = ("",)
    client_ip: str | None = None

    def __len__(self) -> int:
        return len(self.rows)


encode_block = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(EventBlock).decode


def decode_block(data: bytes | memoryview) -> EventBlock:
    """Raises msgspec.MsgspecError for what is no block."""
    if _version(data) == 1:
        from whisperer.events.block_v1 import decode_v1  # only journals and moves of older releases hold these

        return decode_v1(data)
    return _decode(data)


def _version(data: bytes | memoryview) -> int:
    """First entry of a msgpack array: after one byte of header where it has under 16 entries, else after three."""
    if len(data) < 4:
        return 0
    return data[1] if data[0] >> 4 == 0x9 else data[3]


# -- reading ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Columns:
    """A block's columns, contiguous; shape (n_events,) but ``message_hash`` (n_events, 2)."""

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
    rows = block.events()
    names = ("partition", "kind", "flags", "timestamp", "received", "revenue", "name", "zone", "locale")
    words = rows.view(np.uint64).reshape(len(rows), EVENT.itemsize // 8)
    return Columns(message_hash=words[:, :2].copy(), **{name: rows[name].copy() for name in names})


def key_of(block: EventBlock, index: int) -> str:
    row = block.events()[index]
    start = int(row["text_at"])
    return block.text[start : start + int(row["key_bytes"])].decode()


def message_id_of(block: EventBlock, index: int) -> str:
    row = block.events()[index]
    start = int(row["text_at"]) + int(row["key_bytes"])
    return block.text[start : start + int(row["message_bytes"])].decode()


def link_of(block: EventBlock, index: int) -> str | None:
    """The linked key of an event; None where it ties none."""
    row = block.events()[index]
    start = int(row["text_at"]) + int(row["key_bytes"]) + int(row["message_bytes"])
    return block.text[start : start + int(row["link_bytes"])].decode() or None


def unpack(block: EventBlock) -> bytes:
    """The payloads, one after another. Raises JournalDamagedError for what LZ4 cannot read."""
    if not block.payload_size:
        return b""
    try:
        return bytes(_CODEC.decompress(block.payload, block.payload_size, asbytes=True))
    except OSError as error:
        raise JournalDamagedError(f"the payload of a block of {block.tenant} cannot be unpacked: {error}") from error


class Payloads:
    """A block's payloads by event, unpacked when the first one is asked for."""

    __slots__ = ("_block", "_rows", "_unpacked")

    def __init__(self, block: EventBlock) -> None:
        self._block = block
        self._rows = block.events()
        self._unpacked: bytes | None = None

    def __getitem__(self, index: int) -> bytes:
        if self._unpacked is None:
            self._unpacked = unpack(self._block)
        start = int(self._rows["payload_at"][index])
        return self._unpacked[start : start + int(self._rows["payload_bytes"][index])]


def keys_of(block: EventBlock) -> list[str]:
    return [key_of(block, i) for i in range(len(block))]


def spans(block: EventBlock, what: str) -> tuple[NDArray[np.int64], NDArray[np.int64], bytes]:
    """(starts, lengths, buffer) of every event's ``key``, ``message_id``, ``link`` or ``payload``."""
    rows = block.events()
    if what == "payload":
        return rows["payload_at"].astype(_INT), rows["payload_bytes"].astype(_INT), unpack(block)
    start = rows["text_at"].astype(_INT)
    if what == "key":
        return start, rows["key_bytes"].astype(_INT), block.text
    start += rows["key_bytes"]
    if what == "message_id":
        return start, rows["message_bytes"].astype(_INT), block.text
    if what == "link":
        return start + rows["message_bytes"], rows["link_bytes"].astype(_INT), block.text
    raise KeyError(what)


def gather(
    starts: NDArray[np.int64], lengths: NDArray[np.int64], buffer: bytes | NDArray[np.uint8]
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """(offsets, bytes) of slices of a buffer put one after another, as Arrow's string arrays have them.

    ``offsets`` has one entry more than there are slices.
    """
    offsets = np.zeros(len(starts) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    found = np.empty(int(offsets[-1]), np.uint8)
    _copy_slices(starts, offsets, np.frombuffer(buffer, np.uint8), found)
    return offsets, found


def connection_ip(block: EventBlock, index: int) -> str | None:
    """Address of the connection that event came over; None if it was not known."""
    place = bisect_right(block.connections, index, key=lambda run: run[0]) - 1
    if place < 0 or index >= block.connections[place][1]:
        return None
    return block.connections[place][2]


# -- building ---------------------------------------------------------------------------------------------------------


def merge(tenant: str, parts: Sequence[Part]) -> EventBlock:
    """One block of the parts' events, in order."""
    if len(parts) == 1:
        return _block(tenant, parts[0].rows, parts[0].text, parts[0].payload, parts[0])
    # As words: numpy compares the fields of records one by one before it puts them together, 25 us a part.
    rows = np.concatenate([np.ascontiguousarray(part.rows).view(np.uint64) for part in parts]).view(EVENT)
    sizes = [len(part) for part in parts]
    for column, lengths in (("text_at", [len(p.text) for p in parts]), ("payload_at", [len(p.payload) for p in parts])):
        rows[column] += np.repeat(np.array([0, *accumulate(lengths[:-1])], np.uint32), sizes)
    names, zones, locales = _Codes(), _Codes({"": 0}), _Codes({"": 0})
    connections: list[tuple[int, int, str]] = []
    start = 0
    for part, size in zip(parts, sizes, strict=True):
        stop = start + size
        _recode(rows, start, stop, "name", names, part.names)
        _recode(rows, start, stop, "zone", zones, part.zones)
        _recode(rows, start, stop, "locale", locales, part.locales)
        if part.client_ip:
            connections.append((start, stop, part.client_ip))
        start = stop
    whole = Part(rows, b"", b"", list(names), list(zones), list(locales))
    block = _block(
        tenant, rows, b"".join([part.text for part in parts]), b"".join([part.payload for part in parts]), whole
    )
    return msgspec.structs.replace(block, connections=connections)


def _block(tenant: str, rows: Rows, text: bytes, payload: bytes, tables: Part) -> EventBlock:
    return EventBlock(
        version=BLOCK_VERSION,
        tenant=tenant,
        received_at=int(rows["received"].max(initial=0)),
        rows=rows.tobytes(),
        text=text,
        payload=_CODEC.compress(payload, asbytes=True) if payload else b"",
        payload_size=len(payload),
        names=list(tables.names),
        zones=list(tables.zones),
        locales=list(tables.locales),
        connections=[(0, len(rows), tables.client_ip)] if tables.client_ip else [],
    )


def _recode(rows: Rows, start: int, stop: int, column: str, codes: _Codes, texts: Sequence[str]) -> None:
    """Turn indexes into ``texts`` into those of the table that the merged block has."""
    table = [codes[text] for text in texts]
    if table != list(range(len(table))):
        mine = rows[start:stop]
        mine[column] = np.array(table, np.uint16)[mine[column]]


class _Codes(dict[str, int]):
    """Distinct strings in order of first use; looking one up gives its code."""

    def __missing__(self, text: str) -> int:
        code = self[text] = len(self)
        return code


@dataclass(slots=True)
class PartBuilder:
    """Collects events one at a time, where they do not come from the scanner. ``build`` may be called once."""

    _rows: list[tuple[Any, ...]] = field(default_factory=list)
    _text: bytearray = field(default_factory=bytearray)
    _payload: bytearray = field(default_factory=bytearray)
    _names: _Codes = field(default_factory=_Codes)
    _zones: _Codes = field(default_factory=lambda: _Codes({"": 0}))
    _locales: _Codes = field(default_factory=lambda: _Codes({"": 0}))

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self,
        *,
        key: str,
        hashed: int,
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
        """``hashed`` is :func:`whisperer.ids.key_hash` of the key."""
        text = [part.encode("utf-8", "surrogatepass") for part in (key, message_id, link or "")]
        self._rows.append(
            (
                int.from_bytes(message_hash[:8], "little"),
                int.from_bytes(message_hash[8:], "little"),
                hashed,
                timestamp,
                received,
                revenue,
                len(self._payload),
                len(payload),
                len(self._text),
                *map(len, text),
                self._names[name],
                self._zones[zone],
                self._locales[locale],
                partition,
                kind,
                flags | Flag.LINK if link else flags & ~Flag.LINK,
                b"",
            )
        )
        self._text += b"".join(text)
        self._payload += bytes(payload)

    def build(self, client_ip: str | None = None) -> Part:
        return Part(
            rows=np.array(self._rows, EVENT),
            text=bytes(self._text),
            payload=bytes(self._payload),
            names=list(self._names),
            zones=list(self._zones),
            locales=list(self._locales),
            client_ip=client_ip,
        )


def split(block: EventBlock, shard_of: Sequence[int]) -> dict[int, EventBlock]:
    """The block's events by shard under another partition map, each part in order."""
    shards = np.array(shard_of)[block.events()["partition"]]
    targets = np.unique(shards).tolist()
    if len(targets) <= 1:
        return {target: block for target in targets}
    return {target: select(block, np.flatnonzero(shards == target)) for target in targets}


def select(block: EventBlock, chosen: NDArray[np.int64]) -> EventBlock:
    """A block of these events, in this order; the tables stay, connections too."""
    rows = block.events()[chosen]
    texts = rows["key_bytes"].astype(_INT) + rows["message_bytes"] + rows["link_bytes"]
    text_offsets, text = gather(rows["text_at"].astype(_INT), texts, block.text)
    payload_offsets, payload = gather(
        rows["payload_at"].astype(_INT), rows["payload_bytes"].astype(_INT), unpack(block)
    )
    rows["text_at"] = text_offsets[:-1]
    rows["payload_at"] = payload_offsets[:-1]
    return msgspec.structs.replace(
        block,
        rows=rows.tobytes(),
        text=text.tobytes(),
        payload=_CODEC.compress(payload.tobytes(), asbytes=True) if len(payload) else b"",
        payload_size=len(payload),
        connections=_runs([connection_ip(block, i) for i in chosen.tolist()]) if block.connections else [],
    )


def _runs(addresses: list[str | None]) -> list[tuple[int, int, str]]:
    runs: list[tuple[int, int, str]] = []
    for place, address in enumerate(addresses):
        if address is None:
            continue
        if runs and runs[-1][1] == place and runs[-1][2] == address:
            runs[-1] = (runs[-1][0], place + 1, address)
        else:
            runs.append((place, place + 1, address))
    return runs


@njit(cache=True, nogil=True)
def _copy_slices(starts: Any, offsets: Any, buffer: Any, found: Any) -> None:
    for i in range(len(starts)):
        start, at = starts[i], offsets[i]
        for j in range(offsets[i + 1] - at):
            found[at + j] = buffer[start + j]

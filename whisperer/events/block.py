"""Define a block, n events of one tenant for one shard: a fixed row per event, texts and payloads stored separately.

The gateway builds it, the journal stores it unchanged, the shard's kernels read it: one encoding from socket to disk.
The payload is each event's JSON as the client sent it, so nothing a client wrote is ever reformatted; a block holds it
compressed (LZ4), because moving and syncing bytes costs more than packing them (docs/decisions.md, 2026-11-24).

This module defines the format and what can be asked of a block; :mod:`~whisperer.events.parts` builds blocks, and
:mod:`~whisperer.events.decoding` decodes and checks them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import msgspec
import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from whisperer.errors import JournalDamagedError
from whisperer.ids import TenantId, UserKey

BLOCK_VERSION = 2
MAX_BLOCK_EVENTS = 65_535  # an event's place in its block is 16 bits of its timeline reference
MAX_PAYLOAD_BYTES = 1 << 30
"""Limit of a block's payload, unpacked."""

EVENT = np.dtype(
    [
        ("message_a", "<u8"),  # whisperer.ids.message_hash, first and last 8 bytes
        ("message_b", "<u8"),
        ("key_hash", "<u8"),  # whisperer.ids.key_hash; the partition is its high bits
        ("timestamp", "<i8"),  # ms UTC, event time after skew correction
        ("received", "<i8"),  # ms UTC, receipt of the event's own request
        ("revenue", "<i8"),  # micro-units, 0 if none
        ("payload_at", "<u4"),  # the event's JSON, in `payload`
        ("payload_bytes", "<u4"),
        ("text_at", "<u4"),  # user key, messageId and linked key, back to back in `text`
        ("key_bytes", "<u2"),
        ("message_bytes", "<u2"),
        ("link_bytes", "<u2"),  # 0 if the event links no second key
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

Rows: TypeAlias = NDArray[Any]  # dtype EVENT
_INT = np.int64
_decode_key = cast("Callable[[bytes], UserKey]", bytes.decode)  # typed here: a call of UserKey per event would cost
CODEC = pa.Codec("lz4_raw")


class EventBlock(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Hold a block in its wire form.

    Attributes
    ----------
    tenant : tenant id
    received_at : int, ms UTC, the gateway's clock when the newest of these events arrived
    rows : :data:`EVENT` [n]
    text : UTF-8 of user keys (``u:...`` or ``a:...``), message ids and linked keys, addressed by the rows. The linked
        key of a known user's event that also carries an anonymousId is ``a:...``; that of an alias is its previousId,
        as ``u:...``
    payload : LZ4 block of the events' JSON, which the rows address once it is unpacked (:func:`unpack`)
    payload_size : unpacked bytes of the payload
    names : distinct event names (reserved ``$identify`` ... for other calls)
    connections : (start, stop, ip): events start..stop-1 came over a connection from this address, as our own proxy
        saw it (:func:`connection_ip`); a payload's own ``context.ip`` plays no part
    """

    version: int
    tenant: TenantId
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
        """Return the rows as a read-only record array of :data:`EVENT`."""
        return np.frombuffer(self.rows, EVENT)


encode_block = msgspec.msgpack.Encoder().encode


# -- reading ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Columns:
    """Hold a block's columns, contiguous, each of shape (n_events,) except ``message_hash``: (n_events, 2)."""

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
    """Copy a block's rows into contiguous columns."""
    rows = block.events()
    names = ("partition", "kind", "flags", "timestamp", "received", "revenue", "name", "zone", "locale")
    words = rows.view(np.uint64).reshape(len(rows), EVENT.itemsize // 8)
    return Columns(message_hash=words[:, :2].copy(), **{name: rows[name].copy() for name in names})


def key_of(block: EventBlock, index: int) -> UserKey:
    """Return the user key of an event."""
    row = block.events()[index]
    start = int(row["text_at"])
    return _decode_key(block.text[start : start + int(row["key_bytes"])])


def message_id_of(block: EventBlock, index: int) -> str:
    """Return the messageId of an event."""
    row = block.events()[index]
    start = int(row["text_at"]) + int(row["key_bytes"])
    return block.text[start : start + int(row["message_bytes"])].decode()


def link_of(block: EventBlock, index: int) -> UserKey | None:
    """Return the linked key of an event; None if it links none."""
    row = block.events()[index]
    start = int(row["text_at"]) + int(row["key_bytes"]) + int(row["message_bytes"])
    return _decode_key(block.text[start : start + int(row["link_bytes"])]) or None


def unpack(block: EventBlock) -> bytes:
    """Return the payloads, back to back. Raises JournalDamagedError if LZ4 cannot read them."""
    if not block.payload_size:
        return b""
    try:
        return bytes(CODEC.decompress(block.payload, block.payload_size, asbytes=True))
    except OSError as error:
        raise JournalDamagedError(f"the payload of a block of {block.tenant} cannot be unpacked: {error}") from error


class Payloads:
    """Give access to a block's payloads by event, unpacking them when the first one is asked for."""

    __slots__ = ("_rows", "_unpacked", "block")

    def __init__(self, block: EventBlock) -> None:
        self.block = block
        self._rows = block.events()
        self._unpacked: bytes | None = None

    def unpack(self) -> None:
        """Unpack the payloads now. Raises JournalDamagedError."""
        if self._unpacked is None:
            self._unpacked = unpack(self.block)

    def __getitem__(self, index: int) -> bytes:
        if self._unpacked is None:
            self._unpacked = unpack(self.block)
        start = int(self._rows["payload_at"][index])
        return self._unpacked[start : start + int(self._rows["payload_bytes"][index])]


def keys_of(block: EventBlock) -> list[UserKey]:
    """Return the user key of every event."""
    return [key_of(block, i) for i in range(len(block))]


def spans(block: EventBlock, what: str) -> tuple[NDArray[np.int64], NDArray[np.int64], bytes]:
    """Return (starts, lengths, buffer) of every event's ``key``, ``message_id``, ``link`` or ``payload``."""
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
    """Copy slices of a buffer back to back and return (offsets, bytes), as in Arrow's string arrays.

    ``offsets`` has one entry more than there are slices.
    """
    offsets = np.zeros(len(starts) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    found = np.empty(int(offsets[-1]), np.uint8)
    _copy_slices(starts, offsets, np.frombuffer(buffer, np.uint8), found)
    return offsets, found


def connection_ip(block: EventBlock, index: int) -> str | None:
    """Return the address of the connection that an event came over; None if it is not known."""
    place = bisect_right(block.connections, index, key=lambda run: run[0]) - 1
    if place < 0 or index >= block.connections[place][1]:
        return None
    return block.connections[place][2]


@njit(cache=True, nogil=True)
def _copy_slices(starts: Any, offsets: Any, buffer: Any, found: Any) -> None:
    for i in range(len(starts)):
        start, at = starts[i], offsets[i]
        for j in range(offsets[i + 1] - at):
            found[at + j] = buffer[start + j]

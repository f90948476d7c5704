"""Decode event blocks, of today's version and of earlier ones, and check that they are whole.

Guarantees: a decoded block points into its own texts, payload and tables only, which the kernels that read it do not
check. Blocks of version 1 (separate columns, msgpack texts) are read by :mod:`~whisperer.events.block_v1`; only
journals and moves of older releases hold them.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numba import njit

from whisperer.errors import UNREADABLE, JournalDamagedError
from whisperer.events.block import EVENT, MAX_BLOCK_EVENTS, MAX_PAYLOAD_BYTES, EventBlock, Payloads
from whisperer.events.block_v1 import decode_v1
from whisperer.events.unicode_check import is_utf8
from whisperer.ids import N_PARTITIONS, TenantId


class _Head(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Read the first fields of :class:`EventBlock` without copying."""

    version: int
    tenant: TenantId
    received_at: int
    rows: msgspec.Raw
    text: msgspec.Raw
    payload: msgspec.Raw
    payload_size: int


class _Owner(msgspec.Struct, array_like=True, frozen=True, gc=False):
    version: int
    tenant: TenantId


_decode_owner = msgspec.msgpack.Decoder(_Owner).decode
_decode_head = msgspec.msgpack.Decoder(_Head).decode
_decode = msgspec.msgpack.Decoder(EventBlock).decode


def _places(size: int, *names: str) -> tuple[int, ...]:
    """Return the places of fields in a row viewed as words of ``size`` bytes."""
    return tuple(int(EVENT.fields[name][1]) // size for name in names)  # type: ignore[index]


_PAYLOAD_AT, _PAYLOAD_BYTES, _TEXT_AT = _places(4, "payload_at", "payload_bytes", "text_at")
_KEY_BYTES, _NAME, _ZONE, _LOCALE, _PARTITION = _places(2, "key_bytes", "name", "zone", "locale", "partition")


def decode_block(data: bytes | memoryview) -> EventBlock:
    """Decode a block and check that its rows point into its own texts, payload and tables: kernels do not check.

    Raises JournalDamagedError for anything else.
    """
    try:
        block = decode_v1(data) if _version(data) == 1 else _decode(data)
    except (*UNREADABLE, ValueError, IndexError) as error:
        raise JournalDamagedError(f"an event block cannot be read: {error}") from error
    if not _is_whole(block):
        raise JournalDamagedError(f"an event block of {block.tenant[:100]!r} points beyond itself")
    return block


def tenant_of(data: bytes | memoryview) -> TenantId:
    """Return whose a block is, without decoding it. Raises JournalDamagedError."""
    try:
        return _decode_owner(data).tenant
    except UNREADABLE as error:
        raise JournalDamagedError(f"an event block cannot be read: {error}") from error


def readable(data: bytes | memoryview) -> Payloads:
    """Decode a block that came from elsewhere and unpack its payload. Raises JournalDamagedError if either fails."""
    payloads = Payloads(decode_block(data))
    payloads.unpack()
    return payloads


def _is_whole(block: EventBlock) -> bool:
    if len(block.rows) % EVENT.itemsize or len(block) > MAX_BLOCK_EVENTS:
        return False
    if not 0 <= block.payload_size <= MAX_PAYLOAD_BYTES or not is_utf8(block.text):
        return False
    longs = np.frombuffer(block.rows, np.uint32).reshape(len(block), EVENT.itemsize // 4)
    shorts = np.frombuffer(block.rows, np.uint16).reshape(len(block), EVENT.itemsize // 2)
    tables = (len(block.names), len(block.zones), len(block.locales))
    return bool(_point_inside(longs, shorts, np.frombuffer(block.text, np.uint8), block.payload_size, *tables))


def held_bytes(data: bytes | memoryview) -> int:
    """Return an encoded block's bytes in memory, its payload unpacked: a small request may hold a large one.

    Raises msgspec.MsgspecError for anything but a block.
    """
    return len(data) + (_decode_head(data).payload_size if _version(data) > 1 else 0)


def _version(data: bytes | memoryview) -> int:
    """Read the first entry of a msgpack array, whose header is one byte for under 16 entries, otherwise three."""
    if len(data) < 4:
        return 0
    return data[1] if data[0] >> 4 == 0x9 else data[3]


@njit(cache=True, nogil=True)
def _point_inside(
    longs: Any, shorts: Any, text: Any, payload_size: Any, n_names: Any, n_zones: Any, n_locales: Any
) -> bool:
    """Check that each row's texts are whole characters of ``text`` and that everything else it refers to exists."""
    for i in range(len(longs)):
        if np.int64(longs[i, _PAYLOAD_AT]) + np.int64(longs[i, _PAYLOAD_BYTES]) > payload_size:
            return False
        if shorts[i, _NAME] >= n_names or shorts[i, _ZONE] >= n_zones or shorts[i, _LOCALE] >= n_locales:
            return False
        if shorts[i, _PARTITION] >= N_PARTITIONS:
            return False
        at = np.int64(longs[i, _TEXT_AT])
        for j in range(4):  # the starts of key, messageId and linked key, and the end of the last
            if at > len(text) or (at < len(text) and text[at] & 0xC0 == 0x80):
                return False
            if j < 3:
                at += shorts[i, _KEY_BYTES + j]
    return True

"""Deal a request's accepted events to shards (last step): one :class:`~whisperer.events.parts.BlockPart` per shard.

Hashes every user key and message id, times each plain event, and copies rows, texts and payloads to their shards, in
two passes of one kernel. :mod:`~whisperer.events.kernels.scan_event` describes a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from whisperer.events.block import EVENT
from whisperer.events.clock import MAX_CLOCK_SKEW_MS
from whisperer.events.kernels.intrinsics import copy_bytes, kernel, swapped
from whisperer.events.kernels.plain_values import ABSENT
from whisperer.events.kernels.scan_event import (
    FLAGS,
    KEY_AT,
    KEY_BYTES,
    KEY_PREFIX,
    KIND,
    LINK_AT,
    LINK_BYTES,
    LINK_PREFIX,
    LOCALE,
    MESSAGE_AT,
    MESSAGE_BYTES,
    NAME,
    PLAIN,
    READ,
    REVENUE,
    SENT,
    START,
    STATE,
    STOP,
    TIME,
    ZONE,
)
from whisperer.events.kernels.xxh3 import hash64, hash128
from whisperer.events.parts import BlockPart
from whisperer.ids import N_PARTITIONS, PARTITION_BITS

BEFORE_1970, UNKNOWN_ZONE, UNKNOWN_LOCALE = range(3)
UNKNOWN = -1  # index of an unknown zone or locale: counted, and read as none

_U = np.uint64
_PARTITION_SHIFT = 64 - PARTITION_BITS
_N_WORDS = EVENT.itemsize // 8
_COLON = 0x3A
_FAR = 2**61  # a skew this large puts every plain time before 1970 or into the future; its exact size is irrelevant


class Tables(NamedTuple):
    """Map the string numbers in the rows to names, to time zones and to locales.

    ``indexes``: int64[3, n_numbers]; for each of these three, every number's index in its ``texts``.
    """

    texts: Sequence[Sequence[str]]
    indexes: NDArray[np.int64]


def deal(
    text: NDArray[np.uint8],
    extra: NDArray[np.uint8],
    rows: NDArray[np.int64],
    tables: Tables,
    shard_of: NDArray[np.int64],
    *,
    seed: int,
    received_at: int,
    skew: int,
    corrects: bool,
    of_route: int,
    client_ip: str | None,
) -> tuple[dict[int, BlockPart], list[int]]:
    """Return (parts by shard, number of plain events with BEFORE_1970, UNKNOWN_ZONE and UNKNOWN_LOCALE).

    Places from ``len(text)`` on refer to ``extra``. If the route ``corrects``, ``skew`` is added to the time of a plain
    event without a ``sentAt`` of its own. Raises ValueError unless ``shard_of`` has an entry for each partition.
    """
    if len(shard_of) != N_PARTITIONS:  # the kernel does not check
        raise ValueError(f"a shard is needed for each of {N_PARTITIONS} partitions, not for {len(shard_of)}")
    words, text_bytes, payload, bounds, codes, n_codes, odd = _deal(
        text,
        extra,
        rows,
        tables.indexes,
        max(map(len, tables.texts)),
        shard_of,
        _U(seed),
        np.array([received_at, min(max(skew, -_FAR), _FAR), corrects, of_route], np.int64),
    )
    events = np.frombuffer(words, EVENT)
    of_names, of_zones, of_locales = tables.texts
    numbers, at = codes.tolist(), 0
    ends = bounds.tolist()
    parts = {}
    for slot, (n_names, n_zones, n_locales) in enumerate(n_codes.tolist()):
        shard, row, text_at, payload_at = ends[slot]
        _, row_end, text_end, payload_end = ends[slot + 1]
        zones_at = at + n_names
        locales_at = zones_at + n_zones
        end = locales_at + n_locales
        parts[shard] = BlockPart(
            rows=events[row:row_end],
            text=text_bytes[text_at:text_end].tobytes(),
            payload=payload[payload_at:payload_end].tobytes(),
            names=[of_names[number] for number in numbers[at:zones_at]],
            zones=[of_zones[number] for number in numbers[zones_at:locales_at]],
            locales=[of_locales[number] for number in numbers[locales_at:end]],
            client_ip=client_ip,
        )
        at = end
    return parts, odd.tolist()


@kernel
def _deal(
    text: Any,
    extra: Any,
    rows: Any,
    index_of: Any,
    most: int,
    shard_of: Any,
    seed: Any,
    given: Any,
) -> Any:
    n_rows, base = len(rows), len(text)
    received_at = given[0]
    odd = np.zeros(3, np.int64)
    # all texts, in the order of the rows: the hash needs each key in one piece
    n_bytes = 0
    for i in range(n_rows):
        if rows[i, STATE] == PLAIN or rows[i, STATE] == READ:
            n_bytes += rows[i, KEY_BYTES] + rows[i, MESSAGE_BYTES] + rows[i, LINK_BYTES] + 4
    arena = np.empty(n_bytes, np.uint8)
    hashes = np.empty((n_rows, 3), np.uint64)
    slot_of, times = np.empty(n_rows, np.int64), np.empty(n_rows, np.int64)
    slot_of_partition = np.full(len(shard_of), -1, np.int64)
    sizes = np.zeros((len(shard_of) + 1, 4), np.int64)  # by slot, one per shard: shard, events, text and payload bytes
    n_slots = 0
    at = 0
    for i in range(n_rows):
        row = rows[i]
        if row[STATE] != PLAIN and row[STATE] != READ:
            continue
        start = at
        at = _put_key(arena, at, text, extra, base, row[KEY_AT], row[KEY_BYTES], row[KEY_PREFIX])
        key_hash = hash64(arena, start, at - start, seed)
        message = at
        at = _put(arena, at, text, extra, base, row[MESSAGE_AT], row[MESSAGE_BYTES])
        low, high = hash128(arena, message, at - message)
        hashes[i, 0], hashes[i, 1], hashes[i, 2] = swapped(high), swapped(low), key_hash
        if row[LINK_BYTES]:
            at = _put_key(arena, at, text, extra, base, row[LINK_AT], row[LINK_BYTES], row[LINK_PREFIX])
        partition = np.int64(key_hash >> _U(_PARTITION_SHIFT))
        slot = slot_of_partition[partition]
        if slot < 0:
            slot = 0
            while slot < n_slots and sizes[slot, 0] != shard_of[partition]:
                slot += 1
            if slot == n_slots:
                n_slots += 1
                sizes[slot, 0] = shard_of[partition]
            slot_of_partition[partition] = slot
        slot_of[i] = slot
        sizes[slot, 1] += 1
        sizes[slot, 2] += at - start
        sizes[slot, 3] += row[STOP] - row[START]
        times[i] = row[TIME]
        if row[STATE] == PLAIN:
            times[i] = _happened(row[TIME], row[SENT], given, odd)
            odd[UNKNOWN_ZONE] += index_of[1, row[ZONE]] == UNKNOWN
            odd[UNKNOWN_LOCALE] += index_of[2, row[LOCALE]] == UNKNOWN

    bounds = np.zeros((n_slots + 1, 4), np.int64)
    for slot in range(n_slots):
        bounds[slot, 0] = sizes[slot, 0]
        for j in range(1, 4):
            bounds[slot + 1, j] = bounds[slot, j] + sizes[slot, j]
    ends = bounds.copy()
    words = np.empty((bounds[n_slots, 1], _N_WORDS), np.uint64)
    texts = np.empty(bounds[n_slots, 2], np.uint8)
    payload = np.empty(bounds[n_slots, 3], np.uint8)
    codes = np.full((n_slots, 3, most), -1, np.int64)  # a text's index in its part; -1 before it is first met
    coded = np.empty((n_slots, 3, most), np.int64)  # the inverse
    n_coded = np.zeros((n_slots, 3), np.int64)
    for slot in range(n_slots):
        for kind in range(1, 3):  # entry 0 of zones and locales stands for none
            codes[slot, kind, 0] = coded[slot, kind, 0] = 0
            n_coded[slot, kind] = 1
    at = 0
    for i in range(n_rows):
        row = rows[i]
        if row[STATE] != PLAIN and row[STATE] != READ:
            continue
        slot = slot_of[i]
        place, text_at, payload_at = ends[slot, 1], ends[slot, 2], ends[slot, 3]
        n_payload = row[STOP] - row[START]
        n_key, n_link = row[KEY_BYTES] + 2, row[LINK_BYTES] + 2 if row[LINK_BYTES] else 0
        n_text = n_key + row[MESSAGE_BYTES] + n_link
        copy_bytes(texts, text_at, arena, at, n_text)
        at += n_text
        _put(payload, payload_at, text, extra, base, row[START], n_payload)
        name = _code(codes[slot, 0], coded[slot, 0], n_coded[slot], 0, index_of[0, row[NAME]])
        zone = _code(codes[slot, 1], coded[slot, 1], n_coded[slot], 1, max(index_of[1, row[ZONE]], 0))
        locale = _code(codes[slot, 2], coded[slot, 2], n_coded[slot], 2, max(index_of[2, row[LOCALE]], 0))
        word = words[place]
        word[0], word[1], word[2] = hashes[i, 0], hashes[i, 1], hashes[i, 2]
        word[3], word[4], word[5] = _U(times[i]), _U(received_at), _U(row[REVENUE])
        # the other words follow the order of EVENT's members
        word[6] = _U((payload_at - bounds[slot, 3]) | n_payload << 32)
        word[7] = _U((text_at - bounds[slot, 2]) | n_key << 32 | row[MESSAGE_BYTES] << 48)
        word[8] = _U(n_link | name << 16 | zone << 32 | locale << 48)
        word[9] = (hashes[i, 2] >> _U(_PARTITION_SHIFT)) | _U(row[KIND] << 16 | (row[FLAGS] | given[3]) << 24)
        ends[slot, 1], ends[slot, 2], ends[slot, 3] = place + 1, text_at + n_text, payload_at + n_payload
    in_order = np.empty(n_coded.sum(), np.int64)  # by slot, then names, zones, locales
    n = 0
    for slot in range(n_slots):
        for kind in range(3):
            for j in range(n_coded[slot, kind]):
                in_order[n] = coded[slot, kind, j]
                n += 1
    return words, texts, payload, bounds, in_order, n_coded, odd


@kernel
def _happened(stamp: int, sent: int, given: Any, odd: Any) -> Any:
    """Compute :func:`whisperer.events.clock.event_time` of a plain event."""
    received_at, skew, corrects = given[0], given[1], given[2]
    if stamp == ABSENT:
        return received_at
    if corrects and sent != ABSENT:
        behind = received_at - sent
        skew = behind if abs(behind) > MAX_CLOCK_SKEW_MS else 0
    stamp += skew
    if stamp < 0:
        odd[BEFORE_1970] += 1
        return received_at
    return min(stamp, received_at)


@kernel
def _code(codes: Any, coded: Any, n_coded: Any, kind: int, text: int) -> Any:
    if codes[text] < 0:
        codes[text] = n_coded[kind]
        coded[n_coded[kind]] = text
        n_coded[kind] += 1
    return codes[text]


@kernel
def _put_key(arena: Any, at: int, text: Any, extra: Any, base: int, start: int, length: int, prefix: int) -> Any:
    arena[at], arena[at + 1] = prefix, _COLON
    return _put(arena, at + 2, text, extra, base, start, length)


@kernel
def _put(target: Any, at: int, text: Any, extra: Any, base: int, start: int, length: int) -> Any:
    if start < base:
        copy_bytes(target, at, text, start, length)
    else:
        copy_bytes(target, at, extra, start - base, length)
    return at + length

"""The gateway's half of the floor, compiled: one scan over a batch's JSON, XXH64, the numbers that are stored.

Imports nothing of the product. The scan checks the whole syntax and all UTF-8, finds the members that count, and leaves
out events that lack what they must have. It reads one byte beyond the body: a bytes object ends in a zero, which no
rule takes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import uint64

from tests.benchmarks.floor_hash import compiled, hashed, inlined

KIND, TIME, REVENUE, KEY, KEY_END, ID, ID_END, NAME, NAME_END, ZONE, ZONE_END, LOCALE, LOCALE_END = range(13)
START, END, TRAITS, TRAITS_END, KEY_HASH, ID_LOW, ID_HIGH, PARTITION = range(13, 21)
N_FIELDS = 21
DAY_MS = 86_400_000
WINDOW = 90
_PARTITION_SHIFT = 58
_WORDS = (
    b"type", b"name", b"event", b"userId", b"traits", b"context", b"messageId", b"timestamp", b"properties",
    b"anonymousId", b"timezone", b"locale", b"revenue", b"batch", b"track", b"page", b"screen", b"identify", b"group",
)  # fmt: skip
(
    _TYPE, _NAME, _EVENT, _USER, _TRAITS, _CONTEXT, _ID, _TIME, _PROPERTIES,
    _ANONYMOUS, _TIMEZONE, _LOCALE, _REVENUE, _BATCH, _TRACK, _PAGE, _SCREEN, _IDENTIFY, _GROUP,
) = (np.frombuffer(word, np.uint8) for word in _WORDS)  # fmt: skip

# -- JSON: every rule gives the index after what it took, or -1 ---------------------------------------------------


@inlined
def _blank(b: Any, i: int) -> int:
    while b[i] == 32 or b[i] == 10 or b[i] == 13 or b[i] == 9:
        i += 1
    return i


@compiled
def _escape(b: Any, i: int) -> int:
    c = b[i + 1]
    if c == 117:
        for k in range(i + 2, i + 6):
            h = b[k] | 32
            if not (48 <= b[k] <= 57 or 97 <= h <= 102):
                return -1
        return i + 6
    if c == 34 or c == 92 or c == 47 or c == 98 or c == 102 or c == 110 or c == 114 or c == 116:
        return i + 2
    return -1


@compiled
def _many_bytes(b: Any, i: int) -> int:
    """Past one character of UTF-8 beyond ASCII."""
    c = b[i]
    if 0xC2 <= c <= 0xDF:
        n, low, high = 1, 0x80, 0xBF
    elif 0xE0 <= c <= 0xEF:
        n, low, high = 2, 0xA0 if c == 0xE0 else 0x80, 0x9F if c == 0xED else 0xBF
    elif 0xF0 <= c <= 0xF4:
        n, low, high = 3, 0x90 if c == 0xF0 else 0x80, 0x8F if c == 0xF4 else 0xBF
    else:
        return -1
    if not low <= b[i + 1] <= high:
        return -1
    for k in range(i + 2, i + 1 + n):
        if b[k] & 0xC0 != 0x80:
            return -1
    return i + 1 + n


@inlined
def _text(b: Any, i: int) -> int:
    """From after the opening quote to the closing one."""
    while True:
        c = b[i]
        if c == 34:
            break
        if c == 92:
            i = _escape(b, i)
        elif c >= 128:
            i = _many_bytes(b, i)
        elif c < 32:
            i = -1
        else:
            i += 1
        if i < 0:
            break
    return i


@compiled
def _scalar(b: Any, i: int) -> int:
    c = b[i]
    if c == 116:
        return i + 4 if b[i + 1] == 114 and b[i + 2] == 117 and b[i + 3] == 101 else -1
    if c == 110:
        return i + 4 if b[i + 1] == 117 and b[i + 2] == 108 and b[i + 3] == 108 else -1
    if c == 102:
        return i + 5 if b[i + 1] == 97 and b[i + 2] == 108 and b[i + 3] == 115 and b[i + 4] == 101 else -1
    if c == 45:
        i += 1
    if b[i] == 48:
        i += 1
    elif 49 <= b[i] <= 57:
        while 48 <= b[i] <= 57:
            i += 1
    else:
        return -1
    if b[i] == 46:
        i += 1
        if not 48 <= b[i] <= 57:
            return -1
        while 48 <= b[i] <= 57:
            i += 1
    if b[i] | 32 == 101:
        i += 1
        if b[i] == 43 or b[i] == 45:
            i += 1
        if not 48 <= b[i] <= 57:
            return -1
        while 48 <= b[i] <= 57:
            i += 1
    return i


@inlined
def _member(b: Any, i: int) -> int:
    """From a member's opening quote to its value."""
    if b[i] != 34:
        i = -1
    else:
        i = _text(b, i + 1)
        if i >= 0:
            i = _blank(b, i + 1)
            i = _blank(b, i + 1) if b[i] == 58 else -1
    return i


@compiled
def _value(b: Any, i: int) -> int:
    """Past any value, 63 levels deep at most."""
    objects, depth = uint64(0), 0
    while True:
        c = b[i]
        if c == 123 or c == 91:
            i = _blank(b, i + 1)
            if b[i] == c + 2:
                i += 1
            else:
                depth += 1
                objects = (objects << uint64(1)) | uint64(1 if c == 123 else 0)
                if depth > 63:
                    return -1
                if c == 123:
                    i = _member(b, i)
                    if i < 0:
                        return -1
                continue
        elif c == 34:
            i = _text(b, i + 1)
            if i < 0:
                return -1
            i += 1
        else:
            i = _scalar(b, i)
            if i < 0:
                return -1
        while True:
            if depth == 0:
                return i
            i = _blank(b, i)
            in_object = objects & uint64(1)
            if b[i] == 44:
                i = _blank(b, i + 1)
                if in_object:
                    i = _member(b, i)
                    if i < 0:
                        return -1
                break
            if b[i] != (125 if in_object else 93):
                return -1
            depth -= 1
            objects >>= uint64(1)
            i += 1


@inlined
def _is(b: Any, start: int, end: int, word: Any) -> bool:
    same = end - start == len(word)
    if same:
        for k in range(len(word)):
            if b[start + k] != word[k]:
                same = False
                break
    return same


@inlined
def _number(b: Any, i: int, n: int) -> int:
    found = 0
    for k in range(i, i + n):
        found = found * 10 + b[k] - 48 if 48 <= b[k] <= 57 else -100_000_000
    return found


@compiled
def _instant(b: Any, i: int, end: int) -> int:
    """YYYY-MM-DDTHH:MM:SS[.f...]Z in ms; -1 if it is anything else."""
    if end - i < 20 or b[end - 1] != 90 or b[i + 10] != 84:
        return -1
    y, m, d = _number(b, i, 4), _number(b, i + 5, 2), _number(b, i + 8, 2)
    h, minute, s = _number(b, i + 11, 2), _number(b, i + 14, 2), _number(b, i + 17, 2)
    if y < 1970 or not (1 <= m <= 12 and 1 <= d <= 31 and 0 <= h < 24 and 0 <= minute < 60 and 0 <= s < 60):
        return -1
    ms, scale = 0, 100
    if b[i + 19] == 46:
        for k in range(i + 20, end - 1):
            if not 48 <= b[k] <= 57:
                return -1
            ms += scale * (b[k] - 48)
            scale //= 10
    y -= m <= 2  # days from civil (Hinnant)
    doy = (153 * (m - 3 if m > 2 else m + 9) + 2) // 5 + d - 1
    era = y // 400
    yoe = y - era * 400
    days = era * 146_097 + yoe * 365 + yoe // 4 - yoe // 100 + doy - 719_468
    return ((days * 24 + h) * 60 + minute) * 60_000 + s * 1000 + ms


@compiled
def _micros(b: Any, i: int, end: int) -> int:
    """A plain decimal in millionths, up to six places."""
    whole, part, scale, after = 0, 0, 1_000_000, False
    for k in range(i, end):
        if b[k] == 46:
            after = True
        elif after:
            scale //= 10
            part += (b[k] - 48) * scale
        else:
            whole = whole * 10 + b[k] - 48
    return whole * 1_000_000 + part


@compiled
def _event(b: Any, i: int, row: Any) -> int:
    """One event object: its members into ``row``. -1 when it is not JSON."""
    row[:] = 0
    row[START] = i
    row[TIME] = -1
    known = False
    i = _blank(b, i + 1)
    while True:
        start = i + 1
        if b[i] != 34:
            return -1
        end = _text(b, start)
        if end < 0:
            return -1
        i = _blank(b, end + 1)
        if b[i] != 58:
            return -1
        i = _blank(b, i + 1)
        text, at = b[i] == 34, i
        if b[i] == 123 and _is(b, start, end, _CONTEXT):
            i = _inside(b, i, row, True)
        elif b[i] == 123 and _is(b, start, end, _PROPERTIES):
            i = _inside(b, i, row, False)
        else:
            i = _value(b, i)
        if i < 0:
            return -1
        if text:
            first, last = at + 1, i - 1
            if _is(b, start, end, _ID):
                row[ID], row[ID_END] = first, last
            elif _is(b, start, end, _TYPE):
                row[KIND] = _kind(b, first, last)
            elif _is(b, start, end, _TIME):
                row[TIME] = _instant(b, first, last)
            elif _is(b, start, end, _USER):
                row[KEY], row[KEY_END], known = first, last, True
            elif _is(b, start, end, _ANONYMOUS) and not known:
                row[KEY], row[KEY_END] = first, last
            elif _is(b, start, end, _EVENT) or _is(b, start, end, _NAME):
                row[NAME], row[NAME_END] = first, last
        elif b[at] == 123 and _is(b, start, end, _TRAITS):
            row[TRAITS], row[TRAITS_END] = at, i
        i = _blank(b, i)
        if b[i] == 125:
            break
        if b[i] != 44:
            return -1
        i = _blank(b, i + 1)
    row[END] = i + 1
    return i + 1


@compiled
def _inside(b: Any, i: int, row: Any, context: bool) -> int:
    """The members of context or properties that count."""
    i = _blank(b, i + 1)
    if b[i] == 125:
        return i + 1
    while True:
        start = i + 1
        if b[i] != 34:
            return -1
        end = _text(b, start)
        if end < 0:
            return -1
        i = _blank(b, end + 1)
        if b[i] != 58:
            return -1
        at = _blank(b, i + 1)
        i = _value(b, at)
        if i < 0:
            return -1
        if context and b[at] == 34:
            if _is(b, start, end, _TIMEZONE):
                row[ZONE], row[ZONE_END] = at + 1, i - 1
            elif _is(b, start, end, _LOCALE):
                row[LOCALE], row[LOCALE_END] = at + 1, i - 1
        elif not context and 48 <= b[at] <= 57 and _is(b, start, end, _REVENUE):
            row[REVENUE] = _micros(b, at, i)
        i = _blank(b, i)
        if b[i] == 125:
            return i + 1
        if b[i] != 44:
            return -1
        i = _blank(b, i + 1)


@compiled
def _kind(b: Any, start: int, end: int) -> int:
    if _is(b, start, end, _TRACK):
        return 1
    if _is(b, start, end, _PAGE):
        return 2
    if _is(b, start, end, _SCREEN):
        return 3
    if _is(b, start, end, _IDENTIFY):
        return 4
    return 5 if _is(b, start, end, _GROUP) else 0


@compiled
def scan(b: Any, rows: Any, seed: int) -> int:
    """Decode, validate and address a batch; how many events ``rows`` now holds, -1 when the body is not a batch.

    An event that lacks what it must have is left out.
    """
    n = 0
    i = _blank(b, 0)
    if b[i] != 123:
        return -1
    i = _blank(b, i + 1)
    while True:
        start = i + 1
        i = _member(b, i)
        if i < 0:
            return -1
        if b[i] == 91 and _is(b, start, start + 5, _BATCH) and b[start + 5] == 34:
            i = _blank(b, i + 1)
            while b[i] == 123:
                i = _event(b, i, rows[n])
                if i < 0:
                    return -1
                n += _addressed(b, rows[n], seed)
                i = _blank(b, i)
                if b[i] == 44:
                    i = _blank(b, i + 1)
            if b[i] != 93:
                return -1
            i += 1
        else:
            i = _value(b, i)
            if i < 0:
                return -1
        i = _blank(b, i)
        if b[i] == 125:
            return n
        if b[i] != 44:
            return -1
        i = _blank(b, i + 1)


@compiled
def _addressed(b: Any, row: Any, seed: int) -> int:
    if row[KIND] == 0 or row[KEY] == row[KEY_END] or row[ID] == row[ID_END] or row[END] - row[START] > 32_768:
        return 0
    if row[KIND] == 1 and row[NAME] == row[NAME_END]:
        return 0
    key = hashed(b, row[KEY], row[KEY_END], seed)
    row[KEY_HASH] = key
    row[PARTITION] = key >> uint64(_PARTITION_SHIFT)
    row[ID_LOW] = hashed(b, row[ID], row[ID_END], 1)
    row[ID_HIGH] = hashed(b, row[ID], row[ID_END], 2)
    return 1


# -- encoding ---------------------------------------------------------------------------------------------------------

N_STORED = 14


@compiled
def encode(rows: Any, n: int, received: int, out: Any) -> None:
    """The numbers of n events, which are stored in front of the body that they point into."""
    for e in range(n):
        row, stored = rows[e], out[e]
        stored[0], stored[1], stored[2], stored[3], stored[4] = (
            row[TIME],
            received,
            row[REVENUE],
            row[ID_LOW],
            row[ID_HIGH],
        )
        stored[5] = row[KIND] | row[PARTITION] << 8
        stored[6], stored[7], stored[8], stored[9] = row[KEY_HASH], row[KEY], row[KEY_END], row[ID]
        stored[10], stored[11], stored[12], stored[13] = row[ID_END], row[NAME], row[START], row[END]

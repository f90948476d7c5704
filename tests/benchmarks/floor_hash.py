"""The floor's hash, compiled: XXH64 (xxHash specification, 0.8). Imports nothing of the product."""

from __future__ import annotations

from typing import Any

from numba import njit, uint64

_P1, _P2, _P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_P4, _P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


compiled: Any = njit(cache=True, nogil=True)
inlined: Any = njit(cache=True, nogil=True, inline="always")


@inlined
def _eight(b: Any, i: int) -> Any:
    return (
        uint64(b[i]) | uint64(b[i + 1]) << uint64(8) | uint64(b[i + 2]) << uint64(16) | uint64(b[i + 3]) << uint64(24)
        | uint64(b[i + 4]) << uint64(32) | uint64(b[i + 5]) << uint64(40) | uint64(b[i + 6]) << uint64(48)
        | uint64(b[i + 7]) << uint64(56)
    )  # fmt: skip


@inlined
def _turned(x: Any, n: int) -> Any:
    return (x << uint64(n)) | (x >> uint64(64 - n))


@inlined
def _round(acc: Any, word: Any) -> Any:
    return _turned(acc + word * uint64(_P2), 31) * uint64(_P1)


@compiled
def hashed(b: Any, start: int, end: int, seed: int) -> Any:
    """XXH64 of b[start:end]."""
    p1, p2, p3, p4, p5 = uint64(_P1), uint64(_P2), uint64(_P3), uint64(_P4), uint64(_P5)
    i, length = start, end - start
    if length >= 32:
        v1, v2, v3, v4 = uint64(seed) + p1 + p2, uint64(seed) + p2, uint64(seed), uint64(seed) - p1
        while i + 32 <= end:
            v1, v2 = _round(v1, _eight(b, i)), _round(v2, _eight(b, i + 8))
            v3, v4 = _round(v3, _eight(b, i + 16)), _round(v4, _eight(b, i + 24))
            i += 32
        h = _turned(v1, 1) + _turned(v2, 7) + _turned(v3, 12) + _turned(v4, 18)
        for v in (v1, v2, v3, v4):
            h = (h ^ _round(uint64(0), v)) * p1 + p4
    else:
        h = uint64(seed) + p5
    h += uint64(length)
    while i + 8 <= end:
        h = _turned(h ^ _round(uint64(0), _eight(b, i)), 27) * p1 + p4
        i += 8
    if i + 4 <= end:
        four = uint64(b[i]) | uint64(b[i + 1]) << uint64(8) | uint64(b[i + 2]) << uint64(16)
        h = _turned(h ^ ((four | uint64(b[i + 3]) << uint64(24)) * p1), 23) * p2 + p3
        i += 4
    while i < end:
        h = _turned(h ^ (uint64(b[i]) * p5), 11) * p1
        i += 1
    h = (h ^ (h >> uint64(33))) * p2
    h = (h ^ (h >> uint64(29))) * p3
    return h ^ (h >> uint64(32))

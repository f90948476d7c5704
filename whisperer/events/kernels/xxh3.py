"""Hash slices of a buffer in kernels, with XXH3 of 64 and 128 bits, bit for bit as the ``xxhash`` package does.

Written from the xxHash specification, version 0.8 (doc/xxhash_spec.md of the reference implementation), whose names
are kept if they are meaningful. Python code hashes with ``xxhash``; see :mod:`whisperer.ids`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from whisperer.events.kernels.intrinsics import byte_at, half_word_at, kernel, product, swapped, word_at

_U = np.uint64
_PRIME32_1, _PRIME32_2, _PRIME32_3 = _U(0x9E3779B1), _U(0x85EBCA77), _U(0xC2B2AE3D)
_PRIME64_1, _PRIME64_2 = _U(0x9E3779B185EBCA87), _U(0xC2B2AE3D27D4EB4F)
_PRIME64_3, _PRIME64_4 = _U(0x165667B19E3779F9), _U(0x85EBCA77C2B2AE63)
_PRIME64_5 = _U(0x27D4EB2F165667C5)
_MIX_1, _MIX_2 = _U(0x165667919E3779F9), _U(0x9FB21C651E98DF25)
_HALF = _U(0xFFFFFFFF)
_ZERO = _U(0)

_SECRET = np.frombuffer(
    bytes.fromhex(
        "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
        "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
        "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
        "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
        "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
        "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
    ),
    np.uint8,
)
_SECRET_BYTES = 192
_STRIPE, _STRIPES, _BLOCK = 64, 16, 1024
_ACCUMULATORS = np.array(
    [_PRIME32_3, _PRIME64_1, _PRIME64_2, _PRIME64_3, _PRIME64_4, _PRIME32_2, _PRIME64_5, _PRIME32_1], np.uint64
)

Buffer = NDArray[np.uint8]


@kernel
def hash64(buffer: Buffer, start: int, length: int, seed: Any) -> Any:
    """Return the XXH3-64 of ``length`` bytes; ``seed`` and the hash are uint64."""
    if length > 16:
        if length > 240:
            return _hash64_long(buffer, start, length, seed)
        return _hash64_medium(buffer, start, length, seed)
    if length > 8:
        low = ((word_at(_SECRET, 24) ^ word_at(_SECRET, 32)) + seed) ^ word_at(buffer, start)
        high = ((word_at(_SECRET, 40) ^ word_at(_SECRET, 48)) - seed) ^ word_at(buffer, start + length - 8)
        return _avalanche(_U(length) + swapped(low) + high + _folded(low, high))
    if length > 3:
        seed ^= _swapped_half(seed) << _U(32)
        combined = half_word_at(buffer, start + length - 4) | half_word_at(buffer, start) << _U(32)
        value = ((word_at(_SECRET, 8) ^ word_at(_SECRET, 16)) - seed) ^ combined
        value ^= _rotated(value, 49) ^ _rotated(value, 24)
        value *= _MIX_2
        value ^= (value >> _U(35)) + _U(length)
        value *= _MIX_2
        return value ^ (value >> _U(28))
    if length > 0:
        value = (half_word_at(_SECRET, 0) ^ half_word_at(_SECRET, 4)) + seed
        return _avalanche_64(value ^ _combined(buffer, start, length))
    return _avalanche_64(seed ^ word_at(_SECRET, 56) ^ word_at(_SECRET, 64))


@kernel
def hash128(buffer: Buffer, start: int, length: int) -> Any:
    """Return the (low, high) words of the XXH3-128 of ``length`` bytes, seed 0."""
    if length > 16:
        if length > 240:
            return _hash128_long(buffer, start, length)
        return _hash128_medium(buffer, start, length)
    if length > 8:
        first, last = word_at(buffer, start), word_at(buffer, start + length - 8)
        one = word_at(_SECRET, 32) ^ word_at(_SECRET, 40) ^ first ^ last
        other = word_at(_SECRET, 48) ^ word_at(_SECRET, 56) ^ last
        low, high = product(one, _PRIME64_1)
        low += _U(length - 1) << _U(54)
        high += other + (other & _HALF) * (_PRIME32_2 - _U(1))
        low ^= swapped(high)
        low, carried = product(low, _PRIME64_2)
        return _avalanche(low), _avalanche(carried + high * _PRIME64_2)
    if length > 3:
        combined = half_word_at(buffer, start) | half_word_at(buffer, start + length - 4) << _U(32)
        value = word_at(_SECRET, 16) ^ word_at(_SECRET, 24) ^ combined
        low, high = product(value, _PRIME64_1 + (_U(length) << _U(2)))
        high += low << _U(1)
        low ^= high >> _U(3)
        low ^= low >> _U(35)
        low *= _MIX_2
        return low ^ (low >> _U(28)), _avalanche(high)
    if length > 0:
        combined = _combined(buffer, start, length)
        reverse = _swapped_half(combined)
        reverse = ((reverse << _U(13)) | (reverse >> _U(19))) & _HALF
        low = half_word_at(_SECRET, 0) ^ half_word_at(_SECRET, 4) ^ combined
        high = half_word_at(_SECRET, 8) ^ half_word_at(_SECRET, 12) ^ reverse
        return _avalanche_64(low), _avalanche_64(high)
    return (
        _avalanche_64(word_at(_SECRET, 64) ^ word_at(_SECRET, 72)),
        _avalanche_64(word_at(_SECRET, 80) ^ word_at(_SECRET, 88)),
    )


# -- 17 to 240 bytes --------------------------------------------------------------------------------------------------


@kernel
def _hash64_medium(buffer: Buffer, start: int, length: int, seed: Any) -> Any:
    total = _U(length) * _PRIME64_1
    if length <= 128:
        for i in range(((length - 1) >> 5), -1, -1):
            total += _mixed(buffer, start + 16 * i, 32 * i, seed)
            total += _mixed(buffer, start + length - 16 * i - 16, 32 * i + 16, seed)
        return _avalanche(total)
    for i in range(8):
        total += _mixed(buffer, start + 16 * i, 16 * i, seed)
    total = _avalanche(total)
    for i in range(8, length >> 4):
        total += _mixed(buffer, start + 16 * i, 16 * (i - 8) + 3, seed)
    return _avalanche(total + _mixed(buffer, start + length - 16, 119, seed))


@kernel
def _hash128_medium(buffer: Buffer, start: int, length: int) -> Any:
    one, other = _U(length) * _PRIME64_1, _ZERO
    if length <= 128:
        for i in range(((length - 1) >> 5), -1, -1):
            one, other = _mixed_two(one, other, buffer, start + 16 * i, start + length - 16 * i - 16, 32 * i)
    else:
        for i in range(4):
            one, other = _mixed_two(one, other, buffer, start + 32 * i, start + 32 * i + 16, 32 * i)
        one, other = _avalanche(one), _avalanche(other)
        for i in range(4, length >> 5):
            one, other = _mixed_two(one, other, buffer, start + 32 * i, start + 32 * i + 16, 32 * (i - 4) + 3)
        one, other = _mixed_two(one, other, buffer, start + length - 16, start + length - 32, 103)
    high = one * _PRIME64_1 + other * _PRIME64_4 + _U(length) * _PRIME64_2
    return _avalanche(one + other), _ZERO - _avalanche(high)


@kernel
def _mixed(buffer: Buffer, at: int, secret_at: int, seed: Any) -> Any:
    return _folded(
        word_at(buffer, at) ^ (word_at(_SECRET, secret_at) + seed),
        word_at(buffer, at + 8) ^ (word_at(_SECRET, secret_at + 8) - seed),
    )


@kernel
def _mixed_two(one: Any, other: Any, buffer: Buffer, at: int, other_at: int, secret_at: int) -> Any:
    one += _mixed(buffer, at, secret_at, _ZERO)
    other += _mixed(buffer, other_at, secret_at + 16, _ZERO)
    one ^= word_at(buffer, other_at) + word_at(buffer, other_at + 8)
    other ^= word_at(buffer, at) + word_at(buffer, at + 8)
    return one, other


# -- over 240 bytes ---------------------------------------------------------------------------------------------------


@kernel
def _hash64_long(buffer: Buffer, start: int, length: int, seed: Any) -> Any:
    secret = _SECRET.copy()
    words = secret.view(np.uint64)
    for i in range(0, len(words), 2):
        words[i] += seed
        words[i + 1] -= seed
    totals = _accumulated(buffer, start, length, secret)
    return _merged(totals, secret, 11, _U(length) * _PRIME64_1)


@kernel
def _hash128_long(buffer: Buffer, start: int, length: int) -> Any:
    secret = _SECRET.copy()
    totals = _accumulated(buffer, start, length, secret)
    low = _merged(totals, secret, 11, _U(length) * _PRIME64_1)
    return low, _merged(totals, secret, _SECRET_BYTES - 75, ~(_U(length) * _PRIME64_2))


@kernel
def _accumulated(buffer: Buffer, start: int, length: int, secret: Buffer) -> Any:
    totals = _ACCUMULATORS.copy()
    for stripe in range((length - 1) // _STRIPE):
        of_block = stripe % _STRIPES
        if stripe and not of_block:
            _scramble(totals, secret)
        _accumulate(totals, buffer, start + stripe * _STRIPE, secret, of_block * 8)
    # The loop scrambles a full block before the next block's first stripe; if that is the last stripe, it is done here.
    if length > _BLOCK and (length - 1) // _STRIPE % _STRIPES == 0:
        _scramble(totals, secret)
    _accumulate(totals, buffer, start + length - _STRIPE, secret, _SECRET_BYTES - 71)
    return totals


@kernel
def _accumulate(totals: Any, buffer: Buffer, at: int, secret: Buffer, secret_at: int) -> None:
    for i in range(8):
        given = word_at(buffer, at + 8 * i)
        value = given ^ word_at(secret, secret_at + 8 * i)
        totals[i ^ 1] += given
        totals[i] += (value & _HALF) * (value >> _U(32))


@kernel
def _scramble(totals: Any, secret: Buffer) -> None:
    for i in range(8):
        total = totals[i] ^ (totals[i] >> _U(47)) ^ word_at(secret, _SECRET_BYTES - _STRIPE + 8 * i)
        totals[i] = total * _PRIME32_1


@kernel
def _merged(totals: Any, secret: Buffer, secret_at: int, begin: Any) -> Any:
    result = begin
    for i in range(4):
        at = secret_at + 16 * i
        result += _folded(totals[2 * i] ^ word_at(secret, at), totals[2 * i + 1] ^ word_at(secret, at + 8))
    return _avalanche(result)


# -- arithmetic -------------------------------------------------------------------------------------------------------


@kernel
def _folded(one: Any, other: Any) -> Any:
    low, high = product(one, other)
    return low ^ high


@kernel
def _avalanche(value: Any) -> Any:
    value ^= value >> _U(37)
    value *= _MIX_1
    return value ^ (value >> _U(32))


@kernel
def _avalanche_64(value: Any) -> Any:
    value ^= value >> _U(33)
    value *= _PRIME64_2
    value ^= value >> _U(29)
    value *= _PRIME64_3
    return value ^ (value >> _U(32))


@kernel
def _rotated(value: Any, left: int) -> Any:
    return (value << _U(left)) | (value >> _U(64 - left))


@kernel
def _swapped_half(value: Any) -> Any:
    """Reverse the four bytes of a word's low half."""
    return swapped(value & _HALF) >> _U(32)


@kernel
def _combined(buffer: Buffer, start: int, length: int) -> Any:
    """Pack one to three bytes and their number into one half word."""
    first, middle = byte_at(buffer, start), byte_at(buffer, start + (length >> 1))
    return _U(byte_at(buffer, start + length - 1) | length << 8 | first << 16 | middle << 24)

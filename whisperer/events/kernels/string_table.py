"""Number a body's distinct strings in a kernel: names, time zones and locales, which repeat from event to event.

The table is an array of (place, bytes, uses) by number, whose first entry holds the next number, plus an
open-addressing index of int32 slots, initially zero, a power of two larger than the table. The caller makes both large
enough: an event adds at most one string of each use.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from whisperer.events.kernels.intrinsics import MASKS, kernel, word_at
from whisperer.events.kernels.xxh3 import hash64

NAME_USE, ZONE_USE, LOCALE_USE = 1, 2, 4  # bits: what a string is used as


@kernel
def number_of(text: Any, start: int, length: int, use: int, strings: Any, slots: Any) -> Any:
    """Return the number of a string, adding it to the table if it is new."""
    mask = len(slots) - 1
    slot = np.int64(hash64(text, start, length, np.uint64(0)) & np.uint64(mask))
    while True:
        number = np.int64(slots[slot])
        if number == 0:
            number = strings[0, 0]
            strings[0, 0] = number + 1
            strings[number, 0], strings[number, 1], strings[number, 2] = start, length, use
            slots[slot] = number
            return number
        if strings[number, 1] == length and _is_same(text, strings[number, 0], start, length):
            strings[number, 2] |= use
            return number
        slot = (slot + 1) & mask


@kernel
def _is_same(text: Any, one: int, other: int, length: int) -> Any:
    while length >= 8:
        if word_at(text, one) != word_at(text, other):
            return False
        one, other, length = one + 8, other + 8, length - 8
    return (word_at(text, one) ^ word_at(text, other)) & MASKS[length] == np.uint64(0)

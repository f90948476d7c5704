"""Filter small files by decision id: the catalog's entry of a file says which ids it may hold, so a look-up opens few.

Each minute's export makes one file per shard, so a tenant has thousands that are not merged yet, and an id says nothing
about where it lies. With ten bits per id in a Bloom filter, one file in a hundred is opened for nothing. Large files
have none: they are few, and sorted by decision, so that their own statistics leave one row group to read.

References
----------
Bloom, CACM 1970; Kirsch & Mitzenmacher, ESA 2006 (two hashes make all of them).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

MOST_IDS = 4_096
BITS_AN_ID = 10
N_HASHES = 7


def bloom_of(ids: Iterable[str]) -> bytes:
    """Return a filter of these ids; b"" where there are more than :data:`MOST_IDS`, or none."""
    distinct = set(ids)
    if not 0 < len(distinct) <= MOST_IDS:
        return b""
    bits = np.zeros(-(-BITS_AN_ID * len(distinct) // 8) * 8, np.bool_)
    for id in distinct:
        bits[_places(id, len(bits))] = True
    return np.packbits(bits).tobytes()


def may_hold(bloom: bytes, id: str) -> bool:
    """Return False only if the id is not among those that the filter was made of."""
    if not bloom:
        return True
    return all(bloom[place >> 3] >> (7 - (place & 7)) & 1 for place in _places(id, 8 * len(bloom)))


def _places(id: str, n_bits: int) -> list[int]:
    digest = hashlib.blake2b(id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    first, second = int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little") | 1
    return [(first + n * second) % n_bits for n in range(N_HASHES)]

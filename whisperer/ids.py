"""Ids that own their string form, and the hash that places a user.

A *user key* is ``u:<userId>`` or ``a:<anonymousId>``: the two name spaces never meet. A partition is the high bits of a
64-bit hash of the key, so that a bucket can later be split in two without moving the others. XXH3-64 is stable across
releases and platforms (xxHash specification, v0.8); changing it would strand every stored user, so a test pins values.
"""

from __future__ import annotations

import secrets
import time

import xxhash

PARTITION_BITS = 6
N_PARTITIONS = 1 << PARTITION_BITS
_PARTITION_SHIFT = 64 - PARTITION_BITS

KNOWN_PREFIX = "u:"
ANONYMOUS_PREFIX = "a:"

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32: sorts like the number, no look-alikes


def known_key(user_id: str) -> str:
    return KNOWN_PREFIX + user_id


def anonymous_key(anonymous_id: str) -> str:
    return ANONYMOUS_PREFIX + anonymous_id


def is_anonymous(key: str) -> bool:
    return key.startswith(ANONYMOUS_PREFIX)


def bare_id(key: str) -> str:
    """The client's own id inside a user key."""
    return key[2:]


def tenant_seed(tenant_id: str) -> int:
    """Seed that makes each tenant's placement its own, so that one hot id does not heat one shard for all."""
    return xxhash.xxh3_64_intdigest(tenant_id.encode())


def key_hash(key: str, seed: int) -> int:
    """64 bits that place a user key, and find it in a shard's index; ``seed`` from :func:`tenant_seed`."""
    return xxhash.xxh3_64_intdigest(key.encode("utf-8", "surrogatepass"), seed)


def partition_of(key: str, seed: int) -> int:
    """Partition of a user key, in [0, N_PARTITIONS): the high bits of its hash."""
    return key_hash(key, seed) >> _PARTITION_SHIFT


def message_hash(message_id: str) -> bytes:
    """16 bytes that stand for a client's messageId in the dedup index."""
    return xxhash.xxh3_128_digest(message_id.encode("utf-8", "surrogatepass"))


def new_id(prefix: str, now_ms: int | None = None) -> str:
    """A prefixed id that sorts by time of creation: ``tn_01j…`` (48 bits of milliseconds, 60 random bits)."""
    ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    number = (ms << 60) | secrets.randbits(60)
    digits = []
    for _ in range(22):
        number, digit = divmod(number, 32)
        digits.append(_ALPHABET[digit])
    return f"{prefix}_{''.join(reversed(digits))}"

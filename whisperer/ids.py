"""Give ids their types, build ids and user keys, and hash keys to place users.

The types exist for the type checker; at run time a TenantId is a str. A value gets its type where it enters (a request,
a command line, a row of a database, an array) and keeps it from there on.

A *user key* is ``u:<userId>`` or ``a:<anonymousId>``: the two namespaces never meet. A partition is the high bits of a
64-bit hash of the key, so that a bucket can later be split in two without moving the others. XXH3-64 is stable across
releases and platforms (xxHash specification, v0.8); changing it would strand every stored user, so a test pins values.
"""

from __future__ import annotations

import secrets
import time
from typing import NewType

import xxhash

TenantId = NewType("TenantId", str)
UserKey = NewType("UserKey", str)
DecisionId = NewType("DecisionId", str)
SendKey = NewType("SendKey", str)
Partition = NewType("Partition", int)
"""A partition of a tenant's users, in [0, N_PARTITIONS)."""

PARTITION_BITS = 6
N_PARTITIONS = 1 << PARTITION_BITS
_PARTITION_SHIFT = 64 - PARTITION_BITS

KNOWN_PREFIX = "u:"
ANONYMOUS_PREFIX = "a:"

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32: sorts like the number, no look-alikes


def known_key(user_id: str) -> UserKey:
    """Return the user key of a userId."""
    return UserKey(KNOWN_PREFIX + user_id)


def anonymous_key(anonymous_id: str) -> UserKey:
    """Return the user key of an anonymousId."""
    return UserKey(ANONYMOUS_PREFIX + anonymous_id)


def is_anonymous(key: UserKey) -> bool:
    """Check if a user key is made of an anonymousId."""
    return key.startswith(ANONYMOUS_PREFIX)


def bare_id(key: UserKey) -> str:
    """Return the client's own id inside a user key."""
    return key[2:]


def tenant_seed(tenant_id: TenantId) -> int:
    """Return the seed of a tenant's own placement, so that one hot id does not hit the same shard for all tenants."""
    return xxhash.xxh3_64_intdigest(tenant_id.encode())


def key_hash(key: UserKey, seed: int) -> int:
    """Hash a user key to the 64 bits that place it and find it in a shard's index; ``seed``: :func:`tenant_seed`."""
    return xxhash.xxh3_64_intdigest(key.encode("utf-8", "surrogatepass"), seed)


def partition_of(key: UserKey, seed: int) -> Partition:
    """Return the partition of a user key, in [0, N_PARTITIONS): the high bits of its hash."""
    return Partition(key_hash(key, seed) >> _PARTITION_SHIFT)


def message_hash(message_id: str) -> bytes:
    """Hash a client's messageId to the 16 bytes that stand for it in the dedup index."""
    return xxhash.xxh3_128_digest(message_id.encode("utf-8", "surrogatepass"))


def new_id(prefix: str, now_ms: int | None = None) -> str:
    """Make a prefixed id that sorts by time of creation: ``tn_01j…`` (48 bits of milliseconds, 60 random bits)."""
    ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    number = (ms << 60) | secrets.randbits(60)
    digits = []
    for _ in range(22):
        number, digit = divmod(number, 32)
        digits.append(_ALPHABET[digit])
    return f"{prefix}_{''.join(reversed(digits))}"

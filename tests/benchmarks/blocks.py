"""Event blocks as a gateway would send them, made by the hundred thousand: for benchmarks that feed a shard directly."""

from __future__ import annotations

import json

import numpy as np
import xxhash
from numpy.typing import NDArray

from tests.benchmarks.ours import SEGMENTS
from whisperer.events.block import EVENT, encode_block
from whisperer.events.parts import BlockPart, merge
from whisperer.events.types import EventType, Flag
from whisperer.ids import KNOWN_PREFIX, PARTITION_BITS, tenant_seed
from whisperer.shard.records import RECORD_VERSION, ConfigPublished, Events, Record, SegmentConfig

TENANT = "tn_bench"
SEED = tenant_seed(TENANT)
NOW = 1_795_000_000_000
DAY_MS = 86_400_000
TRAITS_EVERY = 20
"""One event in so many is an identify with traits, as in the load over HTTP."""
_NAMES = ("Report Exported", "Dashboard Viewed", "Order Completed", "Search Performed", "$identify")
_ZONES = ("", "Europe/Paris", "America/New_York")
_LOCALES = ("", "fr-FR", "en-US")
_TRACK = json.dumps({"type": "track", "properties": {"plan": "team", "items": 3, "note": "x" * 250}}).encode()
_IDENTIFY = json.dumps(
    {"type": "identify", "traits": {"email": "someone@load.example", "name": "Load Test", "plan": "team"}}
).encode()


def key_of(user: int) -> str:
    return f"{KNOWN_PREFIX}load-{user:09d}"


def message_id(number: int) -> bytes:
    return b"load-%019x" % number


def block(numbers: NDArray[np.int64], users: NDArray[np.int64], now: int, *, traits: bool = True) -> bytes:
    """Events of these numbers (a messageId each) of these users, encoded; both of shape (n,)."""
    n = len(users)
    keys = [key_of(user).encode() for user in users.tolist()]
    ids = [message_id(number) for number in numbers.tolist()]
    digests = b"".join([xxhash.xxh3_128_digest(name) for name in ids])
    hashes = np.array([xxhash.xxh3_64_intdigest(key, SEED) for key in keys], np.uint64)
    place = np.arange(n)
    stated = (numbers % TRAITS_EVERY == 0) & traits
    rows = np.zeros(n, EVENT)
    rows["message_a"], rows["message_b"] = np.frombuffer(digests, np.uint64).reshape(-1, 2).T
    rows["key_hash"] = hashes
    rows["partition"] = hashes >> np.uint64(64 - PARTITION_BITS)
    rows["timestamp"] = now - 1
    rows["received"] = now
    rows["revenue"] = np.where(numbers % 50 == 7, 49_000_000, 0)
    rows["payload_at"] = np.where(stated, len(_TRACK), 0)
    rows["payload_bytes"] = np.where(stated, len(_IDENTIFY), len(_TRACK))
    rows["key_bytes"], rows["message_bytes"] = len(keys[0]), len(ids[0])
    rows["text_at"] = place * (len(keys[0]) + len(ids[0]))
    rows["name"] = np.where(stated, len(_NAMES) - 1, numbers % (len(_NAMES) - 1))
    rows["zone"] = rows["locale"] = 1 + place % 2
    rows["kind"] = np.where(stated, int(EventType.IDENTIFY), int(EventType.TRACK))
    rows["flags"] = np.where(stated, int(Flag.TRAITS), 0)
    text = b"".join([part for pair in zip(keys, ids, strict=True) for part in pair])
    part = BlockPart(rows, text, _TRACK + _IDENTIFY, _NAMES, _ZONES, _LOCALES)
    return encode_block(merge(TENANT, [part]))


def events(numbers: NDArray[np.int64], users: NDArray[np.int64], now: int) -> Record:
    return Record(RECORD_VERSION, 1, now, Events(block(numbers, users, now)))


def segments(now: int = NOW) -> Record:
    """Publishes the three segments of the benchmarks of ingestion."""
    configs = [SegmentConfig(f"s{n}", 1, json.dumps(predicate)) for n, predicate in enumerate(SEGMENTS)]
    return Record(RECORD_VERSION, 1, now, ConfigPublished(TENANT, 1, configs))

"""Cost of ingestion, step by step: `python -m tests.benchmarks.bench_events` prints JSON, microseconds an event.

500-event batches of about 450 bytes an event, as the product's figure is stated; the median of the rounds, and of the
whole also the best. Each step is run alone, so the steps need not add up.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import statistics
import time
import uuid
from collections import Counter
from collections.abc import Callable

from whisperer.events.address import address
from whisperer.events.admit import admit
from whisperer.events.block import BlockBuilder, encode_block
from whisperer.events.clock import event_times
from whisperer.events.decompress import decompress
from whisperer.events.money import revenues
from whisperer.events.nesting import nests_too_deep
from whisperer.events.outcome import Notice
from whisperer.events.parse import Parsed, parse_body
from whisperer.events.place import places
from whisperer.events.requirements import faults_of
from whisperer.events.routes import Route
from whisperer.events.types import EventType
from whisperer.events.unicode_check import is_utf8
from whisperer.events.wire import decode_batch, decode_event
from whisperer.ids import N_PARTITIONS, message_hash, tenant_seed

RECEIVED_AT = 1_795_395_322_700
SEED = tenant_seed("tn_bench")


def event(rng: random.Random, index: int) -> dict[str, object]:
    stamp = f"2026-11-23T00:{rng.randrange(55):02d}:{rng.randrange(60):02d}.{rng.randrange(1000):03d}Z"
    return {
        "type": "track",
        "event": rng.choice(["Feature Used", "Page Viewed", "Order Completed", "Export Started"]),
        "userId": f"user-{rng.randrange(100_000):08d}",
        "messageId": str(uuid.UUID(int=rng.getrandbits(128))),
        "timestamp": stamp,
        "properties": {
            "revenue": 12.5,
            "currency": "EUR",
            "feature": "export",
            "plan": "pro",
            "x": "y" * 60,
            "n": index,
        },
        "context": {
            "library": {"name": "analytics-python", "version": "2.4.0"},
            "ip": "8.8.8.8",
            "locale": "de-AT",
            "timezone": "Europe/Vienna",
        },
        "integrations": {},
    }


def batch(n_events: int, seed: int = 7) -> bytes:
    rng = random.Random(seed)
    return json.dumps(
        {"batch": [event(rng, i) for i in range(n_events)], "sentAt": "2026-11-23T00:55:22.675Z"}
    ).encode()


def run_all(body: bytes, n_shards: int) -> list[bytes]:
    """The whole way, from body to encoded blocks."""
    parsed = parse_body(body, Route.BATCH)
    assert isinstance(parsed, Parsed)
    builders = admit_into(parsed, n_shards)
    return [encode_block(builder.build()) for builder in builders.values()]


def admit_into(parsed: Parsed, n_shards: int) -> dict[int, BlockBuilder]:
    builders = {shard: BlockBuilder("tn_bench") for shard in range(n_shards)}
    outcome = admit(
        parsed,
        seed=SEED,
        received_at=RECEIVED_AT,
        client_ip="192.0.2.1",
        new_message_id=lambda: "generated",
        shard_of=[p % n_shards for p in range(N_PARTITIONS)],
        builders=builders,
    )
    assert outcome.n_accepted == len(parsed.events), outcome
    return builders


def measure(
    call: Callable[[], object], n_events: int, rounds: int, pick: Callable[[list[float]], float] = statistics.median
) -> float:
    call()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return round(pick(seconds) / n_events * 1e6, 3)


def bench(n_events: int, n_shards: int, rounds: int) -> dict[str, object]:
    body = batch(n_events)
    zipped = gzip.compress(body)
    parsed = parse_body(body, Route.BATCH)
    assert isinstance(parsed, Parsed)
    events = parsed.events
    read = [decode_event(raw) for raw in events]
    user_ids, nothing, kinds = [str(one.userId) for one in read], [None] * n_events, [int(EventType.TRACK)] * n_events
    notices: Counter[Notice] = Counter()
    builders = [builder for builder in admit_into(parsed, n_shards).values() if len(builder)]
    steps: dict[str, Callable[[], object]] = {
        "gunzip": lambda: decompress(zipped),
        "utf8": lambda: is_utf8(body),
        "split": lambda: decode_batch(body),
        "nesting": lambda: nests_too_deep(body, max(map(len, events)), is_batch=True),
        "parse_body": lambda: parse_body(body, Route.BATCH),
        "decode": lambda: [decode_event(raw) for raw in events],
        "requirements": lambda: faults_of(read, kinds, user_ids, nothing),
        "clock": lambda: event_times(read, None, RECEIVED_AT, notices, corrects=True),
        "money": lambda: revenues(read, kinds, notices),
        "place": lambda: places([one.context for one in read], notices),
        "address": lambda: address(user_ids, nothing, SEED),
        "message_hash": lambda: [message_hash(one.messageId or "") for one in read],
        "admit": lambda: admit_into(parsed, n_shards),
        "build_and_encode": lambda: [encode_block(builder.build()) for builder in builders],
    }

    def body_to_rows() -> object:
        again = parse_body(body, Route.BATCH)
        assert isinstance(again, Parsed)
        return admit_into(again, n_shards)

    return {
        "n_events": n_events,
        "bytes_per_event": round(len(body) / n_events),
        "n_shards": n_shards,
        "us_per_event": {name: measure(call, n_events, rounds) for name, call in steps.items()},
        "parse_and_admit_us_per_event": measure(body_to_rows, n_events, rounds),
        "parse_and_admit_best_us_per_event": measure(body_to_rows, n_events, rounds, min),
        "body_to_blocks_us_per_event": measure(lambda: run_all(body, n_shards), n_events, rounds),
        "body_to_blocks_best_us_per_event": measure(lambda: run_all(body, n_shards), n_events, rounds, min),
    }


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=500)
    options.add_argument("--shards", type=int, default=2)
    options.add_argument("--rounds", type=int, default=200)
    given = options.parse_args()
    print(json.dumps(bench(given.events, given.shards, given.rounds), indent=2))

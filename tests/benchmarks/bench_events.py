"""Cost of ingestion: `python -m tests.benchmarks.bench_events` prints JSON, microseconds an event.

Batches of 500 events as a server SDK sends them (about 450 bytes an event, as the product's figure is stated) and as a
browser SDK does (a context of its own in each, about 1,100 bytes), a batch of which every tenth event is not plain, and
single events; the median of the rounds and the best. Beside each, in the same process: msgspec's plain decode of the
same bytes to Python objects, its decode to typed events, and the exact way without the scanner.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from whisperer.events.admit import admit
from whisperer.events.block import encode_block
from whisperer.events.outcome import Admission
from whisperer.events.parse import Parsed, parse_body, parse_exactly
from whisperer.events.parts import merge
from whisperer.events.routes import Route
from whisperer.events.wire import decode_batch, decode_event
from whisperer.ids import N_PARTITIONS, tenant_seed

RECEIVED_AT = 1_795_395_322_700
SEED = tenant_seed("tn_bench")
NAMES = ["Feature Used", "Page Viewed", "Order Completed", "Export Started"]

_decode = msgspec.json.Decoder().decode


def event(rng: random.Random, index: int) -> dict[str, Any]:
    """A server SDK's event, 490 bytes of JSON."""
    return {
        "type": "track",
        "event": rng.choice(NAMES),
        "userId": f"user-{rng.randrange(100_000):08d}",
        "messageId": str(uuid.UUID(int=rng.getrandbits(128))),
        "timestamp": _stamp(rng),
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


def browser_event(rng: random.Random, index: int) -> dict[str, Any]:
    """A browser SDK's: a known user with an anonymousId, and where he is, in every event."""
    page = f"/projects/{rng.randrange(10_000)}/reports"
    return {
        "timestamp": _stamp(rng),
        "integrations": {},
        "type": "track",
        "event": rng.choice(NAMES),
        "userId": f"user-{rng.randrange(100_000):08d}",
        "anonymousId": str(uuid.UUID(int=rng.getrandbits(128))),
        "properties": {"plan": "pro", "n": index},
        "context": {
            "page": {
                "path": page,
                "referrer": "",
                "search": "",
                "title": "Reports – Example",
                "url": f"https://app.example.com{page}",
            },
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
            "userAgentData": {
                "brands": [{"brand": "Chromium", "version": "131"}],
                "mobile": False,
                "platform": "Linux",
            },
            "locale": "de-AT",
            "library": {"name": "analytics.js", "version": "npm:next-1.76.0"},
            "timezone": "Europe/Vienna",
        },
        "messageId": f"ajs-next-{rng.randrange(10**13)}-{uuid.UUID(int=rng.getrandbits(128))}",
        "sentAt": "2026-11-23T00:55:22.675Z",
        "_metadata": {"bundled": ["Segment.io"], "unbundled": [], "bundledIds": []},
    }


def odd_event(rng: random.Random, index: int) -> dict[str, Any]:
    """A server SDK's, of which every tenth leaves its messageId to us."""
    one = event(rng, index)
    if index % 10 == 0:
        del one["messageId"]
    return one


def _stamp(rng: random.Random) -> str:
    return f"2026-11-23T00:{rng.randrange(55):02d}:{rng.randrange(60):02d}.{rng.randrange(1000):03d}Z"


def batch(n_events: int, seed: int = 7, make: Callable[[random.Random, int], dict[str, Any]] = event) -> bytes:
    rng = random.Random(seed)
    return json.dumps({"batch": [make(rng, i) for i in range(n_events)], "sentAt": "2026-11-23T00:55:22.675Z"}).encode()


def admitted(parsed: Any, n_shards: int) -> Admission:
    assert isinstance(parsed, Parsed)
    outcome = admit(
        parsed,
        seed=SEED,
        received_at=RECEIVED_AT,
        client_ip="192.0.2.1",
        new_message_id=lambda: "generated",
        shard_of=np.arange(N_PARTITIONS) % n_shards,
    )
    assert outcome.n_accepted == len(parsed.events), outcome
    return outcome


def measure(call: Callable[[], object], n_events: int, rounds: int) -> dict[str, float]:
    call()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return {
        "median": round(statistics.median(seconds) / n_events * 1e6, 3),
        "best": round(min(seconds) / n_events * 1e6, 3),
    }


def bench(body: bytes, route: Route, n_shards: int, rounds: int) -> dict[str, Any]:
    parsed = parse_body(body, route)
    assert isinstance(parsed, Parsed)
    n_events = len(parsed.events)
    outcome = admitted(parsed, n_shards)
    steps: dict[str, Callable[[], object]] = {
        "parse_body": lambda: parse_body(body, route),
        "admit": lambda: admitted(parsed, n_shards),
        "parse and admit": lambda: admitted(parse_body(body, route), n_shards),
        "merge and encode": lambda: [encode_block(merge("tn_bench", [part])) for part in outcome.parts.values()],
        "msgspec: to Python objects": lambda: _decode(body),
        "the exact way": lambda: admitted(parse_exactly(body, route), n_shards),
    }
    if route.is_batch:
        steps["msgspec: to typed events"] = lambda: [decode_event(raw) for raw in decode_batch(body).batch or ()]
    return {
        "n_events": n_events,
        "bytes_per_event": round(len(body) / n_events),
        "us_per_event": {name: measure(call, n_events, rounds) for name, call in steps.items()},
    }


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=500)
    options.add_argument("--shards", type=int, default=2)
    options.add_argument("--rounds", type=int, default=100)
    given = options.parse_args()
    bodies = {
        "server SDK": (batch(given.events), Route.BATCH),
        "browser SDK": (batch(min(given.events, 400), make=browser_event), Route.BATCH),
        "one in ten not plain": (batch(given.events, make=odd_event), Route.BATCH),
        "single event": (json.dumps(event(random.Random(1), 0)).encode(), Route.TRACK),
        "single event of a browser": (json.dumps(browser_event(random.Random(1), 0)).encode(), Route.TRACK),
    }
    print(json.dumps({name: bench(*body, given.shards, given.rounds) for name, body in bodies.items()}, indent=2))

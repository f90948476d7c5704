"""Lists of users over HTTP at a million users: latency by filter and order, the longest hold of a shard, and neighbours.

An installation of its own, filled over HTTP with one identify per user (six traits, seen at some time of the last 90
days); scores are swept, one segment is on. Each case is asked `--requests` times by one caller, one request after the
other, with changing values; "first" is the very first one, which reads a trait from every profile. "pages" follows
next_cursor. The longest slice is what the shards report of themselves: by the clock, on a machine that does other
things, too, and in processor time. At the end another tenant sends single events at a steady rate, alone and while four
callers list without pause.

With `--direct` there is no installation: the users are written straight into the columns of as many shards in this
process, which share one event loop and one core, and pages are asked of the gateway's service over them. "cpu" is then
the processor time of a page, of all shards together.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np

from actors.calls.map_holder import MapHolder
from actors.calls.partition_map import PartitionMap
from actors.calls.shards import ShardCalls
from actors.shard import garbage
from actors.shard.listings import Listings
from serve_apps.gateway.services.user_list import UserList, UserPage
from serve_apps.gateway.services.user_query import Asked, read_query
from tests.benchmarks import ours, report
from tests.benchmarks.blocks import TENANT
from tests.benchmarks.load import http_request, paced, run
from tests.benchmarks.screen import say, table
from tests.support.stand import Stand, running, until
from whisperer.errors import OverloadError
from whisperer.ids import UserKey, known_key, partition_of, tenant_seed
from whisperer.profiles.pages import encode_page
from whisperer.profiles.scores import SCORES
from whisperer.shard.machine import Shard
from whisperer.shard.records import RECORD_VERSION, ConfigPublished, Record, SegmentConfig, Tick
from whisperer.shard.views.listing import ListingCall
from whisperer.shard.warm import warm

BATCH = 500
PLANS = ("free", "free", "free", "pro", "team")
NAMES = ("ann", "bob", "cleo", "dan", "eve", "fay", "gus", "hal")
RATE = 50
"""Single events a second of the neighbour."""
MARK_MS = 200
NOW = datetime.now(UTC)
NOW_MS = int(NOW.timestamp() * 1_000)


def bodies(n_users: int, authorization: str) -> Iterator[bytes]:
    chance = random.Random(7)
    for first in range(0, n_users, BATCH):
        events = []
        for number in range(first, min(first + BATCH, n_users)):
            traits = traits_of(number, chance)
            seen = NOW - timedelta(seconds=chance.randrange(90 * 86_400))
            events.append(
                {"type": "identify", "userId": f"user-{number:07}", "traits": traits, "timestamp": seen.isoformat()}
            )
        yield http_request("/v1/import", json.dumps({"batch": events}).encode(), authorization)


def cases(n_users: int) -> dict[str, Callable[[random.Random], dict[str, str]]]:
    def day(chance: random.Random) -> str:
        return (NOW - timedelta(days=chance.randrange(1, 80))).isoformat()

    return {
        "user_id": lambda _: {},
        "-last_seen": lambda _: {"sort": "-last_seen"},
        "-score, 500 a page": lambda _: {"sort": "-score", "limit": "500"},
        "email prefix, rare": lambda c: {
            "filter[traits.email][prefix]": f"{c.choice(NAMES)}.{c.randrange(10**4):04}",
            "sort": "-last_seen",
        },
        "email prefix, common": lambda c: {"filter[traits.email][prefix]": c.choice(NAMES), "sort": "-last_seen"},
        "plan equal": lambda c: {"filter[traits.plan]": c.choice(PLANS), "sort": "score"},
        "seats equal and plan equal": lambda c: {
            "filter[traits.seats]": str(c.randrange(200)),
            "filter[traits.plan]": "pro",
        },
        "segment": lambda _: {"filter[segment]": "pros", "sort": "-engagement"},
        "last seen range and score range": lambda c: {
            "filter[last_seen][after]": day(c),
            "filter[score][gte]": "0.5",
            "sort": "-score",
        },
        "user id prefix": lambda c: {"filter[user_id][prefix]": f"user-{c.randrange(n_users):07}"[:9]},
        "all traits shown": lambda _: {"sort": "-last_seen", "fields": "last_seen,traits"},
    }


def traits_of(number: int, chance: random.Random) -> dict[str, Any]:
    return {
        "email": f"{NAMES[number % len(NAMES)]}.{chance.randrange(10**7):07}@example.com",
        "plan": PLANS[chance.randrange(len(PLANS))],
        "name": f"{NAMES[number % len(NAMES)].title()} Smith",
        "seats": chance.randrange(200),
        "company": f"Company {number % 5_000}",
        "beta": number % 50 == 0,
    }


class Bench:
    def __init__(self, stand: Stand, options: argparse.Namespace) -> None:
        self._stand, self._options = stand, options
        self._tenant, self._neighbour = stand.tenant("large"), stand.tenant("neighbour")

    def fill(self) -> dict[str, Any]:
        n_users = self._options.users
        began = time.monotonic()
        body = {"predicate": {"trait": "plan", "op": "eq", "value": "pro"}}
        self._tenant.api.put("/v1/segments/pros", json=body).raise_for_status()
        requests = bodies(n_users, ours.authorization(self._tenant))
        loaded = asyncio.run(run(self._stand.port, requests, 4, 3_600.0))
        assert set(loaded.statuses) == {200}, loaded.statuses
        say(f"{n_users:,} users in {time.monotonic() - began:.0f} s")
        until(lambda: self._scored() >= n_users, "scores of everybody", 900)
        counts = self._tenant.counts()
        assert counts["users"] == n_users, counts["users"]
        return {"users": n_users, "load_s": round(time.monotonic() - began)}

    def _scored(self) -> int:
        page = self._tenant.api.get("/v1/users", params={"filter[score][gte]": "0", "sort": "score", "limit": "1"})
        shards = self._stand.status()["shards"]
        return sum(shard["scoring"]["last_users"] for shard in shards) if page.is_success and page.json()["data"] else 0

    def ask(self) -> list[dict[str, Any]]:
        found = []
        for name, made in cases(self._options.users).items():
            say(name)
            chance = random.Random(1)
            took = [self._timed(made(chance)) for _ in range(self._options.requests + 1)]
            found.append(figures(name, took[1:], first_ms=took[0]))
        say("pages")
        took, cursor = [], None
        for _ in range(self._options.requests):
            query = {"sort": "-last_seen", "limit": "500"} | ({} if cursor is None else {"cursor": cursor})
            began = time.perf_counter()
            page = self._tenant.api.get("/v1/users", params=query)
            took.append((time.perf_counter() - began) * 1e3)
            cursor = page.raise_for_status().json()["next_cursor"]
        return [*found, figures("pages of 500, newest first", took)]

    def _timed(self, query: dict[str, str]) -> float:
        began = time.perf_counter()
        self._tenant.api.get("/v1/users", params=query).raise_for_status()
        return (time.perf_counter() - began) * 1e3

    def neighbours(self) -> list[dict[str, Any]]:
        found = []
        for callers in (0, 4, 0):
            say(f"the neighbour's events, {callers} callers list")
            counts: Counter[int] = Counter()
            stop = threading.Event()
            threads = [threading.Thread(target=self._flood, args=(stop, counts)) for _ in range(callers)]
            for thread in threads:
                thread.start()
            answers = asyncio.run(paced(self._stand.port, self._events(), RATE))
            stop.set()
            for thread in threads:
                thread.join()
            late = [(answer.acknowledged_at - answer.due_at) * 1e3 for answer in answers]
            refused = sum(answer.status >= 400 for answer in answers)
            found.append(figures(f"{callers} callers list", late, refused=refused, lists=dict(counts)))
        return found

    def _flood(self, stop: threading.Event, counts: Counter[int]) -> None:
        headers = {"Authorization": f"Bearer {self._tenant.secret_key}"}
        with httpx.Client(base_url=self._stand.url, headers=headers, timeout=60) as client:
            while not stop.is_set():
                answer = client.get("/v1/users", params={"filter[traits.plan]": "pro", "sort": "-last_seen"})
                counts[answer.status_code] += 1

    def _events(self) -> list[bytes]:
        key = ours.authorization(self._neighbour)
        made = (
            {"type": "track", "userId": f"n{n % 500}", "event": "Swam", "messageId": uuid.uuid4().hex}
            for n in range(int(RATE * self._options.seconds))
        )
        return [http_request("/v1/track", json.dumps(one).encode(), key) for one in made]

    def shards(self) -> list[dict[str, Any]]:
        """What the shards say of the lists they made."""
        return [
            {"shard": shard["name"], "rss_mib": shard["rss_bytes"] >> 20, **shard["listing"]}
            for shard in self._stand.status()["shards"]
        ]


class Direct(ShardCalls):
    """Shards whose columns were written straight, asked in this process as over Ray."""

    def __init__(self, n_users: int, n_shards: int) -> None:
        places = MapHolder()
        places.current = PartitionMap(1, n_shards, n_shards)
        super().__init__(places)
        warm()
        self.shards = [Shard(number) for number in range(n_shards)]
        self.listings = [Listings(shard, lambda *_: False) for shard in self.shards]
        self.users = UserList(self, bytes(32))
        self._fill(n_users)

    def _fill(self, n_users: int) -> None:
        table, seed, chance = self.places.table(TENANT), tenant_seed(TENANT), random.Random(7)
        keys: list[list[UserKey]] = [[] for _ in self.shards]
        pages: list[list[bytes]] = [[] for _ in self.shards]
        for number in range(n_users):
            key = known_key(f"user-{number:07}")
            home = table[partition_of(key, seed)]
            stated = traits_of(number, chance)
            keys[home].append(key)
            pages[home].append(encode_page({n: (NOW_MS, number, json.dumps(v).encode()) for n, v in stated.items()}))
        random_ = np.random.default_rng(7)
        for number, shard in enumerate(self.shards):
            n, held = len(keys[number]), pages[number]
            people = shard.tenant(TENANT).people
            people.add(keys[number], [partition_of(key, seed) for key in keys[number]])
            for row in random_.permutation(n).tolist():  # as profiles lie in memory once many have been written to
                held[row] = bytes(bytearray(held[row]))
            people.traits[:] = held
            people.traits_bytes = sum(map(len, held))
            people.table["n_events"][:n] = 5
            people.table["last_seen"][:n] = NOW_MS - random_.integers(0, 90 * 86_400_000, n)
            people.table["first_seen"][:n] = NOW_MS - 90 * 86_400_000
            for name in SCORES:
                people.table[name][:n] = random_.random(n)
            config = SegmentConfig("pros", 1, json.dumps({"trait": "plan", "op": "eq", "value": "pro"}))
            shard.apply([(0, Record(RECORD_VERSION, 1, NOW_MS, ConfigPublished(TENANT, 1, [config])))])
            position = 1
            while shard.wants_tick(NOW_MS):
                shard.apply([(position, Record(RECORD_VERSION, 1, NOW_MS, Tick()))])
                position += 1
        garbage.keep_away()

    async def call(self, shard: int, method: str, *args: Any, timeout_s: float = 30.0) -> Any:
        return await self.listings[shard].answer(msgspec.convert(args[1], ListingCall))

    def ask(self, n_requests: int, n_users: int) -> list[dict[str, Any]]:
        found = []
        for name, made in cases(n_users).items():
            say(name)
            chance = random.Random(1)
            took, cpu, n_refused = [], [], 0
            for _ in range(n_requests + 1):
                query = made(chance)
                filters = [(n[7:-1], value) for n, value in query.items() if n.startswith("filter[")]
                limit = int(query.get("limit", "100"))
                asked = read_query(TENANT, filters, query.get("sort"), query.get("fields"), limit)
                began, cpu_began = time.perf_counter(), time.process_time()
                while (page := self._page(asked)) is None:
                    n_refused += 1
                msgspec.json.encode(page)
                took.append((time.perf_counter() - began) * 1e3)
                cpu.append((time.process_time() - cpu_began) * 1e3)
            p50, p95 = np.percentile(cpu[1:], [50, 95]).round(1).tolist()
            found.append(figures(name, took[1:], first_ms=took[0], cpu_first_ms=cpu[0], cpu_p50_ms=p50, cpu_p95_ms=p95))
            found[-1]["refused"] = n_refused
        return found

    def _page(self, asked: Asked) -> UserPage | None:
        """None for what a caller would get 503 for: the list took too long, on a machine that others use."""
        try:
            return asyncio.run(self.users.page(asked, None))
        except OverloadError:
            return None


def figures(name: str, took_ms: list[float], **more: Any) -> dict[str, Any]:
    p50, p95, p99 = np.percentile(took_ms, [50, 95, 99]).round(1).tolist()
    rounded = {key: round(value, 1) if isinstance(value, float) else value for key, value in more.items()}
    return {"case": name, "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "max_ms": round(max(took_ms), 1), **rounded}


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=100, help="of each case")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run of the neighbour")
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--direct", action="store_true", help="without an installation")
    options = parser.parse_args()
    if options.direct:
        _directly(options)
        return
    settings = {"SCORING_FIRST_AFTER_S": 5, "SCORING_INTERVAL_S": 30}
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        running(Path(folder), shards=options.shards, settings=settings) as stand,
    ):
        bench = Bench(stand, options)
        filled = bench.fill()
        load_before = os.getloadavg()[0]
        lists = bench.ask()
        found = {
            **filled,
            "lists": lists,
            "slowest_p95_ms": max(one["p95_ms"] for one in lists),
            "shards": bench.shards(),
            "neighbour": bench.neighbours(),
            "machine_load": [round(load_before, 1), round(os.getloadavg()[0], 1)],
        }
    _print(lists)
    report.publish(
        "users",
        found,
        options.json,
        payload=f"GET /v1/users, 100 a page unless stated; p95 wanted under {MARK_MS} ms",
        durability="not concerned: reads",
        load_generator="in this process, same machine, one connection",
        shards=options.shards,
    )


def _directly(options: argparse.Namespace) -> None:
    shards = Direct(options.users, options.shards)
    load_before = os.getloadavg()[0]
    lists = shards.ask(options.requests, options.users)
    _print(lists)
    report.publish(
        "users",
        {
            "users": options.users,
            "lists": lists,
            "slowest_p95_ms": max(one["p95_ms"] for one in lists),
            "slowest_cpu_p95_ms": max(one["cpu_p95_ms"] for one in lists),
            "shards": [msgspec.to_builtins(one.state()) for one in shards.listings],
            "machine_load": [round(load_before, 1), round(os.getloadavg()[0], 1)],
        },
        options.json,
        payload=f"pages of the gateway's service, 100 users unless stated; p95 wanted under {MARK_MS} ms",
        durability="not concerned: reads",
        installation="none: columns written directly, all shards on one core of this process, no HTTP",
        shards=options.shards,
    )


def _print(lists: list[dict[str, Any]]) -> None:
    names = ("p50_ms", "p95_ms", "p99_ms", "first_ms", "cpu_p50_ms", "cpu_p95_ms", "cpu_first_ms")
    print(table(("users by", *names), [(one["case"], *(one.get(name, "") for name in names)) for one in lists]))


if __name__ == "__main__":
    main()

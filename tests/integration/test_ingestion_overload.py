"""What clients are told when there is too much, too often, or nobody home. The real gateway parts over real shards."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from actors.calls.partition_map import PartitionMap
from actors.calls.shards import CallStatus
from actors.limiter import Ask, Lease, Limiter
from cluster.control_plane import ControlPlane
from serve_apps.gateway.http.access import Access
from serve_apps.gateway.http.arrivals import BodyPace
from serve_apps.gateway.http.limits import Limits
from serve_apps.gateway.http.rates import Tiers
from serve_apps.gateway.metrics.counts import ReplicaCounts
from serve_apps.gateway.tracking.coalesce import Coalescer
from serve_apps.gateway.tracking.endpoint import Ingestion, route_of
from tests.support.keyring import KEYRING
from tests.support.local_shards import LocalShards, write_installation
from whisperer.settings import TierSettings


@dataclass
class Gateway:
    shards: LocalShards
    counts: ReplicaCounts
    ingestion: Ingestion
    key: str
    tenant: str

    async def post(self, body: Any, *, chunks: list[bytes] | None = None) -> tuple[int, dict[str, str], Any]:
        """(status, headers, JSON) of a POST to /v1/batch; ``chunks`` None in the middle means the client hangs."""
        parts = [json.dumps(body).encode()] if chunks is None else list(chunks)
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            if not parts:
                await asyncio.sleep(3600)
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts) or chunks is not None}

        async def send(message: Any) -> None:
            sent.append(message)

        basic = base64.b64encode(f"{self.key}:".encode())
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/batch",
            "headers": [(b"authorization", b"Basic " + basic)],
        }
        route = route_of("/v1/batch")
        assert route is not None
        await self.ingestion(scope, receive, send, route)
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], headers, json.loads(sent[1]["body"])


async def _leased(limiter: Limiter, asks: list[Ask]) -> list[Lease]:
    return limiter.lease(asks, time.monotonic())


async def gateway(folder: Path, **options: Any) -> Gateway:
    shards = LocalShards(write_installation(folder))
    plane = ControlPlane(f"sqlite:///{folder}/control.db", keyring=KEYRING)
    tenant = plane.create_tenant("acme")
    counts = ReplicaCounts(10)
    limiter = Limiter()
    limits = Limits(lambda asks: _leased(limiter, asks))
    usual = {"pace": BodyPace(2, 1024, 5), "max_in_flight_bytes": 10**8}
    coalescer = Coalescer(shards, max_queued_events=options.pop("max_queued_events", 10**6), max_call_events=10_000)
    tier = TierSettings(
        tenant_events_per_s=options.pop("events_per_s", 0), key_requests_per_s=options.pop("requests_per_s", 0)
    )
    access = Access(plane, "op_x", 1.0, tiers=Tiers(tier))
    more = {"max_bodies": 100, "client_secret": "s"}
    ingestion = Ingestion(access, shards.places, coalescer, counts, limits, **{**usual, **more, **options})
    return Gateway(shards, counts, ingestion, plane.create_key(tenant.id, "write").key, tenant.id)


@pytest.fixture
async def closing() -> AsyncIterator[list[Gateway]]:
    made: list[Gateway] = []
    yield made
    for one in made:
        await one.shards.close()
        one.ingestion._access._plane.close()


def batch(n: int, prefix: str = "m") -> dict[str, Any]:
    return {
        "batch": [{"type": "track", "event": "x", "userId": f"u{i}", "messageId": f"{prefix}{i}"} for i in range(n)]
    }


async def test_a_tenant_over_its_rate_gets_429_and_when_to_come_back(tmp_path: Path, closing: list[Gateway]) -> None:
    made = await gateway(tmp_path, events_per_s=10)
    closing.append(made)
    assert (await made.post(batch(20)))[0] == 200
    status, headers, body = await made.post(batch(20, "n"))
    assert (status, body["code"]) == (429, "rate_limited")
    assert int(headers["retry-after"]) >= 1
    assert made.counts.rejected[made.tenant]["rate_limited"] == 20


async def test_a_full_queue_gets_503_at_once_and_what_waits_is_kept(tmp_path: Path, closing: list[Gateway]) -> None:
    made = await gateway(tmp_path, max_queued_events=30)
    closing.append(made)
    for shard in (0, 1):
        await made.shards.crash(shard)
    waiting = asyncio.ensure_future(made.post(batch(20)))
    await asyncio.sleep(0.05)
    status, headers, body = await made.post(batch(20, "n"))
    assert (status, body["code"]) == (503, "overloaded")
    assert headers["retry-after"] in {"1", "2"}
    for shard in (0, 1):
        made.shards.start(shard)
    assert (await waiting)[0] == 200
    assert sum(a._shard.tenants[made.tenant].n_users() for a in made.shards.actors.values()) == 20


async def test_a_body_that_never_ends_is_given_up_in_time(tmp_path: Path, closing: list[Gateway]) -> None:
    made = await gateway(tmp_path, pace=BodyPace(0.2, 1e6, 5))
    closing.append(made)
    status, _, body = await made.post(None, chunks=[b'{"batch":['])
    assert (status, body["code"]) == (408, "request_timeout")
    assert made.ingestion.in_flight_bytes == 0


async def test_blocks_routed_by_an_old_map_find_their_new_home(tmp_path: Path, closing: list[Gateway]) -> None:
    made = await gateway(tmp_path)
    closing.append(made)
    shards = made.shards
    assert (await made.post(batch(100)))[0] == 200
    table = list(shards.places.table(made.tenant))
    old = shards.places.current
    for version, partition in enumerate(range(64), start=2):
        source = table[partition]
        assert (await shards.call(source, "hand_over", made.tenant, partition, version, 1 - source))[0] == CallStatus.OK
    moves = {f"{made.tenant}/{p}": 1 - table[p] for p in range(64)}
    newer = type(old)(65, 2, 2, moves)
    shards.places.latest = newer
    assert shards.places.current is old
    assert (await made.post(batch(100)))[0] == 200
    assert (await made.post(batch(100, "n")))[0] == 200
    counters = [actor._shard.tenants[made.tenant].counters for actor in shards.actors.values()]
    assert sum(c["events_accepted"] for c in counters) == 200
    assert sum(c["events_duplicate"] for c in counters) == 100


async def test_a_gateway_that_has_not_seen_the_map_yet_puts_nobody_in_the_wrong_place(
    tmp_path: Path, closing: list[Gateway]
) -> None:
    made = await gateway(tmp_path)
    closing.append(made)
    shards = made.shards
    assert (await made.post(batch(1, "first")))[0] == 200  # the shards themselves have the map
    shards.places.latest, shards.places.current = shards.places.current, PartitionMap(0, 1, 1)
    assert (await made.post(batch(100)))[0] == 200
    assert shards.places.current is shards.places.latest
    table = shards.places.table(made.tenant)
    for number, actor in shards.actors.items():
        people = actor._shard.tenants[made.tenant].people
        assert {table[p] for p in people.table["partition"][: people.table.n].tolist()} == {number}


async def test_each_key_has_a_request_rate_of_its_own(tmp_path: Path, closing: list[Gateway]) -> None:
    made = await gateway(tmp_path, requests_per_s=1)
    closing.append(made)
    answers = [(await made.post(batch(1, f"a{i}")))[0] for i in range(4)]
    assert answers[:2] == [200, 200]
    assert answers[-1] == 429
    made.key = made.ingestion._access._plane.create_key(made.tenant, "write").key
    assert (await made.post(batch(1, "b")))[0] == 200

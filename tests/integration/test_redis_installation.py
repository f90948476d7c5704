"""A whole installation whose journal is in a real Redis: ingest, kill -9 of a shard, of Redis, snapshot, trim, export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.warehouse import Warehouse
from tests.faults.traffic import Traffic, differences
from tests.support.redis_stand import RedisServer, needs_redis, redis_server
from tests.support.stand import Stand, running, until

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    needs_redis()
    with redis_server(tmp_path_factory.mktemp("redis")) as started:
        yield started


@pytest.fixture(scope="module")
def stand(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    settings = {
        "JOURNAL_URL": server.url,
        "JOURNAL_SEGMENT_BYTES": 1 << 18,
        "SNAPSHOTS_INTERVAL_S": 2,
        "SNAPSHOTS_KEEP": 1,
        "WAREHOUSE_FLUSH_INTERVAL_S": 1,
    }
    with running(tmp_path_factory.mktemp("stand"), settings=settings) as started:
        yield started


@pytest.mark.timeout(600)
def test_nothing_acknowledged_is_lost_or_doubled_with_the_journal_in_redis(stand: Stand, server: RedisServer) -> None:
    tenant = stand.tenant("streams")
    with Traffic(tenant, clients=2) as traffic:
        until(lambda: traffic.n_events > 1_000, "traffic")
        stand.kill_shard(0)
        reached = traffic.n_events
        until(lambda: traffic.n_events > reached + 1_000, "traffic after a shard was killed")
        server.kill()
        server.start()
        reached = traffic.n_events
        until(lambda: traffic.n_events > reached + 1_000, "traffic after Redis was killed", 90)
        stand.kill_shard(1)
    assert tenant.counts()["events_accepted"] == traffic.n_events
    assert differences(tenant, traffic.acknowledged) == {}

    record = json.loads((stand.data_dir / "installation.json").read_bytes())
    with server.client() as client:
        keys = {key.decode() for key in client.keys("*:records")}
        assert keys == {f"whisperer-{record['id']}:{{shard-000{n}}}:records" for n in range(2)}
    until(
        lambda: all(s["journal_bytes"] < s["journal_end"] for s in stand.status()["shards"]),
        "snapshots that let the streams be trimmed",
    )

    warehouse = Warehouse(Path(stand.data_dir / "warehouse").as_uri())

    def exported() -> list[tuple[str]]:
        """A relation names the files there were when it was made: each look makes its own."""
        return warehouse.duckdb_relation(tenant.id, "events").project("message_id").fetchall()

    until(lambda: len(exported()) >= traffic.n_events, "everything in the warehouse", 60)
    found = exported()
    assert len(found) == len(set(found)) == traffic.n_events
    tenant.close()


@pytest.mark.timeout(600)
def test_it_starts_again_from_snapshot_and_stream(stand: Stand) -> None:
    tenant = stand.tenant("again")
    with Traffic(tenant, clients=1) as traffic:
        until(lambda: traffic.n_events > 500, "traffic")
    stand.down()
    stand.up()
    assert differences(tenant, traffic.acknowledged) == {}
    tenant.close()

"""kill -9 of real shard actors under traffic."""

from __future__ import annotations

import pytest

from tests.faults.traffic import Traffic, differences
from tests.support.stand import Tenant

pytestmark = pytest.mark.cluster


@pytest.mark.timeout(600)
def test_nothing_acknowledged_is_lost_or_counted_twice_when_shard_actors_are_killed(tenant: Tenant) -> None:
    with Traffic(tenant) as traffic:
        for round_ in range(4):
            tenant.stand.kill_shard(round_ % 2)
    counts = tenant.counts()
    assert counts["events_accepted"] == traffic.n_events
    assert differences(tenant, traffic.acknowledged) == {}


@pytest.mark.timeout(600)
def test_partitions_move_under_traffic_and_nothing_is_lost(tenant: Tenant) -> None:
    with Traffic(tenant, clients=2) as traffic:
        while traffic.n_events < 500:
            pass
        for partition in range(4):
            status = tenant.stand.status()
            before = status["map_version"]
            for to in (0, 1):
                with tenant.stand.operator() as operator:
                    answer = operator.post(
                        "/internal/shards/move", json={"tenant": tenant.name, "partition": partition, "to": to}
                    )
                assert answer.status_code == 200, answer.text
            assert tenant.stand.status()["map_version"] > before
    assert tenant.counts()["events_accepted"] == traffic.n_events
    assert differences(tenant, traffic.acknowledged) == {}

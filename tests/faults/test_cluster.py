"""Three nodes on this machine: a node, the GCS and a shard are killed under traffic, one after another."""

from __future__ import annotations

import pytest

from tests.faults.cluster_stand import WORKERS, cluster_running
from tests.faults.traffic import Traffic, differences
from tests.support.redis_stand import needs_redis
from tests.support.stand import until

pytestmark = pytest.mark.cluster


@pytest.mark.timeout(900)
def test_nothing_acknowledged_is_lost_when_a_node_the_gcs_and_a_shard_are_killed(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    needs_redis()
    with cluster_running(tmp_path_factory.mktemp("three")) as stand:
        tenant = stand.tenant("three-nodes")
        with Traffic(tenant, clients=2) as traffic:

            def goes_on(what: str) -> None:
                reached = traffic.n_events
                until(lambda: traffic.n_events > reached + 500, f"traffic {what}", 120)

            goes_on("at first")
            name = stand.node_of(0)
            assert name in WORKERS
            before = stand.status()["shards"][0]["epoch"]
            stand.kill_node(name)
            until(lambda: stand.serves_after(0, before), "the shard on another node", 120)
            assert stand.node_of(0) != name
            goes_on("after a node was killed")
            stand.join(name)

            stand.kill_gcs()
            goes_on("without a GCS")
            stand.run("up")
            stand.kill_shard(1, timeout_s=120)
            goes_on("under a GCS that came back")
        assert tenant.counts()["events_accepted"] == traffic.n_events
        assert differences(tenant, traffic.acknowledged) == {}
        tenant.close()

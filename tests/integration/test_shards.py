"""Shards that come, go and are upgraded while clients send, on a real installation by the product's own commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.traffic import Traffic, differences
from tests.support.shard_next import SAID
from tests.support.stand import Stand, running, until

pytestmark = pytest.mark.cluster


SUCCESSOR = "tests.support.shard_next:ShardActor"


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder: Path = tmp_path_factory.mktemp("shards")
    with running(folder / "var", settings={"CLUSTER_NUM_CPUS": 4, "PROGRAMS_SUCCESSOR": SUCCESSOR}) as made:
        yield made


@pytest.mark.timeout(900)
def test_a_shard_comes_takes_its_share_is_upgraded_and_goes_and_nobody_is_refused(stand: Stand) -> None:
    tenant = stand.tenant("acme")
    with Traffic(tenant, clients=1) as traffic:
        until(lambda: traffic.n_events >= 200, "traffic")
        assert stand.json("shards", "add")["shard"] == 2
        assert stand.json("shards", "rebalance")["moved"]
        upgraded = stand.json("shards", "upgrade", "0")
        assert upgraded[0]["name"] == "shard-0.2"
        assert stand.status()["shards"][0]["journal_trouble"] == SAID
        emptied = stand.json("shards", "drain", "1")
        assert {step["from"] for step in emptied["plan"]} == {1}
    assert traffic.n_failed_requests == 0
    assert [s["number"] for s in stand.json("shards")["shards"]] == [0, 2]
    assert tenant.counts()["events_accepted"] == traffic.n_events
    assert differences(tenant, traffic.acknowledged) == {}

    stand.down()
    stand.up()
    assert [s["number"] for s in stand.json("shards")["shards"]] == [0, 2]
    assert tenant.counts()["events_accepted"] == traffic.n_events
    assert differences(tenant, traffic.acknowledged) == {}


@pytest.mark.timeout(300)
def test_what_cannot_be_is_refused_with_what_to_do_instead(stand: Stand) -> None:
    for arguments, says in (
        (("shards", "remove", "0"), "whisperer shards drain 0"),
        (("shards", "move", "-t", "acme", "-p", "99", "--to", "0"), "0-63"),
        (("shards", "move", "-t", "acme", "-p", "1", "--to", "9"), "there is no shard 9"),
        (("shards", "move", "--to", "0"), "say what to move"),
    ):
        with pytest.raises(AssertionError, match=says):
            stand.run(*arguments)

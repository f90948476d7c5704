"""Journals and snapshots written by an earlier version are read: golden files of version 1.

`python -m tests.contracts.test_shard_formats` writes them anew, for a version that does not exist yet. Never for one
that was released.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

from tests.unit.shard.world import DAY, T0, TENANT, World, event
from whisperer.errors import JournalDamagedError
from whisperer.ids import partition_of, tenant_seed
from whisperer.shard import inspection, snapshot
from whisperer.shard.machine import DEFAULT_MAX_IDS, Shard
from whisperer.shard.records import RECORD_VERSION, decode_record

GOLDEN = Path(__file__).parents[1] / "golden" / "shard"
VERSIONS = ["v1"]


def story() -> World:
    """Every kind of record that one shard writes for itself."""
    world = World(n=1)
    world.publish(1, buyers={"event": "Bought"}, pros={"trait": "plan", "op": "eq", "value": "pro"})
    world.send(
        event(anonymous="dev", name="Viewed", at=T0 - DAY, id="g1"),
        event("ann", anonymous="dev", type="identify", at=T0, id="g2", traits={"plan": "pro"}, zone="Asia/Tokyo"),
        event("ann", name="Bought", at=T0 + 5, id="g3", revenue=12.5, locale="ja"),
        event("old", name="Bought", at=T0, id="g4"),
    )
    world.send(event("ann", type="alias", previous="old", at=T0 + 6, id="g5"), event("bob", id="g3"))
    world.deliver()
    world.now = T0 + 1000
    world.erase("u:bob")
    world.deliver()
    world.tick()
    return world


def check(shard: Shard) -> None:
    inspection.check(shard)
    ann = inspection.user(shard, TENANT, "u:ann", as_of=T0 + 1000)
    assert ann is not None
    assert ann.event_counts == {"Viewed": 1, "$identify": 1, "Bought": 2, "$alias": 1}
    assert ann.features["revenue_micros"] == 12_500_000
    assert (ann.first_seen, ann.last_seen) == (T0 - DAY, T0 + 6)
    assert (ann.anonymous_ids, ann.previous_ids, ann.segments) == (["dev"], ["old"], ["buyers", "pros"])
    assert (ann.time_zone, ann.locale) == ("Asia/Tokyo", "ja")
    assert inspection.user(shard, TENANT, "u:bob") is None
    assert shard.tenants[TENANT].erased_at("u:bob") == T0 + 1000
    old = inspection.user(shard, TENANT, "u:old")
    assert old is not None
    assert old.moved_to == "u:ann"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_journal_of_an_earlier_version_replays(version: str) -> None:
    records = msgspec.msgpack.decode((GOLDEN / f"journal-{version}.msgpack").read_bytes(), type=list[bytes])
    shard = Shard(0)
    shard.apply((i, decode_record(data)) for i, data in enumerate(records))
    check(shard)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_snapshot_of_an_earlier_version_is_read_and_goes_on(version: str) -> None:
    meta, files = msgspec.msgpack.decode(
        (GOLDEN / f"snapshot-{version}.msgpack").read_bytes(), type=tuple[bytes, dict[str, bytes]]
    )
    tables = {name: pa.ipc.open_file(data).read_all() for name, data in files.items()}
    shard = snapshot.load(meta, tables, DEFAULT_MAX_IDS)
    check(shard)
    world = World(n=1)
    world.shards, world.now = [shard], shard.now
    world.send(event("ann", name="Bought", id="g3"), event("ann", name="Bought", id="new"))
    ann = world.user("u:ann")
    assert ann is not None
    assert ann.event_counts["Bought"] == 3


def test_a_record_of_a_newer_version_stops_recovery_loudly() -> None:
    data = msgspec.msgpack.encode([RECORD_VERSION + 1, 1, T0, [2]])
    with pytest.raises(JournalDamagedError, match="start a newer release"):
        decode_record(data)


def test_placement_never_changes() -> None:
    """Another hash would strand every stored user."""
    seed = tenant_seed("tn_01h455vb4pex5vsknk084sn02q")
    assert [partition_of(key, seed) for key in ("u:ann", "u:bob", "a:ann", "u:", "u:👩‍👩‍👧")] == PLACES


PLACES = [42, 35, 54, 31, 53]


def write() -> None:
    version = VERSIONS[-1]
    GOLDEN.mkdir(parents=True, exist_ok=True)
    world = story()
    (GOLDEN / f"journal-{version}.msgpack").write_bytes(msgspec.msgpack.encode(world.journals[0]))
    meta, tables = snapshot.dump(world.shards[0])
    files = {}
    for name, table in tables.items():
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as arrow:
            arrow.write_table(table)
        files[name] = sink.getvalue().to_pybytes()
    (GOLDEN / f"snapshot-{version}.msgpack").write_bytes(msgspec.msgpack.encode((meta, files)))


if __name__ == "__main__":
    write()

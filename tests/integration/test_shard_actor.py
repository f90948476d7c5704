"""The shard actor's life: commit, crash, recover, move, export, drain. In process; kill -9 of real ones is in faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import duckdb
import msgspec
import pytest

from actors.calls.shards import CallStatus
from actors.warehouse import Warehouse
from serve_apps.gateway.services.user_list import UserList
from serve_apps.gateway.services.user_query import read_query
from tests.support.local_shards import LocalPlaces, LocalShards, arguments, write_installation
from tests.support.shard_world import SEED, T0, TENANT, add, event
from whisperer.errors import JournalDamagedError
from whisperer.events.parts import PartBuilder, merge
from whisperer.ids import anonymous_key, known_key, partition_of
from whisperer.profiles.timeline import unpack_reference
from whisperer.shard import inspection
from whisperer.shard.views.user import UserView


@pytest.fixture
async def shards(tmp_path: Path) -> AsyncIterator[LocalShards]:
    made = LocalShards(write_installation(tmp_path))
    yield made
    for actor in made.actors.values():
        inspection.check(actor._shard)
    await made.close()


async def send(shards: LocalShards, *events: dict[str, object]) -> None:
    builders: dict[int, PartBuilder] = {}
    table = shards.places.table(TENANT)
    for e in events:
        key = known_key(str(e["user"])) if e["user"] else anonymous_key(str(e["anonymous"]))
        add(builders.setdefault(table[partition_of(key, SEED)], PartBuilder()), e)
    for shard, builder in builders.items():
        status, _ = await shards.call(
            shard, "ingest", shards.places.current.version, *arguments(merge(TENANT, [builder.build()]))
        )
        assert status == CallStatus.OK


async def user(shards: LocalShards, key: str) -> UserView | None:
    for _ in range(5):
        _, view = await shards.call(
            shards.places.table(TENANT)[partition_of(key, SEED)],
            "user",
            shards.places.current.version,
            TENANT,
            key,
            None,
        )
        if view is None or view.moved_to is None:
            return view  # type: ignore[no-any-return]
        key = view.moved_to
    raise AssertionError("forwards run in a circle")


async def settle(shards: LocalShards) -> None:
    """Until no message between partitions waits."""
    for _ in range(500):
        if not any(actor._shard.letters() for actor in shards.actors.values()) and len(shards.actors) == 2:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("messages still wait")


async def test_what_was_acknowledged_is_there_after_a_crash(shards: LocalShards) -> None:
    await send(shards, *(event(f"u{i}", id=f"m{i}") for i in range(50)))
    for shard in (0, 1):
        await shards.crash(shard)
        shards.start(shard)
    assert sum(actor._shard.tenants[TENANT].n_users() for actor in shards.actors.values()) == 50
    await send(shards, *(event(f"u{i}", id=f"m{i}") for i in range(50)))
    counted = [actor._shard.tenants[TENANT].counters for actor in shards.actors.values()]
    assert sum(c["events_accepted"] for c in counted) == 50
    assert sum(c["events_duplicate"] for c in counted) == 50


async def test_a_merge_is_finished_after_a_crash_at_any_moment(shards: LocalShards) -> None:
    for round_ in range(12):
        device, person = f"dev{round_}", f"ann{round_}"
        await send(shards, event(anonymous=device, name="Viewed"))
        await send(shards, event(person, anonymous=device))
        for _ in range(round_ % 6):
            await asyncio.sleep(0)
        crashed = round_ % 2
        await shards.crash(crashed)
        shards.start(crashed)
        await settle(shards)
        found = await user(shards, f"u:{person}")
        assert found is not None
        assert found.event_counts == {"Viewed": 1, "Clicked": 1}


async def test_recovery_starts_from_a_snapshot_and_the_journal_is_trimmed(shards: LocalShards) -> None:
    actor = shards.actors[0]
    await send(shards, *(event(f"u{i}") for i in range(200)))
    before = inspection.digest(actor._shard)
    for _ in range(2):
        await actor.flush()
        await actor._housekeeping.snapshot()
    await shards.crash(0)
    recovered = shards.start(0)
    assert recovered._recovery.records == 0
    assert inspection.digest(recovered._shard) == before
    assert recovered._journal.oldest > 0


async def test_a_list_of_users_shows_everybody_once_while_their_partitions_move(shards: LocalShards) -> None:
    await send(shards, *(event(f"u{i:03}", type="identify", traits={"n": i % 7}) for i in range(200)))
    users, places = UserList(shards, bytes(32)), shards.places
    assert isinstance(places, LocalPlaces)

    async def move() -> None:
        for version, partition in enumerate(range(32), start=2):
            source = places.table(TENANT)[partition]
            answer = await shards.call(source, "hand_over", TENANT, partition, version, 1 - source)
            assert answer[0] == CallStatus.OK
            moves = {**places.current.moves, f"{TENANT}/{partition}": 1 - source}
            places.latest = type(places.current)(version, 2, 2, moves)  # callers see it when they are refused

    moving = asyncio.ensure_future(move())
    for filters, expected in (([], range(200)), ([("traits.n", "3")], range(3, 200, 7))):
        found, cursor, goes_on = [], None, True
        while goes_on:
            page = await users.page(read_query(TENANT, filters, "-user_id", None, 9), cursor)
            found += [one["user_id"] for one in page.data]
            cursor, goes_on = page.next_cursor, page.next_cursor is not None
            await asyncio.sleep(0.01)
        assert found == [f"u{i:03}" for i in expected][::-1]
    await moving
    for actor in shards.actors.values():
        status = await actor.status()
        assert status["listing"]["lists"] > 0


async def test_a_partition_moves_and_older_maps_are_refused(shards: LocalShards) -> None:
    await send(shards, *(event(f"u{i}", id=f"m{i}") for i in range(100)))
    table = shards.places.table(TENANT)
    for version, partition in enumerate(range(64), start=2):
        source = table[partition]
        target = 1 - source
        for _ in range(2):
            assert (await shards.call(source, "hand_over", TENANT, partition, version, target))[0] == CallStatus.OK
        moves = {**shards.places.current.moves, f"{TENANT}/{partition}": target}
        shards.places.current = type(shards.places.current)(version, 2, 2, moves)
        await shards.places.refresh()
    stray = next(f"u{i}" for i in range(100) if table[partition_of(f"u:u{i}", SEED)] == 0)
    builder = PartBuilder()
    add(builder, event(stray))
    assert (await shards.call(0, "ingest", 1, *arguments(merge(TENANT, [builder.build()]))))[0] == CallStatus.STALE_MAP
    for i in range(100):
        assert await user(shards, f"u:u{i}") is not None
    await send(shards, *(event(f"u{i}", id=f"m{i}") for i in range(100)))
    assert sum(actor._shard.tenants[TENANT].n_users() for actor in shards.actors.values()) == 100
    found = await user(shards, "u:u1")
    assert found is not None
    assert found.event_counts == {"Clicked": 1}


async def test_the_warehouse_holds_each_counted_event_once_after_crashes(shards: LocalShards, tmp_path: Path) -> None:
    sent = 0
    for round_ in range(6):
        batch = [event(f"u{i}", id=f"m{round_}-{i}", at=T0 + i) for i in range(40)]
        sent += len(batch)
        await send(shards, *batch)
        await send(shards, *batch[:10])  # repeats are journaled and must not be exported
        if round_ % 2:
            await shards.actors[0].flush()
        await shards.crash(round_ % 2)
        shards.start(round_ % 2)
    for actor in shards.actors.values():
        await actor.flush()
        await actor.flush()
    files = [str(f) for f in (tmp_path / "warehouse").rglob("*.parquet")]
    found = duckdb.sql(f"select count(*), count(distinct message_id) from read_parquet({files})").fetchall()
    assert found == [(sent, sent)]


async def test_timeline_entries_lead_to_their_json_in_journal_and_warehouse(
    shards: LocalShards, tmp_path: Path
) -> None:
    await send(shards, event("ann", id="m1"))
    found = await user(shards, "u:ann")
    assert found is not None
    entry = found.timeline[0]
    in_memory = await shards.actors[entry.origin].payloads(TENANT, [entry.reference], True)
    in_journal = await shards.actors[entry.origin].payloads(TENANT, [entry.reference], False)
    actor = shards.actors[entry.origin]
    for _ in range(2):
        await actor.flush()
        await actor._housekeeping.snapshot()
        await send(shards, event("bob"), event("cyd"), event("dan"))
    assert actor._journal.read(entry.reference >> 16) is None
    assert await actor.payloads(TENANT, [entry.reference], False) == [None]
    positions = [unpack_reference(entry.reference)]
    [in_warehouse] = Warehouse(f"file://{tmp_path}/warehouse").lookup(TENANT, entry.origin, positions)
    assert in_journal[0] is not None
    assert in_warehouse is not None
    assert in_memory == in_journal
    assert in_journal[0]["payload"].decode() == in_warehouse.payload
    assert (await actor.payloads("tn_other", [entry.reference], False)) == [None]


async def test_what_is_no_block_is_not_journaled(shards: LocalShards) -> None:
    builder = PartBuilder()
    add(builder, event("ann"))
    beyond = msgspec.structs.replace(merge(TENANT, [builder.build()]), text=b"")
    end = shards.actors[0]._journal.end
    with pytest.raises(JournalDamagedError, match="points beyond itself"):
        await shards.call(0, "ingest", shards.places.current.version, *arguments(beyond))
    assert shards.actors[0]._journal.end == end


async def test_what_cannot_be_unpacked_is_not_journaled(shards: LocalShards) -> None:
    builder = PartBuilder()
    add(builder, event("ann"))
    torn = msgspec.structs.replace(merge(TENANT, [builder.build()]), payload=b"\xff\xff\xff")
    end = shards.actors[0]._journal.end
    with pytest.raises(JournalDamagedError, match="cannot be unpacked"):
        await shards.call(0, "ingest", shards.places.current.version, *arguments(torn))
    assert shards.actors[0]._journal.end == end

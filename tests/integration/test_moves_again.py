"""Moves between real actors in one process: driven again, under traffic, and with a crash of either end at any step."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from actors.calls.shards import CallStatus
from tests.support.local_shards import LocalShards, arguments, write_installation
from tests.support.shard_world import SEED, TENANT, add, event
from whisperer.errors import UnavailableError
from whisperer.events.parts import PartBuilder, merge
from whisperer.ids import partition_of
from whisperer.shard import inspection

PLACE = partition_of("u:ann", SEED)
NEIGHBOURS = [f"x{i}" for i in range(20_000) if partition_of(f"u:x{i}", SEED) == PLACE][:300]
"""Users of the same partition."""


async def send(shards: LocalShards, shard: int, *events: dict[str, Any]) -> str:
    builder = PartBuilder()
    for e in events:
        add(builder, e)
    status, _ = await shards.call(shard, "ingest", 1, *arguments(merge(TENANT, [builder.build()])))
    return str(status)


async def counts(shards: LocalShards, shard: int) -> dict[str, int]:
    """Events by user, of those who have any."""
    found = {}
    for key in NEIGHBOURS:
        status, view = await shards.call(shard, "user", 1, TENANT, f"u:{key}", None)
        assert status == CallStatus.OK
        if view is not None:
            found[key] = view.event_counts["Clicked"]
    return found


async def driven(shards: LocalShards, source: int, version: int) -> None:
    """As the directory does it: again until it is done."""
    while True:
        try:
            status, _ = await shards.call(source, "hand_over", TENANT, PLACE, version, 1 - source)
            assert status == CallStatus.OK
            return
        except UnavailableError:
            await asyncio.sleep(0.01)


async def test_a_hand_over_driven_again_while_the_first_waits_loses_nothing(tmp_path: Path) -> None:
    """The first waits for a receipt; the directory's call runs out of time and is made again."""
    shards = LocalShards(write_installation(tmp_path))
    source = shards.places.table(TENANT)[PLACE]
    await send(shards, source, event("ann"))
    receipt = asyncio.Event()

    async def wait_for_receipt(tenant: str, partition: int, within_s: float) -> None:
        await receipt.wait()

    shards.actors[source]._engaging.deliverer.stop = wait_for_receipt  # type: ignore[method-assign]
    moves = [asyncio.ensure_future(driven(shards, source, 2)) for _ in range(2)]
    await asyncio.sleep(0)
    receipt.set()
    await asyncio.gather(*moves)
    _, view = await shards.call(1 - source, "user", 2, TENANT, "u:ann", None)
    assert view is not None
    assert view.event_counts == {"Clicked": 1}
    await shards.close()


async def test_a_partition_serves_while_it_is_copied_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    """Clients of the partition itself never stop; they are refused in the pause alone."""
    shards = LocalShards(write_installation(tmp_path))
    source = shards.places.table(TENANT)[PLACE]
    acknowledged: Counter[str] = Counter()
    served_by: Counter[int] = Counter()
    refused = 0
    done = asyncio.Event()

    async def traffic(client: int) -> None:
        nonlocal refused
        number = 0
        home = source
        while not done.is_set() or number % 7:
            keys = [NEIGHBOURS[(number * 13 + i) % len(NEIGHBOURS)] for i in range(20)]
            batch = [event(key, id=f"{client}-{number}-{i}") for i, key in enumerate(keys)]
            status = await send(shards, home, *batch)
            if status == CallStatus.OK:
                acknowledged.update(keys)
                served_by[home] += 1
                number += 1
                continue
            assert status == CallStatus.STALE_MAP
            refused += 1
            home = (
                source
                if home != source or not await shards.call(1 - source, "has_joined", TENANT, PLACE, 2)
                else 1 - source
            )
            await asyncio.sleep(0.002)

    clients = [asyncio.ensure_future(traffic(client)) for client in range(3)]
    await asyncio.sleep(0)
    await driven(shards, source, 2)
    for _ in range(5):
        await asyncio.sleep(0)
    served = served_by[1 - source]
    while served_by[1 - source] < served + 3:  # noqa: ASYNC110  the clients are tasks beside this one
        await asyncio.sleep(0)
    done.set()
    await asyncio.gather(*clients)
    assert await counts(shards, 1 - source) == acknowledged
    assert served_by[source] > 0
    assert refused > 0
    for actor in shards.actors.values():
        inspection.check(actor._shard)
    await shards.close()


@pytest.mark.parametrize("crashed", ["source", "target"])
async def test_a_crash_of_either_end_at_any_step_loses_and_doubles_nothing(tmp_path: Path, crashed: str) -> None:
    """Each round lets the move come a little further before the kill."""
    shards = LocalShards(write_installation(tmp_path))
    home = shards.places.table(TENANT)[PLACE]
    expected: Counter[str] = Counter()
    for round_ in range(8):
        source, version = home, round_ + 2
        keys = NEIGHBOURS[round_ % 5 :: 5]
        assert await send(shards, source, *(event(key, id=f"{round_}-{key}") for key in keys)) == CallStatus.OK
        expected.update(keys)
        moving = asyncio.ensure_future(driven(shards, source, version))
        for _ in range(9 * round_):
            await asyncio.sleep(0)
        down = source if crashed == "source" else 1 - source
        await shards.crash(down)
        shards.start(down)
        await moving
        home = 1 - source
        repeated = await send(shards, home, *(event(key, id=f"{round_}-{key}") for key in keys))
        assert repeated == CallStatus.OK
        assert await counts(shards, home) == expected
    for actor in shards.actors.values():
        inspection.check(actor._shard)
    await shards.close()


async def test_a_shard_whose_ticks_fail_goes_on_ticking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines, schedules and rewards hang on them: a clock that stops in silence would stop the loop."""
    monkeypatch.setattr("actors.shard.actor.TICK_S", 0.0)
    shards = LocalShards(write_installation(tmp_path, shards=1), n_shards=1)
    asked = 0
    again = asyncio.Event()

    def wants_tick(now: int) -> bool:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise RuntimeError("a schedule that cannot be read")
        again.set()
        return False

    shards.actors[0]._shard.wants_tick = wants_tick  # type: ignore[method-assign]
    await asyncio.wait_for(again.wait(), 10)
    await shards.close()


async def test_a_move_is_done_however_full_the_queues_of_both_ends_are(tmp_path: Path) -> None:
    shards = LocalShards(write_installation(tmp_path))
    source = shards.places.table(TENANT)[PLACE]
    await send(shards, source, *(event(key) for key in NEIGHBOURS))
    for actor in shards.actors.values():
        actor._committer.has_room = lambda _size: False  # type: ignore[method-assign]
    assert await send(shards, source, event("ann")) == CallStatus.OVERLOADED
    await driven(shards, source, 2)
    while (TENANT, PLACE) in shards.actors[source]._shard.sweeping:  # noqa: ASYNC110  the sweep is a task beside this one
        await asyncio.sleep(0.01)
    assert await counts(shards, 1 - source) == dict.fromkeys(NEIGHBOURS, 1)
    assert not shards.actors[source]._moving.leaving
    await shards.close()


async def test_a_shard_takes_the_blocks_that_are_at_home_and_names_the_others(tmp_path: Path) -> None:
    shards = LocalShards(write_installation(tmp_path))
    source = shards.places.table(TENANT)[PLACE]
    await driven(shards, source, 2)
    blocks = []
    for tenant, key in (("tn_other", "bob"), (TENANT, NEIGHBOURS[0]), ("tn_third", "cyd")):
        builder = PartBuilder()
        add(builder, event(key))
        blocks.append(merge(tenant, [builder.build()]))
    assert await shards.call(source, "ingest", 2, *arguments(*blocks)) == (CallStatus.STALE_MAP, [1])
    tenants = shards.actors[source]._shard.tenants
    assert [tenants[t].counters["events_accepted"] for t in ("tn_other", "tn_third")] == [1, 1]
    assert tenants[TENANT].counters["events_accepted"] == 0
    await shards.close()

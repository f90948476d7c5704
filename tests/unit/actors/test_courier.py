"""Letters between partitions: of each pair all, once, in order, whatever moves, restarts, is late or fetches the map."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.actors.letters import LetterWorld, run
from tests.unit.shard.world import SEED
from whisperer.ids import partition_of
from whisperer.shard import inspection

PEOPLE = {"d1": "ann", "d2": "bob", "d3": "ann", "d4": "cyd"}
"""Whose device is whose."""
PLACES = sorted({partition_of(key, SEED) for d, p in PEOPLE.items() for key in (f"a:{d}", f"u:{p}")})

STEPS = st.one_of(
    st.tuples(st.just("event"), st.sampled_from(sorted(PEOPLE))),
    st.tuples(st.just("event"), st.sampled_from(sorted(PEOPLE))),
    st.tuples(st.just("login"), st.sampled_from(sorted(PEOPLE))),
    st.tuples(st.just("move"), st.sampled_from(PLACES)),
    st.tuples(st.just("refresh"), st.integers(0, 2)),
    st.tuples(st.just("crash"), st.integers(0, 2)),
    st.tuples(st.just("wait"), st.sampled_from([0.02, 0.1, 0.5])),
)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.lists(STEPS, min_size=5, max_size=60))
def test_letters_of_a_pair_arrive_all_once_and_in_order(seed: int, steps: list[tuple[str, str | int]]) -> None:
    async def scene() -> None:
        world = LetterWorld(seed)
        with world.watched():
            under_way: list[asyncio.Future[None]] = []
            for device, person in PEOPLE.items():
                await world.send(person, device)
            for what, which in steps:
                if what == "event":
                    under_way.append(asyncio.ensure_future(world.send(None, str(which))))
                elif what == "login":
                    under_way.append(asyncio.ensure_future(world.send(PEOPLE[str(which)], str(which))))
                elif what == "move":
                    under_way.append(asyncio.ensure_future(world.move(int(which))))
                elif what == "refresh":
                    under_way.append(asyncio.ensure_future(world.nodes[int(which)].view.refresh()))  # type: ignore[arg-type]
                elif what == "crash":
                    await world.nodes[int(which)].crash()
                else:
                    await asyncio.sleep(float(which))
            await asyncio.gather(*under_way)
            await world.settle()
            await world.close()
        for pair, letters in world.posted.items():
            assert world.applied[pair] == letters, f"of the letters {pair}: {letters}"
        for person in set(PEOPLE.values()):
            told = sum(n for device, n in world.told.items() if PEOPLE[device] == person)
            assert world.count(f"u:{person}") == told
        for node in world.nodes:
            inspection.check(node.shard)

    run(scene())

"""Letters between partitions: of each pair all, once, in order, whatever moves, restarts, is late or fetches the map."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.calls.map_holder import MapHolder
from actors.calls.partition_map import PartitionMap
from actors.calls.shards import CallStatus
from actors.shard.courier import MAX_BATCH, MAX_BATCH_BYTES, Courier
from actors.shard.letterbox import LetterFate, letter_bytes
from tests.support.letter_world import LetterWorld, run
from tests.support.shard_world import SEED, TENANT, add, event
from whisperer.errors import UnavailableError
from whisperer.events.block import encode_block
from whisperer.events.parts import PartBuilder, merge
from whisperer.ids import partition_of
from whisperer.shard import inspection
from whisperer.shard.records import Forward, Letter

PEOPLE = {"d1": "ann", "d2": "bob", "d3": "ann", "d4": "cyd"}
"""Whose device is whose."""
PLACES = sorted({partition_of(key, SEED) for d, p in PEOPLE.items() for key in (f"a:{d}", f"u:{p}")})

STEPS = st.one_of(
    st.tuples(st.just("stream"), st.sampled_from(sorted(PEOPLE))),
    st.tuples(st.just("stream"), st.sampled_from(sorted(PEOPLE))),
    st.tuples(st.just("login"), st.sampled_from(sorted(PEOPLE))),
    st.tuples(st.just("move"), st.sampled_from(PLACES)),
    st.tuples(st.just("refresh"), st.integers(0, 2)),
    st.tuples(st.just("crash"), st.integers(0, 2)),
    st.tuples(st.just("wait"), st.sampled_from([0.02, 0.1, 0.5])),
)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.lists(STEPS, min_size=5, max_size=60))
def test_letters_of_a_pair_arrive_all_once_and_in_order(seed: int, steps: list[tuple[str, str | int]]) -> None:
    async def scene() -> None:
        world = LetterWorld(seed)
        with world.watched():
            under_way: list[asyncio.Future[None]] = []
            for device, person in PEOPLE.items():
                await world.send(person, device)
            for what, which in steps:
                if what == "stream":
                    under_way.append(asyncio.ensure_future(world.stream(str(which))))
                elif what == "login":
                    under_way.append(asyncio.ensure_future(world.send(PEOPLE[str(which)], str(which))))
                elif what == "move":
                    under_way.append(asyncio.ensure_future(world.move(int(which))))
                elif what == "refresh":
                    under_way.append(asyncio.ensure_future(world.nodes[int(which)].view.places.refresh()))  # type: ignore[arg-type]
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


async def test_a_shard_that_is_away_holds_up_nobody_but_those_who_write_to_it() -> None:
    courier, taken = _courier(away={1})
    letters = [_letter(target, sequence) for sequence in (1, 2) for target in (0, 1, 2)]
    for letter in letters:
        courier.send(letter)
    await asyncio.sleep(0.05)
    assert sorted((m.target, m.sequence) for m in taken) == [(0, 1), (0, 2), (2, 1), (2, 2)]
    assert courier.n_waiting == 2
    await courier.close()


async def test_what_is_sent_before_the_map_is_known_waits_and_comes_after_what_is_older() -> None:
    letters = [_letter(0, 1), _letter(0, 2)]
    courier, taken = _courier(letters, begun=False)
    courier.send(letters[1])
    await asyncio.sleep(0.01)
    assert taken == []
    courier.begin()
    await asyncio.sleep(0.01)
    assert taken == letters
    await courier.close()


async def test_a_batch_is_bounded_in_letters_and_in_bytes() -> None:
    letters = [_letter(0, 1 + n, events=1 + 40 * (n % 3)) for n in range(3 * MAX_BATCH)]
    sizes: list[tuple[int, int]] = []
    courier, taken = _courier(letters, batches=sizes)
    while courier.n_waiting:  # noqa: ASYNC110  the courier's work is a task beside this one
        await asyncio.sleep(0.001)
    assert taken == letters
    largest = max(map(letter_bytes, letters))
    assert all(n <= MAX_BATCH and size < MAX_BATCH_BYTES + largest for n, size in sizes)
    await courier.close()


def _letter(target: int, sequence: int, events: int = 1) -> Letter:
    builder = PartBuilder()
    for _ in range(events):
        add(builder, event("ann"))
    forward = Forward(encode_block(merge(TENANT, [builder.build()])), 0, [0] * events)
    return Letter(TENANT, 63, target, sequence, forward, sequence - 1)


def _courier(
    letters: Sequence[Letter] = (),
    *,
    away: Collection[int] = (),
    begun: bool = True,
    batches: list[tuple[int, int]] | None = None,
) -> tuple[Courier, list[Letter]]:
    """Partition p lives on shard p; what the shards have taken."""
    taken: list[Letter] = []

    class Places(MapHolder):
        async def refresh(self) -> PartitionMap:
            return self.current

    class Everyone:
        places = Places()

        async def call(self, shard: int, method: str, version: int, letters: list[Letter]) -> Any:
            if shard in away:
                raise UnavailableError("away")
            taken.extend(letters)
            if batches is not None:
                batches.append((len(letters), sum(map(letter_bytes, letters))))
            return CallStatus.OK, [LetterFate.TAKEN] * len(letters)

    async def nothing(_: Any) -> Any:
        return None

    Everyone.places.current = PartitionMap(1, 64, 64, {f"{TENANT}/{p}": p for p in range(64)})
    courier = Courier(63, Everyone(), lambda: letters, nothing, nothing)  # type: ignore[arg-type]
    if begun:
        courier.begin()
    return courier, taken

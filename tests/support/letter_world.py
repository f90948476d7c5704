"""Shards, couriers and letterboxes on a clock that jumps: letters are late, answers get lost, shards restart and move.

The couriers, letterboxes and pure shards are the product's own; the network, the disk, the directory and the clock are
not. Nothing sleeps: when nobody has anything to do, it is later.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from actors.calls.map_holder import MapHolder
from actors.calls.partition_map import PartitionMap
from actors.calls.shards import CallStatus
from actors.shard.courier import Courier
from actors.shard.letterbox import Letterbox
from tests.support.shard_world import SEED, T0, TENANT, add, event
from whisperer.errors import UnavailableError
from whisperer.events.block import encode_block
from whisperer.events.parts import PartBuilder, merge
from whisperer.ids import partition_of
from whisperer.shard import inspection, machine, snapshot
from whisperer.shard.effects import Effect, SendLetter
from whisperer.shard.machine import DEFAULT_MAX_IDS, Shard
from whisperer.shard.move.packing import extract
from whisperer.shard.records import (
    RECORD_VERSION,
    Events,
    Letter,
    LettersConfirmed,
    PartitionJoined,
    PartitionLeft,
    PartitionSwept,
    Record,
    RecordBody,
    decode_record,
    encode_record,
)
from whisperer.shard.state.shard import ShardState
from whisperer.shard.state.tenant import Tenant

Pair = tuple[int, int]


class JumpingClock(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when nothing is ready."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__()

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self._now = max(self._now, self._scheduled[0]._when)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def run(main: Coroutine[Any, Any, None]) -> None:
    loop = JumpingClock()
    try:
        loop.run_until_complete(asyncio.wait_for(main, 3_600))
    finally:
        loop.close()


class Disk:
    """A committer: what is submitted together is applied together, a little later. A crash forgets what waits."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._queue: list[tuple[RecordBody, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None
        self.is_lost = False

    def submit_bounded(self, body: RecordBody, size: int = 256) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((body, done))
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._sync())
        return done

    def lose(self) -> None:
        self.is_lost = True
        for _, done in self._queue:
            done.cancel()
        self._queue.clear()

    async def _sync(self) -> None:
        while self._queue:
            await self._node.world.while_(0.02)
            taken, self._queue = self._queue, []
            for body, done in taken:
                effects = self._node.apply(body)
                if not done.done():
                    done.set_result(None)
                self._node.carry_out(effects)


class Places(MapHolder):
    """The map as one shard knows it."""

    def __init__(self, world: LetterWorld) -> None:
        super().__init__()
        self._world = world
        self.current = PartitionMap(0, world.n, world.n)

    async def refresh(self) -> PartitionMap:
        await self._world.while_(0.05)
        self.current = self._world.map
        return self.current


class View:
    """One shard's map, and its calls of others: :class:`actors.calls.shards.ShardCalls`."""

    def __init__(self, world: LetterWorld) -> None:
        self._world = world
        self.places = Places(world)

    async def call(self, shard: int, method: str, version: int, letters: list[Letter]) -> Any:
        world = self._world
        await world.while_(0.3)
        answer = await world.nodes[shard].answer(letters)
        await world.while_(0.3)
        if world.random.random() < 0.05:
            raise UnavailableError("the answer was lost")
        return answer


class Node:
    def __init__(self, world: LetterWorld, number: int) -> None:
        self.world, self.number = world, number
        self.shard = Shard(number)
        self.position = 0
        self.leaving: set[int] = set()
        self.disk = Disk(self)
        self._start()

    def _start(self) -> None:
        self.view = View(self.world)
        self.letterbox = Letterbox(self.shard, self.disk, self.is_elsewhere)  # type: ignore[arg-type]
        self.courier = Courier(self.number, self.view, self.shard.letters, self.take, self.confirm)  # type: ignore[arg-type]
        self._beginning = asyncio.ensure_future(self._begin())

    async def _begin(self) -> None:
        while self.view.places.current.version == 0:
            await self.view.places.refresh()
        await self.world.while_(0.1)
        self.courier.begin()

    async def crash(self) -> None:
        """The state is what was on disk; nobody is told anything."""
        self._beginning.cancel()
        self.disk.lose()
        courier, self.disk = self.courier, Disk(self)
        self.leaving.clear()
        self.shard = snapshot.load(*snapshot.dump(self.shard), DEFAULT_MAX_IDS)
        self._start()
        await courier.close()

    def is_elsewhere(self, tenant: str, partition: int) -> bool:
        return partition in self.leaving or not self.shard.is_at_home(tenant, partition)

    async def take(self, letters: list[Letter]) -> tuple[str, list[str] | None]:
        return CallStatus.OK, await self.letterbox.take(letters)

    async def answer(self, letters: list[Letter]) -> tuple[str, list[str] | None]:
        """To another process."""
        disk = self.disk
        try:
            return await self.take(letters)
        except asyncio.CancelledError:
            if disk.is_lost:
                raise UnavailableError("the shard died under the call") from None
            raise

    async def confirm(self, letters: list[tuple[str, int, int]]) -> None:
        await self.disk.submit_bounded(LettersConfirmed(letters))

    def apply(self, body: RecordBody) -> list[Effect]:
        data = encode_record(Record(RECORD_VERSION, 1, T0, body))
        self.position += 1
        return self.shard.apply([(self.position, decode_record(data))])

    def carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, SendLetter):
                self.courier.send(effect.letter)

    async def write(self, body: RecordBody) -> bool:
        """Whether it came to be applied."""
        disk = self.disk
        try:
            await disk.submit_bounded(body)
        except asyncio.CancelledError:
            if disk.is_lost:
                return False
            raise
        return True


class LetterWorld:
    """``random`` says how long everything takes. Use inside a loop, and inside :meth:`watched`."""

    def __init__(self, seed: int, n: int = 3) -> None:
        self.n = n
        self.random = random.Random(seed)
        self.map = PartitionMap(1, n, n)
        self.nodes = [Node(self, number) for number in range(n)]
        self.posted: defaultdict[Pair, list[int]] = defaultdict(list)
        self.applied: defaultdict[Pair, list[int]] = defaultdict(list)
        self.told: Counter[str] = Counter()
        self._moving = asyncio.Lock()

    async def while_(self, most_s: float) -> None:
        """Mostly nothing, sometimes up to so long."""
        await asyncio.sleep(most_s * self.random.random() ** 3)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note every letter that is posted and applied, anywhere."""
        post, apply = Tenant.post, machine.apply_letter
        posted, applied = self.posted, self.applied

        def noted_post(tenant: Tenant, source: int, target: int, body: Any) -> Letter:
            letter = post(tenant, source, target, body)
            posted[source, target].append(letter.sequence)
            return letter

        def noted_letter(shard: ShardState, tenant: Tenant, letter: Letter) -> Iterable[Effect]:
            applied[letter.source, letter.target].append(letter.sequence)
            return apply(shard, tenant, letter)

        with mock.patch.object(Tenant, "post", noted_post), mock.patch.object(machine, "apply_letter", noted_letter):
            yield

    async def send(self, person: str | None, device: str) -> None:
        """One event, again until it is acknowledged; the model: whoever owns the device has it in the end."""
        e = event(person, anonymous=device, id=f"m{self.told.total()}")
        self.told[device] += 1
        partition = partition_of(f"u:{person}" if person else f"a:{device}", SEED)
        builder = PartBuilder()
        add(builder, e)
        body = Events(encode_block(merge(TENANT, [builder.build()])))
        while True:
            node = self.nodes[self.map.shard_of(TENANT, partition)]
            if not node.is_elsewhere(TENANT, partition) and await node.write(body):
                return
            await asyncio.sleep(0.01)

    async def stream(self, device: str, n: int = 8) -> None:
        """Events of a device under its anonymous id alone, one soon after another was acknowledged."""
        for _ in range(n):
            await self.send(None, device)
            await self.while_(0.3)

    async def move(self, partition: int) -> None:
        """To the next shard, driven again until it is done, whoever crashes."""
        async with self._moving:
            source = self.nodes[self.map.shard_of(TENANT, partition)]
            target = self.nodes[(source.number + 1) % self.n]
            version, place = self.map.version + 1, (TENANT, partition)
            while source.shard.moved.get(place, 0) < version:
                source.leaving.add(partition)
                await source.write(PartitionLeft(*place, version, kept=True))
            source.leaving.discard(partition)
            state = extract(source.shard, *place)
            while target.shard.moved.get(place, 0) < version:
                await target.write(PartitionJoined(*place, version, state))
            await self.while_(0.1)
            moves = {**self.map.moves, f"{TENANT}/{partition}": target.number}
            self.map = PartitionMap(version, self.n, self.n, moves)
            while not await source.write(PartitionSwept(*place, 1_000)):
                pass

    async def settle(self) -> None:
        while any(node.shard.letters() for node in self.nodes):  # noqa: ASYNC110  the clock jumps
            await asyncio.sleep(1)

    async def close(self) -> None:
        for node in self.nodes:
            node._beginning.cancel()
            await node.courier.close()

    def count(self, key: str) -> int:
        """A user's events, wherever its partition lives."""
        shard = self.nodes[self.map.shard_of(TENANT, partition_of(key, SEED))].shard
        view = inspection.user(shard, TENANT, key, None)
        return 0 if view is None else sum(view.event_counts.values())

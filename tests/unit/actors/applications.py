"""Stand-ins for Serve applications, and a shard whose records are applied at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from tests.support.shard_world import TENANT, World, choice_of, event
from tests.unit.whisperer.shard.campaigns import ADDRESSES, BY_EVENT
from whisperer.content.message import Rendered, RenderRequest
from whisperer.decisions.decision import Candidate, Choice
from whisperer.delivery.dispatch import Dispatch, Receipt, Verdict
from whisperer.eligibility.groups import draw
from whisperer.errors import UnavailableError
from whisperer.shard.records import RecordBody
from whisperer.vocabulary.groups import Group


class FakeApplication:
    """Answers a batch by ``answer``, unless it is away. ``calls`` has every batch that reached it."""

    is_direct = False

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self._answer = answer
        self.calls: list[list[Any]] = []
        self.away = False
        self.here = asyncio.Event()
        self.here.set()
        """Cleared, a call that was made waits for its answer."""
        self.called = asyncio.Event()

    async def call(self, batch: list[Any]) -> list[Any]:
        if self.away:
            self.called.set()
            raise UnavailableError("away")
        self.calls.append(list(batch))
        self.called.set()
        await self.here.wait()
        return [self._answer(one) for one in batch]

    async def stream(self, batch: list[Any]) -> AsyncIterator[list[Any]]:
        yield await self.call(batch)


def choose_mail(candidate: Candidate) -> Choice:
    return choice_of(candidate, "mail")


def render(request: RenderRequest) -> Rendered:
    return Rendered(request.send_key, {"text": "hello"}, {}, "en", "hash")


def accept(dispatch: Dispatch) -> Receipt:
    return Receipt(dispatch.send_key, Verdict.ACCEPTED, "sink", "p1")


class OneShard:
    """A world of one shard as a driver of effects sees it."""

    def __init__(self) -> None:
        self.world = World(n=1)
        self.world.publish_campaigns(1, BY_EVENT)
        self.shard = self.world.shards[0]
        self.applied: list[RecordBody] = []

    async def submit(self, body: RecordBody) -> None:
        self.applied.append(body)
        self.world.write(0, body)

    def clock(self) -> int:
        return self.world.now

    def candidates(self, n: int) -> list[Candidate]:
        """Users who are in no holdout and became candidates."""
        users = [u for u in (f"u{i}" for i in range(4 * n)) if draw(f"u:{u}", "salt", 0.3, 0.3) != Group.HOLDOUT][:n]
        for user in users:
            self.world.send(event(user, type="identify", traits=ADDRESSES))
            self.world.send(event(user, name="Looked"))
        asked, self.world.asked = self.world.asked, []
        return asked

    def to_send(self, n: int) -> list[str]:
        """Decisions whose message waits to be sent."""
        self.world.asked = self.candidates(n)
        self.world.decide(lambda _: "mail")
        waiting, self.world.under_way = self.world.under_way, []
        return waiting

    def status(self, decision: str) -> tuple[str, str]:
        found = self.shard.tenant(TENANT).loop.find(decision)
        assert found is not None
        return found[1].status, found[1].reason


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Let the loop run until something holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  what changes has no event of its own
            await asyncio.sleep(0.001)

"""Callers who ask a shard about users: each is told once all of its decisions are settled, and nothing is left of it."""

from __future__ import annotations

import asyncio

from actors.shard.loop.engagement_loop import EngagementLoop
from tests.support.shard_world import TENANT, event
from tests.unit.actors.applications import FakeApplication, OneShard, choose_mail, until
from tests.unit.whisperer.shard.campaigns import ADDRESSES, ON_REQUEST
from whisperer.shard.records import RecordBody


class Asked(OneShard):
    """A shard whose effects are carried out; users a and b are there."""

    def __init__(self) -> None:
        super().__init__()
        self.world.publish_campaigns(2, ON_REQUEST)
        for user in ("a", "b"):
            self.world.send(event(user, type="identify", traits=ADDRESSES))
        self.application = FakeApplication(choose_mail)
        self.engaging = EngagementLoop(self.shard, self.submit, self.clock)
        self.engaging.decider._application = self.application  # type: ignore[assignment]
        self.engaging.deliverer.add = lambda *_: None  # type: ignore[method-assign,assignment]

    async def submit(self, body: RecordBody) -> None:
        for effect in self.world.write(0, body):
            self.engaging.carry_out(effect)

    async def ask(self, *users: str, timeout_s: float = 10.0) -> list[str]:
        pairs = [(f"u:{user}", "once") for user in users]
        return [one.status for one in await self.engaging.ask(TENANT, ON_REQUEST.name, pairs, timeout_s)]


async def test_a_caller_is_told_when_all_are_settled_and_an_unknown_user_is_not_waited_for() -> None:
    one = Asked()
    told = await one.ask("a", "nobody", "b")
    assert told[1] == "unknown"
    assert "deciding" not in told
    assert one.engaging._askers == {}


async def test_two_who_ask_the_same_are_both_told() -> None:
    one = Asked()
    one.application.here.clear()
    both = [asyncio.ensure_future(one.ask("a", "b")) for _ in range(2)]
    await until(lambda: len(one.application.calls) > 0)
    assert not any(asking.done() for asking in both)
    one.application.here.set()
    first, second = await asyncio.gather(*both)
    assert first == second
    assert "deciding" not in first
    assert one.engaging._askers == {}


async def test_who_waited_long_enough_is_told_what_there_is_and_the_other_waits_on() -> None:
    one = Asked()
    one.application.here.clear()
    patient = asyncio.ensure_future(one.ask("a"))
    await until(lambda: len(one.application.calls) > 0)
    assert await one.ask("a", timeout_s=0.0) == ["deciding"]
    one.application.here.set()
    assert await patient != ["deciding"]
    assert one.engaging._askers == {}

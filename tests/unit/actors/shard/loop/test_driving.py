"""What the drivers of effects do when partitions come and go, applications misbehave, and the shard ends."""

from __future__ import annotations

import asyncio
import logging

import msgspec
import pytest

from actors.shard.loop.decider import MAX_CALLS, Decider
from actors.shard.loop.deliverer import Deliverer
from tests.support.shard_world import SEED, TENANT
from tests.unit.actors.applications import FakeApplication, OneShard, accept, choose_mail, render, until
from whisperer.decisions.decision import Candidate, Choice
from whisperer.ids import partition_of


def decider(one: OneShard, application: FakeApplication) -> Decider:
    return Decider(one.shard, application, one.submit)  # type: ignore[arg-type]


def place_of(one: OneShard, decision: str) -> int:
    tenant = one.shard.tenant(TENANT)
    found = tenant.loop.find(decision)
    assert found is not None
    key = tenant.people.keys.text(found[0])
    assert key is not None
    return partition_of(key, SEED)


async def test_a_message_whose_partition_left_and_came_back_while_content_was_away_is_sent_once() -> None:
    one, content, delivery = OneShard(), FakeApplication(render), FakeApplication(accept)
    content.away = True
    made = Deliverer(one.shard, content, delivery, one.submit, one.clock)  # type: ignore[arg-type]
    first = one.to_send(6)
    other = next(d for d in first if place_of(one, d) != place_of(one, first[0]))
    for decision in (first[0], other):
        made.add(TENANT, decision, "email")
    await content.called.wait()
    await made.stop(TENANT, place_of(one, first[0]), 60.0)
    content.called.clear()
    await content.called.wait()  # the other one is still tried, in the same batch
    made.resume(TENANT, place_of(one, first[0]))
    made.add(TENANT, first[0], "email")
    content.away = False
    await until(lambda: made.n_waiting == 0)
    assert [one.status(d)[0] for d in (first[0], other)] == ["sent", "sent"]
    assert sorted(d.decision_id for call in delivery.calls for d in call) == sorted((first[0], other))


async def test_after_closing_nothing_more_is_asked() -> None:
    one, application = OneShard(), FakeApplication(choose_mail)
    application.here.clear()
    made = decider(one, application)
    (candidate,) = one.candidates(1)
    for _ in range(256 * (MAX_CALLS + 1)):
        made.add(candidate)
    await until(lambda: len(application.calls) == MAX_CALLS)
    await made.close()
    made.add(candidate)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(application.calls) == MAX_CALLS


async def test_an_answer_about_something_else_is_passed_over_and_told(caplog: pytest.LogCaptureFixture) -> None:
    one = OneShard()
    (candidate,) = one.candidates(1)

    class Confused(FakeApplication):
        async def call(self, batch: list[Candidate]) -> list[Choice]:
            other = msgspec.structs.replace(batch[0], decision_id="dec_other")
            return [choose_mail(other), *map(choose_mail, batch)]

    made = decider(one, Confused(choose_mail))
    with caplog.at_level(logging.ERROR):
        made.add(candidate)
        await until(lambda: not made._calls and made.n_waiting == 0)
    assert one.status(candidate.decision_id)[0] == "sending"
    assert "dec_other" in caplog.text

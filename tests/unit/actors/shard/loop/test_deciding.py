from __future__ import annotations

from actors.shard.loop.decider import MAX_BATCH, MAX_CALLS, Decider
from tests.support.shard_world import TENANT
from tests.unit.actors.applications import FakeApplication, OneShard, choose_mail, until
from whisperer.decisions.decision import Candidate
from whisperer.shard.state.timers import DECISION_DEADLINE_MS


def decider(one: OneShard, application: FakeApplication) -> Decider:
    return Decider(one.shard, application, one.submit)  # type: ignore[arg-type]


async def test_candidates_that_wait_together_are_asked_together() -> None:
    one, application = OneShard(), FakeApplication(choose_mail)
    asked = one.candidates(5)
    made = decider(one, application)
    for candidate in asked:
        made.add(candidate)
    await until(lambda: all(one.status(c.decision_id)[0] == "sending" for c in asked))
    assert [len(call) for call in application.calls] == [5]
    assert len(one.applied) == 1


async def test_a_batch_is_bounded_and_so_are_the_calls_under_way() -> None:
    one, application = OneShard(), FakeApplication(choose_mail)
    application.here.clear()
    made = decider(one, application)
    (candidate,) = one.candidates(1)
    for _ in range(MAX_BATCH * (MAX_CALLS + 2)):
        made.add(candidate)
    await until(lambda: len(application.calls) == MAX_CALLS)
    assert {len(call) for call in application.calls} == {MAX_BATCH}
    assert made.n_waiting == 2 * MAX_BATCH
    await made.close()


async def test_while_the_application_is_away_candidates_wait_and_are_then_decided_once() -> None:
    one, application = OneShard(), FakeApplication(choose_mail)
    application.away = True
    (candidate,) = one.candidates(1)
    made = decider(one, application)
    made.add(candidate)
    await application.called.wait()
    application.away = False
    await until(lambda: one.status(candidate.decision_id)[0] == "sending")
    assert len(application.calls) == 1


async def test_a_candidate_whose_deadline_passed_is_not_asked_about_again() -> None:
    one, application = OneShard(), FakeApplication(choose_mail)
    application.away = True
    (candidate,) = one.candidates(1)
    made = decider(one, application)
    made.add(candidate)
    await application.called.wait()
    one.world.tick(one.world.now + DECISION_DEADLINE_MS)
    application.away = False
    await until(lambda: not made._calls)
    assert application.calls == []
    assert one.status(candidate.decision_id) == ("refused", "decision_expired")


async def test_what_the_application_leaves_out_does_not_hold_up_the_rest() -> None:
    one = OneShard()
    asked = one.candidates(3)

    class Partial(FakeApplication):
        async def call(self, batch: list[Candidate]) -> list[object]:
            return [choose_mail(c) for c in batch if c is not asked[1]]

    made = decider(one, Partial(choose_mail))
    for candidate in asked:
        made.add(candidate)
    await until(lambda: bool(one.applied) and not made._calls)
    assert [one.status(c.decision_id)[0] for c in asked] == ["sending", "deciding", "sending"]
    assert one.shard.tenant(TENANT).loop.accounts["nudge"].pending == 3

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from msgspec.structs import replace

from actors.shard.loop.deliverer import Deliverer
from tests.support.shard_world import SEED, TENANT
from tests.unit.actors.applications import FakeApplication, OneShard, accept, render, until
from tests.unit.whisperer.shard.campaigns import MAIL, TEXT, campaign
from whisperer.content.message import Answer, NotRendered, RenderRequest, Wanting
from whisperer.content.recent import RecentEvent
from whisperer.delivery.dispatch import Dispatch, Looked, Receipt, Verdict
from whisperer.delivery.schedule import longest_wait_ms
from whisperer.ids import partition_of
from whisperer.shard.records import ConsentStated
from whisperer.vocabulary.reasons import Reason


def deliverer(one: OneShard, content: FakeApplication, delivery: FakeApplication) -> Deliverer:
    return Deliverer(one.shard, content, delivery, one.submit, one.clock)  # type: ignore[arg-type]


async def test_a_message_is_rendered_dispatched_and_confirmed() -> None:
    one, content, delivery = OneShard(), FakeApplication(render), FakeApplication(accept)
    made = deliverer(one, content, delivery)
    decisions = one.to_send(3)
    for decision in decisions:
        made.add(TENANT, decision, "email")
        made.add(TENANT, decision, "email")  # driven twice, sent once
    await until(lambda: made.n_waiting == 0)
    assert {one.status(d) for d in decisions} == {("sent", "")}
    assert sorted(d.decision_id for call in delivery.calls for d in call) == sorted(decisions)


async def test_a_message_names_its_sender_as_its_arm_and_campaign_say() -> None:
    one, delivery = OneShard(), FakeApplication(accept)
    named = campaign(arms=(replace(MAIL, reply_to="ada@x.co"), TEXT), from_name="Acme", reply_to="help@x.co")
    one.world.publish_campaigns(2, named)
    made = deliverer(one, FakeApplication(render), delivery)
    (decision,) = one.to_send(1)
    one.world.publish_campaigns(3, campaign(from_name="Others"))  # a decision stays under the version it was made under
    made.add(TENANT, decision, "email")
    await until(lambda: made.n_waiting == 0)
    [[dispatch]] = delivery.calls
    assert (dispatch.from_name, dispatch.reply_to) == ("Acme", "ada@x.co")


async def test_after_a_failure_it_is_dispatched_again_under_the_same_key() -> None:
    one, content, delivery = OneShard(), FakeApplication(render), FakeApplication(accept)
    delivery.away = True
    made = deliverer(one, content, delivery)
    (decision,) = one.to_send(1)
    made.add(TENANT, decision, "email")
    await delivery.called.wait()
    delivery.away = False
    decided_at = one.world.now
    one.world.now += 60_000  # time passes; when it was decided does not change with the attempts
    await until(lambda: made.n_waiting == 0)
    assert one.status(decision) == ("sent", "")
    assert [d.decided_at for call in delivery.calls for d in call] == [decided_at]
    assert len(content.calls) == 2  # prepared anew from the state as it is then


async def test_a_withdrawal_while_the_message_is_rendered_stops_it() -> None:
    one, content, delivery = OneShard(), FakeApplication(render), FakeApplication(accept)
    content.here.clear()
    made = deliverer(one, content, delivery)
    (decision,) = one.to_send(1)
    made.add(TENANT, decision, "email")
    await content.called.wait()
    (request,) = content.calls[0]
    await one.submit(ConsentStated(TENANT, request.user_key, "email", "marketing", False, "user"))
    content.here.set()
    await until(lambda: made.n_waiting == 0)
    assert delivery.calls == []
    assert one.status(decision) == ("refused", "no_consent")


async def test_what_cannot_be_rendered_is_refused_with_its_reason_and_holds_up_nobody() -> None:
    one, delivery = OneShard(), FakeApplication(accept)
    first, second = one.to_send(2)

    def render_some(request: RenderRequest) -> object:
        missing = request.decision_id == first
        return NotRendered(request.send_key, Reason.VARIABLE_MISSING, "user.name") if missing else render(request)

    made = deliverer(one, FakeApplication(render_some), delivery)
    for decision in (first, second):
        made.add(TENANT, decision, "email")
    await until(lambda: made.n_waiting == 0)
    assert (one.status(first), one.status(second)) == (("refused", "variable_missing"), ("sent", ""))


async def test_a_channel_that_hangs_does_not_hold_up_another() -> None:
    one, content = OneShard(), FakeApplication(render)
    hanging = asyncio.Event()

    class Delivery(FakeApplication):
        async def stream(self, batch: list[Dispatch]) -> AsyncIterator[list[Receipt]]:
            if batch[0].decision_id == stuck:
                await hanging.wait()
            yield [accept(dispatch) for dispatch in batch]

    stuck, free = one.to_send(2)
    made = deliverer(one, content, Delivery(accept))
    made.add(TENANT, stuck, "webhook")
    made.add(TENANT, free, "email")
    await until(lambda: one.status(free)[0] == "sent")
    assert one.status(stuck)[0] == "sending"
    hanging.set()
    await until(lambda: made.n_waiting == 0)


async def test_a_partition_that_leaves_waits_for_the_receipt_and_sends_nothing_more() -> None:
    one, content, delivery = OneShard(), FakeApplication(render), FakeApplication(accept)
    delivery.here.clear()
    made = deliverer(one, content, delivery)
    decisions = one.to_send(2)
    made.add(TENANT, decisions[0], "email")
    await delivery.called.wait()
    (request,) = content.calls[0]
    partition = partition_of(request.user_key, SEED)
    leaving = asyncio.ensure_future(made.stop(TENANT, partition, 60.0))
    await asyncio.sleep(0)
    assert not leaving.done()
    delivery.here.set()
    await leaving
    assert one.status(decisions[0]) == ("sent", "")
    made.add(TENANT, decisions[0], "email")
    assert made.n_waiting == 0


class Provider(FakeApplication):
    """Answers each message by itself, when it is told to; ``full``: turns those away, once."""

    def __init__(self) -> None:
        super().__init__(accept)
        self.answers: dict[str, asyncio.Event] = {}
        self.full: set[str] = set()

    def answer(self, decision: str) -> None:
        self.answers.setdefault(decision, asyncio.Event()).set()

    async def stream(self, batch: list[Dispatch]) -> AsyncIterator[list[Receipt]]:
        self.calls.append(list(batch))
        self.called.set()
        for dispatch in batch:
            if dispatch.decision_id in self.full:
                self.full.remove(dispatch.decision_id)
                yield [Receipt(dispatch.send_key, Verdict.WAITING)]
                continue
            await self.answers.setdefault(dispatch.decision_id, asyncio.Event()).wait()
            yield [accept(dispatch)]

    def n_times(self, decision: str) -> int:
        return sum(dispatch.decision_id == decision for call in self.calls for dispatch in call)


async def test_a_receipt_is_journaled_when_it_comes_whatever_the_slowest_of_its_batch_does() -> None:
    one, delivery = OneShard(), Provider()
    made = deliverer(one, FakeApplication(render), delivery)
    fast, slow = one.to_send(2)
    for decision in (fast, slow):
        made.add(TENANT, decision, "email")
    delivery.answer(fast)
    await until(lambda: one.status(fast) == ("sent", ""))
    assert (one.status(slow)[0], made.n_under_way, made.n_waiting) == ("sending", 1, 1)
    delivery.answer(slow)
    await until(lambda: made.n_waiting == 0)
    assert made.n_under_way == 0


async def test_what_found_no_connection_comes_again_after_another_last_look_and_was_no_attempt() -> None:
    one, delivery = OneShard(), Provider()
    made = deliverer(one, FakeApplication(render), delivery)
    going, waiting, withdrawn = one.to_send(3)
    delivery.full = {waiting, withdrawn}
    for decision in (going, waiting, withdrawn):
        made.add(TENANT, decision, "email")
        delivery.answer(decision)
    await delivery.called.wait()
    (user,) = (d.user_key for d in delivery.calls[0] if d.decision_id == withdrawn)
    await one.submit(ConsentStated(TENANT, user, "email", "marketing", False, "user"))
    await until(lambda: made.n_waiting == 0)
    assert (one.status(waiting), one.status(withdrawn)) == (("sent", ""), ("refused", "no_consent"))
    assert (delivery.n_times(waiting), delivery.n_times(withdrawn)) == (2, 1)
    found = one.shard.tenant(TENANT).loop.find(waiting)
    assert found is not None
    assert found[1].send is not None
    assert found[1].send.attempts == 1


async def test_a_planned_stop_waits_for_what_is_under_way_and_gives_up_the_rest_as_unknown() -> None:
    one, delivery = OneShard(), Provider()
    made = deliverer(one, FakeApplication(render), delivery)
    answered, hanging, late = one.to_send(3)
    for decision in (answered, hanging):
        made.add(TENANT, decision, "email")
    await delivery.called.wait()
    stopping = asyncio.ensure_future(made.finish(0.3))
    await asyncio.sleep(0)
    made.add(TENANT, late, "email")  # events go on being accepted, and decide
    delivery.answer(answered)
    assert await stopping == 1
    assert one.status(answered) == ("sent", "")
    found = one.shard.tenant(TENANT).loop.find(hanging)
    assert found is not None
    assert found[1].send is not None
    assert (found[1].status, found[1].send.unknown) == ("sent", True)  # not asked for again after a restart
    assert (one.status(late)[0], delivery.n_times(late)) == ("sending", 0)
    await made.close(0.0)
    assert one.shard.tenant(TENANT).loop.account("nudge").unknown == 1


async def test_a_stop_that_does_not_come_is_taken_back() -> None:
    one, delivery = OneShard(), FakeApplication(accept)
    made = deliverer(one, FakeApplication(render), delivery)
    (decision,) = one.to_send(1)
    assert await made.finish(1.0) == 0
    made.add(TENANT, decision, "email")
    assert made.n_waiting == 0
    made.reopen()
    made.add(TENANT, decision, "email")
    await until(lambda: made.n_waiting == 0)
    assert one.status(decision) == ("sent", "")


async def test_a_partition_that_leaves_waits_no_longer_than_it_may() -> None:
    one, delivery = OneShard(), Provider()
    made = deliverer(one, FakeApplication(render), delivery)
    (decision,) = one.to_send(1)
    made.add(TENANT, decision, "email")
    await delivery.called.wait()
    await made.stop(TENANT, partition_of(delivery.calls[0][0].user_key, SEED), 0.05)
    assert (one.status(decision)[0], made.n_under_way) == ("sent", 0)
    delivery.answer(decision)  # too late to say anything
    await until(lambda: made.n_waiting == 0)
    assert one.shard.tenant(TENANT).loop.account("nudge").unknown == 1


async def test_closing_begins_nothing_more() -> None:
    one, content, delivery = OneShard(), FakeApplication(render), FakeApplication(accept)
    content.away = True
    made = deliverer(one, content, delivery)
    (decision,) = one.to_send(1)
    made.add(TENANT, decision, "email")
    await content.called.wait()
    await made.close(5.0)
    assert made.n_waiting == 0
    assert one.status(decision)[0] == "sending"  # driven again at the next start


class Holding(FakeApplication):
    """Holds each message so many times, for ``wait_s``."""

    def __init__(self, status: Verdict, wait_s: float, times: dict[str, int]) -> None:
        super().__init__(self._answered)
        self._status, self._wait_s, self._times = status, wait_s, times

    def _answered(self, dispatch: Dispatch) -> Receipt:
        if self._times.get(dispatch.decision_id, 0) > 0:
            self._times[dispatch.decision_id] -= 1
            return Receipt(dispatch.send_key, self._status, "smtp", retry_after_s=self._wait_s)
        return accept(dispatch)

    def order(self) -> list[str]:
        return [dispatch.decision_id for call in self.calls for dispatch in call]


async def test_a_message_whose_turn_is_later_comes_again_then_and_was_no_attempt() -> None:
    one = OneShard()
    held, free = one.to_send(2)
    delivery = Holding(Verdict.LATER, 0.05, {held: 2})
    made = deliverer(one, FakeApplication(render), delivery)
    for decision in (held, free):
        made.add(TENANT, decision, "email")
    await until(lambda: one.status(free)[0] == "sent")
    assert (one.status(held)[0], made.n_under_way) == ("sending", 0)
    await until(lambda: made.n_waiting == 0)
    assert one.status(held) == ("sent", "")
    assert delivery.order().count(held) == 3
    found = one.shard.tenant(TENANT).loop.find(held)
    assert found is not None
    assert found[1].send is not None
    assert found[1].send.attempts == 1


async def test_what_all_of_a_channel_would_hear_is_asked_once_and_the_line_rests() -> None:
    one = OneShard()
    first, second = one.to_send(2)
    delivery = Holding(Verdict.WAITING, 0.1, {first: 1})
    made = deliverer(one, FakeApplication(render), delivery)
    made.add(TENANT, first, "email")
    await delivery.called.wait()
    await asyncio.sleep(0.02)
    made.add(TENANT, second, "email")
    await asyncio.sleep(0.02)
    assert delivery.order() == [first], "nobody is asked for while the account rests"
    await until(lambda: made.n_waiting == 0)
    assert delivery.order()[1:2] == [first], "who was told a turn comes before the line"
    assert (one.status(first), one.status(second)) == (("sent", ""), ("sent", ""))


async def test_what_waited_as_long_as_the_whole_schedule_is_refused_as_expired() -> None:
    one = OneShard()
    (held,) = one.to_send(1)
    delivery = Holding(Verdict.WAITING, 0.01, {held: 1_000})
    made = deliverer(one, FakeApplication(render), delivery)
    made.add(TENANT, held, "email")
    await delivery.called.wait()
    one.world.now += longest_wait_ms("email") - 1
    n_asked = len(delivery.calls)
    await until(lambda: len(delivery.calls) > n_asked + 1)
    assert one.status(held)[0] == "sending"
    one.world.now += 1
    await until(lambda: made.n_waiting == 0)
    assert one.status(held) == ("refused", "delivery_expired")


async def test_a_stop_does_not_wait_for_what_is_held() -> None:
    one = OneShard()
    (held,) = one.to_send(1)
    delivery = Holding(Verdict.LATER, 3_600.0, {held: 1})
    made = deliverer(one, FakeApplication(render), delivery)
    made.add(TENANT, held, "email")
    await delivery.called.wait()
    await asyncio.sleep(0.02)
    await made.close(5.0)
    made.reopen()
    assert (made.n_waiting, one.status(held)[0]) == (0, "sending")
    made.add(TENANT, held, "email")  # as at the next start
    await until(lambda: made.n_waiting == 0)
    assert one.status(held) == ("sent", "")


async def test_after_an_unknown_attempt_it_is_said_who_may_have_the_message() -> None:
    one = OneShard()
    (decision,) = one.to_send(1)
    answers = iter([Receipt("", Verdict.RETRY, "ses"), Receipt("", Verdict.UNKNOWN, "backup", repeatable=True)])

    def answer(dispatch: Dispatch) -> Receipt:
        found = next(answers, None)
        return accept(dispatch) if found is None else replace(found, send_key=dispatch.send_key)

    delivery = FakeApplication(answer)
    made = deliverer(one, FakeApplication(render), delivery)
    for _ in range(3):
        made.add(TENANT, decision, "email")
        await until(lambda: made.n_waiting == 0)
        one.world.now += 60_000
        one.world.tick()
    assert [dispatch.may_be_at for call in delivery.calls for dispatch in call] == [None, None, "backup"]


async def test_a_message_that_shows_latest_events_is_asked_for_again_with_them_and_from_then_on_at_once() -> None:
    def wants(request: RenderRequest) -> Answer:
        return Wanting(request.send_key) if request.recent is None else render(request)

    one, content, delivery = OneShard(), FakeApplication(wants), FakeApplication(accept)
    seen = [RecentEvent("Product Viewed", 1, b"{}")]
    made = Deliverer(
        one.shard,
        content,
        delivery,
        one.submit,
        one.clock,
        lambda tenant, row: seen,  # type: ignore[arg-type]
    )
    first, second = one.to_send(2)
    made.add(TENANT, first, "email")
    await until(lambda: made.n_waiting == 0)
    assert [[request.recent for request in call] for call in content.calls] == [[None], [seen]]
    made.add(TENANT, second, "email")
    await until(lambda: made.n_waiting == 0)
    assert [[request.recent for request in call] for call in content.calls[2:]] == [[seen]]
    assert {one.status(decision) for decision in (first, second)} == {("sent", "")}


async def test_a_look_is_handed_in_as_such_and_goes_on_after_a_planned_stop() -> None:
    one = OneShard()
    (decision,) = one.to_send(1)
    looked = Looked(one.world.now, "w")
    unknown = Receipt("", Verdict.UNKNOWN, "backup", looked=looked, retry_after_s=10.0)
    first = FakeApplication(lambda dispatch: replace(unknown, send_key=dispatch.send_key))
    made = deliverer(one, FakeApplication(render), first)
    made.add(TENANT, decision, "email")
    await until(lambda: made.n_waiting == 0)
    assert one.status(decision)[0] == "sending"
    await made.close(0.0)

    hanging = Provider()
    one.world.tick(one.world.now + 10_000)
    made = deliverer(one, FakeApplication(render), hanging)
    made.add(TENANT, decision, "email")
    await hanging.called.wait()
    [[asked]] = hanging.calls
    assert (asked.looked, asked.may_be_at, asked.attempt) == (looked, "backup", 1)
    assert await made.finish(0.05) == 1
    await made.close(0.0)
    assert one.status(decision)[0] == "sending"  # not given up: it was not sent but looked for

    last = FakeApplication(accept)
    one.world.tick(one.world.now)
    made = deliverer(one, FakeApplication(render), last)
    made.add(TENANT, decision, "email")
    await until(lambda: made.n_waiting == 0)
    [[asked]] = last.calls
    assert (asked.looked, asked.may_be_at, asked.attempt) == (looked, "backup", 2)
    assert one.status(decision) == ("sent", "")

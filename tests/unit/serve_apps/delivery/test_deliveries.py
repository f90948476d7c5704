from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from serve_apps.delivery.admission import Admission
from serve_apps.delivery.attempts import AttemptFile, Attempts
from serve_apps.delivery.deliveries import Deliveries
from serve_apps.delivery.provider import MAX_DETAIL_CHARS, clean, receipt
from serve_apps.delivery.routing import Routing
from tests.unit.whisperer.delivery.dispatches import dispatch
from whisperer.delivery.dispatch import Dispatch, Receipt, Verdict
from whisperer.delivery.plan import ALONE, Account, Plan, Rates

NOW = 1_700_000_000_000


@dataclass
class Configured:
    provider: str
    config: dict[str, Any]
    plan: Plan = ALONE


class FakePlane:
    """A control plane in a dict; ``down`` makes it fail."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Configured] = {}
        self.number = 1
        self.down = False
        self.n_versions = 0
        self.n_channels = 0

    def set(self, tenant: str, channel: str, provider: str, **config: Any) -> None:
        self.rows[tenant, channel] = Configured(provider, config)
        self.number += 1

    def version(self) -> int:
        self.n_versions += 1
        if self.down:
            raise ConnectionError("the database is away")
        return self.number

    def channel(self, tenant_id: str, channel: str) -> Configured | None:
        self.n_channels += 1
        if self.down:
            raise ConnectionError("the database is away")
        return self.rows.get((tenant_id, channel))


@dataclass
class FakeProvider:
    name: str = "sink"
    behaviour: str = "accepts"
    sent: list[str] = field(default_factory=list)
    closed: bool = False
    connections: int = 0
    gate: asyncio.Event | None = None
    waiting: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def provider(self) -> str:
        return self.name

    async def send(self, dispatch: Dispatch) -> Receipt:
        assert not self.closed
        self.sent.append(dispatch.send_key)
        if self.gate is not None:
            self.waiting.set()
            await self.gate.wait()
        if self.behaviour == "raises":
            raise RuntimeError("password=geheim")
        if self.behaviour == "swaps":
            return Receipt("another", Verdict.ACCEPTED, self.name)
        return receipt(dispatch, Verdict.ACCEPTED, self.name)

    async def aclose(self) -> None:
        assert not self.closed
        self.closed = True


_NUMBERS = itertools.count()


class Stand:
    folder: Path

    def __init__(self, *, poll_interval_s: float = 0.0) -> None:
        self.plane = FakePlane()
        self.sink = FakeProvider()
        self.made: list[FakeProvider] = []
        self.routing = Routing(self.plane, self.sink, self._make, poll_interval_s=poll_interval_s)
        self.attempts = Attempts(AttemptFile(self.folder / f"{next(_NUMBERS)}.db"), lambda: NOW)
        self.deliveries = Deliveries(self.routing, self.attempts)

    def _make(self, provider: str, config: dict[str, Any]) -> Admission:
        if provider == "unknown":
            raise ValueError("geheim")
        self.made.append(FakeProvider(provider, config.get("behaviour", "accepts")))
        return Admission(self.made[-1])

    async def send(self, *dispatches: Dispatch) -> list[tuple[str, str]]:
        receipts = await self.receipts(*dispatches)
        return [(receipts[each.send_key].status, receipts[each.send_key].provider) for each in dispatches]

    async def receipts(self, *dispatches: Dispatch) -> dict[str, Receipt]:
        """By send key: one a dispatch."""
        found = [receipt async for receipts in self.deliveries.dispatch(list(dispatches)) for receipt in receipts]
        assert sorted(each.send_key for each in found) == sorted(each.send_key for each in dispatches)
        return {each.send_key: each for each in found}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stand, "folder", tmp_path, raising=False)


async def test_a_channel_without_a_provider_goes_to_the_sink() -> None:
    stand = Stand()
    stand.plane.set("tn_1", "sms", "sink")
    assert await stand.send(dispatch(), dispatch(1, "sms"), dispatch(2, "push")) == [(Verdict.ACCEPTED, "sink")] * 3
    assert stand.made == []


async def test_receipts_come_in_the_order_of_the_dispatches_whatever_carries_them() -> None:
    stand = Stand()
    stand.plane.set("tn_1", "email", "smtp")
    stand.plane.set("tn_2", "email", "webhook")
    batch = [dispatch(n, ["email", "sms"][n % 2], tenant=f"tn_{n % 3}") for n in range(12)]
    wanted = {("tn_1", "email"): "smtp", ("tn_2", "email"): "webhook"}
    assert await stand.send(*batch) == [(Verdict.ACCEPTED, wanted.get((d.tenant, d.channel), "sink")) for d in batch]
    assert await stand.send() == []


@pytest.mark.parametrize("behaviour", ["raises", "swaps"])
async def test_a_provider_that_fails_fails_for_itself_alone(behaviour: str, caplog: pytest.LogCaptureFixture) -> None:
    stand = Stand()
    stand.plane.set("tn_1", "email", "smtp", behaviour=behaviour)
    with caplog.at_level(logging.DEBUG):
        answers = await stand.send(dispatch(0), dispatch(1, "sms"), dispatch(2))
    assert answers == [(Verdict.RETRY, ""), (Verdict.ACCEPTED, "sink"), (Verdict.RETRY, "")]
    assert "geheim" not in caplog.text


async def test_a_provider_that_cannot_be_made_is_never_replaced_by_the_sink(caplog: pytest.LogCaptureFixture) -> None:
    stand = Stand()
    stand.plane.set("tn_1", "email", "unknown")
    assert await stand.send(dispatch()) == [(Verdict.RETRY, "")]
    assert stand.sink.sent == []
    assert "geheim" not in caplog.text


async def test_a_provider_that_hangs_is_bounded_and_holds_nobody_up() -> None:
    stand = Stand(poll_interval_s=3_600.0)
    stand.plane.set("tn_1", "email", "smtp")
    await stand.send(dispatch(), dispatch(1, "sms"))  # both known from here on: nothing but the provider takes time
    stand.made[0].gate = asyncio.Event()
    stand.deliveries = Deliveries(stand.routing, stand.attempts, max_send_s=0.05)
    # It may have had the message: not a retry, and mail is not repeated blindly.
    receipts = await stand.receipts(dispatch(2), dispatch(3, "sms"))
    held = receipts[dispatch(2).send_key]
    assert (held.status, held.repeatable) == (Verdict.UNKNOWN, False)
    assert receipts[dispatch(3).send_key].status == Verdict.ACCEPTED


async def test_a_receipt_does_not_wait_for_a_slower_one() -> None:
    stand = Stand()
    stand.plane.set("tn_1", "email", "smtp")
    await stand.send(dispatch(9))
    gate = stand.made[0].gate = asyncio.Event()
    told = stand.deliveries.dispatch([dispatch(), dispatch(1, "sms")])
    [first] = await anext(told)
    assert first.send_key == dispatch(1).send_key
    gate.set()
    [second] = await anext(told)
    assert (second.send_key, second.status) == (dispatch().send_key, Verdict.ACCEPTED)


async def test_who_asks_again_for_an_attempt_has_its_receipt_and_nothing_is_sent_twice() -> None:
    """A shard that was killed, or whose call was lost, asks again for what is under way or was answered."""
    stand = Stand()
    stand.plane.set("tn_1", "email", "smtp")
    await stand.send(dispatch(9))
    gate = stand.made[0].gate = asyncio.Event()
    asking = asyncio.ensure_future(stand.send(dispatch()))
    await stand.made[0].waiting.wait()
    asking.cancel()  # whoever asked is gone; the message is not
    again = asyncio.ensure_future(stand.send(dispatch()))
    await asyncio.sleep(0.01)
    gate.set()
    assert await again == [(Verdict.ACCEPTED, "smtp")]
    assert await stand.send(dispatch()) == [(Verdict.ACCEPTED, "smtp")]
    assert stand.made[0].sent.count(dispatch().send_key) == 1
    assert await stand.send(dispatch(attempt=1)) == [(Verdict.ACCEPTED, "smtp")]  # the next attempt is another
    assert await stand.send(dispatch(tenant="tn_2")) == [(Verdict.ACCEPTED, "sink")]  # and so is another tenant's
    assert stand.made[0].sent.count(dispatch().send_key) == 2


async def test_an_unusable_address_is_handed_to_nobody() -> None:
    stand = Stand()
    receipts = await stand.receipts(dispatch(address="ada@example.com\r\nBcc: x@example.com"), dispatch(1))
    answers = [receipts[dispatch(n).send_key] for n in range(2)]
    assert [(each.status, each.detail) for each in answers] == [(Verdict.REFUSED, "no_address"), (Verdict.ACCEPTED, "")]
    assert stand.sink.sent == [dispatch(1).send_key]


async def test_the_control_plane_is_asked_once_while_nothing_changes() -> None:
    stand = Stand(poll_interval_s=3_600.0)
    for n in range(20):
        await stand.send(dispatch(n), dispatch(100 + n, "sms"))
    assert (stand.plane.n_versions, stand.plane.n_channels) == (1, 2)
    stand = Stand()
    for n in range(20):
        await stand.send(dispatch(n))
    assert (stand.plane.n_versions, stand.plane.n_channels) == (20, 1)


async def test_a_changed_channel_takes_over_and_an_unchanged_one_keeps_its_connections() -> None:
    stand = Stand()
    stand.plane.set("tn_1", "email", "smtp", host="a")
    assert await stand.send(dispatch()) == [(Verdict.ACCEPTED, "smtp")]
    stand.plane.set("tn_9", "email", "smtp", host="a")  # somebody else's change
    await stand.send(dispatch(1))
    assert len(stand.made) == 1
    stand.plane.set("tn_1", "email", "webhook", host="b")
    assert await stand.send(dispatch(2)) == [(Verdict.ACCEPTED, "webhook")]
    assert [each.closed for each in stand.made] == [True, False]
    del stand.plane.rows["tn_1", "email"]
    stand.plane.number += 1
    assert await stand.send(dispatch(3)) == [(Verdict.ACCEPTED, "sink")]
    assert [each.closed for each in stand.made] == [True, True]


async def test_a_provider_is_closed_only_when_nothing_is_sent_through_it() -> None:
    stand = Stand()
    gate = asyncio.Event()
    stand.plane.rows["tn_1", "email"] = Configured("smtp", {"host": "a"})
    await stand.send(dispatch())
    stand.made[0].gate = gate
    slow = asyncio.ensure_future(stand.send(dispatch(1)))
    await stand.made[0].waiting.wait()
    stand.plane.set("tn_1", "email", "webhook", host="b")
    assert await stand.send(dispatch(2)) == [(Verdict.ACCEPTED, "webhook")]
    assert not stand.made[0].closed
    gate.set()
    assert await slow == [(Verdict.ACCEPTED, "smtp")]
    assert stand.made[0].closed


async def test_an_account_stays_as_it_was_while_another_of_its_channel_changes() -> None:
    stand = Stand()
    backup = Account("ses", {"region": "a"}, "backup", 1)
    main = {"host": "a"}

    def put(config: dict[str, Any], plan: Plan) -> None:
        stand.plane.rows["tn_1", "email"] = Configured("smtp", config, plan)
        stand.plane.number += 1

    put(main, Plan(failover=(backup,)))
    assert {provider for _, provider in await stand.send(*(dispatch(n) for n in range(40)))} == {"smtp", "backup"}
    put(main, Plan(failover=(replace(backup, config={"region": "b"}),)))
    await stand.send(dispatch(50))
    assert [(each.name, each.closed) for each in stand.made] == [("smtp", False), ("ses", True), ("ses", False)]
    [state] = stand.routing.states()
    assert (state.tenant, state.channel) == ("tn_1", "email")
    counted = {one.account: sum(one.receipts.values()) for one in state.accounts}
    assert counted["smtp"] > 10 >= counted["backup"]
    put(main, Plan(weight=0, failover=(replace(backup, config={"region": "b"}),)))
    await stand.send(dispatch(51))
    assert len(stand.made) == 3
    put({"host": "b"}, ALONE)
    await stand.send(dispatch(52))
    assert [each.closed for each in stand.made] == [True, True, True, False]


async def test_a_replica_keeps_to_its_part_of_a_rate() -> None:
    stand = Stand()
    stand.routing = Routing(stand.plane, stand.sink, stand._make, poll_interval_s=0.0, share=0.25)
    stand.deliveries = Deliveries(stand.routing, stand.attempts)
    plan = Plan(rates=Rates(per_second=0.04, burst=8))
    stand.plane.rows["tn_1", "sms"] = Configured("sink", {}, plan)  # the sink, too, if it is told to
    answers = await stand.send(*(dispatch(n, "sms") for n in range(10)))
    assert Counter(status for status, _ in answers) == {Verdict.ACCEPTED: 2, Verdict.WAITING: 8}
    again = await stand.receipts(dispatch(9, "sms"))
    assert again[dispatch(9).send_key].status == Verdict.WAITING, "it is asked anew, not remembered"
    await stand.routing.aclose()
    assert not stand.sink.closed


async def test_a_control_plane_that_is_away_changes_nothing_that_is_known() -> None:
    stand = Stand()
    stand.plane.set("tn_1", "email", "smtp")
    await stand.send(dispatch(), dispatch(1, "sms"))
    stand.plane.down = True
    assert await stand.send(dispatch(2), dispatch(3, "sms")) == [(Verdict.ACCEPTED, "smtp"), (Verdict.ACCEPTED, "sink")]
    assert await stand.send(dispatch(4, tenant="tn_2")) == [(Verdict.RETRY, "")]  # not known, so not guessed
    stand.plane.down = False
    assert await stand.send(dispatch(5, tenant="tn_2")) == [(Verdict.ACCEPTED, "sink")]


async def test_closing_closes_every_provider() -> None:
    stand = Stand()
    stand.plane.set("tn_1", "email", "smtp")
    await stand.send(dispatch())
    await stand.routing.aclose()
    assert stand.made[0].closed


def test_what_a_provider_said_is_one_short_line_without_the_address() -> None:
    said = clean("550 5.1.1 <ada@example.com>:\r\n unknown\0 user \u2028" + "x" * 1000, "ada@example.com")
    assert said.startswith("550 5.1.1 <<address>>: unknown user x")
    assert len(said) == MAX_DETAIL_CHARS
    assert said.isprintable()


async def test_what_an_application_that_was_killed_had_under_way_is_not_sent_again() -> None:
    """The successor has the file of attempts, and nothing else."""
    killed, successor = Stand(), Stand()
    for stand in (killed, successor):
        stand.plane.set("tn_1", "email", "smtp")
        stand.deliveries = Deliveries(stand.routing, killed.attempts)
    await killed.send(dispatch())
    killed.made[0].gate = asyncio.Event()
    under_way = asyncio.ensure_future(killed.send(dispatch(1)))
    await killed.made[0].waiting.wait()
    receipts = await successor.receipts(dispatch(), dispatch(1), dispatch(2))
    assert successor.made[0].sent == [dispatch(2).send_key]
    statuses = [receipts[dispatch(number).send_key].status for number in range(3)]
    assert statuses == [Verdict.ACCEPTED, Verdict.UNKNOWN, Verdict.ACCEPTED]
    killed.made[0].gate.set()
    await under_way


async def test_what_takes_send_keys_is_sent_again_and_noted_nowhere() -> None:
    killed, successor = Stand(), Stand()
    for stand in (killed, successor):
        stand.plane.set("tn_1", "webhook", "webhook")
        stand.deliveries = Deliveries(stand.routing, killed.attempts)
    await killed.send(dispatch(0, "webhook"))
    assert await successor.send(dispatch(0, "webhook")) == [(Verdict.ACCEPTED, "webhook")]
    assert successor.made[0].sent == [dispatch().send_key]

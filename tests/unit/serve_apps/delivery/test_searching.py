"""Looking for messages whose outcome is unknown: what is looked for is never sent, whatever the search says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from serve_apps.delivery.account import Carrier
from serve_apps.delivery.admission import Admission, MayLeave
from serve_apps.delivery.attempts import AttemptFile, Attempts, Leave, Recalled
from serve_apps.delivery.provider import as_kind, receipt, unknown
from serve_apps.delivery.resending import Resending
from serve_apps.delivery.searching import MAX_LOOKS, Searching
from serve_apps.delivery.spread import Spread
from tests.unit.whisperer.delivery.dispatches import dispatch
from whisperer.delivery.breaker import IN_A_ROW, BreakerState
from whisperer.delivery.dispatch import Dispatch, Looked, Receipt, Verdict
from whisperer.delivery.plan import Account, Rates
from whisperer.delivery.search import LOOKS_S, CannotSay, Finding, Found, NotThere

NOW = 1_700_000_000_000


@dataclass
class Twilio:
    """Takes messages or not, answers or not, and finds what it is told to; ``n_sent`` are copies that readers have."""

    finding: Finding | Exception | None = None
    answers: bool = False
    where: str = "https://api.example/AC1"
    n_sent: int = 0
    n_looks: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    provider: str = "twilio"
    connections: int = 16

    async def send(self, dispatch: Dispatch) -> Receipt:
        self.n_sent += 1
        if self.answers:
            return receipt(dispatch, Verdict.ACCEPTED, "twilio", provider_id="SM1")
        return unknown(dispatch, "twilio", "no answer within 15 s")

    async def find(self, dispatch: Dispatch) -> Finding:
        self.n_looks += 1
        if self.finding is None:
            await self.gate.wait()
            return NotThere()
        if isinstance(self.finding, Exception):
            raise self.finding
        return self.finding

    async def aclose(self) -> None:
        """Nothing to close."""


class Clock:
    now = NOW

    def __call__(self) -> int:
        return self.now


def searching(twilio: Twilio, clock: Callable[[], int], look_s: float = 5.0) -> Searching:
    return Searching(Admission(twilio), twilio, "twilio", clock, look_s=look_s)


def sms(attempt: int = 0, looked: Looked | None = None) -> Dispatch:
    at = None if looked is None else "twilio"
    return dispatch(1, "sms", attempt=attempt, looked=looked, may_be_at=at)


async def unknown_first(provider: Searching) -> Looked:
    answer = await provider.send(sms())
    assert (answer.status, answer.repeatable) == (Verdict.UNKNOWN, False)
    assert answer.looked is not None
    return answer.looked


async def test_an_unknown_attempt_is_to_be_looked_for_and_one_with_an_answer_is_not() -> None:
    clock, twilio = Clock(), Twilio()
    provider = searching(twilio, clock)
    answer = await provider.send(sms())
    assert (answer.retry_after_s, answer.looked and answer.looked.since) == (LOOKS_S[0], NOW)
    twilio.answers = True
    answer = await provider.send(sms())
    assert (answer.status, answer.looked) == (Verdict.ACCEPTED, None)


async def test_what_is_found_is_accepted_with_its_id() -> None:
    clock, twilio = Clock(), Twilio(Found("SM17"))
    provider = searching(twilio, clock)
    answer = await provider.send(sms(1, await unknown_first(provider)))
    assert (answer.status, answer.provider_id, answer.settles) == (Verdict.ACCEPTED, "SM17", False)
    assert twilio.n_sent == 1


async def test_what_is_never_there_is_settled_as_not_taken_after_the_last_look_and_not_sent_by_it() -> None:
    clock, twilio = Clock(), Twilio(NotThere())
    provider = searching(twilio, clock)
    looked: Looked | None = await unknown_first(provider)
    answers: list[Receipt] = []
    for number, wait in enumerate(LOOKS_S, 1):
        clock.now += round(1000 * wait)
        assert looked is not None
        answers.append(await provider.send(sms(number, looked)))
        looked = answers[-1].looked
    assert [(one.status, one.settles) for one in answers] == [(Verdict.UNKNOWN, False)] * 3 + [(Verdict.RETRY, True)]
    assert [one.retry_after_s for one in answers] == [*LOOKS_S[1:], None]
    assert (twilio.n_sent, twilio.n_looks) == (1, len(LOOKS_S))


@pytest.mark.parametrize(
    "finding",
    [
        CannotSay("the provider answered 500"),
        CannotSay("the provider answered 403"),
        CannotSay("2 messages with its text were sent to its recipient"),
        RuntimeError("auth_token=geheim"),
        TimeoutError(),
        None,
    ],
)
async def test_what_says_nothing_leaves_it_unknown_in_the_end(finding: Finding | Exception | None) -> None:
    clock, twilio = Clock(), Twilio(finding)
    provider = searching(twilio, clock, 0.05)
    looked: Looked | None = await unknown_first(provider)
    n = 0
    while looked is not None:
        clock.now += 86_400_000
        n += 1
        answer = await provider.send(sms(n, looked))
        assert (answer.status, answer.repeatable, answer.settles) == (Verdict.UNKNOWN, False, False)
        assert answer.detail.startswith("looked for: ")
        assert "geheim" not in answer.detail
        looked = answer.looked
    assert (n, twilio.n_sent) == (len(LOOKS_S), 1)


async def test_a_retry_after_lengthens_the_wait() -> None:
    clock, twilio = Clock(), Twilio(CannotSay("the provider answered 429", 1_000.0))
    provider = searching(twilio, clock)
    answer = await provider.send(sms(1, await unknown_first(provider)))
    assert answer.retry_after_s == 1_000.0


async def test_another_account_is_not_asked_and_what_is_not_there_is_not_sent_either() -> None:
    clock, twilio = Clock(), Twilio(NotThere())
    looked = await unknown_first(searching(Twilio(where="https://api.example/AC2"), clock))
    clock.now += 86_400_000
    answer = await searching(twilio, clock).send(sms(1, looked))
    assert (answer.status, answer.looked, answer.repeatable) == (Verdict.UNKNOWN, None, False)
    assert (twilio.n_looks, twilio.n_sent) == (0, 0)


async def test_the_tenants_choice_comes_after_the_search() -> None:
    clock, twilio = Clock(), Twilio(CannotSay("several"))
    provider = Resending(searching(twilio, clock))
    answer = await provider.send(sms())
    for number in range(1, len(LOOKS_S) + 1):
        assert answer.looked is not None
        answer = await provider.send(sms(number, answer.looked))
    assert (answer.status, answer.looked, answer.repeatable) == (Verdict.UNKNOWN, None, True)
    assert twilio.n_sent == 1


async def test_a_search_that_hangs_takes_no_place_of_a_send() -> None:
    clock, twilio = Clock(), Twilio(answers=True)
    provider = searching(twilio, clock)
    looked = Looked(NOW, provider._where)
    looking = [asyncio.ensure_future(provider.send(sms(1, looked))) for _ in range(MAX_LOOKS)]
    await asyncio.sleep(0)
    more = await provider.send(sms(1, looked))
    assert more.status == Verdict.LATER  # others of the channel go before
    later = await provider.send(sms(1, looked))
    assert 0 < (more.retry_after_s or 0) < (later.retry_after_s or 0)  # each has a turn of its own
    sent = await asyncio.gather(*(provider.send(sms()) for _ in range(twilio.connections)))
    assert {one.status for one in sent} == {Verdict.ACCEPTED}
    twilio.gate.set()
    assert {one.status for one in await asyncio.gather(*looking)} == {Verdict.UNKNOWN}


# -- with a killed process, and an account around it ------------------------------------------------------------------


async def test_what_a_killed_process_left_is_looked_for_and_its_absence_proves_nothing(tmp_path: Path) -> None:
    """The account may have been another when it was begun: it can be found, and is never taken for not sent."""
    clock, twilio = Clock(), Twilio(NotThere())
    killed = AttemptFile(tmp_path / "attempts.db")
    killed.begin([(("tn_1", sms().send_key, 0), "twilio")], NOW)  # type: ignore[list-item]
    killed._connection.execute("UPDATE owner SET pid = 1, started = 0")
    attempts = Attempts(AttemptFile(tmp_path / "attempts.db"), clock)
    provider = searching(twilio, clock)
    leave = Leave(attempts, sms())
    answer = await provider.send(sms(), lambda: leave("twilio"))
    assert (answer.status, twilio.n_sent) == (Verdict.UNKNOWN, 0)
    assert isinstance(answer, Recalled)
    looked = answer.looked
    n = 0
    while looked is not None:
        clock.now += 86_400_000
        n += 1
        answer = await provider.send(sms(n, looked))
        assert (answer.status, answer.settles) == (Verdict.UNKNOWN, False)
        looked = answer.looked
    assert twilio.n_sent == 0
    twilio.finding = Found("SM3")
    looked = Looked(NOW, provider._where, 1, only_finds=True)
    assert (await provider.send(sms(9, looked))).provider_id == "SM3"


def carrier(provider: Searching, clock: Clock, rates: Rates | None = None) -> Carrier:
    return Carrier(Account("twilio", {}, "twilio", 1, rates), provider, 1.0, lambda: float(clock.now))


async def test_looks_are_counted_apart_and_say_nothing_about_the_account() -> None:
    clock, twilio = Clock(), Twilio(CannotSay("the provider answered 500"), answers=True)
    provider = searching(twilio, clock)
    one = carrier(provider, clock)
    looked = Looked(NOW, provider._where)
    for _ in range(2 * IN_A_ROW):
        await one.send(sms(1, looked), "")
    twilio.finding = Found("SM1")
    await one.send(sms(1, looked), "")
    twilio.finding = NotThere()
    await one.send(sms(1, Looked(NOW - 10**8, provider._where, 2, NOW - 10**7)), "")
    state = one.state()
    assert (state.breaker, state.receipts, state.last_trouble) == (BreakerState.CLOSED, {}, "")
    assert state.searches == {"unclear": 2 * IN_A_ROW, "found": 1, "not_there": 1}


async def test_looks_take_of_the_accounts_rate() -> None:
    clock, twilio = Clock(), Twilio(CannotSay("several"), answers=True)
    provider = searching(twilio, clock)
    one = carrier(provider, clock, Rates(per_second=0.1, burst=2))
    looked = Looked(NOW, provider._where)
    answers = [await one.send(sms(1, looked), "") for _ in range(3)]
    assert [answer.status for answer in answers] == [Verdict.UNKNOWN, Verdict.UNKNOWN, Verdict.WAITING]
    assert twilio.n_looks == 2


class Refusing:
    """A provider that must not be given anything."""

    async def send(self, dispatch: Dispatch, may_leave: MayLeave | None = None) -> Receipt:
        raise AssertionError("it was sent")

    async def aclose(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize("provider", ["sns", "webhook", "sink"])
async def test_where_nobody_can_be_asked_what_is_to_be_looked_for_stays_unknown(provider: str) -> None:
    """The channel was given another provider meanwhile, under the same name."""
    spread = Spread([Carrier(Account(provider, {}, "twilio"), Refusing(), 1.0, lambda: float(NOW))])
    answer = await spread.send(sms(1, Looked(NOW, "w")))
    assert (answer.status, answer.repeatable, answer.looked) == (Verdict.UNKNOWN, False, None)


async def test_a_marked_receipt_keeps_what_it_says() -> None:
    looked = Looked(NOW, "w", 2, NOW, True)
    answer = Receipt("snd_1", Verdict.UNKNOWN, looked=looked, settles=True)
    assert as_kind(Recalled, answer).looked == looked
    assert as_kind(Recalled, answer).settles

"""A channel's accounts together: who carries a message, who takes over, and that nobody has it twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_apps.delivery import spread as spreading
from serve_apps.delivery.account import MAX_INSIDE, Carrier
from serve_apps.delivery.admission import MayLeave
from serve_apps.delivery.provider import deferred, doubtful, receipt, rejected, retry, waiting
from serve_apps.delivery.spread import Spread
from tests.unit.whisperer.delivery.dispatches import dispatch
from whisperer.delivery.breaker import IN_A_ROW, BreakerState
from whisperer.delivery.dispatch import Dispatch, Receipt, Verdict
from whisperer.delivery.plan import Account, Rates
from whisperer.delivery.rates import LATELY_S

NOW = 1_700_000_000_000.0
ATTEMPTS = 9


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now

    async def pause(self, seconds: float) -> None:
        self.now += 1000 * seconds


@dataclass
class Scripted:
    """A provider that does what it is told; ``has`` are the messages that it took, by key, however often."""

    act: Callable[[], str] = lambda: "accepts"
    takes_keys: bool = False
    resends: bool = False
    has: Counter[str] = field(default_factory=Counter)
    n_asked: int = 0
    n_closed: int = 0
    gate: asyncio.Event | None = None

    async def send(self, dispatch: Dispatch, may_leave: MayLeave | None = None) -> Receipt:
        self.n_asked += 1
        if self.gate is not None:
            await self.gate.wait()
        act = self.act()
        takes_it = act in ("accepts", "unknown, has it", "doubtful, has it")
        if takes_it and not (self.takes_keys and self.has[dispatch.send_key]):
            self.has[dispatch.send_key] += 1
        match act.partition(",")[0]:
            case "accepts":
                return receipt(dispatch, Verdict.ACCEPTED, "smtp", provider_id="q1")
            case "unknown":
                answer = receipt(dispatch, Verdict.UNKNOWN, "smtp", detail="handed over, then no answer")
                return msgspec.structs.replace(answer, repeatable=self.takes_keys or self.resends)
            case "doubtful":
                return doubtful(dispatch, "smtp", "the endpoint answered 500")
            case "refuses connections":
                return retry(dispatch, "smtp", "no connection: the connection was refused")
            case "is busy":
                return retry(dispatch, "smtp", "the provider answered 429", 30.0)
            case "defers":
                return deferred(dispatch, "smtp", "the server answered 450")
            case "rejects":
                return rejected(dispatch, "smtp", "the server answered 554")
            case "is full":
                return waiting(dispatch, "smtp")
        raise AssertionError(act)

    async def aclose(self) -> None:
        self.n_closed += 1


def made(clock: Clock, *parts: tuple[Account, Scripted]) -> Spread:
    return Spread([Carrier(account, provider, 1.0, clock, pause=clock.pause) for account, provider in parts])


def account(name: str, weight: int = 1, rates: Rates | None = None) -> Account:
    return Account("smtp", {}, name, weight, rates)


async def test_only_what_another_failed_at_counts_as_taken_over() -> None:
    works = True
    main = Scripted(lambda: "accepts" if works else "refuses connections")
    spread = made(Clock(), (account("main"), main), (account("backup", 0), Scripted()))
    await spread.send(dispatch())
    works = False
    for _ in range(IN_A_ROW + 2):  # the last two find its breaker open
        await spread.send(dispatch())
    first, backup = (carrier.state() for carrier in spread.carriers)
    assert (first.taken_over, backup.taken_over) == (0, IN_A_ROW + 2)
    assert first.since == NOW
    assert (backup.since, backup.per_second) == (None, (IN_A_ROW + 2) / LATELY_S)


async def test_what_is_over_a_rate_is_not_taken_over() -> None:
    spread = made(Clock(), (account("main", rates=Rates(0.01, 1)), Scripted()), (account("other"), Scripted()))
    for n in range(6):
        await spread.send(msgspec.structs.replace(dispatch(), send_key=f"snd_{n}"))
    assert sum(carrier.state().receipts.get("accepted", 0) for carrier in spread.carriers) == 6
    assert [carrier.state().taken_over for carrier in spread.carriers] == [0, 0]


async def test_another_takes_over_what_one_surely_did_not_take() -> None:
    dead, backup = Scripted(lambda: "refuses connections"), Scripted()
    spread = made(Clock(), (account("main"), dead), (account("backup", 0), backup))
    answer = await spread.send(dispatch())
    assert (answer.status, answer.provider, answer.provider_id) == (Verdict.ACCEPTED, "backup", "q1")
    assert "not main: no connection" in answer.detail
    assert backup.has == {dispatch().send_key: 1}


@pytest.mark.parametrize("act", ["unknown, has it", "unknown, has it not", "defers", "rejects", "doubtful, has it"])
async def test_nobody_takes_over_what_may_have_been_taken_or_is_about_the_message(act: str) -> None:
    backup = Scripted()
    spread = made(Clock(), (account("main"), Scripted(lambda: act)), (account("backup", 0), backup))
    answer = await spread.send(dispatch())
    assert answer.provider == "main"
    assert backup.n_asked == 0


async def test_an_endpoints_500_is_unknown_where_there_is_somebody_else() -> None:
    """Its next attempt could be another's: what it worked on would be worked on twice."""
    endpoint = Scripted(lambda: "doubtful, has it", takes_keys=True)
    alone = await made(Clock(), (account("main"), endpoint)).send(dispatch())
    assert alone.status == Verdict.RETRY
    spread = made(Clock(), (account("main"), endpoint), (account("backup", 0), Scripted()))
    answer = await spread.send(dispatch())
    assert (answer.status, answer.repeatable) == (Verdict.UNKNOWN, True)


async def test_after_an_unknown_attempt_only_the_account_that_may_have_it_is_asked() -> None:
    main, backup = Scripted(lambda: "refuses connections"), Scripted()
    spread = made(Clock(), (account("main"), main), (account("backup", 0), backup))
    answer = await spread.send(dispatch(may_be_at="main"))
    assert (answer.status, answer.provider, backup.n_asked) == (Verdict.RETRY, "main", 0)
    for gone in ("removed", ""):
        answer = await spread.send(dispatch(may_be_at=gone))
        assert (answer.status, answer.repeatable) == (Verdict.UNKNOWN, False)
    assert backup.n_asked == 0
    alone = made(Clock(), (account("main"), main))
    assert (await alone.send(dispatch(may_be_at=""))).provider == "main"  # there is nobody else whom it could be at


async def test_an_account_that_fails_is_left_alone_and_one_probe_finds_it_well_again() -> None:
    clock, acts = Clock(), ["refuses connections"] * IN_A_ROW + ["accepts"]
    provider = Scripted(lambda: acts.pop(0) if acts else "accepts")
    spread = made(clock, (account("main"), provider))
    for n in range(IN_A_ROW):
        assert (await spread.send(dispatch(n))).status == Verdict.RETRY
    answers = [await spread.send(dispatch(n)) for n in range(20)]
    assert {answer.status for answer in answers} == {Verdict.WAITING}
    assert all(5.0 <= (answer.retry_after_s or 0) <= 7.5 for answer in answers)
    assert len({answer.retry_after_s for answer in answers}) > 5, "they do not all come back at once"
    assert provider.n_asked == IN_A_ROW
    [state] = [carrier.state() for carrier in spread.carriers]
    assert (state.breaker, state.held) == (BreakerState.OPEN, {"breaker": 20})
    assert state.last_trouble == "no connection: the connection was refused"
    clock.now += 5_000
    assert (await spread.send(dispatch(99))).status == Verdict.ACCEPTED
    assert spread.carriers[0].state().breaker == BreakerState.CLOSED


async def test_while_an_account_is_left_alone_whoever_stands_by_carries_its_messages() -> None:
    backup = Scripted()
    spread = made(Clock(), (account("main"), Scripted(lambda: "is busy")), (account("backup", 0), backup))
    for n in range(50):
        assert (await spread.send(dispatch(n))).provider == "backup"
    assert spread.carriers[0].state().receipts == {"retry": IN_A_ROW}
    assert len(backup.has) == 50


async def test_who_stands_by_is_not_used_for_what_merely_has_to_wait() -> None:
    backup = Scripted()
    slow = account("main", rates=Rates(per_second=0.1, burst=1))
    spread = made(Clock(), (slow, Scripted()), (account("backup", 0), backup))
    assert [(await spread.send(dispatch(n))).status for n in range(3)] == [
        Verdict.ACCEPTED,
        Verdict.WAITING,
        Verdict.WAITING,
    ]
    full = made(Clock(), (account("main"), Scripted(lambda: "is full")), (account("backup", 0), backup))
    answer = await full.send(dispatch())
    assert (answer.status, answer.retry_after_s) == (Verdict.WAITING, None)
    assert backup.n_asked == 0


async def test_what_is_over_ones_rate_goes_to_another_that_has_a_weight() -> None:
    other = Scripted()
    slow = account("new", rates=Rates(per_second=0.01, burst=2))
    spread = made(Clock(), (slow, Scripted()), (account("old"), other))
    answers = [await spread.send(dispatch(n)) for n in range(100)]
    assert Counter(answer.provider for answer in answers) == {"new": 2, "old": 98}


async def test_a_message_whose_turn_comes_soon_waits_here() -> None:
    provider = Scripted()
    clock = Clock()
    spread = made(clock, (account("main", rates=Rates(per_second=1, burst=1)), provider))
    answers = [await spread.send(dispatch(n)) for n in range(6)]
    assert {answer.status for answer in answers} == {Verdict.ACCEPTED}
    assert clock.now == NOW + 5_000


async def test_a_provider_that_hangs_holds_so_many_and_no_more() -> None:
    provider = Scripted(gate=asyncio.Event())
    spread = made(Clock(), (account("main"), provider))
    held = [asyncio.ensure_future(spread.send(dispatch(n))) for n in range(MAX_INSIDE)]
    await asyncio.sleep(0)
    answer = await spread.send(dispatch(MAX_INSIDE))
    assert (answer.status, answer.retry_after_s) == (Verdict.WAITING, None)
    assert provider.n_asked == MAX_INSIDE
    assert provider.gate is not None
    provider.gate.set()
    assert {one.status for one in await asyncio.gather(*held)} == {Verdict.ACCEPTED}


async def test_no_account_is_turned_to_long_after_the_last_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreading, "FAILOVER_WITHIN_S", -1.0)
    backup = Scripted()
    spread = made(Clock(), (account("main"), Scripted(lambda: "refuses connections")), (account("backup", 0), backup))
    assert (await spread.send(dispatch())).status == Verdict.RETRY
    assert backup.n_asked == 0


async def test_an_adapter_that_raises_counts_as_trouble_and_is_not_followed_by_another() -> None:
    class Raises(Scripted):
        async def send(self, dispatch: Dispatch, may_leave: MayLeave | None = None) -> Receipt:
            raise RuntimeError("geheim")

    backup = Scripted()
    spread = made(Clock(), (account("main"), Raises()), (account("backup", 0), backup))
    for n in range(IN_A_ROW):
        with pytest.raises(RuntimeError):
            await spread.send(dispatch(n))
    assert spread.carriers[0].state().breaker == BreakerState.OPEN
    assert (await spread.send(dispatch())).provider == "backup"


async def test_an_account_is_closed_once_nobody_holds_it() -> None:
    provider = Scripted()
    carrier = Carrier(account("main"), provider, 1.0, Clock())
    carrier.hold(account("main", 5))
    await carrier.let_go()
    assert provider.n_closed == 0
    await carrier.let_go()
    assert provider.n_closed == 1


ACTS = (
    *("accepts", "refuses connections", "is busy", "defers", "is full"),
    *("unknown, has it", "unknown, has it not", "doubtful, has it", "doubtful, has it not"),
)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 4), st.booleans())
def test_a_message_is_taken_at_most_once_by_all_accounts_together(seed: int, n_accounts: int, keys: bool) -> None:
    """Unless the tenant chose to repeat what is unknown: then the same account may have it again, and no other."""
    asyncio.run(_story(random.Random(seed), n_accounts, keys))


async def _story(chance: random.Random, n_accounts: int, keys: bool) -> None:
    clock = Clock()
    weights = [chance.choice([0, 1, 3]) for _ in range(n_accounts)]
    weights[0] = 1
    acts = [act for act in ACTS if keys or not act.startswith("doubtful")]  # only a keyed provider answers so
    resends = chance.random() < 0.3
    providers = [
        Scripted(lambda: chance.choice(acts), takes_keys=keys, resends=resends and not keys) for _ in range(n_accounts)
    ]
    rates = [chance.choice([None, Rates(per_second=0.5, burst=2)]) for _ in range(n_accounts)]
    parts = [(account(f"a{n}", weights[n], rates[n]), providers[n]) for n in range(n_accounts)]

    def changed() -> Spread:
        """The tenant takes an account out, or puts it back in."""
        without = [part for part in parts if part[0].name != f"a{chance.randrange(n_accounts)}"]
        return made(clock, *(without if len(without) > 1 and any(one.weight for one, _ in without) else parts))

    for number in range(6):
        await _sent(chance, clock, made(clock, *parts), changed, number)
        key = dispatch(number).send_key
        takers = [provider for provider in providers if provider.has[key]]
        assert len(takers) <= 1, "two accounts have it"
        assert resends or all(provider.has[key] <= 1 for provider in takers)


async def _sent(
    chance: random.Random, clock: Clock, spread: Spread, changed: Callable[[], Spread], number: int
) -> None:
    """Send as a shard does: by the schedule, naming who may have it."""
    may_be_at: str | None = None
    attempt = 0
    for _ in range(60):
        clock.now += chance.choice([0, 100, 6_000, 400_000])
        spread = changed() if chance.random() < 0.1 else spread
        answer = await spread.send(dispatch(number, attempt=attempt, may_be_at=may_be_at))
        if answer.status == Verdict.WAITING:
            continue
        attempt += 1
        if answer.status == Verdict.UNKNOWN:
            may_be_at = answer.provider
        elif may_be_at is not None:
            assert answer.provider == may_be_at, "another was asked"
        repeats = answer.status == Verdict.RETRY or (answer.status == Verdict.UNKNOWN and answer.repeatable)
        if not repeats or attempt == ATTEMPTS:
            return

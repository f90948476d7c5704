from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer.delivery import rates
from whisperer.delivery.plan import Rates, WarmUp
from whisperer.delivery.rates import LONGEST_TURN_MS, Bucket, Pacing

DAY_MS = 86_400_000
START = datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000
asks = st.lists(st.tuples(st.floats(0, 3_000), st.floats(0, 5_000), st.booleans()), max_size=120)


def most_in_any_stretch(times: list[float], rate: float, burst: float) -> float:
    """By how much the messages of some stretch of time exceed burst + rate * time; 0 or less is right."""
    times = sorted(times)
    return max(
        (
            (j - i + 1) - burst - rate * (times[j] - times[i]) / 1000
            for i in range(len(times))
            for j in range(i, len(times))
        ),
        default=0.0,
    )


@given(st.floats(0.05, 500), st.floats(1, 50), asks)
def test_a_bucket_never_lets_more_through_than_burst_and_rate_times_time(
    rate: float, burst: float, steps: list[tuple[float, float, bool]]
) -> None:
    """Whoever waits is let through later, in whatever order; what is given back was never there."""
    bucket, now, went = Bucket(rate, burst), START, []
    for passes, patience, gives_back in steps:
        now += passes
        wait = bucket.wait_ms(now)
        if wait <= patience:
            bucket.book(now + wait)
            if gives_back:
                bucket.give_back()
            else:
                went.append(now + wait)
    assert most_in_any_stretch(went, rate, burst) <= 1e-3


@given(
    st.floats(0.5, 100),
    st.integers(1, 30),
    st.floats(0.5, 20),
    st.lists(st.tuples(st.floats(0, 500), st.sampled_from(["a.example", "b.example", "c.example"])), max_size=120),
    st.sampled_from([1.0, 0.5, 0.25]),
)
def test_an_account_keeps_all_its_rates_at_once(
    rate: float, burst: int, domain_rate: float, steps: list[tuple[float, str]], share: float
) -> None:
    pacing, now = Pacing(Rates(rate, burst, domain_rate), None, share), START
    went: list[tuple[float, str]] = []
    for passes, domain in steps:
        now += passes
        turn = pacing.ask(domain, now, 2_000)
        if turn.reason:
            assert turn.reason in ("rate", "domain")
            assert turn.wait_ms > 2_000
        else:
            assert turn.wait_ms <= 2_000
            went.append((now + turn.wait_ms, domain))
    assert most_in_any_stretch([at for at, _ in went], rate * share, max(1, burst * share)) <= 1e-3
    for name in {domain for _, domain in went}:
        times = [at for at, domain in went if domain == name]
        assert most_in_any_stretch(times, domain_rate * share, max(1.0, domain_rate * share)) <= 1e-3


def test_a_message_that_waits_for_its_domain_counts_for_the_account_when_it_goes() -> None:
    pacing = Pacing(Rates(per_second=10, burst=1, per_domain_per_second=1), None)
    assert [pacing.ask("a.example", START, 2_000).wait_ms for _ in range(3)] == [0, 1_000, 2_000]
    assert pacing.ask("b.example", START + 2_000, 2_000).wait_ms == 100


def test_a_domain_that_had_its_rate_holds_up_no_other() -> None:
    pacing = Pacing(Rates(per_domain_per_second=0.1), None)
    assert pacing.ask("slow.example", START, 2_000).reason == ""
    assert pacing.ask("slow.example", START, 2_000).reason == "domain"
    assert pacing.ask("other.example", START, 2_000).reason == ""
    assert pacing.ask("", START, 2_000).reason == ""


def test_who_finds_no_room_is_told_turns_one_after_the_other() -> None:
    """So that ten thousand messages do not all come back at the same moment."""
    pacing = Pacing(Rates(per_second=1, burst=1), None)
    assert [pacing.ask("", START, 0).wait_ms for _ in range(4)] == [0, 1_000, 2_000, 3_000]
    for n in range(1, 4):  # each finds room when it comes back
        assert pacing.ask("", START + 1_000 * n, 0).reason == ""
    for _ in range(5_000):
        assert pacing.ask("", START + 3_000, 0).wait_ms <= LONGEST_TURN_MS


def test_what_a_domain_used_is_forgotten_only_when_that_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MAX_DOMAINS", 3)
    pacing = Pacing(Rates(per_domain_per_second=1), None)
    for name in ("a", "b", "c", "d"):
        assert pacing.ask(name, START, 0).reason == ""
    assert pacing.ask("a", START, 0).reason == "domain"
    assert pacing.ask("e", START, 0).reason == "domain"  # shares with d: there is no room to tell them apart
    assert len(pacing._domains) <= 4
    assert pacing.ask("e", START + 60_000, 0).reason == ""  # all are as good as new, and make room
    assert set(pacing._domains) == {"e"}


@given(st.lists(st.integers(10, 3_000), min_size=1, max_size=4), st.floats(0.2, 5))
def test_a_day_of_a_warm_up_has_at_most_its_messages(per_day: list[int], hours_between: float) -> None:
    pacing = Pacing(None, WarmUp("2026-01-01T00:00:00Z", tuple(per_day)))
    now = START
    for limit in per_day:
        n, day_ends = 0, now + DAY_MS
        while now < day_ends:
            while not pacing.ask("", now, 0).reason:
                n += 1
            now += hours_between * 3_600_000
        assert limit / 30 - 2 <= n <= limit + 1
        now = day_ends
    assert all(not pacing.ask("", now, 0).reason for _ in range(10_000)), "it is over"


def test_before_it_starts_a_warm_up_is_as_on_its_first_day() -> None:
    pacing = Pacing(None, WarmUp("2026-01-01T00:00:00Z", (24,)))
    assert pacing.ask("", START - DAY_MS, 0).reason == ""
    assert pacing.ask("", START - DAY_MS, 0).reason == "warm_up"


def test_the_rate_in_use_is_that_of_the_last_seconds() -> None:
    pacing = Pacing(Rates(per_second=100.0), None)
    for n in range(30):
        assert pacing.ask("", START + 100 * n, 0).reason == ""
    assert pacing.per_second(START + 2_900) == 30 / rates.LATELY_S
    pacing.give_back("", START + 2_900)
    assert pacing.per_second(START + 2_900) == 29 / rates.LATELY_S
    assert pacing.per_second(START + 10_500) == 19 / rates.LATELY_S, "the first second is forgotten"
    assert pacing.per_second(START + 60_000) == 0


def test_a_warm_ups_day_counts_what_was_let_through_on_it() -> None:
    pacing = Pacing(None, WarmUp("2026-01-01T00:00:00Z", (48, 96)))
    went = sum(pacing.ask("", START, 0).reason == "" for _ in range(5))
    assert (went, pacing.n_today(START)) == (2, 2), "an hour's worth at once; who has to come back is not counted"
    pacing.give_back("", START)
    assert pacing.n_today(START) == 1
    assert pacing.n_today(START + DAY_MS) == 0
    assert Pacing(Rates(per_second=1.0), None).n_today(START) == 0

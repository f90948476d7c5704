from __future__ import annotations

import msgspec
import pytest

from whisperer.models.guardrails import FAILED, SLOW, UNSUBSCRIBED, VALUE, Limits, VersionTally, breaches, is_more_often


def valued(users: int, reward: float, spread: float = 1.0) -> VersionTally:
    """Users whose rewards have this mean and standard deviation."""
    squares = users * (reward**2 + spread**2) * 1e6
    return VersionTally(
        decisions=users, users=users, total_milli=round(users * reward * 1e3), squares_milli2=round(squares)
    )


def broken(tally: VersionTally, live: VersionTally | None = None) -> list[str]:
    return [breach.guardrail for breach in breaches(tally, live)]


@pytest.mark.parametrize(("name", "most"), [(UNSUBSCRIBED, 0.01), (FAILED, 0.01), (SLOW, 0.05)])
def test_a_share_far_above_its_limit_breaks_the_guardrail_and_one_below_does_not(name: str, most: float) -> None:
    def tally(share: float) -> VersionTally:
        return msgspec.structs.replace(VersionTally(decisions=4_000), **{name: round(4_000 * share)})

    assert broken(tally(2 * most)) == [name]
    assert broken(tally(most)) == []
    assert broken(tally(0.0)) == []


def test_a_few_events_are_no_breach_and_no_decisions_are_none() -> None:
    assert broken(VersionTally(decisions=10, failed=1)) == []
    assert broken(VersionTally()) == []
    assert broken(VersionTally(decisions=10, failed=10)) == [FAILED]


def test_within_the_limit_but_far_worse_than_the_live_version_is_a_breach() -> None:
    live = VersionTally(decisions=95_000, unsubscribed=95)
    assert broken(VersionTally(decisions=5_000, unsubscribed=40), live) == [UNSUBSCRIBED]
    assert broken(VersionTally(decisions=5_000, unsubscribed=6), live) == []
    assert broken(VersionTally(decisions=5_000, unsubscribed=40)) == []
    assert broken(VersionTally(decisions=5_000), live) == []


def test_value_well_below_the_live_versions_is_a_breach() -> None:
    assert broken(valued(5_000, 0.8), valued(95_000, 1.0)) == [VALUE]
    assert broken(valued(5_000, 0.97), valued(95_000, 1.0)) == []
    assert broken(valued(5_000, 1.5), valued(95_000, 1.0)) == []
    assert broken(valued(100, 0.0), valued(95_000, 1.0)) == []  # too few users to judge


def test_the_reason_says_what_was_counted() -> None:
    [breach] = breaches(VersionTally(decisions=2_000, failed=100))
    assert breach.reason == "100 of 2,000 decisions failed: more than 1.0%"
    [breach] = breaches(VersionTally(decisions=5_000, unsubscribed=40), VersionTally(decisions=95_000, unsubscribed=95))
    assert breach.reason.endswith("the live version's 95 of 95,000: more than 1.25 times as often")


def test_a_stricter_alpha_waits_longer() -> None:
    def needed(alpha: float) -> int:
        return next(n for n in range(100, 100_000, 100) if is_more_often(round(0.02 * n), n, 0.01, alpha))

    assert needed(0.05) < needed(0.01) < needed(0.0001)
    assert breaches(VersionTally(decisions=2_000, failed=40), limits=Limits(alpha=1e-9)) == []


@pytest.mark.parametrize(
    "told",
    [
        {"decisions": -1},
        {"decisions": 2**60},
        {"decisions": 1, "failed": 2},
        {"decisions": 1, "users": 2},
        {"decisions": 5, "users": 5, "total_milli": 100, "squares_milli2": 10},
        {"decisions": 1.5},
        {"more": 1},
    ],
)
def test_a_tally_that_cannot_be_is_refused(told: dict[str, float]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(told, VersionTally)

"""Guardrails that are looked at again and again cry wolf no more often than they may, and see what is bad in time."""

from __future__ import annotations

import numpy as np

from whisperer.models.guardrails import FEWEST_USERS, VersionTally, is_more_often, value_difference

ALPHA = 0.05
LOOKS = 60
RUNS = 400
MOST_FALSE = ALPHA + 3 * (ALPHA * (1 - ALPHA) / RUNS) ** 0.5  # three standard errors above what is promised


def alarms(rate: float, limit: float, per_look: int) -> tuple[float, float]:
    """Share of runs that ever alarm, and the median number of decisions it took."""
    rng = np.random.default_rng(0)
    counts = rng.binomial(per_look, rate, (RUNS, LOOKS)).cumsum(axis=1)
    n = per_look * np.arange(1, LOOKS + 1)
    first = [
        next((int(n[at]) for at in range(LOOKS) if is_more_often(int(run[at]), int(n[at]), limit, ALPHA)), None)
        for run in counts
    ]
    found = [at for at in first if at is not None]
    return len(found) / RUNS, float(np.median(found)) if found else float("inf")


def test_at_the_limit_itself_counts_alarm_seldom_over_all_looks() -> None:
    for limit in (0.001, 0.01, 0.05, 0.3):
        assert alarms(limit, limit, 200)[0] <= MOST_FALSE


def test_twice_the_limit_is_seen_within_a_few_thousand_decisions() -> None:
    share, n = alarms(0.02, 0.01, 200)
    assert share > 0.99
    assert n < 3_000


def value_alarms(loss: float, per_look: int = 400) -> float:
    """Share of runs in which a candidate with a quarter of users is ever seen below the live version. Few users buy."""
    rng = np.random.default_rng(0)
    n_alarms = 0
    for _ in range(RUNS):
        shape = (LOOKS, per_look)
        rewards = np.round(1e3 * rng.exponential(10, shape) * (rng.random(shape) < 0.1)).astype(np.int64)
        mine, theirs = rewards[:, : per_look // 4], rewards[:, per_look // 4 :]
        sums = [tallies((mine * (1 - loss)).astype(np.int64)), tallies(theirs)]
        n_alarms += any(
            getattr(value_difference(a, b, ALPHA), "high", 1) < 0
            for a, b in zip(*sums, strict=True)
            if a.users >= FEWEST_USERS
        )
    return n_alarms / RUNS


def tallies(rewards: np.ndarray) -> list[VersionTally]:
    """At each look, of all users so far."""
    users = rewards.shape[1] * np.arange(1, LOOKS + 1)
    totals, squares = rewards.sum(axis=1).cumsum(), (rewards**2).sum(axis=1).cumsum()
    return [
        VersionTally(decisions=int(n), users=int(n), total_milli=int(total), squares_milli2=int(square))
        for n, total, square in zip(users, totals, squares, strict=True)
    ]


def test_a_candidate_as_good_as_the_live_version_is_seldom_rolled_back_for_its_value() -> None:
    assert value_alarms(0.0) <= MOST_FALSE


def test_a_candidate_that_loses_a_third_of_the_value_is_seen() -> None:
    assert value_alarms(0.33) > 0.9

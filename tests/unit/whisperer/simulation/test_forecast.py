"""What a holdout can show, and what clocks do to a schedule."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from whisperer.evaluation.lift import GroupTally
from whisperer.evaluation.sequential import AnytimeLift, anytime_lift
from whisperer.journeys.campaign import OnSchedule
from whisperer.simulation.forecast import POWER, clock_changes, power

JANUARY = round(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)


def conversions(users: int, share: float) -> GroupTally:
    n = round(users * share)
    return GroupTally(users, 1_000 * n, 1_000_000 * n)


def test_the_smallest_lift_is_found_as_often_as_it_says() -> None:
    users, base = 4_000, 0.2
    found = power(conversions(users, base), 10, 0.2, 0.8, None, 1.0)
    assert found.smallest is not None
    assert found.wanted == pytest.approx(found.base_mean / 10)
    rng = np.random.default_rng(5)

    def seen(lift: float) -> float:
        n_h, n_t = round(users * 0.2), round(users * 0.8)
        hits = 0
        for held, treated in zip(rng.binomial(n_h, base, 400), rng.binomial(n_t, base + lift, 400), strict=True):
            look = anytime_lift(conversions(n_t, treated / n_t), conversions(n_h, held / n_h))
            hits += isinstance(look, AnytimeLift) and look.low > 0
        return hits / 400

    # A lift also makes conversions vary more, which is not known beforehand.
    assert POWER - 0.1 < seen(found.smallest) < POWER + 0.05
    assert seen(0.0) < 0.03


def test_more_days_show_less_and_the_days_needed_are_those_that_suffice() -> None:
    found = power(conversions(2_000, 0.1), 10, 0.1, 0.9, 0.05, 1.0)
    assert found.days is not None
    as_many = power(conversions(round(2_000 * found.days / 10), 0.1), found.days, 0.1, 0.9, 0.05, 1.0)
    assert as_many.smallest == pytest.approx(0.05, rel=0.01)
    assert power(conversions(2_000, 0.1), 10, 0.1, 0.9, 0.05, 2.0).days == pytest.approx(found.days / 2, rel=0.01)


@pytest.mark.parametrize(
    ("everyone", "holdout"), [(GroupTally(), 0.1), (conversions(100, 0.1), 0.0), (GroupTally(100, 0, 0), 0.1)]
)
def test_without_users_holdout_or_goals_nothing_can_be_shown(everyone: GroupTally, holdout: float) -> None:
    found = power(everyone, 10, holdout, 1 - holdout, None, 1.0)
    assert (found.smallest, found.days) == (None, None)


def test_a_time_that_a_clock_leaves_out_or_shows_twice_is_told() -> None:
    told = clock_changes(OnSchedule("30 2 * * *", "user"), ["Europe/Berlin", "", "America/New_York"], JANUARY)
    assert [(change.zone, change.wall, change.skipped) for change in told] == [
        ("Europe/Berlin", "2026-03-29 02:30", True),
        ("Europe/Berlin", "2026-10-25 02:30", False),
        ("America/New_York", "2026-03-08 02:30", True),
    ]
    assert clock_changes(OnSchedule("0 9 * * *", "user"), ["Europe/Berlin"], JANUARY) == []
    assert clock_changes(OnSchedule("30 2 * * *", "Asia/Tokyo"), ["Europe/Berlin"], JANUARY) == []

"""Intervals hold the truth as often as they say, and the gate errs as seldom, on logs whose truth is known; seeds fixed."""

from __future__ import annotations

import numpy as np
import pytest

from tests.statistical.bandit_worlds import N_ARMS, World
from whisperer.evaluation.bootstrap import intervals
from whisperer.evaluation.estimators import Terms, dm, dr, ips, on_policy, snips, switch_dr, threshold
from whisperer.evaluation.gate import GateRule, judge
from whisperer.evaluation.lift import GroupTally
from whisperer.evaluation.reward_model import cross_fitted
from whisperer.evaluation.sequential import AnytimeLift, anytime_quantile, by_day

N_WORLDS, N_USERS, N_RESAMPLES = 800, 600, 200

N_SEQUENCES, N_DAYS = 1_000, 40


def test_the_intervals_of_unbiased_estimators_cover_the_truth() -> None:
    world = World()
    truth, current = world.truth()
    truths = {"ips": truth, "snips": truth, "dr": truth, "switch": truth, "difference": truth - current}
    covered = np.zeros((N_WORLDS, len(truths)))
    for seed in range(N_WORLDS):
        log, target = world.draw(seed, N_USERS)
        expected = cross_fitted(log, N_ARMS)
        model = dr(log, target, expected)
        terms = [
            ips(log, target),
            snips(log, target),
            model,
            switch_dr(log, target, expected, threshold(log, target, expected)),
            Terms(model.numerator - log.reward, model.denominator),
        ]
        found = intervals(terms, log.user, n_resamples=N_RESAMPLES)
        covered[seed] = [one.low <= true <= one.high for one, true in zip(found, truths.values(), strict=True)]
    shares = dict(zip(truths, covered.mean(axis=0).tolist(), strict=True))
    assert all(0.93 <= share <= 0.97 for share in shares.values()), shares


def test_intervals_by_decision_instead_of_by_user_would_be_too_narrow() -> None:
    world = World()
    _, current = world.truth()
    covered = []
    for seed in range(200):
        log, _ = world.draw(seed, 300)
        (found,) = intervals([on_policy(log)], np.arange(len(log)), n_resamples=200)
        covered.append(found.low <= current <= found.high)
    assert np.mean(covered) < 0.9


def test_dr_errs_less_than_ips_and_the_direct_method_has_a_bias() -> None:
    world = World()
    truth, _ = world.truth()
    errors = []
    for seed in range(150):
        log, target = world.draw(seed, N_USERS)
        expected = cross_fitted(log, N_ARMS)
        errors.append(
            [
                ips(log, target).value - truth,
                dr(log, target, expected).value - truth,
                dm(log, target, expected).value - truth,
            ]
        )
    of_ips, of_dr, of_dm = np.array(errors).T
    assert np.mean(of_dr**2) < 0.9 * np.mean(of_ips**2)
    assert abs(of_dm.mean()) > 3 * of_dm.std() / np.sqrt(150)
    assert abs(of_dr.mean()) < 3 * of_dr.std() / np.sqrt(150)


@pytest.mark.parametrize(("aim", "least", "most"), [(1.0, 0.95, 1.0), (0.0, 0.0, 0.06), (-1.0, 0.0, 0.0)])
def test_the_gate_promotes_what_is_better_and_seldom_what_is_not(aim: float, least: float, most: float) -> None:
    world = World(aim=aim)
    better = np.subtract(*world.truth())
    assert (better > 0) == (aim > 0)
    promoted = []
    for seed in range(40):
        log, target = world.draw(seed, 1_000)
        promoted.append(judge(log, target, rule=GateRule(n_resamples=200)).promote)
    assert least <= np.mean(promoted) <= most


def days(rng: np.random.Generator, rate_treated: float, rate_holdout: float) -> list[tuple[GroupTally, GroupTally]]:
    """Users whose window closed on each day, 90 and 10 on average, with conversions."""

    def group(mean: float, rate: float) -> list[GroupTally]:
        users = rng.poisson(mean, N_DAYS)
        converted = rng.binomial(users, rate)
        return [GroupTally(int(n), int(k) * 1_000, int(k) * 1_000_000) for n, k in zip(users, converted, strict=True)]

    return list(zip(group(90, rate_treated), group(10, rate_holdout), strict=True))


def sequences(rate_treated: float, rate_holdout: float, n: int) -> list[list[AnytimeLift]]:
    rng = np.random.default_rng(14)
    return [
        [look for look in by_day(days(rng, rate_treated, rate_holdout)) if isinstance(look, AnytimeLift)]
        for _ in range(n)
    ]


@pytest.mark.parametrize(("treated", "holdout"), [(0.2, 0.2), (0.26, 0.2)])
def test_all_looks_of_a_sequence_together_hold_the_truth(treated: float, holdout: float) -> None:
    missed, missed_naively = 0, 0
    for looks in sequences(treated, holdout, N_SEQUENCES):
        assert len(looks) > 30
        apart = [abs((look.low + look.high) / 2 - (treated - holdout)) for look in looks]
        half = [(look.high - look.low) / 2 for look in looks]
        missed += any(a > h for a, h in zip(apart, half, strict=True))
        plain = [1.96 * h / anytime_quantile(look.users, 0.95, 10_000) for h, look in zip(half, looks, strict=True)]
        missed_naively += any(a > h for a, h in zip(apart, plain, strict=True))
    assert missed / N_SEQUENCES <= 0.05
    assert missed_naively / N_SEQUENCES > 0.15


def test_all_looks_at_money_that_cancels_hold_the_truth_and_are_as_narrow_as_users_differ() -> None:
    rng, missed, last = np.random.default_rng(17), 0, []

    def group(mean: float) -> list[GroupTally]:
        users = rng.poisson(mean, N_DAYS)
        earned = users - 2 * rng.binomial(users, 0.5)  # everybody paid 100 or was refunded as much
        return [
            GroupTally(int(n), 100_000 * int(s), 100_000**2 * int(n), 100_000 * int(n))
            for n, s in zip(users, earned, strict=True)
        ]

    for _ in range(N_SEQUENCES):
        looks = by_day(list(zip(group(90), group(10), strict=True)))
        seen = [look for look in looks if isinstance(look, AnytimeLift)]
        missed += any(look.low > 0 or look.high < 0 for look in seen)
        last.append(seen[-1])
    assert missed / N_SEQUENCES <= 0.05
    error = 100 * np.sqrt(1 / (90 * N_DAYS) + 1 / (10 * N_DAYS))
    widths = np.array([(look.high - look.low) / 2 / error for look in last])
    assert widths.max() < 1.2 * anytime_quantile(100 * N_DAYS, 0.95, 10_000)


def test_a_lift_that_is_there_is_decided_before_the_end_most_of_the_time() -> None:
    decided = [any(look.decided for look in looks) for looks in sequences(0.36, 0.2, 200)]
    assert np.mean(decided) > 0.9

"""A day of traffic under a budget, through the code that decides live: three replicas, one of which dies, a learner that
is killed. ``python -m tests.statistical.test_budget_pacing`` prints the figures of docs/serving.md."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import pytest

from tests.unit.whisperer.decisions.making import ARMS, KEY, raw
from whisperer.decisions.allotment import Allotments
from whisperer.decisions.budget import Budget
from whisperer.decisions.context import transform
from whisperer.decisions.decision import Candidate
from whisperer.decisions.linear import CampaignStatistics
from whisperer.decisions.posterior import Posterior, posterior
from whisperer.decisions.purse import Wallet
from whisperer.decisions.thompson import choose
from whisperer.vocabulary.groups import Group
from whisperer.vocabulary.units import DAY_MS, MICROS

ROUNDS = 288
DAY = 20_000
COSTS = [0, 20_000, 60_000]


class Played(NamedTuple):
    """``spent``: by round, in sum, share of the budget; ``free``: what the day would cost without one, of it."""

    spent: np.ndarray
    prices: np.ndarray
    free: float


@functools.cache
def policy() -> Posterior:
    """Learned from users of whom some are moved by a message, and others are not."""
    rng, statistics = np.random.default_rng(5), CampaignStatistics()
    for at, arm in enumerate(ARMS):
        x = transform(raw(3_000, at))
        reward = 0.1 + at * 0.04 * np.clip(x[:, 2], -2, 2) + at * 0.05 + rng.normal(0, 0.1, 3_000)
        statistics.arm(arm).add(x, reward, statistics.weights(np.full(3_000, DAY)))
    return posterior(statistics, 1)


def played(budget: Budget, seed: int, rate: float = 20.0) -> Played:
    """Traffic that is thrice as dense at noon as at midnight; a replica dies at ten, the learner at three."""
    rng, keeper = np.random.default_rng(seed), Allotments()
    policies, names = {KEY: policy()}, ["r0", "r1", "r2"]
    wallets = [Wallet() for _ in names]
    spent, prices, free, total = [], [], 0, 0
    for at in range(ROUNDS):
        now = DAY * DAY_MS + (at * DAY_MS) // ROUNDS
        if at == 120:
            names[0], wallets[0] = "r3", Wallet()
        if at == 180:
            keeper = Allotments(keeper.encoded())
        for replica, wallet in zip(names, wallets, strict=True):
            n = int(rng.poisson(rate / 3 * (1 - 0.5 * np.cos(2 * np.pi * at / ROUNDS))))
            rows = raw(n, int(rng.integers(1 << 30))).tolist()
            asked = [
                Candidate(
                    f"{seed}.{at}.{replica}.{i}", *KEY, 1, Group.POLICY, ARMS, row, now, costs=COSTS, budget=budget
                )
                for i, row in enumerate(rows)
            ]
            if wallet.need(asked) or at % 3 == 0:
                asks = wallet.asks()
                wallet.take(asks, keeper.answer(replica, asks, now))
            for choice in choose(asked, policies, wallet=wallet):
                total += COSTS[choice.arms.index(choice.arm)]
                free += COSTS[int(np.argmax(choice.means))]
        spent.append(total / budget.amount_micros)
        prices.append(next((one.price for one in keeper.status()), 0.0))
    return Played(np.array(spent), np.array(prices), free / budget.amount_micros)


@pytest.mark.parametrize("amount", [20, 60])
def test_a_budget_that_binds_is_spent_evenly_and_nearly_to_its_end_though_replicas_die(amount: int) -> None:
    day = played(Budget(amount * MICROS), 3)
    assert day.free > 1.5
    assert day.spent[-1] <= 1.0
    assert day.spent[-1] > 0.95
    assert np.abs(day.spent - np.arange(1, ROUNDS + 1) / ROUNDS).max() < 0.08
    assert day.prices[144:].min() > 0


def test_a_budget_that_does_not_bind_has_no_price() -> None:
    day = played(Budget(10_000 * MICROS), 4, rate=5.0)
    assert not day.prices.any()


if __name__ == "__main__":
    for amount in (20, 60, 120):
        for seed in (1, 2, 3):
            day = played(Budget(amount * MICROS), seed)
            off = np.abs(day.spent - np.arange(1, ROUNDS + 1) / ROUNDS).max()
            spread = day.prices[144:].std() / day.prices[144:].mean()
            print(f"{amount}: wanted {day.free:.2f}, spent {day.spent[-1]:.4f}, off plan {off:.3f}, price {spread:.2f}")

"""Budgets: never overspent, whatever is lost or dies; spent evenly; and propensities stay what was sampled from."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.whisperer.decisions.making import ARMS, KEY, candidates, learned
from whisperer.decisions.allotment import AHEAD_MS, WINDOWS, Allotments
from whisperer.decisions.budget import Ask, Budget, Lease
from whisperer.decisions.decision import Candidate, Choice
from whisperer.decisions.posterior import posterior
from whisperer.decisions.purse import Wallet
from whisperer.decisions.thompson import N_DRAWS, choose, fault_of, propensities
from whisperer.decisions.versions import Decider, parsed, priced
from whisperer.vocabulary.groups import Group
from whisperer.vocabulary.units import DAY_MS, MICROS

COSTS = [0, 300_000, MICROS]
DAY = 20_000
POLICIES = {KEY: posterior(learned({"no_send": 0.1, "mail": 0.3, "sms": 0.4}), 7)}


def paying(n: int, budget: Budget, now: int = DAY * DAY_MS, **more: Any) -> list[Candidate]:
    return [msgspec.structs.replace(one, costs=COSTS, budget=budget, now=now) for one in candidates(n, **more)]


def filled(asked: list[Candidate], now: int | None = None) -> Wallet:
    """A wallet that holds what a keeper alone with it lends for these."""
    wallet, keeper = Wallet(), Allotments()
    wallet.need(asked)
    asks = wallet.asks()
    wallet.take(asks, keeper.answer("one", asks, asked[0].now + DAY_MS if now is None else now))
    return wallet


def cost(choices: list[Choice]) -> int:
    return sum(COSTS[ARMS.index(choice.arm)] for choice in choices)


class Market:
    """A keeper and replicas, between whom anything may be lost, late or repeated, and who may die."""

    def __init__(self, budget: Budget) -> None:
        self.budget, self.now, self.serial = budget, DAY * DAY_MS, 0
        self.keeper, self.durable = Allotments(), b""
        self.replicas: list[tuple[str, Wallet]] = [(f"r{n}", Wallet()) for n in range(3)]
        self.asked: list[tuple[int, list[Ask]]] = []
        self.answered: list[tuple[str, Wallet, list[Ask], list[Lease]]] = []
        self.spent: dict[int, int] = {}

    def decide(self, at: int, n: int, group: str) -> None:
        self.serial += 1
        asked = paying(n, self.budget, self.now, name=f"dec{self.serial}", group=group)
        wallet = self.replicas[at][1]
        wallet.need(asked)
        window = self.budget.window(self.now)
        self.spent[window] = self.spent.get(window, 0) + cost(choose(asked, POLICIES, wallet=wallet))

    def ask(self, at: int, _n: int, _g: str) -> None:
        self.asked.append((at, self.replicas[at][1].asks()))

    def hear(self, at: int, n: int, _g: str) -> None:
        """Any message that was ever sent, again if it so happens; a grant is stored before it is answered."""
        if not self.asked:
            return
        sender, asks = self.asked[n % len(self.asked)]
        holder, wallet = self.replicas[sender]
        leases = self.keeper.answer(holder, asks, self.now)
        self.durable = self.keeper.encoded()
        self.answered.append((holder, wallet, asks, leases))

    def take(self, at: int, n: int, _g: str) -> None:
        if self.answered:
            _, wallet, asks, leases = self.answered[n % len(self.answered)]
            wallet.take(asks, leases)

    def kill_replica(self, at: int, _n: int, _g: str) -> None:
        self.serial += 1
        self.replicas[at] = f"r{at}.{self.serial}", Wallet()
        self.asked = [message for message in self.asked if message[0] != at]

    def kill_keeper(self, _at: int, _n: int, _g: str) -> None:
        self.keeper = Allotments(self.durable)

    def wait(self, _at: int, n: int, _g: str) -> None:
        self.now += n * 600_000


STEPS = ("decide", "decide", "ask", "ask", "hear", "hear", "take", "take", "kill_replica", "kill_keeper", "wait")


@settings(deadline=None, max_examples=60)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(STEPS),
            st.integers(0, 2),
            st.integers(1, 12),
            st.sampled_from([Group.POLICY, Group.UNIFORM]),
        ),
        min_size=10,
        max_size=60,
    ),
    amount=st.integers(0, 40 * MICROS),
)
def test_no_window_is_overspent_whatever_is_lost_late_repeated_or_dies(steps: list[Any], amount: int) -> None:
    market = Market(Budget(amount))
    for name, *told in steps:
        getattr(market, name)(*told)
        for window, spent in market.spent.items():
            ahead = market.budget.plan(window).released(market.now + AHEAD_MS)
            assert spent <= min(amount, ahead + 1e-6)


def test_a_budget_is_spent_by_whoever_needs_it_and_what_a_dead_replica_held_stays_unspent() -> None:
    market = Market(Budget(30 * MICROS))
    market.now += DAY_MS - 1
    spent_before_death = 0
    for round_ in range(200):
        at = round_ % 3
        for step in ("decide", "ask", "hear", "take"):
            getattr(market, step)(at, 10 if step == "decide" else len(market.asked or [0]) - 1, Group.POLICY)
        if step == "take" and market.answered:
            market.take(at, len(market.answered) - 1, Group.POLICY)
        if round_ == 3:
            market.kill_replica(0, 0, "")
            spent_before_death = market.spent[DAY]
    assert 0 < spent_before_death < market.spent[DAY]
    held = market.keeper.status()[0]
    assert held.granted <= 30
    left = sum(wallet.of(paying(1, market.budget, market.now)[0]).left_micros for _, wallet in market.replicas)
    assert market.spent[DAY] <= round(held.granted * MICROS) - left


def test_without_a_lease_nobody_is_sent_anything_that_costs() -> None:
    for group in (Group.POLICY, Group.UNIFORM, Group.HOLDOUT):
        made = choose(paying(20, Budget(MICROS), group=group), POLICIES)
        assert {(choice.arm, choice.propensity) for choice in made} == {("no_send", 1.0)}
        assert {tuple(choice.propensities) for choice in made} == {(1.0, 0.0, 0.0)}


def test_with_money_enough_at_price_0_everything_is_as_without_a_budget() -> None:
    for group in (Group.POLICY, Group.UNIFORM, Group.HOLDOUT):
        asked = paying(50, Budget(10**12), group=group)
        assert choose(asked, POLICIES, wallet=filled(asked)) == choose(candidates(50, group=group), POLICIES)


def test_the_propensities_are_those_of_the_priced_means_and_the_price_is_in_the_label() -> None:
    asked = paying(300, Budget(60 * MICROS))
    wallet = filled(asked)
    wallet.of(asked[0]).price = 0.123456
    made = choose(asked, POLICIES, wallet=wallet)
    (label,) = {choice.policy_version for choice in made}
    decider = parsed(label)
    assert decider is not None
    assert decider.price > 0.12
    for choice in made:
        again = propensities(
            (np.array([choice.means]) - decider.price * np.array(COSTS) / MICROS).T,
            np.array([choice.spreads]).T,
            np.array([choice.seed], np.uint64),
        )[0]
        payable = np.array(choice.propensities) > 0
        np.testing.assert_allclose(choice.propensities, again * payable / (again * payable).sum())
        assert choice.propensity == choice.propensities[ARMS.index(choice.arm)] > 0
    assert cost(made) <= 60 * MICROS


def test_logged_propensities_are_how_often_arms_are_chosen_under_a_price_and_too_little_money() -> None:
    n, expected, seen = 40, np.zeros(3), np.zeros(3)
    for repeat in range(60):
        asked = paying(n, Budget(6 * MICROS), name=f"again{repeat}")
        for choice in choose(asked, POLICIES, wallet=filled(asked)):
            expected += choice.propensities
            seen[ARMS.index(choice.arm)] += 1
    assert (np.abs(seen - expected) < 4 * np.sqrt(expected + 1)).all()


def test_scarce_money_goes_to_those_for_whom_it_brings_most() -> None:
    asked = paying(400, Budget(20 * MICROS))
    made = choose(asked, POLICIES, 0.0, filled(asked))
    gains = np.array([choice.means[1] - choice.means[0] for choice in made])
    paid = np.array([choice.arm != "no_send" for choice in made])
    assert paid.any()
    assert gains[paid].mean() > gains[~paid].mean()


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"budget": None}, "no budget"),
        ({"costs": [0, 1]}, "not one an arm"),
        ({"costs": [0, -1, 1]}, "negative"),
        ({"costs": [1, 1, 1]}, "costs something"),
    ],
)
def test_costs_that_make_no_sense_are_a_fault(told: dict[str, Any], why: str) -> None:
    assert why in fault_of(msgspec.structs.replace(paying(1, Budget(1))[0], **told))


def test_a_closed_window_grants_nothing_again() -> None:
    keeper, budget = Allotments(), Budget(10 * MICROS)

    def asked(window: int) -> list[Lease]:
        return keeper.answer("r", [Ask("t", "c", 1, budget, window, MICROS)], (window + 1) * DAY_MS)

    assert [lease.granted_micros > 0 for window in range(WINDOWS + 1) for lease in asked(window)] == [True] * 3
    assert asked(0) == []
    assert Allotments(keeper.encoded()).answer("r", [Ask("t", "c", 1, budget, 0, MICROS)], 10**15) == []


def test_a_new_version_s_amount_holds_at_once_and_a_replica_s_old_report_changes_nothing() -> None:
    keeper = Allotments()

    def asked(version: int, amount: int, **told: int) -> int:
        ask = Ask("t", "c", version, Budget(amount), 0, 100 * MICROS, **told)
        return keeper.answer("r", [ask], DAY_MS)[0].granted_micros

    assert asked(1, 3 * MICROS) == 3 * MICROS
    assert asked(1, 3 * MICROS, spent_micros=3 * MICROS) == 3 * MICROS
    assert asked(2, 5 * MICROS, spent_micros=3 * MICROS) == 5 * MICROS
    assert asked(1, 9 * MICROS, spent_micros=0) == 5 * MICROS
    assert keeper.status()[0].spent == 3.0


@pytest.mark.parametrize("price", [0.5, 1e-9, 12_340.0, 1.234e15])
def test_a_price_is_read_back_from_a_label_with_a_model_behind_it_or_without(price: float) -> None:
    assert parsed(priced("c@3", price)) == Decider("c", 3, "c", 0, True, price)
    assert parsed(priced("c@3", price) + "+c@2") == Decider("c", 3, "c", 2, True, price)
    assert parsed("c@3$x") is None


def test_a_share_of_draws_is_what_a_propensity_is_made_of() -> None:
    """The grid of shares is kept under a price: no arm is scored by anything but its draws."""
    asked = paying(30, Budget(10**12))
    wallet = filled(asked)
    wallet.of(asked[0]).price = 0.3
    for choice in choose(asked, POLICIES, 0.0, wallet):
        assert all(float(p * N_DRAWS).is_integer() for p in choice.propensities)

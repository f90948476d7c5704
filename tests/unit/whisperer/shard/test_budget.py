"""A campaign with a budget in the shard: what is asked, and what becomes of a choice for which money was lacking."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.shard_world import World, event
from tests.unit.whisperer.shard.campaigns import BY_EVENT, campaign
from tests.unit.whisperer.shard.state.test_loop import held_out, only, treated
from whisperer.decisions.budget import Budget
from whisperer.decisions.decision import Candidate, Choice
from whisperer.decisions.purse import Wallet
from whisperer.decisions.thompson import choose
from whisperer.shard.records import DecisionsMade

BUDGET = Budget(5_000_000)


def considered(world: World, made: Any, user: str) -> Candidate:
    world.publish_campaigns(1, made)
    world.send(event(user, name="Looked", at=world.now))
    (asked,) = world.asked
    return asked


def decided(world: World, asked: Candidate, wallet: Wallet | None = None) -> Choice:
    (choice,) = choose([asked], {}, wallet=wallet)
    world.write(world.home_of(asked.decision_id), DecisionsMade(asked.tenant, [choice]))
    return choice


def test_what_arms_cost_goes_along_only_where_there_is_a_budget(world: World) -> None:
    asked = considered(world, campaign(budget=BUDGET), treated(world))
    assert (asked.costs, asked.budget) == ([0, 0, 100_000], BUDGET)


def test_without_a_budget_nothing_of_it_is_asked(world: World) -> None:
    asked = considered(world, BY_EVENT, treated(world))
    assert (asked.costs, asked.budget) == ([], None)


def test_no_send_for_want_of_money_says_so_and_the_arm_is_told(world: World) -> None:
    user = treated(world)
    dear = campaign(budget=BUDGET, arms=campaign().arms[1:])
    decided(world, considered(world, dear, user))
    found = only(world, user)
    assert (found.status, found.reason) == ("no_send", "budget_spent")
    assert found.refused_arms == {"text": "budget_spent"}
    account = world.account("nudge")
    assert (account.candidates, account.no_send, dict(account.refused)) == (1, 1, {})


@pytest.mark.parametrize("held", [True, False])
def test_the_holdout_and_who_could_be_paid_have_no_such_reason(world: World, held: bool) -> None:
    user = held_out(world) if held else treated(world)
    asked = considered(world, campaign(budget=BUDGET), user)
    wallet = Wallet()
    if not held:
        purse = wallet.of(asked)
        purse.granted_micros = 1_000_000
    decided(world, asked, wallet)
    assert "budget_spent" not in {only(world, user).reason, *only(world, user).refused_arms.values()}

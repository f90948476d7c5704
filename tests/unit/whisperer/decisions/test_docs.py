"""The page about the policy is true: its code runs, its numbers and names are the product's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from actors.learner import actor as learner
from whisperer.decisions import thompson
from whisperer.decisions.context import LIMIT, D
from whisperer.evaluation.lift import FEWEST_USERS, SUSPICIOUS_P
from whisperer.feedback import ledger
from whisperer.vocabulary.groups import GROUPS

PAGE = (Path(__file__).parents[4] / "docs" / "policy.md").read_text()
WORDS = " ".join(PAGE.split())


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_the_code_runs(code: str) -> None:
    exec(code, {})


def test_every_group_and_every_fate_of_a_reward_is_on_the_page() -> None:
    assert all(f"| `{group}` |" in PAGE for group in GROUPS)
    assert all(f"`{fate}`" in PAGE for fate in ledger.RewardFate)


@pytest.mark.parametrize(
    "told",
    [
        f"a vector of {D} coordinates, each within {LIMIT:.0f} of zero",
        f"{thompson.N_DRAWS} draws from each arm's score, {thompson.WIDTH} times as wide",
        f"(1 - K x {thompson.FLOOR}) p + {thompson.FLOOR}",
        f"more than {0.5 / thompson.FLOOR:.0f} arms",
        f"fewer than {FEWEST_USERS} users",
        f"p < {SUSPICIOUS_P}",
        f"within {ledger.WAIT_DAYS} days",
        f"`<data-dir>/{learner.FOLDER}/{learner.BLOB}`",
    ],
)
def test_the_numbers_on_the_page_are_those_of_the_product(told: str) -> None:
    assert told in WORDS


def test_the_defaults_on_the_page_are_those_of_the_ledger() -> None:
    kept = ledger.Ledger()
    assert (kept._discount_per_day, kept._max_early, kept._max_final) == (0.99, 100_000, 100_000)
    assert "loses 1 % of its weight with every UTC day" in WORDS
    assert (learner.ROUND_S, learner.STORE_EVERY_S) == (0.2, 0.5)

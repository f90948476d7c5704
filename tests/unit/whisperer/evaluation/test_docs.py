"""The page about off-policy evaluation is true: its code runs, its numbers and names are the product's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from whisperer.evaluation import gate, lift, overlap
from whisperer.evaluation.gate import GateRule

PAGE = (Path(__file__).parents[4] / "docs" / "evaluation.md").read_text()
WORDS = " ".join(PAGE.split())


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_the_code_runs(code: str) -> None:
    exec(code, {})


def test_every_reason_of_the_gate_is_in_its_table() -> None:
    reasons = {overlap.TOO_LITTLE_OVERLAP, overlap.UNSUPPORTED, overlap.PROPENSITIES_WRONG, lift.TOO_FEW_USERS}
    reasons |= {gate.NOT_BETTER, gate.MAY_BE_WORSE}
    assert set(re.findall(r"\| `(\w+)` \|", PAGE)) == reasons


@pytest.mark.parametrize(
    "told",
    [
        f"at least {GateRule().fewest_effective:,} decisions of the policy's own",
        f"at most {overlap.MOST_UNSUPPORTED:.0%}".replace("%", " %") + " of what it would do",
        f"over {overlap.SURE:.0f} standard errors",
        f"at least {lift.FEWEST_USERS} users",
        f"its {100 * GateRule().level:.0f} % interval is above -{100 * GateRule().tolerance:.0f} % of the current value",
        f"percentiles of {GateRule().n_resamples:,} resamples",
    ],
)
def test_the_numbers_on_the_page_are_those_of_the_product(told: str) -> None:
    assert told in WORDS

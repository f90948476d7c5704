"""The page about serving is true: its code runs, its numbers and names are the product's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from actors.learner import tallies
from serve_apps.decisions import counting, models, scoring
from whisperer.decisions.versions import Decider, labelled, parsed
from whisperer.models.value import ARM_ITSELF, DEVIATION, KIND

PAGE = (Path(__file__).parents[4] / "docs" / "serving.md").read_text()
WORDS = " ".join(PAGE.split())


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_the_code_runs(code: str) -> None:
    exec(code, {})


@pytest.mark.parametrize(
    "told",
    [
        f"An artifact of kind `{KIND}`",
        f"`{DEVIATION}` in the manifest",
        f"A batch waits {scoring.BUDGET_S * 1000:.0f} ms for scores",
        f"a store is asked again every {models.RETRY_S:.0f} s",
        f"tells the learner its totals every {counting.EVERY_S:.0f} s",
        f"{tallies.MOST_USERS:,} users of each version at most",
        f"`{ARM_ITSELF}`",
        *(f"| `{reason}` |" for reason in scoring.REASONS),
    ],
)
def test_what_the_page_says_is_so(told: str) -> None:
    assert told in WORDS


@pytest.mark.parametrize("answered", [True, False])
def test_the_labels_on_the_page_are_read_back(answered: bool) -> None:
    label = labelled("welcome@42", "welcome", 3, answered=answered)
    assert f"`{label}`" in PAGE
    assert parsed(label) == Decider("welcome", 42, "welcome", 3, answered)


@pytest.mark.parametrize("word", ["holdout", "uniform", "", "welcome", "welcome@x", "@1", "a@1+b", "a@1+@2", "a@1+b@"])
def test_what_is_no_label_is_not_read(word: str) -> None:
    assert parsed(word) is None


def test_a_campaign_without_a_model_is_decided_by_version_0_of_its_name() -> None:
    assert parsed("welcome.v2@42") == Decider("welcome.v2", 42, "welcome.v2", 0, True)

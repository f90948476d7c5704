"""docs/analytics.md says of questions what the code has, and what it shows can be asked."""

from __future__ import annotations

import json
import re

import msgspec
import pytest

from actors.jobs.lanes import ANALYTICS
from actors.shard import flushing, newest
from actors.warehouse import analysis
from tests.unit.docs.naming import ROOT
from whisperer.access.costs import cost_of
from whisperer.access.permissions import Permission
from whisperer.analytics import limits
from whisperer.analytics.activity import MONTH, WEEK
from whisperer.analytics.questions import (
    USUAL_DAYS,
    Funnel,
    Lifecycle,
    Measure,
    Question,
    Retention,
    Stickiness,
    Trends,
    check,
)
from whisperer.segments import parse_condition

PAGE = (ROOT / "docs" / "analytics.md").read_text()
KINDS: dict[str, type[Question]] = {
    "trends": Trends,
    "funnels": Funnel,
    "retention": Retention,
    "lifecycle": Lifecycle,
    "stickiness": Stickiness,
}
EXAMPLES = re.findall(r"/v1/analytics/(\w+) -H 'Content-Type: application/json' -d '(.*?)'\n", PAGE, re.DOTALL)


def test_every_kind_has_an_example() -> None:
    assert [kind for kind, _ in EXAMPLES] == list(KINDS)


@pytest.mark.parametrize(("kind", "body"), EXAMPLES)
def test_an_example_can_be_asked(kind: str, body: str) -> None:
    check(msgspec.convert(json.loads(body), KINDS[kind]), 1_790_000_000_000)


def test_the_condition_that_is_shown_is_one() -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    parse_condition(json.loads(shown))


def test_every_measure_is_explained() -> None:
    rows = re.findall(r"^\| (`.*?`) \|", PAGE.split("| `measure` |")[1].split("\n\n")[0], re.MULTILINE)
    assert [name for row in rows for name in re.findall(r"`(\w+)`", row)] == list(Measure.__args__)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "said",
    [
        f"and cost {cost_of(Permission.REPORTS_READ)} of the rate",
        f"today included; at most {limits.MAX_DAYS:,} | {USUAL_DAYS} |",
        f"The `limit` values ({limits.USUAL_VALUES}; at most {limits.MAX_VALUES})",
        f"Up to {limits.MAX_SERIES} series,\n{limits.MAX_BUCKETS:,} buckets and {limits.MAX_CELLS:,} numbers",
        f"({Funnel(steps=[]).window_s // 86_400} days; at most {limits.MAX_WINDOW_S // 86_400})",
        f"Up to {limits.MAX_STEPS} steps and exclusions ({limits.MAX_EXCLUSIONS}), "
        f"with a breakdown {limits.MAX_STEPS_BROKEN_DOWN}",
        f"in the {WEEK} days that end with it (`weekly`) and in the {MONTH} (`monthly`)",
        f"more than {newest.MOST_BYTES >> 20} MB",
        f"at most every {flushing.EVERY_S:g} s",
        f"{analysis.MEMORY_MB >> 10} GB of memory and {analysis.SPILL_MB >> 10} GB to spill",
        f"longer than {ANALYTICS.time_limit_s:g} s",
    ],
)
def test_the_bounds_are_those_of_the_code(said: str) -> None:
    assert said in PAGE

"""The launch checklist: each item blocks, warns or is content, with a sentence and what to do about it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.whisperer.shard.campaigns import BY_SEGMENT, DAILY, ON_REQUEST, campaign
from tests.unit.whisperer.simulation.past import DAY, T0, TEMPLATES, plan, template
from whisperer.content.message import NotRendered
from whisperer.eligibility.rules import TRANSACTIONAL, QuietHours
from whisperer.journeys.campaign import Campaign, OnSchedule
from whisperer.shard.records import Experiment
from whisperer.simulation.checks import CHECKS, Found, Item, Level, checklist
from whisperer.simulation.forecast import Power
from whisperer.simulation.plan import SimulationPlan
from whisperer.simulation.tally import CampaignTally, DayCounts
from whisperer.vocabulary.units import MICROS

POWERFUL = Power(200.0, 1_800.0, 0.2, 0.02, 0.015, 5.0)


def tally(made: Campaign, **refused: int) -> CampaignTally:
    """100 candidates on one day, all of them sent to but the refused."""
    found = CampaignTally(made)
    found.days[T0 // DAY] = DayCounts(100, 100 - sum(refused.values()), 0, Counter(refused), 50 * MICROS)
    found.considered = {f"u:{i}" for i in range(100)}
    found.groups.update(policy=100)
    found.matured = 100
    return found


def items(asked: SimulationPlan | None = None, found: Found | None = None, **refused: int) -> dict[str, Item]:
    asked = asked or usual()
    told = found or Found(tally(asked.campaign, **refused), 1_000, 40, POWERFUL, zones=Counter({"Europe/Berlin": 100}))
    return {item.code: item for item in checklist(asked, told)}


def losing(reason: str, n: int) -> Found:
    return Found(tally(campaign(), **{reason: n}), 1_000, 40, POWERFUL)


def usual(made: Campaign | None = None, **more: Any) -> SimulationPlan:
    return plan(made, **{"experiment": Experiment("salt", 0.1, 0.1), **more})


def test_a_sound_campaign_has_nothing_against_it() -> None:
    found = items()
    assert {item.level for item in found.values()} == {Level.OK}
    assert len(found) == len(CHECKS)
    assert all(item.sentence.endswith(".") and not item.advice for item in found.values())


@pytest.mark.parametrize(
    ("made", "level", "word"),
    [
        (campaign(), Level.BLOCK, "'Looked'"),
        (BY_SEGMENT, Level.BLOCK, "'pros'"),
        (DAILY, Level.BLOCK, "'0 9 * * *'"),
        (ON_REQUEST, Level.WARN, "no caller asked"),
    ],
)
def test_an_audience_of_nobody_is_told_by_what_was_to_trigger_it(made: Campaign, level: str, word: str) -> None:
    item = items(usual(made), Found(CampaignTally(made), 10, 1, POWERFUL))["audience"]
    assert (item.level, word in item.sentence, bool(item.advice)) == (level, True, True)


def test_an_audience_of_nearly_everybody_is_asked_about() -> None:
    found = Found(tally(campaign()), 120, 40, POWERFUL)
    assert items(usual(), found)["audience"].level == Level.WARN
    assert items(usual(largest_audience=1.0), found)["audience"].level == Level.OK


@pytest.mark.parametrize(
    ("code", "reason"), [("addresses", "no_address"), ("consent", "no_consent"), ("caps", "capped")]
)
def test_a_reason_for_refusal_warns_from_a_fifth_and_blocks_where_hardly_anybody_is_left(
    code: str, reason: str
) -> None:
    assert items(found=losing(reason, 19))[code].level == Level.OK
    assert items(found=losing(reason, 20))[code].level == Level.WARN
    found = items(found=losing(reason, 95))[code]
    assert (found.level, "95%" in found.sentence) == (Level.BLOCK, True)


def test_suppression_counts_as_no_consent_and_transactional_campaigns_need_none() -> None:
    assert items(suppressed=30)["consent"].level == Level.WARN
    assert items(usual(campaign(purpose=TRANSACTIONAL)), no_consent=99)["consent"].level == Level.OK


def test_quiet_hours_in_an_unknown_zone_are_doubtful() -> None:
    made = campaign(quiet_hours=QuietHours(0, 60))
    unknown = Found(tally(made), 1_000, 40, POWERFUL, zones=Counter({"": 60, "Europe/Berlin": 40}))
    assert items(usual(made), unknown)["quiet_hours"].level == Level.WARN
    assert items(usual(made), quiet_hours=96)["quiet_hours"].level == Level.BLOCK
    assert items(usual(made))["quiet_hours"].level == Level.OK


def test_a_channel_without_a_provider_reaches_nobody() -> None:
    item = items(usual(providers={"email": "smtp"}))["channels"]
    assert (item.level, item.sentence.startswith("sms ")) == (Level.BLOCK, True)


def test_a_template_that_is_missing_broken_or_never_renders_blocks_and_one_that_sometimes_fails_warns() -> None:
    assert items(usual(templates={}))["templates"].level == Level.BLOCK
    broken = TEMPLATES | {"hello@1": template("email", "{% if %}")}
    assert items(usual(templates=broken))["templates"].level == Level.BLOCK
    lost = {"hello": NotRendered("snd_1", "variable_missing", "user.name is missing")}
    made = usual()
    some = Found(tally(made.campaign, variable_missing=10), 1_000, 40, POWERFUL, lost)
    item = items(made, some)["templates"]
    assert (item.level, "user.name is missing" in item.sentence) == (Level.WARN, True)
    most = Found(tally(made.campaign, variable_missing=96), 1_000, 40, POWERFUL, lost)
    assert items(made, most)["templates"].level == Level.BLOCK


def test_a_language_that_templates_lack_is_told() -> None:
    found = Found(tally(campaign()), 1_000, 40, POWERFUL, locales=Counter({"de-AT": 30, "en-GB": 60, "": 10}))
    item = items(usual(), found)["locales"]
    assert (item.level, "30 of 100" in item.sentence, "(de)" in item.sentence) == (Level.WARN, True, True)


def test_a_budget_is_followed_to_the_day_it_runs_out() -> None:
    assert items(usual(budget=60.0))["budget"].level == Level.OK
    assert items(usual(budget=40.0))["budget"].level == Level.BLOCK
    found = tally(campaign())
    found.days[T0 // DAY + 1] = DayCounts(10, 10, 0, Counter(), 20 * MICROS)
    item = items(usual(budget=60.0), Found(found, 1_000, 40, POWERFUL))["budget"]
    assert (item.level, "day 2" in item.sentence) == (Level.WARN, True)
    shared = Found(tally(campaign()), 1_000, 40, POWERFUL, share=0.5)  # half of the users: all of them cost double
    assert items(usual(budget=60.0), shared)["budget"].level == Level.BLOCK


@pytest.mark.parametrize(
    ("found", "level"),
    [
        (POWERFUL, Level.OK),
        (replace(POWERFUL, days=40.0), Level.WARN),
        (replace(POWERFUL, days=400.0), Level.BLOCK),
        (replace(POWERFUL, days=None), Level.BLOCK),
        (replace(POWERFUL, smallest=None, days=None), Level.WARN),
        (replace(POWERFUL, holdout_users=19.0), Level.WARN),
    ],
)
def test_a_holdout_that_cannot_show_a_lift_is_told(found: Power, level: str) -> None:
    assert items(usual(), Found(tally(campaign()), 1_000, 40, found))["holdout"].level == level


def test_without_a_holdout_nothing_can_be_shown() -> None:
    assert items(usual(experiment=Experiment("salt", 0.0, 0.1)))["holdout"].level == Level.BLOCK


def test_a_goal_that_nobody_reaches_or_that_never_matures_is_told() -> None:
    found = tally(campaign())
    assert items(usual(), Found(found, 1_000, 0, POWERFUL))["goal"].level == Level.BLOCK
    found.matured = 0
    assert items(usual(), Found(found, 1_000, 40, POWERFUL))["goal"].level == Level.WARN


def test_a_schedule_in_an_hour_that_clocks_leave_out_is_told() -> None:
    night = Campaign("night", OnSchedule("30 2 * * *", "user"), DAILY.goal, DAILY.arms)
    item = items(usual(night))["schedule"]
    assert (item.level, "02:30 in Europe/Berlin does not exist" in item.sentence) == (Level.WARN, True)
    assert items(usual(DAILY))["schedule"].level == Level.OK

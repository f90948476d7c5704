"""What a replay makes of the past: nothing leaves it, facts beside the events count, and every candidate is explained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.unit.whisperer.shard.campaigns import BY_SEGMENT, DAILY, ON_REQUEST, campaign
from tests.unit.whisperer.simulation.past import DAY, HOUR, T0, TENANT, batch, event, identify, plan
from whisperer.decisions.decision import NO_SEND
from whisperer.eligibility.rules import Cap, QuietHours
from whisperer.errors import RequestError
from whisperer.feedback.outcome import OutcomeKind
from whisperer.journeys.campaign import Campaign
from whisperer.shard.records import Experiment, SegmentConfig
from whisperer.simulation.history import ASKED, SENT, Fact, block_of
from whisperer.simulation.plan import SimulationPlan
from whisperer.simulation.result import Reach, SimulationResult
from whisperer.simulation.run import simulate

ANN = identify("ann", T0 - DAY)


def run(asked: SimulationPlan, *events: tuple[Any, ...], facts: Sequence[Fact] = ()) -> SimulationResult[int]:
    return simulate(asked, [batch(*events)] if events else [], facts)


def looks_of(user: str, n: int, every: int = HOUR) -> list[tuple[Any, ...]]:
    return [event(user, "Looked", T0 + HOUR + i * every) for i in range(n)]


def always_mail(made: Campaign | None = None, **more: Any) -> SimulationPlan:
    return plan(made, policy="arm:mail", **more)


def test_every_candidate_is_accounted_for_by_day_arm_and_user() -> None:
    found = run(always_mail(), ANN, *looks_of("ann", 3, DAY), *looks_of("bob", 1))
    assert (found.candidates, found.sent, found.refused) == (4, 3, {"no_address": 1})
    assert [day.candidates for day in found.days] == [2, 1, 1]
    arms = {arm.arm: arm for arm in found.arms}
    assert (arms["mail"].decisions, arms["mail"].sent, arms[NO_SEND].decisions) == (3, 3, 0)
    assert arms["text"].refused == {"no_address": 1}
    assert found.reach == Reach(2, 1, 1)


def test_the_policy_asked_about_decides_and_the_groups_keep_their_rules() -> None:
    some = Experiment("salt", 0.4, 0.0)
    people = [f"u{i}" for i in range(40)]
    past = [identify(user, T0 - DAY) for user in people] + [e for user in people for e in looks_of(user, 1)]
    found = run(plan(policy="arm:text", experiment=some), *past)
    arms = {arm.arm: arm.sent for arm in found.arms}
    assert arms == {NO_SEND: 0, "mail": 0, "text": found.groups["policy"]}
    assert found.no_send == found.groups["holdout"] > 5
    assert found.budget.spent == pytest.approx(0.1 * arms["text"])
    uniform = run(plan(policy="uniform"), *past)
    assert all(5 <= arm.decisions <= 25 for arm in uniform.arms)


def test_a_policy_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RequestError, match="arm:mail"):
        run(plan(policy="arm:nope"))


def test_messages_of_other_campaigns_count_against_caps() -> None:
    capped = always_mail(campaign(caps=(Cap(1, "rolling", hours=48.0, scope="tenant"),)))
    sent = Fact(T0 - HOUR, SENT, "u:ann", "other", "email", "snd_1")
    assert run(capped, ANN, *looks_of("ann", 1)).sent == 1
    assert run(capped, ANN, *looks_of("ann", 1), facts=[sent]).refused == {"capped": 1}


def test_who_unsubscribed_stays_unsubscribed_from_then_on() -> None:
    told = Fact(T0 + 2 * DAY, OutcomeKind.UNSUBSCRIBED, "u:ann", "other", "email")
    mail_only = always_mail(campaign(arms=campaign().arms[:1]))
    found = run(mail_only, ANN, *looks_of("ann", 4, DAY), facts=[told])
    assert (found.sent, found.refused) == (2, {"no_consent": 2})


def test_callers_ask_again_what_they_asked() -> None:
    asked = [Fact(T0 + i * HOUR, ASKED, "u:ann", "asked", "", f"order-{i}") for i in (1, 1, 2)]
    stranger = Fact(T0 + HOUR, ASKED, "u:nobody", "asked", "", "order-9")
    found = run(always_mail(ON_REQUEST), ANN, facts=sorted([*asked, stranger], key=lambda fact: fact.at))
    assert found.candidates == 2


def test_quiet_hours_are_those_of_the_users_zone_and_templates_are_in_the_users_language() -> None:
    quiet = always_mail(campaign(quiet_hours=QuietHours(0, 24 * 60 - 1)))
    noon_in_tokyo = T0 - T0 % DAY + DAY + 3 * HOUR
    awake = always_mail(campaign(quiet_hours=QuietHours(0, 8 * 60)))
    tokyo = identify("ann", T0 - DAY, timezone="Asia/Tokyo", locale="ja_JP")
    assert run(quiet, tokyo, *looks_of("ann", 1)).refused == {"quiet_hours": 1}
    assert run(awake, tokyo, event("ann", "Looked", noon_in_tokyo)).sent == 1
    assert run(awake, ANN, event("ann", "Looked", noon_in_tokyo)).refused == {"quiet_hours": 1}


def test_a_message_that_cannot_be_rendered_is_refused_as_it_would_be() -> None:
    nameless = identify("ann", T0 - DAY, {"email": "ann@example.com"})
    found = run(always_mail(), nameless, *looks_of("ann", 2))
    assert (found.sent, found.refused) == (0, {"variable_missing": 2})
    (item,) = [item for item in found.checklist if item.code == "templates"]
    assert item.level == "block"
    assert "user.name" in item.sentence


def test_a_schedule_fires_in_each_day_that_passes_and_once_a_user() -> None:
    found = run(always_mail(DAILY, days=5), ANN, identify("bob", T0 - DAY))
    assert [day.sent for day in found.days] == [2] * 5


def test_entries_into_segments_trigger_and_members_of_the_beginning_do_not() -> None:
    pros = [SegmentConfig("pros", 1, '{"event": "Looked", "count": 2}')]
    early = [event("ann", "Looked", T0 - HOUR + i) for i in range(2)]
    found = run(always_mail(BY_SEGMENT, segments=pros), ANN, *early, identify("bob", T0), *looks_of("bob", 3))
    assert (found.candidates, found.sent) == (1, 1)


def test_two_triggers_of_a_user_in_one_step_of_the_clock_are_two_decisions() -> None:
    found = run(always_mail(days=90), ANN, *looks_of("ann", 3, 5_000))
    assert (found.candidates, found.sent) == (3, 3)


def test_history_before_the_window_makes_users_what_they_are_and_nobody_a_candidate() -> None:
    past = [event("ann", "Looked", T0 - i * DAY) for i in range(1, 5)]
    regulars = always_mail(campaign(audience='{"event": "Looked", "count": 5}'))
    found = run(regulars, ANN, *past, *looks_of("ann", 1))
    assert (found.candidates, found.sent) == (1, 1)


def test_events_after_the_end_and_an_empty_history_are_nothing() -> None:
    assert run(always_mail(days=1), ANN, event("ann", "Looked", T0 + DAY)).candidates == 0
    assert run(always_mail()).candidates == 0


def test_a_stored_payload_of_any_shape_becomes_an_event() -> None:
    odd = ['{"context": 7}', '{"context": {"locale": 3, "timezone": ["x"]}}', "{}", '{"context": null, "userId": 1}']
    rows = [("u:x", "x", None, "track", "Odd", T0, 0, f"odd-{i}", payload) for i, payload in enumerate(odd)]
    block = block_of(TENANT, batch(*rows))
    assert (len(block), block.zones, block.locales) == (4, [""], [""])

"""A campaign is taken whole, or everything that is wrong with it is said at once."""

from __future__ import annotations

import json
import pickle
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.whisperer.journeys.campaigns import anything, campaigns
from whisperer.decisions.budget import Budget
from whisperer.eligibility.rules import Cap, QuietHours
from whisperer.journeys import limits
from whisperer.journeys.caller import describe, duration, template_versions, to_caller
from whisperer.journeys.campaign import Campaign, OnEvent, OnRequest, OnSchedule, OnSegment, from_json, to_json
from whisperer.journeys.errors import CampaignError
from whisperer.journeys.parse import parse_campaign
from whisperer.journeys.schema import EXAMPLE, campaign_json_schema

SCHEMA = jsonschema.Draft202012Validator(campaign_json_schema())
LEAST: dict[str, Any] = {
    "trigger": {"event": "Trial Started"},
    "goal": {"event": "Paid", "window_s": 60},
    "arms": [{"id": "tips", "channel": "email", "template": "tips"}],
}


def problems(obj: object, name: str = "welcome") -> list[tuple[str, str]]:
    with pytest.raises(CampaignError) as caught:
        parse_campaign(obj, name)
    json.dumps(caught.value.errors)
    msgspec.json.encode(caught.value.errors)
    str(caught.value).encode()
    assert all(len(problem["message"]) < 500 for problem in caught.value.errors)
    return [(problem["pointer"], problem["code"]) for problem in caught.value.errors]


def answered(obj: object) -> Campaign | CampaignError:
    """Anything but these two is a failure of the test that asks."""
    try:
        return parse_campaign(obj, "welcome")
    except CampaignError as error:
        return error


def changed(**fields: Any) -> dict[str, Any]:
    return {**LEAST, **fields}


@given(campaigns)
def test_what_a_caller_wrote_comes_back_and_is_read_as_the_same(written: dict[str, Any]) -> None:
    campaign = parse_campaign(written, "welcome")
    assert parse_campaign(to_caller(campaign), "welcome") == campaign
    assert to_caller(parse_campaign(to_caller(campaign), "welcome")) == to_caller(campaign)


@given(campaigns)
def test_the_stored_form_is_read_as_the_same_and_is_the_same_each_time(written: dict[str, Any]) -> None:
    campaign = parse_campaign(written, "welcome")
    assert from_json(to_json(campaign)) == campaign
    assert to_json(from_json(to_json(campaign))) == to_json(campaign)


@given(campaigns)
def test_what_is_taken_is_valid_under_the_schema_and_has_a_sentence(written: dict[str, Any]) -> None:
    SCHEMA.validate(written)
    campaign = parse_campaign(written, "welcome")
    SCHEMA.validate(to_caller(campaign))
    sentence = describe(campaign)
    assert sentence.isprintable()
    assert sentence.endswith(".")


@given(anything)
def test_whatever_comes_in_is_answered_with_problems(junk: object) -> None:
    assert problems(junk)


@given(anything, st.sampled_from(["trigger", "audience", "goal", "purpose", "arms", "caps", "quiet_hours"]))
@settings(max_examples=300)
def test_any_field_may_hold_anything(junk: object, field: str) -> None:
    answer = answered(changed(**{field: junk}))
    if isinstance(answer, CampaignError):
        assert answer.errors
        json.dumps(answer.errors)


def test_defaults_are_those_of_the_documentation() -> None:
    campaign = parse_campaign(LEAST, "welcome")
    assert campaign.purpose == "marketing"
    assert (campaign.audience, campaign.caps, campaign.quiet_hours) == ("", (), None)
    assert (campaign.goal.reward, campaign.goal.cap, campaign.goal.unsubscribe_cost) == ("conversion", 1.0, 0.5)
    assert (campaign.arms[0].offer, campaign.arms[0].cost, campaign.arms[0].template_version) == (None, 0.0, 0)


@pytest.mark.parametrize(
    ("trigger", "read"),
    [
        ({"event": "Trial Started"}, OnEvent("Trial Started")),
        ({"segment": "needs-help"}, OnSegment("needs-help")),
        ({"schedule": {"cron": "0 9 * * 1"}}, OnSchedule("0 9 * * 1", "user")),
        ({"schedule": {"cron": "0 9 * * 1", "zone": "Europe/Berlin"}}, OnSchedule("0 9 * * 1", "Europe/Berlin")),
        ({"request": True}, OnRequest()),
    ],
)
def test_each_trigger_has_its_value(trigger: dict[str, Any], read: object) -> None:
    assert parse_campaign(changed(trigger=trigger), "welcome").trigger == read


@pytest.mark.parametrize(
    ("window", "seconds"),
    [({"window": "72h"}, 259_200), ({"window": "30s"}, 30), ({"window": "7d"}, 604_800), ({"window_s": 0.5}, 0.5)],
)
def test_a_window_is_seconds_or_a_number_with_its_unit(window: dict[str, Any], seconds: float) -> None:
    assert parse_campaign(changed(goal={"event": "Paid", **window}), "welcome").goal.window_s == seconds


def test_caps_and_quiet_hours_are_read() -> None:
    caps = [{"most": 3, "per": "rolling", "hours": 168, "scope": "tenant"}, {"most": 1, "per": "day"}]
    campaign = parse_campaign(changed(caps=caps, quiet_hours={"from": "21:00", "until": "08:00"}), "welcome")
    assert campaign.caps == (Cap(3, "rolling", 168.0, "tenant"), Cap(1, "day", 0.0, "campaign"))
    assert campaign.quiet_hours == QuietHours(21 * 60, 8 * 60)


def test_two_ways_of_writing_an_audience_are_stored_alike() -> None:
    leaf, other = {"event": "Paid"}, {"trait": "plan", "op": "eq", "value": "pro"}
    written = [{"all": [leaf, other]}, {"all": [other, {"all": [leaf, leaf]}]}]
    first, second = (parse_campaign(changed(audience=audience), "welcome") for audience in written)
    assert first.audience == second.audience != ""


WRONG: list[tuple[dict[str, Any], tuple[str, str]]] = [
    (changed(trigger={}), ("/trigger", "unknown_trigger")),
    (changed(trigger={"event": "a", "segment": "b"}), ("/trigger", "ambiguous_trigger")),
    (changed(trigger={"event": ""}), ("/trigger/event", "empty")),
    (changed(trigger={"segment": "a b"}), ("/trigger/segment", "invalid_name")),
    (changed(trigger={"request": False}), ("/trigger/request", "unknown_value")),
    (changed(trigger={"schedule": {"cron": "0 9 * *"}}), ("/trigger/schedule/cron", "invalid_cron")),
    (changed(trigger={"schedule": {"cron": "0 0 31 2 *"}}), ("/trigger/schedule/cron", "invalid_cron")),
    (changed(trigger={"schedule": {"cron": "* " * 200}}), ("/trigger/schedule/cron", "too_long")),
    (changed(trigger={"schedule": {"cron": "0 9 * * 1", "zone": "Mars"}}), ("/trigger/schedule/zone", "unknown_zone")),
    (changed(trigger={"schedule": {"cron": "0 9 * * 1", "zone": "../x"}}), ("/trigger/schedule/zone", "unknown_zone")),
    (changed(audience={"trait": "plan"}), ("/audience", "missing_field")),
    (changed(audience={"feature": "nonsense", "op": "exists"}), ("/audience/feature", "unknown_feature")),
    (changed(goal={"event": "Paid"}), ("/goal", "invalid_window")),
    (changed(goal={"event": "Paid", "window": "1h", "window_s": 60}), ("/goal", "invalid_window")),
    (changed(goal={"event": "Paid", "window": "1 week"}), ("/goal/window", "invalid_window")),
    (changed(goal={"event": "Paid", "window": "91d"}), ("/goal/window", "out_of_range")),
    (changed(goal={"event": "Paid", "window_s": 0}), ("/goal/window_s", "out_of_range")),
    (changed(goal={"event": "Paid", "window_s": float("nan")}), ("/goal/window_s", "not_finite")),
    (changed(goal={"event": "Paid", "window_s": True}), ("/goal/window_s", "invalid_type")),
    (changed(goal={"event": "Paid", "window_s": 1, "reward": "clicks"}), ("/goal/reward", "unknown_value")),
    (changed(goal={"event": "Paid", "window_s": 1, "reward": "revenue"}), ("/goal", "missing_field")),
    (changed(goal={"event": "Paid", "window_s": 1, "cap": 0}), ("/goal/cap", "out_of_range")),
    (
        changed(goal={"event": "Paid", "window_s": 1, "unsubscribe_cost": -1}),
        ("/goal/unsubscribe_cost", "out_of_range"),
    ),
    (changed(purpose="a b"), ("/purpose", "invalid_name")),
    (changed(arms=[]), ("/arms", "empty")),
    (changed(arms=[LEAST["arms"][0]] * 2), ("/arms/1/id", "duplicate_arm")),
    (changed(arms=[LEAST["arms"][0] | {"id": f"a{i}"} for i in range(16)]), ("/arms", "too_many")),
    (changed(arms=[LEAST["arms"][0] | {"id": "no_send"}]), ("/arms/0/id", "reserved_arm")),
    (changed(arms=[LEAST["arms"][0] | {"channel": "fax"}]), ("/arms/0/channel", "unknown_value")),
    (changed(arms=[LEAST["arms"][0] | {"cost": float("inf")}]), ("/arms/0/cost", "not_finite")),
    (changed(arms=[LEAST["arms"][0] | {"cost": 10**400}]), ("/arms/0/cost", "out_of_range")),
    (changed(arms=[LEAST["arms"][0] | {"offer": [1]}]), ("/arms/0/offer", "invalid_type")),
    (changed(arms=[LEAST["arms"][0] | {"generate": "hi"}]), ("/arms/0/generate", "invalid_type")),
    (changed(arms=[LEAST["arms"][0] | {"generate": {}}]), ("/arms/0/generate", "missing_field")),
    (changed(arms=[LEAST["arms"][0] | {"generate": {"brief": "x" * 2_001}}]), ("/arms/0/generate/brief", "too_long")),
    (
        changed(arms=[LEAST["arms"][0] | {"generate": {"brief": "x", "facts": ["secrets.key"]}}]),
        ("/arms/0/generate/facts/0", "unknown_fact"),
    ),
    (
        changed(arms=[LEAST["arms"][0] | {"generate": {"brief": "x", "max_chars": 5}}]),
        ("/arms/0/generate/max_chars", "out_of_range"),
    ),
    (changed(arms=[LEAST["arms"][0] | {"offer": {"a": float("nan")}}]), ("/arms/0/offer", "not_finite")),
    (changed(arms=[LEAST["arms"][0] | {"offer": {"a": "\ud800"}}]), ("/arms/0/offer", "invalid_text")),
    (changed(arms=[LEAST["arms"][0] | {"offer": {"\ud800": 1}}]), ("/arms/0/offer", "invalid_text")),
    (changed(arms=[LEAST["arms"][0] | {"offer": {"a": "x" * 4_090}}]), ("/arms/0/offer", "too_large")),
    (changed(arms=[LEAST["arms"][0] | {"offer": {str(i): i for i in range(300)}}]), ("/arms/0/offer", "too_many")),
    (changed(caps=[{"most": 0, "per": "day"}]), ("/caps/0/most", "out_of_range")),
    (changed(caps=[{"most": 1, "per": "year"}]), ("/caps/0/per", "unknown_value")),
    (changed(caps=[{"most": 1, "per": "rolling"}]), ("/caps/0", "missing_field")),
    (changed(caps=[{"most": 1, "per": "week", "hours": 3}]), ("/caps/0/hours", "not_applicable")),
    (changed(caps=[{"most": 1, "per": "rolling", "hours": 2_000}]), ("/caps/0/hours", "out_of_range")),
    (changed(caps=[{"most": 1, "per": "day"}] * 9), ("/caps", "too_many")),
    (changed(quiet_hours={"from": "9:00", "until": "10:00"}), ("/quiet_hours/from", "invalid_time")),
    (changed(quiet_hours={"from": "09:00", "until": "24:00"}), ("/quiet_hours/until", "invalid_time")),
    (changed(quiet_hours={"from": "09:00", "until": "09:00"}), ("/quiet_hours", "empty")),
    (changed(color="red"), ("/color", "unknown_field")),
    (changed(from_name="Acme\r\nBcc: e@x.co"), ("/from_name", "invalid_text")),
    (changed(from_name="x" * 101), ("/from_name", "too_long")),
    (changed(from_name=" "), ("/from_name", "empty")),
    (changed(from_name="Ada <ada@x.co>"), ("/from_name", "not_a_name")),
    (changed(from_name="{{ traits.manager }}"), ("/from_name", "invalid_text")),
    (changed(from_name=["Acme"]), ("/from_name", "invalid_type")),
    (changed(reply_to="nobody"), ("/reply_to", "invalid_address")),
    (changed(reply_to=3), ("/reply_to", "invalid_type")),
    (changed(arms=[LEAST["arms"][0] | {"from_name": "a\u2028b"}]), ("/arms/0/from_name", "invalid_text")),
    (changed(arms=[LEAST["arms"][0] | {"reply_to": "a@x.co, b@x.co"}]), ("/arms/0/reply_to", "invalid_address")),
    (
        changed(arms=[*LEAST["arms"], {"id": "text", "channel": "sms", "template": "t", "from_name": "Acme"}]),
        ("/arms/1/from_name", "not_applicable"),
    ),
    (
        changed(arms=[{"id": "text", "channel": "push", "template": "t"}], reply_to="help@x.co"),
        ("/reply_to", "not_applicable"),
    ),
    ({"goal": LEAST["goal"], "arms": LEAST["arms"]}, ("", "missing_field")),
]


@pytest.mark.parametrize(("written", "problem"), WRONG, ids=[f"{p[0]} {p[1]} {n}" for n, (_, p) in enumerate(WRONG)])
def test_a_mistake_is_named_at_its_place_and_alone(written: dict[str, Any], problem: tuple[str, str]) -> None:
    assert problems(written) == [problem]


def test_everything_wrong_is_said_at_once() -> None:
    written = changed(trigger={"event": ""}, goal={"event": "Paid", "window_s": -1}, caps=[{"per": "day"}], purpose=3)
    assert {pointer for pointer, _ in problems(written, "a name")} == {
        "/name",
        "/trigger/event",
        "/goal/window_s",
        "/purpose",
        "/caps/0",
    }


@pytest.mark.parametrize("name", ["a" * 10_000, "", "é", "a\n", "-a", "a/b"])
def test_a_name_that_is_none_is_refused_wherever_it_stands(name: str) -> None:
    assert ("/name", "invalid_name") in problems(LEAST, name)
    arm = LEAST["arms"][0]
    assert problems(changed(arms=[arm | {"id": name, "template": name}])) == [
        ("/arms/0/id", "invalid_name"),
        ("/arms/0/template", "invalid_name"),
    ]


def test_deep_and_huge_input_costs_neither_stack_nor_time() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    wide = {str(i): i for i in range(200_000)}
    arm = LEAST["arms"][0]
    assert problems(changed(arms=[arm | {"offer": deep}])) == [("/arms/0/offer", "too_deep")]
    assert problems(changed(arms=[arm | {"offer": wide}])) == [("/arms/0/offer", "too_many")]
    assert len(problems(wide)) <= 100
    assert ("/arms", "too_many") in problems(changed(arms=[arm] * 100_000))


def test_an_offer_is_kept_to_the_last_level_that_is_allowed() -> None:
    offer: Any = 1
    for _ in range(limits.MAX_OFFER_DEPTH):
        offer = {"a": offer}
    arm = LEAST["arms"][0]
    assert parse_campaign(changed(arms=[arm | {"offer": offer}]), "welcome").arms[0].offer == offer
    assert problems(changed(arms=[arm | {"offer": {"a": offer}}])) == [("/arms/0/offer", "too_deep")]


def test_an_error_survives_pickling_with_its_problems_and_code() -> None:
    with pytest.raises(CampaignError) as caught:
        parse_campaign({}, "welcome")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.errors, again.code, str(again)) == (caught.value.errors, "invalid_campaign", str(caught.value))
    named = CampaignError(caught.value.errors, code="unknown_template")
    assert pickle.loads(pickle.dumps(named)).code == "unknown_template"


def test_a_sentence_says_who_when_what_and_for_what() -> None:
    sentence = describe(parse_campaign(EXAMPLE, "welcome"))
    assert sentence == (
        "When a user does 'Trial Started' and plan is 'trial', sends tips (email), offer (email), nudge (push) or nothing, "
        "hoping for 'Subscription Started' within 3 days."
    )


def test_the_pinned_versions_are_told_beside_the_definition() -> None:
    campaign = parse_campaign(LEAST, "welcome")
    assert template_versions(campaign) == {}
    pinned: Campaign = msgspec.structs.replace(
        campaign, arms=(msgspec.structs.replace(campaign.arms[0], template_version=4),)
    )
    assert template_versions(pinned) == {"tips": 4}
    assert to_caller(pinned) == to_caller(campaign)


@pytest.mark.parametrize(
    ("seconds", "words"), [(1, "1 second"), (90, "90 seconds"), (0.5, "0.5 seconds"), (7_200, "2 hours")]
)
def test_times_are_told_in_the_largest_unit_that_fits(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@given(st.text(alphabet="0123456789*/,-LW#MONJA ", max_size=20))
def test_any_cron_is_taken_or_refused(text: str) -> None:
    answer = answered(changed(trigger={"schedule": {"cron": text}}))
    if isinstance(answer, CampaignError):
        assert {problem["pointer"] for problem in answer.errors} == {"/trigger/schedule/cron"}


PAID = {**LEAST["arms"][0], "cost": 0.1}


def test_a_budget_is_read_with_its_days_and_hours() -> None:
    arms = [PAID]
    assert parse_campaign(changed(arms=arms), "welcome").budget is None
    assert parse_campaign(changed(arms=arms, budget={"amount": 0.1}), "welcome").budget == Budget(100_000)
    shares = [0] * 23 + [2.5]
    read = parse_campaign(changed(arms=arms, budget={"amount": 3, "days": 7, "hours": shares}), "welcome").budget
    assert read == Budget(3_000_000, 7, tuple(map(float, shares)))


@pytest.mark.parametrize(
    ("budget", "problem"),
    [
        ({}, ("/budget", "missing_field")),
        ({"amount": 0}, ("/budget/amount", "out_of_range")),
        ({"amount": 1, "days": 93}, ("/budget/days", "out_of_range")),
        ({"amount": 1, "hours": [1] * 23}, ("/budget/hours", "out_of_range")),
        ({"amount": 1, "hours": [0] * 24}, ("/budget/hours", "empty")),
        ({"amount": 1, "hours": [-1] + [1] * 23}, ("/budget/hours/0", "out_of_range")),
        ({"amount": 1, "window": "1d"}, ("/budget/window", "unknown_field")),
    ],
)
def test_a_mistake_in_a_budget_is_named_at_its_place(budget: dict[str, Any], problem: tuple[str, str]) -> None:
    assert problems(changed(arms=[PAID], budget=budget)) == [problem]


def test_a_budget_without_anything_that_costs_is_a_mistake() -> None:
    assert problems(changed(budget={"amount": 1})) == [("/budget", "not_applicable")]


def test_an_arm_s_sender_is_its_own_before_the_campaign_s_and_of_e_mails_alone() -> None:
    arms = [
        {"id": "plain", "channel": "email", "template": "t"},
        {"id": "own", "channel": "email", "template": "t", "from_name": "Ada ", "reply_to": None},
        {"id": "other", "channel": "email", "template": "t", "reply_to": "ada@x.co"},
        {"id": "text", "channel": "sms", "template": "t", "from_name": None},
    ]
    read = parse_campaign(changed(arms=arms, from_name=" Acme", reply_to="Help <help@x.co>"), "welcome")
    assert read.sender_of("plain") == ("Acme", "Help <help@x.co>")
    assert read.sender_of("own") == ("Ada", "Help <help@x.co>")
    assert read.sender_of("other") == ("Acme", "ada@x.co")
    assert read.sender_of("text") == ("", "")
    assert read.sender_of("not there") == ("Acme", "Help <help@x.co>")
    assert parse_campaign(changed(arms=arms), "welcome").sender_of("plain") == ("", "")


def test_what_was_stored_before_there_were_senders_is_read_and_shown_as_it_was() -> None:
    read = parse_campaign(LEAST, "welcome")
    stored = json.loads(to_json(read))
    for of in (stored, *stored["arms"]):
        del of["from_name"], of["reply_to"]
    assert from_json(json.dumps(stored)) == read
    shown = to_caller(read)
    assert not {"from_name", "reply_to"} & (shown.keys() | shown["arms"][0].keys())

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cluster.control_plane.drafts import ReviewDocument, RevisionDocument
from cluster.times import iso
from serve_apps.gateway.pages.campaign import MOST_QUALITIES, render_campaign
from serve_apps.gateway.pages.definition import rows
from serve_apps.gateway.pages.documents import CampaignPage
from serve_apps.gateway.pages.site import Site
from serve_apps.gateway.services.report import ArmTotals, GroupResult, NotYetDocument, SampleRatioDocument
from tests.unit.serve_apps.gateway.pages.documents import NOW
from tests.unit.serve_apps.gateway.pages.loop_documents import campaign, quality
from tests.unit.serve_apps.gateway.pages.reading import HOSTILE, HUGE, Outline, check_markup, check_policy, words

SITE = Site("demo", ("demo",))


def page(document: CampaignPage) -> str:
    return render_campaign(document, now=NOW, site=SITE)


def fresh() -> CampaignPage:
    """Published a moment ago."""
    nothing: Any = {"candidates": 0, "sent": 0, "no_send": 0, "refused": {}, "pending": 0, "conversions": 0}
    not_yet = NotYetDocument("no user in the holdout", "too_few_users")
    return campaign(
        **nothing,
        arms=[],
        groups=[GroupResult("policy", 0, None)],
        lift=not_yet,
        uniform_lift=not_yet,
        since=None,
        sample_ratio=SampleRatioDocument(1.0, False, {}),
    )


def test_of_the_sent_the_unknown_are_told() -> None:
    assert "no answer came" not in page(campaign())
    assert "Of the sent, 3 unknown: handed over, and no answer came." in page(campaign(unknown=3))


def test_the_quality_of_its_messages_is_shown_by_arm_and_language() -> None:
    html = page(campaign(quality=quality()))
    text = words(html)
    assert "Quality of messages 4.69 of 5, calibrated 4.78; 1 500 rated in 90 days" in text
    assert "tips-email email de 1 200 4.61 4.72 readability 0.42, length 0.90" in text
    assert "tips-email email en 300 5.00 5.00 –" in text
    assert '<span class="bad">0.42</span>' in html
    assert 'width="92.2%"' in html


def test_without_a_rated_message_the_page_says_when_there_will_be_one() -> None:
    none = msgspec.structs.replace(quality(), scored=0, mean=None, calibrated=None, arms=[])
    assert "No message was rated in 90 days" in words(page(campaign(quality=none)))
    assert "Not counted at the moment." in words(page(campaign(quality=None)))


def test_of_many_arms_and_languages_some_are_shown_and_the_rest_is_pointed_to() -> None:
    arms = [msgspec.structs.replace(quality().arms[0], locale=f"l{n}") for n in range(MOST_QUALITIES + 7)]
    text = words(page(campaign(quality=msgspec.structs.replace(quality(), arms=arms))))
    assert f" l{MOST_QUALITIES - 1} " in text
    assert f" l{MOST_QUALITIES} " not in text
    assert "And 7 more: whisperer report Adopt a feature --quality --tenant demo" in text


def hostile() -> CampaignPage:
    return campaign(
        name=HOSTILE,
        description=HOSTILE,
        quality=quality(HOSTILE),
        status=HOSTILE,
        refused={HOSTILE: 5},
        groups=[GroupResult(HOSTILE, 1, 0.5)],
        arms=[ArmTotals(HOSTILE, HOSTILE, 1, 1, 1, 1, 0.000001)],
        lift=NotYetDocument(HOSTILE, HOSTILE),
        definition={
            HOSTILE: HOSTILE,
            "trigger": {"event": HOSTILE},
            "arms": [{"id": HOSTILE, "offer": {HOSTILE: HOSTILE}}, 7],
        },
    )


def test_the_page_accounts_for_every_candidate_and_shows_what_each_arm_earned() -> None:
    text = words(page(campaign()))
    for part in (
        "Adopt a feature live compressed time Each event Dashboard Viewed",
        "Candidates 12 345 since 2 h ago",
        "sent 6 480 52.5 % no_send 3 010 24.4 % capped 1 874 15.2 %",
        "tips-email policy policy 3 010 3 001 770 26 % 751",
        "policy +48 %",
        "uniform +19 %",
        "policy 3 420 0.191 uniform 402 0.153 holdout 388 0.129",
        "The groups' sizes fit their shares (p = 0.548; below 0.001 the comparison would not be trusted).",
    ):
        assert part in text


def test_candidates_that_do_not_add_up_are_shouted() -> None:
    assert "1 candidates are unaccounted for" in words(
        page(campaign(candidates=sum(campaign().refused.values()) + 6_480 + 3_010 + 22 + 1))
    )


def test_groups_of_the_wrong_size_are_not_to_be_trusted() -> None:
    text = words(page(campaign(sample_ratio=SampleRatioDocument(0.00002, True, {}))))
    assert "the comparison is not to be trusted" in text


def test_sizes_that_fit_say_below_which_p_they_would_not() -> None:
    told = words(page(campaign(sample_ratio=SampleRatioDocument(0.0429, False, {}))))
    assert "fit their shares (p = 0.0429; below 0.001 the comparison would not be trusted)" in told
    told = words(page(campaign(sample_ratio=SampleRatioDocument(0.0004, True, {}))))
    assert "(p = 0.0004, below 0.001): users are assigned or counted wrongly, or shares were changed, and" in told


def test_null_is_never_shown() -> None:
    definition = {**campaign().definition, "budget": None, "audience": None, "new_field": None}
    told = words(page(campaign(definition=definition)))
    assert "null" not in told
    assert "Budget none" in told
    assert "new_field" not in told


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"amount": 25, "days": 1}, "at most 25 of arms' costs a day"),
        ({"amount": 2.5, "days": 7, "hours": None}, "at most 2.5 of arms' costs a window of 7 days"),
        ({"amount": 25, "days": 1, "hours": [1] * 24}, '{"amount": 25'),
    ],
)
def test_a_budget_is_told_in_words(budget: Any, said: str) -> None:
    ((_, told),) = rows({"budget": budget})
    assert told.startswith(said)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_a_dash(value: float) -> None:
    document = campaign(groups=[GroupResult("policy", 3, value)], sample_ratio=SampleRatioDocument(value, False, {}))
    assert "–" in words(page(document))


def test_a_fresh_campaign_waits_in_words() -> None:
    text = words(page(fresh()))
    assert "No candidates yet." in text
    assert "Nothing decided yet." in text
    assert text.count("Not yet: no user in the holdout") == 2


def test_the_definition_is_told_in_words() -> None:
    text = words(page(campaign()))
    for part in (
        "Trigger each event Dashboard Viewed",
        "Audience everyone",
        "Goal Feature Adopted within 30s: one conversion; an unsubscription costs 0.5",
        "Caps at most 3 in 1 h, of this campaign; at most 6 a calendar day, of all campaigns",
        "Quiet hours nothing from 21:00 until 08:00, the user's time",
        'offer-email email template offer-email, offer {"percent": 20}, costs 0.02',
    ):
        assert part in text


def test_the_sender_is_shown_of_the_campaign_and_of_the_arm_that_has_its_own() -> None:
    plain = campaign().definition
    arms = [plain["arms"][0] | {"from_name": "<b>Ada</b>", "reply_to": "Ada <ada@x.co>"}, *plain["arms"][1:]]
    named = {**plain, "arms": arms, "from_name": "Acme, Inc.", "reply_to": "help@x.co"}
    html = page(campaign(definition=named))
    assert "<b>Ada</b>" not in html
    text = words(html)
    assert "From name Acme, Inc. Reply-To help@x.co" in text
    assert "costs 0, from <b>Ada</b>, answers to Ada <ada@x.co>" in text
    assert "From name" not in words(page(campaign()))
    assert rows({"from_name": None}) == [("From name", "the channel's")]


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ({"trigger": {"segment": "needs-help"}}, "each entry into the segment needs-help"),
        (
            {"trigger": {"schedule": {"cron": "0 9 * * 1", "zone": "user"}}},
            "by the schedule 0 9 * * 1, in each user's own zone",
        ),
        (
            {"trigger": {"schedule": {"cron": "0 9 * * 1", "zone": "Europe/Berlin"}}},
            "by the schedule 0 9 * * 1, in Europe/Berlin",
        ),
        ({"trigger": {"request": True}}, "only when a caller asks"),
        ({"trigger": {"moon": "full"}}, '{"moon": "full"}'),
        ({"audience": {"trait": "email", "op": "exists"}}, "email is set"),
        ({"audience": {"nonsense": 1}}, '{"nonsense": 1}'),
        (
            {"goal": {"event": "Paid", "window_s": 259_200, "reward": "revenue", "cap": 100}},
            "Paid within 3 d: the revenue it brings, at most 100",
        ),
        ({"goal": 7}, "7"),
        ({"caps": []}, "none"),
        ({"caps": [{"most": 1, "per": "rolling", "hours": 0.05}]}, "at most 1 in 3 min, of this campaign"),
        ({"caps": "odd"}, '"odd"'),
        ({"quiet_hours": None}, "none"),
        ({"later_field": [1]}, "[1]"),
    ],
)
def test_each_form_has_its_words_and_an_unknown_one_is_shown_as_it_is(definition: dict[str, Any], said: str) -> None:
    assert rows(definition)[0][1].replace("\u202f", " ").lower() == said.lower()


@pytest.mark.parametrize("document", [campaign(), fresh(), hostile()])
def test_the_page_keeps_its_policy_and_its_markup_is_sound(document: CampaignPage) -> None:
    check_policy(page(document))
    check_markup(page(document))


def test_every_word_of_a_stranger_is_escaped() -> None:
    html = page(hostile())
    assert "<img src=x" not in html
    assert Outline(html).names.count("img") == 1
    assert "{{7*7}}" in html


def test_a_huge_name_is_cut() -> None:
    html = page(
        campaign(name=HUGE, description=HUGE, definition={"trigger": {"event": HUGE}, "arms": [{"id": HUGE}] * 50})
    )
    assert HUGE not in words(html)
    assert len(html) < 100_000


def test_the_page_shows_what_went_live_by_whom_and_the_review_that_is_open() -> None:
    revisions = [
        RevisionDocument(version=3, at=iso(NOW - 60_000), by="Ada", review="rv_1", rolled_back_to=1, live=True),
        RevisionDocument(version=2, at=iso(NOW - 90_000), by=HOSTILE, review=None, rolled_back_to=None, live=False),
        RevisionDocument(version=1, at=iso(NOW - 95_000), by=None, review=None, rolled_back_to=None, live=False),
    ]
    review = ReviewDocument(
        id="rv_2", kind="campaign", name="welcome", state="open", note=HOSTILE, etag='"x"', base=3,
        requested_by="Grace", requested_at=iso(NOW - 30_000), decided_by=None, decided_at=None, reason=None,
    )  # fmt: skip
    markup = page(campaign(history=revisions, review=review))
    check_markup(markup)
    check_policy(markup)
    text = words(markup)
    assert "The draft's review: submitted by Grace" in text
    assert "content of 1" in text
    assert text.count("reviewed") == 1
    assert "The draft's review" not in words(page(campaign(history=revisions)))

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from serve_apps.gateway.pages.decision import render_decision
from serve_apps.gateway.pages.site import Site
from serve_apps.gateway.services.audit import Audit, OutcomeAudit
from tests.unit.serve_apps.gateway.pages.documents import NOW
from tests.unit.serve_apps.gateway.pages.loop_documents import SEND_KEY, decision, held_out, refused, send
from tests.unit.serve_apps.gateway.pages.reading import HOSTILE, HUGE, Outline, check_markup, check_policy, words
from whisperer.decisions.context import NAMES
from whisperer.vocabulary.reasons import SENTENCES

SITE = Site("demo", ("demo",))


def page(document: Audit) -> str:
    return render_decision(document, now=NOW, site=SITE)


def sparse() -> Audit:
    """As the warehouse has it after an erasure: nulls wherever nothing is known."""
    nulls = dict.fromkeys(("occurrence", "group", "chosen_at", "propensity", "seed", "policy_version", "send", "price"))
    return decision(
        "no_send",
        **nulls,
        user_key="erased:5f0c",
        user_id=None,
        campaign="Adopt",
        arm="no_send",
        features={},
        arms=[],
        propensities=[],
        means=[],
        spreads=[],
        refused_arms={},
        outcomes=[],
        matured=False,
        reward_micros=None,
        reward=None,
    )


def test_the_sentences_on_top_say_what_happened_and_why() -> None:
    assert (
        "ada was considered for Adopt a feature because an event of theirs arrived. One arm could not be used; 4 were "
        "left. The policy chose tips-email, which had a chance of 61 %, the likeliest. The e-mail was accepted by sink, "
        "300 ms after the trigger. The user opened it after 5.7 s, clicked a link after 8.5 s and reached the goal after "
        "16.7 s. The attribution window is closed: the reward is 0.98."
    ).replace("16.7 s", "17 s") in words(page(decision()))


@pytest.mark.parametrize(
    ("document", "part"),
    [
        (refused(), "It ended there: the user has had as many messages as the caps allow."),
        (held_out(), "They belong to the holdout, which is never sent anything so that the others can be compared"),
        (decision(group="uniform", propensity=0.25), "every arm is equally likely: tips-email was drawn, one of 4"),
        (
            decision(arm="offer-email", propensity=0.2794),
            "had a chance of 28 %; tips-email was likelier with 61 %, and a policy has to try the others too",
        ),
        (
            decision("no_send", arm="no_send", propensity=0.0481, send=None, outcomes=[]),
            "So nothing was sent: leaving a user alone is a choice as well.",
        ),
        (decision("deciding", arm="", propensity=None, send=None, outcomes=[]), "The choice of an arm is awaited."),
        (
            decision("sending", send=send(attempts=2, sent_at=None), outcomes=[]),
            "2 attempts failed",
        ),  # type: ignore[dict-item]
        (decision("refused", reason="bounced"), "It was not delivered: the address does not exist or refuses us."),
        (decision(matured=False, reward_micros=0), "The attribution window is still open; the reward so far is 0."),
        (sparse(), "A user who was erased since was considered for Adopt"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_ending_has_its_sentence(document: Audit, part: str) -> None:
    assert part in words(page(document))


@pytest.mark.parametrize("reason", SENTENCES)
def test_each_reason_of_a_refusal_is_told(reason: str) -> None:
    text = words(page(msgspec.structs.replace(refused(), reason=reason)))
    assert f"It ended there: {SENTENCES[reason]}." in text  # type: ignore[index]


def test_every_logged_value_is_there() -> None:
    text = words(page(decision()))
    for part in (
        "no_send 4.8 % 0.101 ± 0.021",
        "tips-email chosen 61 % 0.262 ± 0.034",
        "Not eligible nudge-sms no_address the profile holds no address for its channel",
        "Policy version Adopt a feature@1841 Seed 13835058055282163712",
        "Campaign version 3",
        f"Send key {SEND_KEY} Content hash 5f0c9b3c1a7e4d2290ab51cc72d1e0f4",
        "Attempts 1",
        "clicked https://acme.example/reports?arm=tips 55 s ago",
        "Reward 0.98 final",
        "Occurrence 9f2c51aa7be00413",
        *NAMES,
    ):
        assert part in text


def test_a_rule_that_looked_at_no_model_shows_no_beliefs() -> None:
    text = words(page(held_out()))
    assert "No model was looked at: the group's rule decided." in text
    assert "±" not in text


def test_an_unknown_outcome_is_told_beside_the_time_of_sending() -> None:
    assert "no answer came" not in page(decision())
    assert "unknown: handed over, and no answer came" in page(decision(send=send(unknown=True)))


def test_what_was_refused_before_anything_was_drawn_gave_no_arm_a_chance() -> None:
    nothing: Any = {"arm": "", "propensity": None, "propensities": [], "means": [], "spreads": [], "send": None}
    none_left = words(page(decision("refused", reason="no_address", arms=["no_send"], outcomes=[], **nothing)))
    assert "no_send" not in none_left
    assert "0 %" not in none_left
    assert "No arm was left, so there was nothing to choose from." in none_left
    expired = decision("refused", reason="decision_expired", arms=["no_send", "tips"], outcomes=[], **nothing)
    assert "It ended before one was chosen. Left were tips." in words(page(expired))
    waiting = decision("deciding", arms=["no_send", "tips"], outcomes=[], **nothing)
    assert "Awaited." in words(page(waiting))


def test_it_leads_to_the_user_the_campaign_and_the_message() -> None:
    links = Outline(page(decision())).links()
    assert "/users/ada?tenant=demo" in links
    assert "/campaigns/Adopt%20a%20feature?tenant=demo" in links
    assert f"/sink/{SEND_KEY}?tenant=demo" in links


def test_an_erased_user_has_no_page_to_lead_to() -> None:
    assert not any(link.startswith("/users/") for link in Outline(page(sparse())).links())


def test_a_feature_that_is_no_number_is_a_dash() -> None:
    html = page(decision(features={"trend": math.nan, "revenue": None, "later_feature": 2.5}))
    assert "trend – revenue –" in words(html).replace("revenue – trend –", "trend – revenue –")
    assert "later_feature 2.5" in words(html)


def hostile() -> Audit:
    return decision(
        user_key="u:" + HOSTILE,
        campaign=HOSTILE,
        arm=HOSTILE,
        arms=["no_send", HOSTILE, "offer-email", "nudge-push"],
        refused_arms={HOSTILE: HOSTILE},
        occurrence=HOSTILE,
        policy_version=HOSTILE,
        group=HOSTILE,
        send=send(provider=HOSTILE, provider_id=HOSTILE, last_error=HOSTILE, locale=HOSTILE),
        outcomes=[OutcomeAudit(None, HOSTILE, HOSTILE, 1)],
        template=HOSTILE,
        offer={HOSTILE: HOSTILE},
    )


def test_every_word_of_a_stranger_is_escaped() -> None:
    html = page(hostile())
    assert "<img src=x" not in html
    assert Outline(html).names.count("img") == Outline(page(decision())).names.count("img")
    assert "{{7*7}}" in html


@pytest.mark.parametrize("document", [decision(), refused(), held_out(), sparse(), hostile()])
def test_the_page_keeps_its_policy_and_its_markup_is_sound(document: Audit) -> None:
    check_policy(page(document))
    check_markup(page(document))


def test_a_huge_record_is_cut() -> None:
    outcomes = [OutcomeAudit(None, "clicked", HUGE, 0)] * 5_000
    html = page(decision(outcomes=outcomes, offer={f"p{i}": HUGE for i in range(500)}, occurrence=HUGE))
    assert len(html) < 150_000

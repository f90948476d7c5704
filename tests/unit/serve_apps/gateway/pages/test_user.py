from __future__ import annotations

import msgspec
import pytest

from cluster.times import iso
from serve_apps.gateway.pages.record import record
from serve_apps.gateway.pages.site import Site
from serve_apps.gateway.pages.story import MOST_SHOWN, woven
from serve_apps.gateway.pages.user import render_user, sends_used
from serve_apps.gateway.services.audit import (
    ConsentDocument,
    GroupDocument,
    OutcomeAudit,
    SentDocument,
    SuppressionDocument,
)
from serve_apps.gateway.services.inbox_message import InboxMessage
from serve_apps.gateway.services.profile import ScoresDocument, TimelineEntry, UserProfile
from tests.unit.serve_apps.gateway.pages.documents import NOW
from tests.unit.serve_apps.gateway.pages.loop_documents import (
    DECISION,
    SEND_KEY,
    decision,
    entry,
    inbox_message,
    raw,
    unknown_user,
    user,
)
from tests.unit.serve_apps.gateway.pages.reading import HOSTILE, HUGE, Outline, check_markup, check_policy, words
from whisperer.vocabulary.units import DAY_MS

SITE = Site("demo", ("demo",))
AT = "2026-11-23T03:00:00.000Z"


def page(document: UserProfile, *inbox: InboxMessage) -> str:
    return render_user(document, list(inbox), now=NOW, site=SITE)


def hostile() -> UserProfile:
    one = decision(campaign=HOSTILE, arm=HOSTILE, group=HOSTILE, outcomes=[OutcomeAudit(AT, HOSTILE, HOSTILE, 0)])
    return user(
        user_id=HOSTILE,
        traits=raw({HOSTILE: HOSTILE, "deep": {"a": [HOSTILE]}}),
        features={HOSTILE: 1},
        event_counts={HOSTILE: 1},
        segments=[HOSTILE],
        timeline=[entry(HOSTILE, None, event=HOSTILE, properties={HOSTILE: HOSTILE})],
        time_zone=HOSTILE,
        locale=HOSTILE,
        candidacies=[one],
        consent=[ConsentDocument(HOSTILE, HOSTILE, True, AT, HOSTILE)],
        suppressed=[SuppressionDocument(HOSTILE, AT, HOSTILE)],
        group=GroupDocument(HOSTILE, AT, True),
        sends=[SentDocument(AT, HOSTILE, HOSTILE, HOSTILE)],
        previous_ids=[HOSTILE],
        scores=ScoresDocument(0.5, None, HOSTILE, AT),
    )


def test_scores_are_shown_with_their_model_and_when() -> None:
    scores = ScoresDocument(0.731, None, "churn@3", iso(NOW - 60_000))
    assert "Leaves 73 % Active days – by churn@3, 1 min ago" in words(page(user(scores=scores)))
    assert "Leaves" not in words(page(user(scores=None)))


def test_events_and_decisions_are_woven_in_time() -> None:
    text = words(page(user()))
    story = text[text.index("Timeline") : text.index("May we reach them?")]
    parts = (
        "47 s ago Feature Adopted track feature: reports",
        "1 min ago Adopt a feature sent policy decided on tips-email, with 61 %, because an event of theirs arrived",
        "Dashboard Viewed track dashboard: team",
        "entered Power users",
        "Adopt a feature refused not reached: the user has had as many messages as the caps allow",
        "page page path: /pricing",
        "Adopt a feature no send uniform decided to leave alone, with 25 %",
        "identify identify plan: pro, seats: 12",
        "merged with another id",
    )
    places = [story.index(part) for part in parts]
    assert places == sorted(places)


def test_a_decision_carries_what_followed_and_leads_to_its_pages() -> None:
    html = page(user())
    assert (
        "+300 ms e-mail sent +6 s opened +8.8 s clicked: https://acme.example/reports?arm=tips "
        "+17 s converted: Feature Adopted reward 0.98"
    ) in words(html)
    links = Outline(html).links()
    assert f"/decisions/{DECISION}?tenant=demo" in links
    assert f"/sink/{SEND_KEY}?tenant=demo" in links


def test_profile_segments_consent_suppression_group_and_sends_are_shown() -> None:
    text = words(page(user()))
    for part in (
        "Group policy since 2026-10-14",
        "email, marketing: given 1 d ago, api",
        "sms, every purpose: withdrawn 1 h ago, unsubscribe link",
        "Suppressed push bounced, 2 h ago",
        "Messages sent 1 day 7 days 30 days email 1 2 2 push 0 0 1",
        "Segments Power users Pro plan",
        "plan pro seats 12 verified true",
        'address {"city": "London", "country": "GB"}',
        "trend 1.33 revenue 420",
        "gap_mean_days –",
        "Dashboard Viewed 41 Report Exported 8",
        "first seen 2026-05-04, last seen 47 s ago, in Europe/London, reads en-GB",
    ):
        assert part in text


def test_a_candidacy_at_its_events_instant_stands_above_it() -> None:
    at = "2026-11-23T03:58:56Z"
    event = TimelineEntry(type="track", timestamp=at, event="E")
    moments, _ = woven([event], [record(decision(at=at))])
    assert [moment.kind for moment in moments] == ["decision", "event"]


def test_sends_are_counted_by_what_is_left_of_each_window() -> None:
    sends = [SentDocument(iso(NOW - age), "", "sms", "") for age in (0, DAY_MS, 7 * DAY_MS - 1, 30 * DAY_MS)]
    assert sends_used(user(sends=sends), NOW) == [("sms", 1, 3, 3)]


def test_somebody_seen_once_has_a_page_that_says_so() -> None:
    text = words(page(unknown_user()))
    for part in (
        "Anonymous user mobile-7",
        "Nothing happened yet.",
        "none before a first decision",
        "nothing stated; the tenant's default holds",
        "No message was sent, so no cap is used.",
        "In none.",
    ):
        assert part in text


def test_values_are_raw_as_the_client_wrote_them() -> None:
    written = TimelineEntry(type="track", timestamp=AT, event="E", properties=msgspec.Raw(b'{"n": 1}'))
    odd = TimelineEntry(type="track", timestamp=AT, event="O", properties=msgspec.Raw(b"[1]"))
    html = page(user(traits={"plan": msgspec.Raw(b'"pro"')}, timeline=[written, odd], candidacies=[]))
    assert "plan pro" in words(html)
    assert "E track n: 1" in words(html)
    assert "O track" in words(html)


def test_every_word_of_a_stranger_is_escaped() -> None:
    html = page(hostile())
    assert "<img src=x" not in html
    assert Outline(html).names.count("img") == 1
    assert "{{7*7}}" in html


@pytest.mark.parametrize("document", [user(), unknown_user(), hostile()])
def test_the_page_keeps_its_policy_and_its_markup_is_sound(document: UserProfile) -> None:
    check_policy(page(document))
    check_markup(page(document))


def test_a_long_life_is_cut_to_its_newest_part() -> None:
    timeline = [entry("track", 3 * DAY_MS, event=HUGE, properties={f"p{i}": HUGE for i in range(9)})] * 3_000
    html = page(user(timeline=timeline, traits=raw({f"t{i}": HUGE for i in range(500)}), segments=["s"] * 50))
    assert html.count('class="moment') == MOST_SHOWN
    assert "2 803 older ones are left out here" in words(html)
    assert len(html) < 500_000


def test_half_characters_do_no_harm() -> None:
    document = user(timeline=[entry("track", None, event="a")])
    html = render_user(document, [], now=NOW, site=Site("de\ud800mo", ("demo",)))
    assert "de?mo" in html


def test_the_inbox_is_shown_and_no_text_of_it_is_markup() -> None:
    assert "Inbox" not in page(user())
    read = inbox_message(title=HOSTILE, campaign=HOSTILE, state="read")
    html = page(user(), inbox_message(), read)
    check_markup(html)
    check_policy(html)
    assert "Three tips" in words(html)
    assert html.count("<b>unread</b>") == 1

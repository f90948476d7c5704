from __future__ import annotations

import re

import msgspec
import pytest

from serve_apps.gateway.metrics.documents import DemoView
from serve_apps.gateway.pages import PAGE_HEADERS, LiveView, render_home
from serve_apps.gateway.pages.home import LATEST_OF_LOOP, LATEST_SHOWN
from serve_apps.gateway.services.report import NotYetDocument
from tests.unit.serve_apps.gateway.pages import loop_documents
from tests.unit.serve_apps.gateway.pages.documents import busy, new_installation, put
from tests.unit.serve_apps.gateway.pages.reading import HOSTILE, HUGE, Outline, check_markup, check_policy, words

URL = "http://127.0.0.1:8000"


def page(live: LiveView | None) -> str:
    return render_home(live, base_url=URL)


def at_work() -> LiveView:
    """Busy, with a campaign under way."""
    return msgspec.structs.replace(busy(), loop=loop_documents.loop())


def test_the_snapshot_shows_everything_that_runs() -> None:
    text = words(page(busy()))
    for part in (
        "1 240 events a second",
        "Users 204 118 Accepted 18 429 116 Duplicates dropped 3 207 Rejected 156",
        "malformed_json 112 missing_identity 41 event_too_large 3",
        "Report Exported track ada demo just now",
        "Imported Purchase track 17850 demo 2026-08-11",
        "Slipping away On a paid plan, not seen for 14 days demo 8 213",
        "shard-0 serving 102 060 64 3 9 214 558 3.2 GiB 393 MiB 41213",
        "shard-1 recovering – 64 4 – 3.2 GiB – –",
        "shard-1 is recovering",
        "acme 18 116",
        "wk_demo_7h3kq0r9",
        "User Whisperer 0.1.0, started 2 h ago",
    ):
        assert part in text


def test_a_new_installation_says_how_to_begin() -> None:
    text = words(page(new_installation()))
    assert "No events yet. Send your first one: here is how" in text
    assert "No segments yet." in text
    assert "whisperer key create --tenant NAME --kind write" in text
    assert "YOUR_WRITE_KEY" in text


def test_every_word_of_a_stranger_is_escaped() -> None:
    live = busy()
    clean = [tag for tag, _ in Outline(page(live)).tags]
    put(live.latest[0], name=HOSTILE, user="u:" + HOSTILE, type=HOSTILE, tenant=HOSTILE)
    put(live.segments[0], name=HOSTILE, description=HOSTILE, tenant=HOSTILE)
    live.tenants[0].name = HOSTILE
    put(live.shards[0], name=HOSTILE, state=HOSTILE)
    live.events_rejected = {HOSTILE: 1, "b": 2, "c": 3}
    live.warnings = [HOSTILE]
    live.demo = DemoView(HOSTILE, HOSTILE)
    html = page(live)
    assert [tag for tag, _ in Outline(html).tags] == clean
    assert "<img src=x" not in html
    assert html.count("49") == page(busy()).count("49")  # no template inside a template
    assert "{{7*7}}" in html


def test_only_web_addresses_become_links() -> None:
    live = busy()
    live.dashboard_url = "javascript:alert(1)"
    assert "javascript:" not in page(live).lower()
    assert 'href="http://127.0.0.1:8265"' in page(busy())


@pytest.mark.parametrize("live", [at_work(), busy(), new_installation(), None])
def test_the_page_keeps_its_own_policy_and_its_markup_is_sound(live: LiveView | None) -> None:
    assert PAGE_HEADERS["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in PAGE_HEADERS["Content-Security-Policy"]
    check_policy(page(live))
    check_markup(page(live))


def test_a_stranger_learns_nothing_but_that_it_runs() -> None:
    html = page(None)
    assert "User Whisperer is running" in html
    assert "whisperer status" in html
    assert "script" not in html
    assert "0.1.0" not in html


def test_the_list_of_latest_events_is_short() -> None:
    live = busy()
    live.latest = live.latest * 4
    table = re.search(
        r'data-list="latest".*?</table>', re.sub(r"<template>.*?</template>", "", page(live), flags=re.S), re.S
    )
    assert table is not None
    assert table[0].count("<tr") == 1 + LATEST_SHOWN


def test_the_loop_is_one_picture_from_an_event_to_its_worth() -> None:
    text = words(page(at_work()))
    flow = text[text.index("The loop") : text.index("Latest decisions")]
    for part in (
        "Events 1 240 a second, from 204 118 users",
        "Candidates 12 345 23 % not eligible capped 1 874 no address 611",
        "Decided 9 512 by arm; no_send leaves alone tips-email 3 204 no_send 3 010",
        "Sent 6 480 by channel email 4 834 push 948 sms 698",
        "Opened 2 711 42 % of sent opened 2 711 clicked 988 unsubscribed 41",
        "Conversions 1 906",
        "Lift +48 % over the holdout, Adopt a feature",
    ):
        assert part in flow
    assert [
        flow.index(part) for part in ("Events", "Candidates", "Decided", "Sent", "Opened", "Conversions", "Lift")
    ] == (
        sorted(
            flow.index(part) for part in ("Events", "Candidates", "Decided", "Sent", "Opened", "Conversions", "Lift")
        )
    )


def test_a_campaign_shows_its_accounting_its_arms_and_its_lift_beside_uniform() -> None:
    text = words(page(at_work()))
    for part in (
        "Adopt a feature live compressed time demo",
        "sent 6 480 52.5 % no_send 3 010 24.4 % capped 1 874 15.2 % no address 611 4.9 %",
        "tips-email email 3 204 25 %",
        "policy +48 % 6.21 more per 100 users (95 %: 3.12 to 9.3). 3 420 users against 388",
        "uniform +19 % ",
        "Compressed time: windows of seconds, simulated users.",
    ):
        assert part in text


def test_too_few_users_for_a_lift_is_said_with_the_reason() -> None:
    live = at_work()
    campaign = live.loop.campaigns[0]
    campaign.lift = campaign.uniform_lift = NotYetDocument("12 users in the holdout, 30 are needed", "too_few_users")
    text = words(page(live))
    assert "Lift not yet 12 users in the holdout, 30 are needed" in text
    assert text.count("Not yet: 12 users in the holdout") == 2


def test_latest_decisions_and_messages_lead_to_their_pages() -> None:
    html = page(at_work())
    links = Outline(html).links()
    assert f"/decisions/{loop_documents.DECISION[:-1]}0?tenant=demo" in links
    assert f"/sink/{loop_documents.SEND_KEY[:-1]}3?tenant=demo" in links
    assert "/users/user-4711?tenant=demo" in links
    assert "/campaigns/Adopt%20a%20feature?tenant=demo" in links
    assert "refused capped" in words(html)
    assert html.count('data-key="dec_') == LATEST_OF_LOOP


def test_an_installation_without_a_campaign_says_how_to_make_one() -> None:
    text = words(page(new_installation()))
    assert "No campaign yet." in text
    assert "No decisions yet." in text
    assert "Nothing sent yet." in text
    assert "NaN" not in text


def test_a_document_of_before_the_loop_still_makes_a_page() -> None:
    assert "No campaign yet." in words(page(busy()))


def test_every_word_of_a_stranger_in_the_loop_is_escaped() -> None:
    live = at_work()
    clean = Outline(page(live)).names
    loop = live.loop
    put(loop.campaigns[0], name=HOSTILE, tenant=HOSTILE, status=HOSTILE)
    put(loop.campaigns[0].arms[1], arm=HOSTILE, channel=HOSTILE)
    loop.campaigns[0].refused = loop.totals.refused = {**loop_documents.REFUSED, HOSTILE: 1}
    put(loop.latest_decisions[0], user=HOSTILE, campaign=HOSTILE, arm=HOSTILE, group=HOSTILE, decision_id=HOSTILE)
    put(loop.latest_messages[0], user=HOSTILE, subject=HOSTILE, locale=HOSTILE, channel=HOSTILE, send_key=HOSTILE)
    html = page(live)
    found = Outline(html).names
    assert set(found) == set(clean)
    assert found.count("img") == clean.count("img")
    assert found.count("b") == clean.count("b") + 1  # the legend's own, for one more reason
    assert "javascript:" not in html.lower()
    check_markup(html)
    check_policy(html)


def test_huge_names_are_cut_and_half_characters_do_no_harm() -> None:
    live = at_work()
    put(live.loop.campaigns[0], name=HUGE, tenant=HUGE)
    live.loop.latest_messages[0].subject = HUGE
    live.loop.latest_decisions[0].user = "u:\ud800"
    html = page(live)
    html.encode()
    assert HUGE not in words(html)
    live.loop.campaigns = live.loop.campaigns * 500
    assert len(page(live)) < 500_000

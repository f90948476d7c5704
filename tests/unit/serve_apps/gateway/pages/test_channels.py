from __future__ import annotations

from typing import Any

import msgspec
import pytest

from serve_apps.gateway.pages.channels import render_channels
from serve_apps.gateway.pages.documents import ChannelsPage
from serve_apps.gateway.pages.site import Site
from serve_apps.gateway.services.deliveries import StateCounts
from serve_apps.gateway.services.provider_states import AccountDoing, ChannelDoing, WarmUpDoing
from tests.unit.serve_apps.gateway.pages.documents import NOW
from tests.unit.serve_apps.gateway.pages.loop_documents import channels
from tests.unit.serve_apps.gateway.pages.reading import HOSTILE, HUGE, Outline, check_markup, check_policy, words

SITE = Site("demo", ("demo",), "/channels")


def page(document: ChannelsPage) -> str:
    return render_channels(document, now=NOW, site=SITE)


def one(**fields: Any) -> ChannelsPage:
    usual: dict[str, Any] = {"account": "smtp", "provider": "smtp", "weight": 1, "breaker": "closed"}
    return channels(channels=[ChannelDoing("email", 1, [AccountDoing(**{**usual, **fields})])])


def widths(html: str) -> list[str]:
    return [
        str(attributes["width"])
        for tag, attributes in Outline(html).tags
        if tag == "rect" and str(attributes["class"]).startswith("fill")
    ]


def test_each_account_says_what_it_carries_and_how_it_does() -> None:
    html = page(channels())
    text = words(html)
    for part in (
        "main smtp weight 3 open since 3 min ago; left alone for another 4.2 s; opened 2 times 12.5 of 50 a second none "
        "1 200 accepted, 5 retry 64 by its breaker, 3 for its rate 0",
        "backup ses weight 1 closed 20 of 20 a second day 3 of 10: 125 of 500 messages 120 accepted none 69",
        "main: no connection: the connection was refused",
        "webhook nothing sent since the delivery application started",
        "webhook weight 1 closed 0 a second, no rate set none none yet none 0",
        "Not set up: sms (sink), push (sink), inapp (inbox).",
    ):
        assert part in text, part
    assert widths(html) == ["75.0%", "25.0%", "25.0%", "100.0%", "25.0%", "100.0%"]


def test_an_account_without_a_weight_stands_by() -> None:
    html = page(one(weight=0))
    assert "smtp stands by closed" in words(html)
    assert widths(html) == ["0.0%"]


def test_a_bar_ends_where_everything_is_used() -> None:
    html = page(one(per_second=2.0, per_second_lately=7.0, warm_up=WarmUpDoing(day=1, days=1, limit=10, given=11)))
    assert widths(html) == ["100.0%", "100.0%", "100.0%"]
    assert html.count("fill full") == 2


def test_trouble_of_an_account_that_is_well_again_is_no_alarm() -> None:
    assert "smtp: the last trouble was a time-out" in words(page(one(last_trouble="a time-out")))
    assert '<p class="note-below breakable bad">' not in page(one(last_trouble="a time-out"))
    assert '<p class="note-below breakable bad">' in page(one(last_trouble="a time-out", breaker="half_open"))


def test_messages_that_need_somebody_lead_to_their_list() -> None:
    html = page(channels())
    assert "Messages of 30 days accepted 12 000 unknown 2 dead 5" in words(html)
    assert "/deliveries?tenant=demo&channel=email&status=dead" in Outline(html).links()
    assert html.count('<b class="bad">') == 2
    assert "None yet." in words(html), "of webhooks"
    assert "Not counted at the moment." in words(page(channels(counts=None)))


def test_without_a_channel_the_page_says_how_to_set_one_up() -> None:
    text = words(page(ChannelsPage([], [("email", "sink")])))
    assert "No channel is set up." in text
    assert "whisperer channel set email smtp --config smtp.json --tenant demo" in text


@pytest.mark.parametrize(
    "document",
    [
        channels(),
        channels(HUGE),
        channels(HOSTILE, counts=StateCounts(NOW, {"email": {HOSTILE: 1, "dead": 10**12}})),
        one(account=HOSTILE, provider=HOSTILE, breaker=HOSTILE, receipts={HOSTILE: 1}, held={HOSTILE: 2}),
        ChannelsPage([]),
    ],
)
def test_the_page_is_sound_and_under_its_policy_whatever_it_shows(document: ChannelsPage) -> None:
    html = page(document)
    check_markup(html)
    check_policy(html)
    assert "<img src=x" not in html
    assert len(html) < 30_000
    assert "data-refresh" in html


def test_the_head_leads_to_it() -> None:
    assert '<a href="/channels?tenant=demo" aria-current="page">Channels</a>' in page(channels())
    assert msgspec.structs.asdict(channels())["others"][0] == ("sms", "sink")

from __future__ import annotations

import msgspec
import pytest

from serve_apps.gateway.pages.documents import SinkPage
from serve_apps.gateway.pages.mail import MAIL_HEADERS, links, readable, subject
from serve_apps.gateway.pages.sink import Filters, message_document, render_message, render_sink
from serve_apps.gateway.pages.site import Site
from serve_apps.gateway.routes.sink import MessageDocument
from tests.unit.serve_apps.gateway.pages.documents import NOW
from tests.unit.serve_apps.gateway.pages.loop_documents import DECISION, PUBLIC, SEND_KEY, message, sink, target_of
from tests.unit.serve_apps.gateway.pages.reading import HOSTILE, HUGE, Outline, check_markup, check_policy, words

SITE = Site("demo", ("demo", "acme"), "/sink")


def listed(document: SinkPage | None = None, filters: Filters = Filters()) -> str:
    return render_sink(document or sink(), filters=filters, now=NOW, site=SITE)


def shown(document: MessageDocument | None = None) -> str:
    return render_message(document or message(), target_of=target_of, now=NOW, site=SITE)


def hostile(channel: str) -> MessageDocument:
    one = message(channel)
    return message(
        channel,
        parts=dict.fromkeys(one.parts, HOSTILE),
        headers={HOSTILE: HOSTILE},
        user_id=HOSTILE,
        address=HOSTILE,
        campaign=HOSTILE,
        locale=HOSTILE,
        send_key=HOSTILE,
        decision_id=HOSTILE,
    )


def test_messages_are_listed_with_channel_locale_user_campaign_and_repeats() -> None:
    html = listed()
    text = words(html)
    assert "6 480 received in all, 4 834 email, 698 sms, 948 push; 3 presented again and kept once" in text
    assert "Three shortcuts that save an hour email en user-4711 ada@example.com Adopt a feature 40 s ago" in text
    assert "presented 2 times" in text
    links_found = Outline(html).links()
    assert f"/sink/snd_{0:026d}?tenant=demo" in links_found
    assert "/users/user-4712?tenant=demo" in links_found
    assert 'dir="rtl"' in html


def test_filters_are_kept_and_the_next_page_carries_them() -> None:
    html = listed(filters=Filters("email", "ada & co", "Win back", 99_200))
    assert '<option value="email" selected>' in html
    assert '<option value="Win back" selected>' in html
    assert 'value="ada &amp; co"' in html
    older, newest = (link for link in reversed(Outline(html).links()) if "user_id" in link)
    assert older == "/sink?tenant=demo&channel=email&user_id=ada+%26+co&campaign=Win+back&before=99174"
    assert newest == "/sink?tenant=demo&channel=email&user_id=ada+%26+co&campaign=Win+back"


def test_the_last_page_leads_no_further() -> None:
    assert "Older" not in listed(sink(3, None))


def test_an_empty_sink_says_so_and_a_search_without_hits_otherwise() -> None:
    assert "Nothing sent yet." in listed(sink(0, None))
    text = listed(sink(0, None), Filters(user_id="nobody"))
    assert "No message like that." in text
    assert "Nothing sent yet." not in text


def test_a_doubled_message_would_be_shouted() -> None:
    document = sink()
    document.counts = msgspec.structs.replace(document.counts, doubled=2)
    assert "2 send keys have more than one message" in words(listed(document))


def test_an_email_stands_in_a_sandboxed_frame_of_its_own_address() -> None:
    html = shown()
    (frame,) = (attributes for tag, attributes in Outline(html).tags if tag == "iframe")
    assert frame["src"] == f"/sink/{SEND_KEY}/html?tenant=demo"
    assert frame["sandbox"] in (None, "")
    assert "shortcuts" in html
    assert "window.owned" not in html  # its markup is in the frame only


def test_a_message_shows_where_it_comes_from_and_how_often_it_was_presented() -> None:
    text = words(shown(message(n_received=3)))
    assert f"Decision {DECISION} User ada Campaign Adopt a feature Send key {SEND_KEY}" in text
    assert "Presented 3 times, and it is one message all the same" in text
    assert "List-Unsubscribe-Post List-Unsubscribe=One-Click" in text
    assert f"/decisions/{DECISION}?tenant=demo" in Outline(shown()).links()


def test_links_are_listed_with_what_they_really_lead_to() -> None:
    text = words(shown())
    assert "click Show me https://acme.example/reports?arm=tips Follow counts as the user's own click" in text
    assert "unsubscribe Unsubscribe asks before it unsubscribes" in text


def test_only_web_addresses_can_be_followed() -> None:
    html = shown(
        message(parts={"subject": "s", "html": '<a href="javascript:alert(1)">x</a><a href="mailto:a@b.c">m</a>'})
    )
    assert "javascript:alert(1)" in words(html)
    assert not any(link.startswith(("javascript", "mailto")) for link in Outline(html).links())


@pytest.mark.parametrize(
    ("channel", "locale", "part"),
    [
        ("sms", "ar", '<p class="bubble breakable" dir="rtl" lang="ar">'),
        ("push", "ja", '<div class="push" dir="ltr" lang="ja">'),
        ("webhook", "en", '<pre class="text" dir="ltr" lang="en">{&#34;user&#34;'),
        ("email", "ar", '<h1 dir="rtl"'),
    ],
)
def test_each_channel_looks_like_itself_and_reads_in_its_direction(channel: str, locale: str, part: str) -> None:
    assert part in shown(message(channel, locale))


@pytest.mark.parametrize("channel", ["email", "sms", "push", "webhook"])
def test_every_word_of_a_stranger_is_escaped(channel: str) -> None:
    strange = msgspec.structs.replace(sink(), messages=[hostile(channel)], campaigns=[HOSTILE])
    for html in (shown(hostile(channel)), listed(strange)):
        assert "<img src=x" not in html
        assert "{{7*7}}" in html
        check_markup(html)
        check_policy(html)


@pytest.mark.parametrize("channel", ["email", "sms", "push", "webhook"])
def test_the_pages_keep_their_policy_and_their_markup_is_sound(channel: str) -> None:
    for html in (shown(message(channel)), listed(), listed(sink(0, None))):
        check_markup(html)
        check_policy(html)


def test_a_huge_message_is_listed_briefly() -> None:
    document = sink()
    document.messages = [message("sms", parts={"text": HUGE}, address=HUGE, locale=HUGE)] * 50
    assert len(listed(document)) < 200_000


def test_reading_an_email_does_nothing() -> None:
    html = message_document(message())
    assert "Three shortcuts that save an hour" in html
    assert PUBLIC not in html
    assert MAIL_HEADERS["Content-Security-Policy"] == (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'; sandbox"
    )


@pytest.mark.parametrize(
    "html",
    [
        '<a href="https://t.example/1" target="_top" ping="https://t.example/2">x</a>',
        '<map><area href="https://t.example"></map><base href="https://t.example/"><link rel=stylesheet href="https://t.example">',
        '<meta http-equiv="refresh" content="0; url=https://t.example"><svg><a xlink:href="https://t.example">x</a></svg>',
        '<img src="https://t.example/o"><img src><img><img srcset="https://t.example/o 2x"><table background="https://t.example">',
        '<form action="https://t.example"><button formaction="https://t.example">x</button></form>',
    ],
)
def test_nothing_in_it_leads_anywhere(html: str) -> None:
    assert "t.example" not in readable(html)


def test_what_is_written_stays_as_it_was() -> None:
    html = readable('<p style="color:red" dir="rtl">مرحبا <b>x</b></p><img src="data:image/gif;base64,R0" alt="dot">')
    assert '<p style="color:red" dir="rtl">مرحبا <b>x</b></p><img src="data:image/gif;base64,R0" alt="dot">' in html
    assert readable("") == "<html><head></head><body></body></html>"


def test_an_address_in_a_text_ends_before_the_punctuation() -> None:
    (link,) = links({"text": "See https://a.example/x?y=1. Bye"}, lambda url: None)
    assert (link.url, link.target, link.kind) == ("https://a.example/x?y=1", "https://a.example/x?y=1", "link")


def test_a_list_shows_how_a_text_begins_without_its_addresses() -> None:
    assert subject({"text": "Your report\nis ready: https://a.example/m/c/xyz"}) == "Your report is ready:"
    assert subject({"text": "x" * 500}) == "x" * 119 + "…"
    assert subject({}) == "(no subject)"

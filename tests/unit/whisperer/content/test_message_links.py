"""Which links of a message are replaced, how one unsubscribes, and the hash that does not depend on either."""

from __future__ import annotations

from html import escape, unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from tests.unit.whisperer.content.requests import UNSUBSCRIBE, ReadableLinks, parts, request, sent, template
from whisperer.content.links import PlainLinks, _value, before_the_end, hosts_in
from whisperer.content.message import Rendered
from whisperer.content.plain_text import text_of
from whisperer.content.render import render
from whisperer.content.tags import scan
from whisperer.content.template import parse_template

HTML = '<p>See <a href="https://app.example/a?x=1&amp;y=2">this</a> and <a href="mailto:a@app.example">us</a>.</p>'


def mail(
    html: str = HTML, purpose: str = "marketing", text: str | None = None, **traits: object
) -> tuple[Rendered, list[str]]:
    links = ReadableLinks()
    definition = template("email", subject="Hi", html=html, **({} if text is None else {"text": text}))
    found = sent(definition, request({"name": "Ada", **traits}, channel="email", purpose=purpose), links)
    assert isinstance(found, Rendered), found
    return found, links.clicks


def test_web_links_are_replaced_in_html_and_in_the_text_made_from_it() -> None:
    found, clicks = mail()
    assert clicks == ["https://app.example/a?x=1&y=2"]
    assert 'href="https://go.example/m/c/1"' in found.parts["html"]
    assert 'href="mailto:a@app.example"' in found.parts["html"]
    assert found.parts["text"].startswith("See this (https://go.example/m/c/1) and us.")


@pytest.mark.parametrize(
    "website",
    [
        "https://evil.example/",
        "https://app.example@evil.example/",
        "https://app.example.evil.example",
        "https://app.example\\@evil.example",
        "http://[::1",
        "//evil.example",
    ],
)
def test_a_link_whose_host_the_user_chose_is_never_replaced(website: str) -> None:
    html = '<a href="https://app.example/">x</a><a href="{{ user.w }}">y</a><a href="https://app.example{{ user.w }}">z</a>'
    _, clicks = mail(html, text="{{ user.w }} https://app.example/", w=website)
    assert set(clicks) <= {"https://app.example/", "https://app.example", f"https://app.example{website}"}
    assert all("@" not in url and "\\" not in url for url in clicks)


def test_hosts_of_the_offer_are_the_authors_too() -> None:
    links = ReadableLinks()
    definition = template("sms", text="{{ offer.url }}")
    assert (
        parts(definition, request(offer=b'{"url": "https:\\/\\/shop.example\\/x"}'), links)["text"]
        == "https://go.example/m/c/1"
    )
    assert links.clicks == ["https://shop.example/x"]


@pytest.mark.parametrize(
    "text",
    [
        "myapp://open?u=https://a.example/x",
        "sms:+49151?body=https://a.example/x",
        "https://other.example/?u=https://a.example/x",
        "xhttps://a.example/x",
        "ftp://a.example/x",
    ],
)
def test_a_web_address_inside_another_address_is_no_link_of_its_own(text: str) -> None:
    links = ReadableLinks()
    compiled = template("sms", text="{% if user.no %} https://a.example/ {% endif %}{{ user.link }}")
    assert parts(compiled, request({"link": text}), links)["text"] == text
    assert not links.clicks


SCRIPTS = [
    *("javascript:alert(1)", " JaVa\nScript:alert(1)", "\x01 javascript:x", "java\tscript\r:x", "JAVASCRIPT&colon;x"),
    *("data:text/html,x", "vbscript:x", "VbS:x", "livescript:x", "file:///etc/passwd", "view-source:https://a.example"),
]
APPS = [
    *("myapp://open/x?y=1", "whatsapp://send?text=x", "whatsapp:x", "geo:48.2,16.4", "webcal://a.example/x.ics"),
    *("tel:+43-1-2345", "sms:+431?body=x", "mailto:a@a.example?subject=x", "maps:q=x", "intent://x#Intent;end"),
    *("market://details?id=x", "x-apple.y+z-1:z", "#part", "/path", "?q", "", "java script:x", "//a.example/"),
]


@pytest.mark.parametrize("href", SCRIPTS)
def test_what_no_mail_program_should_run_loses_its_address(href: str) -> None:
    href = unescape(href)
    found, clicks = mail("<a href=\"{{ user.w }}\">x</a><a class=y href='{{ user.w }}'id=z>x</a>", w=href)
    assert "<a>x</a><a class=y id=z>x</a>" in found.parts["html"]
    for element in (
        "<svg><a xlink:href={}>x</a></svg>",
        "<form action={}>",
        "<button formaction={}>",
        "<area href={}>",
    ):
        found, clicks = mail(element.format('"{{ user.w }}"'), w=href)
        assert "{{" not in found.parts["html"]
        assert not LexborHTMLParser(found.parts["html"]).css("[href*=':'], [action], [formaction], [xlink\\:href]")[1:]
    assert not clicks
    twice, _ = mail('<a href="{{ user.w }}" href="{{ user.w }}">x</a>', w=href)
    assert "<a>x</a>" in twice.parts["html"]


@pytest.mark.parametrize("href", APPS)
def test_what_opens_an_app_stays_as_it_was_written(href: str) -> None:
    found, clicks = mail('<p><a\nhref = "{{ user.w }}" >x</a></p>', w=href)
    assert f'<p><a\nhref = "{escape(href)}" >x</a></p>' in found.parts["html"]
    assert not clicks


def test_pictures_may_be_inside_the_mail_and_scripts_may_not_be_their_address() -> None:
    picture = "<img src='data:image/png;base64,AAAA'>"
    found, _ = mail(picture + "<img alt=x src=' javascript:x'>")
    assert picture + "<img alt=x>" in found.parts["html"]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("see https://a.example/x.", "https://a.example/x"),
        ("(https://a.example/x)", "https://a.example/x"),
        ("https://a.example/x_(y) z", "https://a.example/x_(y)"),
        ("https://a.example/x?y=1,2!", "https://a.example/x?y=1,2"),
        ("<https://a.example/>", "https://a.example/"),
        ("看https://a.example/x。", "https://a.example/x"),
        ("HTTPS://A.example/x", "HTTPS://A.example/x"),
        ("see https://a.example/it's?q=o'c and", "https://a.example/it's?q=o'c"),
        ("'https://a.example/x'", "https://a.example/x"),
        ("https://a.example/a|b?c=d|e", "https://a.example/a|b?c=d|e"),
        ("| https://a.example/x| y", "https://a.example/x"),
        ("https://a.example/x_ y", "https://a.example/x_"),
        ("_https://a.example/x_", "https://a.example/x"),
        ("*https://a.example/x_y*", "https://a.example/x_y"),
        ("https://a.example/x[1]{2}`3^", "https://a.example/x[1]{2}`3^"),
        ("[https://a.example/x]", "https://a.example/x"),
        ("[x](https://a.example/x_(y)).", "https://a.example/x_(y)"),
        ("{https://a.example/x}", "https://a.example/x"),
        ("<https://a.example/what?>.", "https://a.example/what?"),
        ("<https://a.example/。>", "https://a.example/。"),
        ("\u201chttps://a.example/x\u201d", "https://a.example/x"),
        ("「https://a.example/x」と", "https://a.example/x"),
        ("詳しくはhttps://a.example/x。ぜひ", "https://a.example/x"),
        ("https://a.example/日本", "https://a.example/日本"),
        ("https://a.example/x\u200b\ufeff y", "https://a.example/x"),
        ("https://a.example/?u=https://a.example/y z", "https://a.example/?u=https://a.example/y"),
        ("Link:https://a.example/x", "https://a.example/x"),
    ],
)
def test_a_link_in_a_text_ends_where_a_reader_would_end_it(text: str, url: str) -> None:
    links = ReadableLinks()
    found = parts(template("sms", text=text), links=links)["text"]
    assert links.clicks == [url]
    assert found == text.replace(url, "https://go.example/m/c/1")


def test_push_bodies_are_linked_and_subjects_titles_and_webhooks_are_not() -> None:
    url = "https://a.example/x"
    push = parts(template("push", title=url, body=url))
    assert push == {"title": url, "body": "https://go.example/m/c/1"}
    assert parts(template("webhook", body=f'"{url}"'))["body"] == f'"{url}"'
    assert parts(template("email", subject=url, text="x"))["subject"] == url


def test_the_picture_is_the_last_thing_in_the_body() -> None:
    found, _ = mail("<html><body><p>x</p></body></html>")
    assert '<img src="https://go.example/m/o/1" width="1" height="1" alt=""' in found.parts["html"]
    assert found.parts["html"].endswith("></body></html>")
    assert before_the_end("x", "y") == "xy"


def test_a_marketing_mail_can_be_unsubscribed_from_in_one_click() -> None:
    found, _ = mail()
    assert found.headers == {
        "List-Unsubscribe": f"<{UNSUBSCRIBE}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def test_a_transactional_mail_has_no_way_to_unsubscribe() -> None:
    found, _ = mail(purpose="transactional")
    assert not found.headers
    assert UNSUBSCRIBE not in found.parts["html"] + found.parts["text"]


def test_the_unsubscribe_link_is_added_once_where_it_is_not_shown() -> None:
    shown = '<p>x <a href="{{ unsubscribe_url }}">no more</a></p>'
    for html, text in ((HTML, None), (shown, None), (HTML, "Hi"), (shown, "Hi {{ unsubscribe_url }}")):
        found, clicks = mail(html, text=text)
        assert found.parts["html"].count(UNSUBSCRIBE) == 1
        assert found.parts["text"].count(UNSUBSCRIBE) == 1
        assert UNSUBSCRIBE not in clicks


@pytest.mark.parametrize(
    ("locale", "word"),
    [
        ("en", "Unsubscribe"),
        ("de", "abmelden"),
        ("es", "Cancelar"),
        ("ja", "配信停止"),
        ("ar", "إلغاء"),
        ("pl", "Wypisz"),
        ("sv", "Unsubscribe"),
    ],
)
def test_the_added_line_is_in_the_language_of_the_message(locale: str, word: str) -> None:
    definition = {
        "channel": "email",
        "default_locale": locale,
        "locales": {locale: {"subject": "x", "html": "<p>x</p>", "text": "x"}},
    }
    found = parts(definition, request(channel="email"))
    assert word in found["html"]
    assert word in found["text"]
    assert ('dir="rtl"' in found["html"]) == (locale == "ar")


def test_equal_messages_have_equal_hashes_whoever_they_are_signed_for() -> None:
    compiled = parse_template(template("email", subject="Hi", html=HTML, text="x {{ unsubscribe_url | url_encode }}"))

    def hash_of(base: str, **more: object) -> str:
        found = render(compiled, request(channel="email", **more), ReadableLinks(base))
        assert isinstance(found, Rendered)
        return found.content_hash

    one = hash_of("https://go.example/m/u/ONE")
    assert one == hash_of("https://go.example/m/u/ANOTHER", user_key="u:bob", decision_id="dec_2", now=1)
    other = parse_template(template("email", subject="Hi!", html=HTML, text="x {{ unsubscribe_url | url_encode }}"))
    found = render(other, request(channel="email"), ReadableLinks())
    assert isinstance(found, Rendered)
    assert found.content_hash != one


def test_a_preview_leads_straight_where_it_goes_and_tells_of_nothing() -> None:
    found = render(
        parse_template(template("email", subject="Hi", html=HTML)),
        request(channel="email"),
        PlainLinks("https://go.example/"),
    )
    assert isinstance(found, Rendered)
    assert "https://app.example/a?x=1&amp;y=2" in found.parts["html"]
    assert "<img" not in found.parts["html"]
    assert "https://go.example/m/u/" in found.parts["html"]


def test_links_beyond_the_two_hundredth_are_left_as_they_are() -> None:
    html = "{% for i in (1..210) %}<a href='https://app.example/{{ i }}'>x</a>{% endfor %}"
    _, clicks = mail(html)
    assert len(clicks) == 200


def test_hosts_are_those_that_are_written_out() -> None:
    assert hosts_in("https://A.example/x http://{{ user.x }} https://b.example{{ y }}") == {"a.example", "b.example"}


def test_html_reads_as_text() -> None:
    html = (
        "<html><head><title>no</title><style>no{}</style></head><body><h1>Head</h1><p>One&nbsp;two<br>three  four</p>"
        "<ul><li>a</li><li>b</li></ul><script>no()</script><img src=x alt='Logo'>"
        "<table><tr><td>1</td><td>2</td></tr></table><a href='https://x.example'>https://x.example</a></body></html>"
    )
    assert text_of(html) == ("Head\n\nOne\xa0two\nthree four\n\n- a\n- b\n\nLogo\n\n1 2\n\nhttps://x.example")
    assert text_of("") == ""
    assert text_of("<div>" * 20_000 + "deep") == "deep"


@pytest.mark.parametrize(
    "hidden",
    [
        '<div style="display:none;font-size:1px;max-height:0px;overflow:hidden;opacity:0;mso-hide:all">secret</div>',
        "<div style='DISPLAY : None !important'>secret</div>",
        "<div style='display:none !important; display:block'>secret</div>",
        "<p hidden>secret</p>",
        "<p hidden=until-found>secret<b>secret</b></p>",
        "<span style='visibility:hidden'>secret</span>",
        "<span style='font-size:0'>secret</span>",
        "<span style='font-size:0.0px'><i>secret</i></span>",
        "<div style='max-height:0;overflow:hidden'>secret</div>",
        "<div style='width:0px;overflow:hidden'>secret</div>",
        "<span style='opacity:0.00'>secret <a href='https://x.example'>secret</a></span>",
        "<template>secret</template>",
        "<!-- secret -->",
        "<!--[if mso]>secret<![endif]-->",
        "<div style='display:none'><img alt=secret></div>",
    ],
)
def test_what_a_mail_reader_does_not_see_is_not_in_the_text(hidden: str) -> None:
    assert text_of(f"<p>Seen {hidden}too</p>").split() == ["Seen", "too"]


@pytest.mark.parametrize(
    "shown",
    [
        "<div style='display:none;display:block'>seen</div>",
        "<div style='/* display:none; */color:red'>seen</div>",
        "<td style='font-size:0px'><div style='font-size:14px'>seen</div></td>",
        "<div style='visibility:hidden'><b style='visibility:visible'>seen</b></div>",
        "<div style='max-height:0'>seen</div>",
        "<div style='opacity:0.01'>seen</div>",
        "<a style='mso-hide:all'>seen</a>",
        "<p aria-hidden=true>seen</p>",
        "<noscript>seen</noscript>",
        "<![if !mso]>seen<![endif]>",
        "<!--[if !mso]><!-->seen<!--<![endif]-->",
    ],
)
def test_what_most_mail_programs_show_is_in_the_text(shown: str) -> None:
    assert text_of(f"<body>{shown}") == "seen"


def test_an_unsubscribe_link_that_nobody_sees_does_not_stand_for_one() -> None:
    for unseen in ("<!--[if mso]>{}<![endif]-->", "<p style='display:none'>{}</p>", "<!-- {} -->"):
        found, _ = mail("<p>Hi</p>" + unseen.format("<a href='{{ unsubscribe_url }}'>no more</a>"))
        assert found.parts["html"].count(UNSUBSCRIBE) == 2
        assert text_of(found.parts["html"]).count(UNSUBSCRIBE) == 1


def test_tabs_and_line_breaks_in_an_address_are_no_part_of_it() -> None:
    _, clicks = mail("<a href='\n  https://app.example/a\n\t  b?x=1\r\n&amp;y=2 '>x</a>")
    assert clicks == ["https://app.example/a%20%20b?x=1&y=2"]


@given(
    st.sampled_from(["", '"', "'"]),
    st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("&;#x3Aamp<>=\"' \t\r\n\0")), max_size=20),
)
def test_an_attributes_value_is_what_a_browser_reads(quote: str, inner: str) -> None:
    """Whether it is read by itself or by a parser of HTML."""
    html = f"<a href={quote}{inner}{quote}>"
    for tag in scan(html).tags[:1]:
        for attribute in tag.attributes[:1]:
            written = html[attribute.value_start : attribute.end] or '""'
            node = LexborHTMLParser(f"<i x={written}>").css_first("i")
            assert _value(html, attribute) == ((node.attributes.get("x") or "") if node is not None else "")

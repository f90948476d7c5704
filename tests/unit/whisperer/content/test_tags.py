"""Tags are found where a browser's parser finds them, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from tests.unit.whisperer.content.requests import ReadableLinks
from whisperer.content.links import Tracking, _value
from whisperer.content.plain_text import text_of
from whisperer.content.tags import scan

PIECES = st.sampled_from(
    [
        *("<", ">", "<!", "<!--", "-->", "--!>", "<!-->", "<!--->", "--", "!", "<?", "<![if !mso]>", "<![endif]>"),
        *("<!--[if mso]>", "<![endif]-->", "<!--[if !mso]><!-->", "<!--<![endif]-->", "<!--[if gte mso 9]><xml>"),
        *("<p>", "</p>", "<b class=x>", "</b >", "</>", "</ x>", "</3>", "<br/>", "< p>", "<3", "<![CDATA[x]]>"),
        *("<style>", "</style>", "</style ", "<title>", "</title>", "<textarea>", "</textarea>", "</TEXTAREA\n>"),
        *("<a href=", "<A\tHREF = ", "<a/href=", "<a x href=", "<a =href=", '"', "'", " ", "\n", "/", "=", "é", "x"),
        *("https://a.example/1", '"https://a.example/2"', "'https://a.example/3'", "&amp;", "&copy=", "&#x41;", "</a>"),
        *('<a href="https://a.example/4" href="https://a.example/5">', "<a title='>' href=https://a.example/6>"),
    ]
)
documents = st.lists(PIECES, max_size=14).map("".join)
HOSTS = frozenset({"a.example"})


@given(documents)
def test_links_are_those_that_a_browser_finds_with_the_very_addresses(html: str) -> None:
    parsed = LexborHTMLParser(f"<body>{html}")
    theirs = [node.attributes["href"] or "" for node in parsed.css("a") if "href" in node.attributes]
    ours = []
    for tag in scan(f"<body>{html}").tags:
        hrefs = [a for a in tag.attributes if a.name == "href"]
        if tag.name == "a" and not tag.is_end and hrefs:
            ours.append(_value(f"<body>{html}", hrefs[0]))
    # A parser makes one element of many of a link that is closed and opened again around paragraphs.
    assert list(dict.fromkeys(ours)) == list(dict.fromkeys(theirs))


@given(documents)
def test_replacing_links_changes_no_text_that_a_reader_sees(html: str) -> None:
    class Same(ReadableLinks):
        def open(self) -> str:
            return ""

    links = Same()
    made = Tracking(links, HOSTS, "").html(html)
    shown = text_of(made)
    for at, url in enumerate(links.clicks, 1):
        shown = shown.replace(f"(https://go.example/m/c/{at})", f"({url})")
    assert _without_addresses(shown) == _without_addresses(text_of(html))


@given(documents)
def test_without_links_of_the_author_every_byte_is_as_it_was_written(html: str) -> None:
    class Unseen(ReadableLinks):
        def open(self) -> str:
            return ""

    assert Tracking(Unseen(), frozenset(), "").html(html) == html


@pytest.mark.parametrize(
    "html",
    [
        '<!--[if mso]><table><tr><td><a href="https://a.example/x">m</a><![endif]--><p>hi</p>',
        "<![if !mso]><p>others</p><![endif]>",
        "<!--[if !mso]><!--><p>others</p><!--<![endif]-->",
        "<!--[if !mso]>--><p>others</p><!--<![endif]-->",
        "<!--[if gte mso 9]><xml><o:PixelsPerInch>96</o:PixelsPerInch></xml><![endif]-->",
        "<!--[if (gt mso 14)&(lt mso 16)]><v:rect href='https://a.example/x' fill=t><![endif]-->",
        "<!--[if mso]><!-- [if nested]><p><![endif] --><p>x</p><![endif]-->",
        "<p>x</p><!--[if mso]> never closed <a href='https://a.example/x'>",
        "<p>x</p><!-- <a href='https://a.example/x'> --!><p>y",
        "<!--><p>x</p><!---><p>y</p>",
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1.dtd"><p>x',
        "<tr><td>a table's rest</td></tr>",
        "<style>a > b { content: '<a href=https://a.example/x>' }</style><p>x",
        "<title><a href=https://a.example/x></title>",
        "<p>1 < 2 &nbsp; &eacute; &amp;amp; </p >< /p>",
        "<p class='x' CLASS=y data-a>\r\n\ttext",
    ],
)
def test_comments_of_every_form_and_whatever_is_no_link_come_out_as_written(html: str) -> None:
    links = ReadableLinks()
    made = Tracking(links, HOSTS, "").html(html)
    picture = '<img src="https://go.example/m/o/1" width="1" height="1" alt="" style="display:block;border:0">'
    assert made.replace(picture, "") == html
    assert made.count(picture) == 1
    assert not links.clicks


def test_what_is_added_at_the_end_is_never_inside_what_is_not_closed() -> None:
    for html in ("<p>x</p><!-- open", "<p>x</p><a title='open", "<p>x</p><style>open", "<p>x</p><p"):
        made = Tracking(ReadableLinks(), HOSTS, "").html(html)
        assert LexborHTMLParser(made).css_first("img") is not None
    inside = "<body><p>x</p><!-- </body> --></body><!-- </body> -->"
    assert "--><img" in Tracking(ReadableLinks(), HOSTS, "").html(inside)


def _without_addresses(text: str) -> str:
    import re

    return re.sub(r"\s*[(<]https?://[^\s>]*[)>]", "", text)

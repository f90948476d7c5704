"""A click opens the very address that a browser would have opened: told by another implementation, Node's URL."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from html import escape

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from whisperer.content.links import Tracking
from whisperer.content.plain_text import text_of
from whisperer.feedback.links import LinkSigner, SignedLinks, web_address

NODE = shutil.which("node")
_ASK = """
require("readline").createInterface({input: process.stdin}).on("line", line => {
  let found; try { found = new URL(JSON.parse(line)).href } catch { found = null }
  console.log(JSON.stringify(found))
})
"""
NOW = 1_800_000_000_000
SIGNER = LinkSigner(b"0123456789abcdef")

Open = Callable[[str], str | None]


@pytest.fixture(scope="module")
def browser() -> Iterator[Open]:
    if NODE is None:
        pytest.skip("node is not installed")
    with subprocess.Popen([NODE, "-e", _ASK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None

        def ask(url: str) -> str | None:
            stdin.write(json.dumps(url) + "\n")
            stdin.flush()
            found: str | None = json.loads(stdout.readline())
            return found

        yield ask
        stdin.close()


def leads_to(links: list[str]) -> list[str]:
    return [SIGNER.read(link.rpartition("/")[2], NOW).url for link in links]


class Signed(SignedLinks):
    def __init__(self) -> None:
        super().__init__(
            SIGNER,
            "https://go.example",
            tenant="t",
            user_key="u:a",
            decision_id="d",
            channel="email",
            purpose="m",
            now=NOW,
        )
        self.made: list[str] = []

    def click(self, url: str) -> str:
        made = super().click(url)
        if made != url:
            self.made.append(made)
        return made


def clicked(href: str) -> list[str]:
    links = Signed()
    Tracking(links, frozenset({"a.example"}), "").html(f'<a href="{escape(href)}">x</a>')
    return leads_to(links.made)


def written(text: str) -> list[str]:
    links = Signed()
    Tracking(links, frozenset({"a.example"}), "").text(text)
    return leads_to(links.made)


ODD = [
    "https://a.example/a\nb",
    "https://a.example/a\tb\r\nc?x=\n1#\ty",
    " \x0b\x1f https://a.example/x \n",
    "ht\ntps://a.example/x",
    "https://a.example/it's|a`b{c}^d[e]",
    "https://a.example/x?q=it's|a`b{c}^d[e]&z=\"<>",
    "https://a.example/x#it's|a`b{c}^d[e]\"<> y",
    "https://a.example/ä ö?ü=ß#é",
    "https://a.example/%zz%41%",
    "https://a.example/a//b/./c/../d;x=1",
    "https://a.example/x?a=1&copy=2&amp;b=3",
    "https://a.example?q",
    "https://a.example#f#g",
    "HTTPS://A.EXAMPLE:443/X_",
    "https://a.example/\u202e\u200b\ufeff",
    "https://a.example/日本語。",
]


@pytest.mark.parametrize("href", ODD)
def test_an_odd_href_leads_where_a_browser_goes(browser: Open, href: str) -> None:
    (target,) = clicked(href)
    assert browser(target) == browser(href)
    assert browser(target) is not None


paths = st.text(
    st.one_of(
        st.sampled_from("/?#&=;:@%.|'\"<>`{}[]^~_!$()*+,- \t\n\r"),
        st.characters(min_codepoint=1, exclude_categories=["Cs"]),
    )
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    paths, st.sampled_from(["https://a.example/", "https://a.example?", "http://A.example#", " https://a.example:8/\n"])
)
def test_any_href_to_a_host_of_the_author_leads_where_a_browser_goes(browser: Open, path: str, start: str) -> None:
    href = start + path
    targets = clicked(href)
    assume(targets)  # with a backslash, or too long, it is left as it is
    assert browser(targets[0]) == browser(href)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(paths)
def test_what_is_signed_is_signed_as_it_is_however_often(browser: Open, path: str) -> None:
    once = web_address("https://a.example/" + path)
    assume(once is not None)
    assert once is not None
    assert web_address(once) == once


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(paths, st.sampled_from([".", "!?", "'", "_", ")", "]", "。", "|"]))
def test_an_address_shown_in_the_text_made_from_html_leads_where_a_browser_goes(
    browser: Open, path: str, last: str
) -> None:
    href = f"https://a.example/{path}{last}"
    text = text_of(f'<a href="{escape(href)}">x</a>')
    targets = written(text)
    assume("\\" not in href and len(targets) == 1)
    assert browser(targets[0]) == browser(href)

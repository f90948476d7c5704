"""Programs that open and follow what is in a message are told from readers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer.feedback.automatic import Deed, networks, outcome_of

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
)
CUBOT = "Mozilla/5.0 (Linux; Android 9; CUBOT NOTE 7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/96.0 Mobile Safari/537.36"
OUTLOOK = "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; WOW64; Trident/7.0; Microsoft Outlook 16.0.17328; ms-office; MSOffice 16)"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
HOME = "198.51.100.7"


@pytest.mark.parametrize("agent", [IPHONE, CHROME, CUBOT, OUTLOOK])
@pytest.mark.parametrize("address", [HOME, "2001:db8::1", None, "nonsense"])
def test_a_reader_is_a_reader(agent: str, address: str | None) -> None:
    assert outcome_of("open", "GET", agent, address) == "opened"
    assert outcome_of("click", "GET", agent, address) == "clicked"


@pytest.mark.parametrize(
    ("what", "method", "agent", "address"),
    [
        ("click", "HEAD", IPHONE, HOME),
        ("open", "HEAD", IPHONE, HOME),
        ("click", "GET", "", HOME),
        ("click", "GET", None, HOME),
        ("open", "GET", "Mozilla/5.0", HOME),
        ("open", "GET", GMAIL, HOME),
        ("open", "GET", "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", HOME),
        ("click", "GET", "python-requests/2.32", HOME),
        ("click", "GET", "curl/8.5.0", HOME),
        ("click", "GET", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", HOME),
        (
            "click",
            "GET",
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36",
            HOME,
        ),
        ("click", "GET", "Barracuda Sentinel (EE)", HOME),
        ("click", "GET", CHROME, "40.94.1.2".replace("40.94", "40.92")),
        ("click", "GET", CHROME, "2a01:111:f400::5"),
        ("click", "GET", CHROME, "66.249.93.1"),
        ("open", "GET", IPHONE, "17.58.1.2"),
    ],
)
def test_a_program_is_none(what: Deed, method: str, agent: str | None, address: str | None) -> None:
    assert outcome_of(what, method, agent, address) == f"auto_{'opened' if what == 'open' else 'clicked'}"


def test_gmail_s_picture_proxy_says_nothing_of_clicks() -> None:
    assert outcome_of("click", "GET", GMAIL, HOME) == "clicked"
    assert outcome_of("click", "GET", IPHONE, "17.58.1.2") == "clicked", "people at Apple click, too"


def test_every_network_is_one_and_affects_something() -> None:
    assert len(networks()) > 15
    assert all(affected and set(affected) <= {"open", "click"} for _, affected in networks())


@given(
    st.sampled_from(["open", "click"]), st.text(max_size=10), st.none() | st.text(max_size=2_000), st.none() | st.text()
)
def test_any_request_is_one_or_the_other(what: Deed, method: str, agent: str | None, address: str | None) -> None:
    assert (
        outcome_of(what, method, agent, address).removeprefix("auto_") == {"open": "opened", "click": "clicked"}[what]
    )

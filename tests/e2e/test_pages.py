"""The pages of the loop in a real browser: they fit, can be read, keep their policy, and follow what happens."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from serve_apps.gateway.pages import LiveView
from serve_apps.gateway.services.report import ArmTotals
from tests.e2e.browser import Tab, chromium, find_chromium, tab
from tests.e2e.home_server import HomeServer, home_server
from tests.e2e.test_home_page import LOW_CONTRAST, connected
from tests.unit.serve_apps.gateway.pages import loop_documents
from tests.unit.serve_apps.gateway.pages.documents import NOW, busy, new_installation, put
from tests.unit.serve_apps.gateway.pages.loop_documents import DECISION, SEND_KEY

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="needs chromium (Debian: apt-get install chromium)")

HOSTILE = '<img src=x onerror="window.owned=1">\'</script><script>window.owned=1</script>'
LONG = "x" * 300
VISIBLE_TEXT = "document.body.innerText.replaceAll('\\u202f', ' ')"

ARABIC, SMS, PUSH, WEBHOOK = (f"{SEND_KEY[:-1]}{digit}" for digit in "abcd")
REFUSED, HELD_OUT = (f"{DECISION[:-1]}{digit}" for digit in "ab")

PATHS = {
    "home": "/",
    "sink": "/sink",
    "email": f"/sink/{SEND_KEY}",
    "arabic": f"/sink/{ARABIC}",
    "sms": f"/sink/{SMS}",
    "push": f"/sink/{PUSH}",
    "webhook": f"/sink/{WEBHOOK}",
    "user": "/users/ada",
    "stranger": "/users/mobile-7",
    "decision": f"/decisions/{DECISION}",
    "refused": f"/decisions/{REFUSED}",
    "holdout": f"/decisions/{HELD_OUT}",
    "campaign": "/campaigns/Adopt%20a%20feature",
    "nobody": "/users/nobody",
    "channels": "/channels",
    "deliveries": "/deliveries",
}


def at_work() -> LiveView:
    return msgspec.structs.replace(busy(), loop=loop_documents.loop())


@pytest.fixture(scope="module")
def devtools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chromium(tmp_path_factory.mktemp("chromium")) as url:
        yield url


@pytest.fixture
def server() -> Iterator[HomeServer]:
    with home_server() as running:
        running.live = at_work()
        for key, channel, locale in (
            (ARABIC, "email", "ar"),
            (SMS, "sms", "ar"),
            (PUSH, "push", "ja"),
            (WEBHOOK, "webhook", "en"),
        ):
            running.by_send_key[key] = loop_documents.message(channel, locale, send_key=key)
        running.decisions[REFUSED] = loop_documents.refused()
        running.decisions[HELD_OUT] = loop_documents.held_out()
        running.users["mobile-7"] = loop_documents.unknown_user()
        yield running


@pytest.fixture
def page(devtools: str) -> Iterator[Tab]:
    with tab(devtools) as fresh:
        fresh.look()
        yield fresh


@pytest.mark.parametrize("name", PATHS)
def test_each_page_fits_and_can_be_read_in_light_and_dark_on_wide_and_narrow_screens(
    page: Tab, server: HomeServer, name: str, tmp_path: Path
) -> None:
    for width in (1280, 360):
        for dark in (False, True):
            page.look(width=width, dark=dark)
            page.open(server.url + PATHS[name])
            assert page.run("document.documentElement.scrollWidth") == width, (width, dark)
            assert page.run(LOW_CONTRAST) == [], (width, dark)
            page.screenshot(tmp_path / f"{name}-{width}-{'dark' if dark else 'light'}.png")
    if name != "nobody":
        assert page.complaints == []
    assert all(url.startswith(server.url + "/") or url.startswith("data:") for url in page.requests)


BROKEN_WORDS = """
(() => {
  const found = [], range = document.createRange();
  const texts = document.createTreeWalker(document.querySelector("main") || document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    for (const token of text.data.matchAll(/\\S+/g)) {
      if (token[0].length > 24) continue;  // may be broken anywhere, so that it widens nothing
      for (const word of token[0].matchAll(/[\\p{Script=Latin}\\p{Script=Arabic}\\d_]{2,}/gu)) {
        range.setStart(text, token.index + word.index);
        range.setEnd(text, token.index + word.index + word[0].length);
        const lines = new Set([...range.getClientRects()].filter(r => r.width > 0).map(r => Math.round(r.top)));
        if (lines.size > 1) found.push(word[0]);
      }
    }
  }
  return found;
})()
"""


@pytest.mark.parametrize("name", [*PATHS, "policies"])
def test_no_word_is_broken_and_nothing_is_null_at_any_width(page: Tab, server: HomeServer, name: str) -> None:
    nothing: dict[str, Any] = {"arm": "", "propensity": None, "propensities": [], "means": [], "spreads": []}
    server.decisions[REFUSED] = loop_documents.decision("refused", reason="no_address", arms=["no_send"], **nothing)
    server.campaigns["Adopt a feature"].definition.update(budget=None, later=None)
    for width in (360, 768, 1280):
        page.look(width=width)
        page.open(server.url + PATHS.get(name, "/policies"))
        assert page.run(BROKEN_WORDS) == [], width
        assert page.run("document.documentElement.scrollWidth") == width, width
        assert "null" not in page.run(VISIBLE_TEXT).split(), width


def test_long_names_do_not_widen_a_page(page: Tab, server: HomeServer) -> None:
    page.look(width=360)
    assert server.live is not None
    loop = server.live.loop
    put(loop.campaigns[0], name=LONG, tenant=LONG)
    loop.campaigns[0].arms[0].arm = LONG
    loop.campaigns[0].refused = loop.totals.refused = {LONG: 4}
    put(loop.latest_decisions[0], user="u:" + LONG, campaign=LONG, arm=LONG, group=LONG)
    put(loop.latest_messages[0], user="u:" + LONG, subject=LONG, locale=LONG, channel=LONG)
    server.users["ada"] = loop_documents.user(
        user_id=LONG,
        traits=loop_documents.raw({LONG: LONG}),
        segments=[LONG],
        event_counts={LONG: 1},
        previous_ids=[LONG],
        time_zone=LONG,
    )
    server.decisions[DECISION] = loop_documents.decision(
        campaign=LONG, arm=LONG, arms=["no_send", LONG, "b", "c"], refused_arms={LONG: LONG}, policy_version=LONG
    )
    server.campaigns["Adopt a feature"] = loop_documents.campaign(
        name=LONG,
        description=LONG,
        refused={LONG: 5},
        arms=[ArmTotals(LONG, LONG, 10**9, 10**9, 10**9, 10**15, 1e9)],
        quality=loop_documents.quality(LONG),
        definition={LONG: LONG, "trigger": {"event": LONG}, "arms": [{"id": LONG, "channel": LONG, "template": LONG}]},
    )
    server.by_send_key[SEND_KEY] = loop_documents.message(
        parts={"subject": LONG, "text": LONG}, address=LONG, campaign=LONG, locale=LONG, headers={LONG: LONG}
    )
    server.messages.messages[0] = server.by_send_key[SEND_KEY]
    server.messages.counts = msgspec.structs.replace(server.messages.counts, by_channel={LONG: 1})
    server.carrying = loop_documents.channels(LONG)
    server.carrying.channels[0].accounts[0].account = LONG
    server.delivered = loop_documents.deliveries(LONG)
    server.delivered.deliveries[0].campaign = server.delivered.deliveries[0].user_id = LONG
    for name in ("home", "user", "decision", "campaign", "email", "sink", "channels", "deliveries"):
        page.open(server.url + PATHS[name])
        assert page.run("document.documentElement.scrollWidth") == 360, name


def test_an_email_can_do_nothing_to_the_page_it_is_read_in(page: Tab, server: HomeServer) -> None:
    page.open(server.url + PATHS["email"])
    frame = "document.querySelector('iframe')"
    assert page.run(f"{frame}.contentDocument") is None  # an origin of its own
    assert page.run(f"{frame}.getAttribute('sandbox')") == ""
    assert page.run("window.owned") is None
    assert page.complaints == []
    assert any(url.endswith(f"/sink/{SEND_KEY}/html?tenant=demo") for url in page.requests)
    assert not any("/m/" in url for url in page.requests)  # neither the pixel nor a link was asked for
    page.open(f"{server.url}/sink/{SEND_KEY}/html?tenant=demo")
    assert "Three shortcuts that save an hour" in page.text("body")
    page.run("document.querySelector('a').click()")
    assert not any("/m/" in url for url in page.requests)


def test_right_to_left_languages_read_from_the_right(page: Tab, server: HomeServer) -> None:
    page.open(server.url + PATHS["sms"])
    assert page.run("getComputedStyle(document.querySelector('.bubble')).direction") == "rtl"
    sides = page.run(
        "(() => { const [b, c] = ['.bubble', '.device'].map((s) => document.querySelector(s).getBoundingClientRect());"
        "return [c.right - b.right, b.left - c.left]; })()"
    )
    assert sides[0] < 30 < sides[1]
    page.open(f"{server.url}/sink/{ARABIC}/html?tenant=demo")
    assert page.run("getComputedStyle(document.querySelector('p')).direction") == "rtl"


def test_without_javascript_every_page_can_be_read_and_searched(page: Tab, server: HomeServer) -> None:
    page.look(script=False)
    for name, part in (
        ("home", "The loop"),
        ("sink", "Three shortcuts that save an hour"),
        ("user", "decided on tips-email, with 61 %"),
        ("decision", "which had a chance of 61 %, the likeliest"),
        ("campaign", "each event Dashboard Viewed"),
        ("channels", "day 3 of 10: 125 of 500 messages"),
        ("deliveries", "every attempt failed"),
    ):
        page.open(server.url + PATHS[name])
        assert part in page.run(VISIBLE_TEXT)
    assert page.run("document.querySelector('form.find').action") == server.url + "/find"


@pytest.mark.parametrize(
    ("typed", "path", "title"),
    [
        ("ada", "/users/ada", "ada"),
        (DECISION, f"/decisions/{DECISION}", "tips-email"),
        (SEND_KEY, f"/sink/{SEND_KEY}", "Three"),
    ],
)
def test_the_search_leads_to_users_decisions_and_messages(
    page: Tab, server: HomeServer, typed: str, path: str, title: str
) -> None:
    page.open(server.url + PATHS["sink"])
    page.run(f"document.querySelector('.find input[name=q]').value = '{typed}'")
    page.run("void document.querySelector('.find').requestSubmit()")
    page.reloaded()
    assert page.run("location.pathname + location.search") == f"{path}?tenant=demo"
    assert page.text("h1").startswith(title)


def test_filters_work_as_a_form(page: Tab, server: HomeServer) -> None:
    page.open(server.url + PATHS["sink"])
    page.run("document.querySelector('.filters select[name=channel]').value = 'sms'")
    page.run("document.querySelector('.filters input[name=user_id]').value = 'ada'")
    page.run("void document.querySelector('.filters').requestSubmit()")
    page.reloaded()
    assert server.asked[-1][:4] == ("demo", "sms", "ada", None)
    assert page.run("document.querySelector('.filters select[name=channel]').value") == "sms"


def test_the_loop_follows_the_server_without_a_reload(page: Tab, server: HomeServer) -> None:
    connected(page, server)
    page.run("void (window.kept = document.querySelector('.decisions tbody tr'), window.same = true)")
    live = copy.deepcopy(server.live)
    assert live is not None
    live.loop.totals.conversions = 1_907
    latest = live.loop.latest_decisions
    latest.insert(0, msgspec.structs.replace(latest[0], decision_id=REFUSED, user="u:somebody-new", at=NOW))
    latest.pop()
    server.live = live
    page.wait("document.querySelector('.decisions tbody tr').innerText.includes('somebody-new')")
    rows = "document.querySelectorAll('.decisions tbody tr')"
    assert page.run(f"{rows}[1] === window.kept")
    assert page.run(f"{rows}[0].classList.contains('fresh')")
    assert page.text(".stage-converted .figure").replace("\u202f", " ") == "1 907"
    assert page.run("window.same")


def test_a_first_campaign_appears_before_the_viewers_eyes(page: Tab, server: HomeServer) -> None:
    server.live = new_installation()
    connected(page, server)
    assert "No campaign yet." in page.run(VISIBLE_TEXT)
    server.live = msgspec.structs.replace(new_installation(), loop=loop_documents.loop())
    page.wait("document.querySelectorAll('.campaign svg.accounting rect').length > 3")
    assert "No campaign yet." not in page.run(VISIBLE_TEXT)


def test_a_decision_page_follows_what_comes_after_it(page: Tab, server: HomeServer) -> None:
    server.decisions[DECISION] = loop_documents.decision("deciding", arm="", propensity=None, send=None, outcomes=[])
    page.open(server.url + PATHS["decision"])
    assert page.text("h1").startswith("Being decided")
    page.run("void (document.querySelector('.page-title a').focus(), window.same = true)")
    server.decisions[DECISION] = loop_documents.decision()
    page.wait("document.querySelector('h1').innerText.startsWith('tips-email')")
    assert page.run("window.same")
    assert page.run("document.activeElement === document.querySelector('.page-title a')")


def test_a_page_that_finds_no_server_says_it_is_stale_and_recovers(page: Tab, server: HomeServer) -> None:
    page.before_load("const wait = setTimeout; window.setTimeout = (f, ms) => wait(f, f.name === 'again' ? 50 : ms)")
    page.open(server.url + PATHS["campaign"])
    server.stop()
    page.wait("document.body.classList.contains('stale')")
    server.start()
    page.wait("!document.body.classList.contains('stale')")


def test_markup_in_names_stays_text_when_a_page_updates_itself(page: Tab, server: HomeServer) -> None:
    connected(page, server)
    live = copy.deepcopy(server.live)
    assert live is not None
    live.loop.campaigns[0].name = HOSTILE
    live.loop.latest_messages[0].subject = HOSTILE
    server.live = live
    page.wait("document.querySelector('.campaign h2').innerText.includes('<img')")
    assert page.run("window.owned") is None
    assert page.run("document.querySelectorAll('img[src=x]').length") == 0


def test_the_channels_page_follows_a_breaker_and_leads_to_dead_letters(page: Tab, server: HomeServer) -> None:
    page.open(server.url + PATHS["channels"])
    assert page.text("nav a[aria-current]") == "Channels"
    breaker = "document.querySelector('.accounts tr[data-key=main] .state')"
    assert page.run(f"{breaker}.innerText") == "open"
    page.run("void (window.same = true)")
    found = copy.deepcopy(server.carrying)
    found.channels[0].accounts[0] = msgspec.structs.replace(
        found.channels[0].accounts[0], breaker="closed", left_alone_s=0.0, last_trouble=HOSTILE
    )
    server.carrying = found
    page.wait(f"{breaker}.innerText === 'closed'")
    page.wait("document.querySelector('#channels').innerText.includes('the last trouble was <img')")
    assert page.run("window.same")
    assert page.run("window.owned") is None
    page.run("void [...document.querySelectorAll('.legend a')].find((a) => a.innerText === 'dead').click()")
    page.reloaded()
    assert page.run("location.pathname + location.search") == "/deliveries?tenant=demo&channel=email&status=dead"
    assert server.asked[-1] == ("demo", "dead", "email", None, None)
    assert page.run("document.querySelector('.filters select[name=status]').value") == "dead"
    assert page.complaints == []


def test_a_first_channel_appears_before_the_viewers_eyes(page: Tab, server: HomeServer) -> None:
    full, server.carrying = server.carrying, loop_documents.channels(channels=[])
    page.open(server.url + PATHS["channels"])
    assert "No channel is set up." in page.run(VISIBLE_TEXT)
    server.carrying = full
    page.wait("document.querySelectorAll('.accounts svg.bar').length > 3")
    assert "No channel is set up." not in page.run(VISIBLE_TEXT)


def test_a_campaign_shows_how_good_its_messages_were(page: Tab, server: HomeServer) -> None:
    server.campaigns["Adopt a feature"] = loop_documents.campaign(quality=loop_documents.quality())
    for width in (360, 1280):
        page.look(width=width)
        page.open(server.url + PATHS["campaign"])
        assert "Quality of messages 4.69 of 5, calibrated 4.78" in page.run(VISIBLE_TEXT)
        assert page.run(BROKEN_WORDS) == [], width
        assert page.run("document.documentElement.scrollWidth") == width


def test_times_on_every_page_are_told_in_the_viewers_zone(page: Tab, server: HomeServer) -> None:
    page.look(zone="Asia/Kolkata")
    page.open(server.url + PATHS["decision"])
    page.wait("document.querySelector('time').title.includes('GMT+5:30')")


def test_another_tenant_can_be_chosen_where_it_has_such_a_page(page: Tab, server: HomeServer) -> None:
    page.open(server.url + PATHS["sink"])
    page.run("document.querySelector('.tenants summary').click()")
    page.run("void document.querySelector('.tenants li a').click()")
    page.reloaded()
    assert page.run("location.pathname + location.search") == "/sink?tenant=acme"

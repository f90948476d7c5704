"""The home page in a real browser, against a server whose numbers change, that goes away, and that comes back."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve_apps.gateway.metrics.documents import EventView
from serve_apps.gateway.pages import PAGE_HEADERS
from serve_apps.gateway.pages.formats import FORMATS, THIN, ago, iso
from tests.e2e.browser import Tab, chromium, find_chromium, tab
from tests.e2e.home_server import HomeServer, home_server
from tests.unit.serve_apps.gateway.pages.documents import NOW, new_installation, put

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="needs chromium (Debian: apt-get install chromium)")

HOSTILE = '<img src=x onerror="window.owned=1">\'</script><script>window.owned=1</script>'
CONNECTION = "document.getElementById('connection').dataset.connection"
VISIBLE_TEXT = "document.body.innerText.replaceAll('\\u202f', ' ')"


@pytest.fixture(scope="module")
def devtools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chromium(tmp_path_factory.mktemp("chromium")) as url:
        yield url


@pytest.fixture
def server() -> Iterator[HomeServer]:
    with home_server() as running:
        yield running


@pytest.fixture
def page(devtools: str) -> Iterator[Tab]:
    with tab(devtools) as fresh:
        fresh.look()
        yield fresh


def connected(page: Tab, server: HomeServer) -> None:
    page.open(server.url + "/")
    page.wait(f"{CONNECTION} === 'live'")


def counter(page: Tab, field: str) -> str:
    return page.text(f"#totals [data-field={field}]").replace(THIN, " ")


def test_the_counters_follow_the_server(page: Tab, server: HomeServer) -> None:
    connected(page, server)
    assert counter(page, "events_per_s") == "1 240"
    live = copy.deepcopy(server.live)
    assert live is not None
    put(live, now=NOW + 1000, events_per_s=7.25, events_accepted=19_429_116)
    live.events_rejected["rate_limited"] = 500
    server.live = live
    page.wait("document.querySelector('#totals [data-field=events_per_s]').textContent === '7.3'")
    assert counter(page, "events_accepted") == "19 429 116"
    assert counter(page, "n_rejected") == "656"
    assert page.text("[data-list=rejected] tbody tr").split() == ["rate_limited", "500"]
    assert "L" in page.run("document.querySelector('#chart .line').getAttribute('d')")


def test_snapshot_and_live_page_read_alike(page: Tab, server: HomeServer) -> None:
    shown = "[...document.querySelectorAll('[data-field]')].map((e) => e.textContent)"
    page.look(script=False)
    page.open(server.url + "/")
    from_server = page.run(shown)
    page.look(script=True)
    connected(page, server)
    assert page.run(shown) == from_server
    assert len(from_server) > 60


def test_each_format_writes_the_same_in_both_languages(page: Tab, server: HomeServer) -> None:
    connected(page, server)
    numbers = [0, 1, 9, 10, 999, 1000, 1023, 1024, 99_999, 10_188, 1_047_552, 123_456_789, 2**50]
    samples: dict[str, list[float] | list[int] | list[str]] = {
        "count": numbers,
        "size": numbers,
        "rate": [0, 0.04, 0.25, 0.35, 5.05, 9.94, 9.95, 9.96, 10.5, 99_999.5],
        "share": [0, 0.005, 0.29, 0.62, 0.999, 1],
        "user": ["u:ada", "a:ada", "a:u:b", "ada", ""],
        "text": ["", "Order", "<b>"],
    }
    assert samples.keys() == FORMATS.keys()
    assert page.run("Object.keys(Formats).sort()") == sorted(FORMATS)
    for form, values in samples.items():
        assert page.run(f"{json.dumps(values)}.map(Formats.{form})") == [FORMATS[form](value) for value in values]
    ages = [-5000, 0, 999, 1000, 59_999, 60_000, 3_600_000, 86_399_999, 86_400_000, 2_592_000_000, 10**14]
    assert page.run(f"{ages}.map((age) => ago({NOW} - age, {NOW}))") == [ago(NOW - age, NOW) for age in ages]
    assert page.run(f"[{NOW}, -1e18, 1e18].map(iso)") == [iso(ms) for ms in (NOW, -(10**18), 10**18)]


def test_new_events_come_in_on_top_and_known_rows_stay(page: Tab, server: HomeServer) -> None:
    connected(page, server)
    page.run("void (window.kept = document.querySelector('.latest tbody tr'))")
    assert server.live is not None
    server.live.latest.insert(
        0,
        EventView("demo", "track", "Logged In", "a:new", NOW, NOW),
    )
    page.wait("document.querySelector('.latest tbody tr').innerText.startsWith('Logged In')")
    rows = "document.querySelectorAll('.latest tbody tr')"
    assert page.run(f"{rows}[1] === window.kept")
    assert page.run(f"{rows}.length") == len(server.live.latest)
    assert page.run(f"{rows}[0].querySelector('[data-field=user]').className") == "id anonymous"


def test_markup_in_names_stays_text(page: Tab, server: HomeServer) -> None:
    connected(page, server)
    live = copy.deepcopy(server.live)
    assert live is not None
    put(live.latest[0], name=HOSTILE, user="u:" + HOSTILE)
    put(live.segments[0], name=HOSTILE, description=HOSTILE)
    put(live.shards[0], name=HOSTILE, state=HOSTILE)
    live.warnings = [HOSTILE]
    server.live = live
    page.wait("document.querySelector('.latest [data-field=name]').textContent.startsWith('<img')")
    assert page.run("document.querySelector('.latest [data-field=name]').textContent") == HOSTILE
    assert page.run("document.querySelector('#warnings li').textContent") == HOSTILE
    page.open(server.url + "/")  # and once more as the server renders it
    page.wait(f"{CONNECTION} === 'live'")
    assert page.run("document.querySelector('.latest [data-field=name]').textContent") == HOSTILE
    assert page.run("window.owned") is None
    assert page.run("document.querySelectorAll('img[src=x]').length") == 0


def test_the_page_finds_back_after_the_server_was_away(page: Tab, server: HomeServer) -> None:
    connected(page, server)
    server.stop()
    page.wait(f"{CONNECTION} === 'reconnecting'")
    assert page.text("#connection") == "Reconnecting…"
    assert counter(page, "users") == "204 118"
    assert server.live is not None
    server.live.users = 5
    server.start()
    page.wait(f"{CONNECTION} === 'live'")
    assert counter(page, "users") == "5"


def test_a_failing_server_reads_as_reconnecting_and_a_lost_session_as_signed_out(page: Tab, server: HomeServer) -> None:
    connected(page, server)
    server.status = 503
    page.wait(f"{CONNECTION} === 'reconnecting'")
    server.status = 401
    page.wait(f"{CONNECTION} === 'signed-out'")
    server.status = 200
    page.wait(f"{CONNECTION} === 'live'")


def test_nobody_is_asked_while_the_tab_is_hidden(page: Tab, server: HomeServer) -> None:
    page.before_load("Object.defineProperty(document, 'hidden', {get: () => window.away === true, configurable: true})")
    connected(page, server)
    page.run("void (window.away = true, document.dispatchEvent(new Event('visibilitychange')))")
    page.wait(f"{CONNECTION} === 'paused'")
    n_polls = server.n_polls
    page.run("new Promise((resolve) => setTimeout(resolve, 1500))")  # longer than the time between two polls
    assert server.n_polls <= n_polls + 1  # one may have been under way
    page.run("void (window.away = false, document.dispatchEvent(new Event('visibilitychange')))")
    page.wait(f"{CONNECTION} === 'live'")


def test_a_page_opened_in_the_background_waits_until_it_is_looked_at(page: Tab, server: HomeServer) -> None:
    page.before_load("Object.defineProperty(document, 'hidden', {get: () => !window.seen, configurable: true})")
    page.open(server.url + "/")
    assert page.text("#connection") == "Snapshot"
    assert server.n_polls == 0
    page.run("void (window.seen = true, document.dispatchEvent(new Event('visibilitychange')))")
    page.wait(f"{CONNECTION} === 'live'")


def test_a_new_release_brings_its_own_page(page: Tab, server: HomeServer) -> None:
    connected(page, server)
    assert server.live is not None
    page.run("void (window.old = true)")
    server.live.version = "0.2.0"
    page.reloaded()
    page.wait(f"{CONNECTION} === 'live'")
    assert page.run("window.old") is None
    assert "User Whisperer 0.2.0" in page.text("footer")


def test_nothing_leaves_the_machine_and_the_policy_is_kept(page: Tab, server: HomeServer) -> None:
    connected(page, server)
    assert "default-src 'none'" in PAGE_HEADERS["Content-Security-Policy"]
    assert len(page.requests) >= 6
    assert all(url.startswith(server.url + "/") for url in page.requests)
    assert page.complaints == []
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(245, 244, 239)"


def test_without_javascript_everything_can_be_read(page: Tab, server: HomeServer) -> None:
    page.look(script=False)
    page.open(server.url + "/")
    text = page.run(VISIBLE_TEXT)
    for part in (
        "A snapshot of 2026-11-23 04:00:00 UTC",
        "18 429 116",
        "shard-1",
        "segment.analytics",
        "closeAndFlush",
    ):
        assert part in text


def test_an_empty_installation_fills_up_before_the_viewers_eyes(page: Tab, server: HomeServer) -> None:
    full, server.live = server.live, new_installation()
    connected(page, server)
    assert "No events yet." in page.run(VISIBLE_TEXT)
    server.live = full
    page.wait("document.querySelectorAll('.latest tbody tr').length > 5")
    text = page.run(VISIBLE_TEXT)
    assert "No events yet." not in text
    assert "Power users" in text
    assert "62 %" in text


def test_languages_are_tabs_that_keys_can_reach(page: Tab, server: HomeServer) -> None:
    connected(page, server)
    chosen = "document.querySelector('[role=tab][aria-selected=true]').textContent"
    seen = "[...document.querySelectorAll('.snippet')].filter((p) => !p.hidden).map((p) => p.dataset.title)"
    assert page.run(seen) == ["curl"]
    page.run("document.querySelector('[role=tab]').focus()")
    for key, title in (
        ("ArrowRight", "Python"),
        ("End", "JavaScript"),
        ("ArrowRight", "curl"),
        ("ArrowLeft", "JavaScript"),
    ):
        page.run(f"document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}}))")
        assert page.run(chosen) == title
        assert page.run(seen) == [title]


def test_a_click_copies_the_snippet_as_it_stands(page: Tab, server: HomeServer) -> None:
    page.before_load(
        "Object.defineProperty(navigator, 'clipboard', {value: {writeText: async (text) => { window.copied = text; }}})"
    )
    connected(page, server)
    page.run("document.querySelector('#snippet-curl .copy').click()")
    page.wait("document.querySelector('#snippet-curl .copy').textContent === 'Copied'")
    assert page.run("window.copied") == page.run("document.querySelector('#snippet-curl code').textContent")


@pytest.mark.parametrize("language", ["curl", "python"])
def test_the_snippet_sends_an_event_as_it_stands(page: Tab, server: HomeServer, language: str) -> None:
    connected(page, server)
    code = page.run(f"document.querySelector('#snippet-{language} code').textContent")
    command = ["sh", "-c", code] if language == "curl" else [sys.executable, "-c", code]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    ((path, authorization, body),) = server.received
    assert path in ("/v1/track", "/v1/batch")
    assert authorization.startswith("Basic ")
    sent = json.loads(body)
    event = sent["batch"][0] if "batch" in sent else sent
    assert (event["userId"], event["event"]) == ("ada", "Report Exported")
    assert event["properties"] == {"format": "pdf"}


def test_times_are_told_in_the_viewers_zone(page: Tab, server: HomeServer) -> None:
    page.look(zone="Asia/Kolkata")
    connected(page, server)
    title = page.run("document.querySelector('.latest time').title")
    assert re.search(r"9:29:59.(AM|am) GMT\+5:30|09:29:59 GMT\+5:30", title), title


def test_counters_are_spoken_politely(page: Tab, server: HomeServer) -> None:
    connected(page, server)
    assert page.run("document.getElementById('spoken').getAttribute('aria-live')") == "polite"
    assert "18429116 accepted" in page.run("document.getElementById('spoken').textContent")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_it_fits_and_can_be_read(page: Tab, server: HomeServer, width: int, dark: bool, tmp_path: Path) -> None:
    page.look(width=width, dark=dark)
    connected(page, server)
    assert page.run("document.documentElement.scrollWidth") == width
    assert page.run(LOW_CONTRAST) == []
    page.screenshot(tmp_path / "home.png")


def test_a_long_name_does_not_widen_the_page(page: Tab, server: HomeServer) -> None:
    page.look(width=360)
    assert server.live is not None
    long = "x" * 300
    put(server.live.latest[0], name=long, user="u:" + long, tenant=long)
    put(server.live.segments[0], name=long, description=long, tenant=long)
    server.live.tenants[0].name = server.live.shards[0].name = long
    server.live.events_rejected[long] = 1
    server.live.warnings = [long]
    connected(page, server)
    assert page.run("document.documentElement.scrollWidth") == 360


def test_a_stranger_sees_a_calm_page(page: Tab, server: HomeServer) -> None:
    server.live = None
    page.look(width=360, dark=True)
    page.open(server.url + "/")
    assert "User Whisperer is running" in page.text("main")
    assert page.run("document.documentElement.scrollWidth") == 360
    assert page.run(LOW_CONTRAST) == []
    assert not any("/internal/" in url for url in page.requests)


LOW_CONTRAST = """(() => {
  // WCAG 2.2, 1.4.3: 4.5 to 1 for text. Elements with text of their own, against the nearest opaque background.
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const channel = (c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parts(getComputedStyle(e).backgroundColor);
      if (colour.length === 3) return colour;
    }
    return parts(getComputedStyle(document.body).backgroundColor);
  };
  const found = [];
  for (const element of document.body.querySelectorAll('*')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.getClientRects().length) continue;
    const [a, b] = [light(parts(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push(`${element.className || element.tagName}: ${ratio.toFixed(2)}`);
  }
  return found;
})()"""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

import pytest

from serve_apps.gateway.pages import PAGE_HEADERS, LiveView, render_home
from serve_apps.gateway.pages.formats import THIN
from serve_apps.gateway.pages.home import LATEST_SHOWN
from tests.unit.pages.documents import busy, new_installation

URL = "http://127.0.0.1:8000"
HOSTILE = "<img src=x onerror=alert(1)>\"'</script><b>{{7*7}}"


def page(live: LiveView | None) -> str:
    return render_home(live, base_url=URL)


def words(html: str) -> str:
    """What a reader sees of the page, templates left out, with plain spaces."""
    shown = re.sub(r"<template>.*?</template>|<[^>]+>", " ", html, flags=re.S)
    return " ".join(unescape(shown).replace(THIN, " ").split())


class Outline(HTMLParser):
    VOID = frozenset({"meta", "link", "img"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


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
    live["latest"][0].update(name=HOSTILE, user="u:" + HOSTILE, type=HOSTILE, tenant=HOSTILE)
    live["segments"][0].update(name=HOSTILE, description=HOSTILE, tenant=HOSTILE)
    live["tenants"][0]["name"] = HOSTILE
    live["shards"][0].update(name=HOSTILE, state=HOSTILE)
    live["events_rejected"] = {HOSTILE: 1, "b": 2, "c": 3}
    live["warnings"] = [HOSTILE]
    live["demo"] = {"tenant": HOSTILE, "write_key": HOSTILE}
    html = page(live)
    assert [tag for tag, _ in Outline(html).tags] == clean
    assert "<img src=x" not in html
    assert html.count("49") == page(busy()).count("49")  # no template inside a template
    assert "{{7*7}}" in html


def test_only_web_addresses_become_links() -> None:
    live = busy()
    live["dashboard_url"] = "javascript:alert(1)"
    assert "javascript:" not in page(live).lower()
    assert 'href="http://127.0.0.1:8265"' in page(busy())


@pytest.mark.parametrize("live", [busy(), new_installation(), None])
def test_the_page_keeps_its_own_policy(live: LiveView | None) -> None:
    assert PAGE_HEADERS["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    for tag, attributes in Outline(page(live)).tags:
        assert tag != "style"
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        if tag == "script":
            assert attributes["src"] is not None
            assert attributes["src"].startswith("/static/")
        if tag in ("link", "img"):
            assert str(attributes.get("href") or attributes.get("src")).startswith("/static/")


@pytest.mark.parametrize("live", [busy(), new_installation(), None])
def test_the_markup_is_sound(live: LiveView | None) -> None:
    outline = Outline(page(live))
    assert outline.open == []
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in outline.tags:
        assert attributes.get("aria-labelledby") is None or attributes["aria-labelledby"] in ids
    assert [tag for tag, _ in outline.tags].count("main") == 1
    assert [tag for tag, _ in outline.tags].count("h1") == 1


def test_tables_have_a_header_for_each_cell_of_a_row() -> None:
    for table in re.findall(r"<table.*?</table>", page(busy()), flags=re.S):
        rows = re.findall(r"<tr.*?</tr>", table, flags=re.S)
        n_columns = rows[0].count('scope="col"')
        assert n_columns > 1
        assert all(row.count("<td") == n_columns for row in rows[1:])


def test_a_stranger_learns_nothing_but_that_it_runs() -> None:
    html = page(None)
    assert "User Whisperer is running" in html
    assert "whisperer status" in html
    assert "script" not in html
    assert "0.1.0" not in html


def test_the_list_of_latest_events_is_short() -> None:
    live = busy()
    live["latest"] = live["latest"] * 4
    table = re.search(
        r'data-list="latest".*?</table>', re.sub(r"<template>.*?</template>", "", page(live), flags=re.S), re.S
    )
    assert table is not None
    assert table[0].count("<tr") == 1 + LATEST_SHOWN

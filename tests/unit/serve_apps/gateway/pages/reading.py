"""How the tests read a page: as a reader sees it, and as an outline of its tags."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

from serve_apps.gateway.pages.formats import THIN

HOSTILE = "<img src=x onerror=alert(1)>\"'</script><b>{{7*7}}"
HUGE = "y" * 10_000


def words(html: str) -> str:
    """What a reader sees of the page, templates left out, with plain spaces."""
    shown = re.sub(r"<template>.*?</template>|<title>.*?</title>|<[^>]+>", " ", html, flags=re.S)
    text = " ".join(unescape(shown).replace(THIN, " ").split())
    return re.sub(r" ([,.;:])(?= |$)", r"\1", text)  # a tag ended before the mark


class Outline(HTMLParser):
    VOID = frozenset({"meta", "link", "img", "input"})

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

    @property
    def names(self) -> list[str]:
        return [tag for tag, _ in self.tags]

    def links(self) -> list[str]:
        return [str(attributes["href"]) for tag, attributes in self.tags if tag == "a"]


def check_policy(html: str) -> None:
    """Nothing inline, nothing from elsewhere."""
    for tag, attributes in Outline(html).tags:
        assert tag != "style"
        assert "style" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        if tag == "script":
            assert str(attributes["src"]).startswith("/static/")
        if tag in ("link", "img"):
            assert str(attributes.get("href") or attributes.get("src")).startswith("/static/")
        if tag == "iframe":
            assert str(attributes["src"]).startswith(("/sink/", "/templates/"))
            assert attributes["sandbox"] in (None, "")
        if tag == "form":
            assert attributes["action"] in ("/find", "/sink", "/deliveries") or str(attributes["action"]).startswith(
                "/templates/"
            )


def check_markup(html: str) -> None:
    """Closed tags, ids once, labels that exist, one main, one heading of the page, a header for each cell."""
    outline = Outline(html)
    assert outline.open == []
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in outline.tags:
        assert attributes.get("aria-labelledby") is None or attributes["aria-labelledby"] in ids
    assert outline.names.count("main") == 1
    assert outline.names.count("h1") == 1
    for table in re.findall(r"<table.*?</table>", html, flags=re.S):
        rows = re.findall(r"<tr.*?</tr>", table, flags=re.S)
        n_columns = rows[0].count('scope="col"')
        assert n_columns > 1
        assert all(row.count("<td") == n_columns for row in rows[1:])

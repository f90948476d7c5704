"""Prepares an e-mail for reading: it shows what was sent, with nothing in it that acts.

Reading must not count as the user's own action: links lose their targets (they are listed next to the message instead),
and images that would be fetched, including the open pixel, lose their sources. Under :data:`MAIL_HEADERS` no script
runs and the document belongs to no origin. The text stays as it was sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser

MAIL_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'; sandbox"
    ),
    "X-Frame-Options": "SAMEORIGIN",  # the front door would say DENY
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

MOST_LINKS = 100
_ACTING = frozenset({"href", "xlink:href", "ping", "target", "action", "formaction", "srcset", "background"})
_URL = re.compile(r"https?://[^\s<>\"'\u0000-\u0020]{1,4000}")


@dataclass(frozen=True, slots=True)
class Link:
    """``url`` as sent, and ``kind`` and ``target`` of our own signed links; other links' target is the url itself."""

    text: str
    url: str
    kind: str
    target: str


def readable(html: str) -> str:
    """Return the document with every link leading nowhere."""
    tree = LexborHTMLParser(html)
    for element in tree.css("base, link, meta[http-equiv]"):
        element.decompose()
    for element in tree.css("*"):
        attributes = element.attributes
        for name in attributes:
            if name in _ACTING:
                del element.attrs[name]
        if attributes.get("href") and element.tag in ("a", "area"):
            element.attrs["href"] = "#"  # still looks like a link
        if element.tag == "img" and "src" in attributes and not (attributes["src"] or "").startswith("data:"):
            del element.attrs["src"]  # its alternative text stands in for it
    return tree.html or ""


def links(parts: Mapping[str, str], target_of: Callable[[str], tuple[str, str] | None]) -> list[Link]:
    """Return every link a reader could follow, once each, in order."""
    found: dict[str, str] = {}
    if html := parts.get("html"):
        for element in LexborHTMLParser(html).css("a[href], area[href]"):
            found.setdefault(element.attributes.get("href") or "", element.text(strip=True))
    for name, text in parts.items():
        if name != "html":
            for url in _URL.findall(text):
                found.setdefault(url.rstrip(".,;:!?)]}"), "")
    shown = []
    for url, text in list(found.items())[:MOST_LINKS]:
        ours = target_of(url)
        kind, target = ours if ours is not None else ("link", url)
        shown.append(Link(text, url, kind, target))
    return shown


def subject(parts: Mapping[str, str]) -> str:
    """Return what a list shows of a message: its subject or title, else the beginning of its text, without
    addresses."""
    for name in ("subject", "title", "text", "body"):
        if text := " ".join(_URL.sub("", parts.get(name, "")).split()):
            return text if len(text) <= 120 else f"{text[:119]}…"
    return "(no subject)"

"""Check links: where they lead, and what mail programs take out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from whisperer.content.links import opened
from whisperer.content.lint.finding import Finding
from whisperer.content.lint.subject import Element, Subject

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_SCRIPTS = frozenset({"javascript", "vbscript", "data", "file", "blob", "jscript", "livescript"})
_MISSPELT = frozenset({"htp", "htt", "http", "https", "htps", "httpss", "hhttps", "ttps", "ttp"})
_ACTIVE = frozenset({"script", "iframe", "object", "embed", "applet", "form", "video", "audio"})
_SHOWN_CHARS = 80


def links(subject: Subject) -> Iterator[Finding]:
    """Report links that lead nowhere, run scripts, or are not over HTTPS."""
    for element in subject.html.elements if subject.html is not None else ():
        if element.name not in ("a", "area"):
            continue
        if "href" not in element.attributes:
            if "name" not in element.attributes and "id" not in element.attributes:
                yield subject.finding("warning", "empty_link", "a link has no href", "html", element)
            continue
        yield from _link(subject, element, opened(element.attributes["href"]))


def active_content(subject: Subject) -> Iterator[Finding]:
    """Report what mail programs take out: scripts, frames, forms, event handlers."""
    for element in subject.html.elements if subject.html is not None else ():
        if element.name in _ACTIVE:
            message = (
                f"mail programs take <{element.name}> out, and some filters the mail with it; write a link instead"
            )
            yield subject.finding("warning", "active_content", message, "html", element)
        elif handler := next((name for name in element.attributes if name.startswith("on") and len(name) > 3), None):
            message = f"mail programs run no scripts: take {handler[:20]} out"
            yield subject.finding("warning", "active_content", message, "html", element)


def _link(subject: Subject, element: Element, url: str) -> Iterator[Finding]:
    shown = url[:_SHOWN_CHARS]
    if url in ("", "#"):
        message = "a link leads nowhere: write its address"
        yield subject.finding("warning", "empty_link", message, "html", element)
        return
    if url.startswith("#") or _begins_with_liquid(subject, url):
        return
    found = _SCHEME.match(url)
    scheme = found[1].lower() if found else ""
    if scheme in _SCRIPTS:
        message = f"{shown} runs a script or opens a file; it loses its address when it is sent: write an https address"
        yield subject.finding("error", "script_link", message, "html", element)
    elif not scheme:
        message = f"{shown} has no scheme, so it leads nowhere from a mail: begin it with https://"
        yield subject.finding("error", "broken_link", message, "html", element)
    elif scheme in _MISSPELT and (problem := _broken(subject, scheme, url)):
        yield subject.finding("error", "broken_link", f"{shown}: {problem}", "html", element)
    elif scheme == "http":
        message = f"{shown} is not over https: readers are warned, and what they send can be read"
        yield subject.finding("warning", "link_not_https", message, "html", element)


def _broken(subject: Subject, scheme: str, url: str) -> str | None:
    if scheme not in ("http", "https"):
        return f"there is no scheme {scheme}: write https"
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return "this is no address"
    if subject.has_liquid(host):
        return None
    if not host or "%20" in host or ".." in host:
        return "its host is missing or no name"
    return None


def _begins_with_liquid(subject: Subject, url: str) -> bool:
    return any(source.words.match(url) for source in subject.sources.values())

"""The links of a message: found, and replaced by links that tell us of a click.

A click link leads through our own address to where it was meant to go, so it lends our name to its target. Only links
whose host the template's author wrote (in the template, or in the arm's offer) are replaced: a trait is written by the
user, and a tracked link to a host of the user's choosing would be an open redirect. Other links stay as they are. What
no mail program should run (``javascript:`` and the like) loses its address.
"""

from __future__ import annotations

import re
from typing import Any, Protocol
from urllib.parse import urlsplit

from selectolax.lexbor import LexborHTMLParser

from whisperer.content import limits

_HOSTS = re.compile(r"https?://([A-Za-z0-9.-]+)", re.IGNORECASE)
_IN_TEXT = re.compile(r"https?://[^\s<>\"'`{}|\\^\x00-\x20\x7f]+", re.IGNORECASE)
_CLOSERS = {")": "(", "]": "["}
_TRAILING = ".,;:!?*_~…。、，；：！？）」』】»”’؟،"
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):")
_HARMLESS = {"http", "https", "mailto", "tel", "sms"}


class LinkMaker(Protocol):
    """Makes the links of one message."""

    def click(self, url: str) -> str:
        """A link that leads to ``url`` and tells of it; ``url`` itself where none can be made."""

    def open(self) -> str:
        """The address of a picture that tells when it is loaded; "" for none."""

    def unsubscribe(self) -> str:
        """The address that ends messages of this channel and purpose. Its last path segment is what is secret of it."""


class PlainLinks:
    """For previews: links lead straight where they go, nothing tells of anything."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")

    def click(self, url: str) -> str:
        return url

    def open(self) -> str:
        return ""

    def unsubscribe(self) -> str:
        return f"{self._base_url}/m/u/this-is-a-preview"


def hosts_in(source: str) -> frozenset[str]:
    """Hosts of the web addresses that are written out in a text."""
    return frozenset(host.lower().rstrip(".") for host in _HOSTS.findall(source))


class Tracking:
    """Replaces the links of one message: those to ``hosts``, but ``unsubscribe_url``."""

    def __init__(self, links: LinkMaker, hosts: frozenset[str], unsubscribe_url: str) -> None:
        self._links = links
        self._hosts = hosts
        self._unsubscribe_url = unsubscribe_url
        self._made: dict[str, str] = {}

    def replaced(self, url: str) -> str:
        if url not in self._made:
            wanted = len(self._made) < limits.MAX_TRACKED_LINKS and self._tracks(url)
            if not wanted:
                return url
            self._made[url] = self._links.click(url)
        return self._made[url]

    def html(self, html: str) -> str:
        """The whole document, links replaced, a picture at the end of its body that tells when it is loaded."""
        document = LexborHTMLParser(html)
        for node in document.css("a[href], area[href]"):
            attributes: Any = node.attrs
            address = node.attributes.get("href") or ""
            scheme = _SCHEME.match(re.sub(r"[\x00-\x20]", "", address).lower())
            if scheme is not None and scheme[1] not in _HARMLESS:
                del attributes["href"]
            elif scheme is not None and scheme[1] in ("http", "https"):
                attributes["href"] = self.replaced(address.strip())
        written = document.html or ""
        pixel = self._links.open()
        if not pixel:
            return written
        image = f'<img src="{pixel}" width="1" height="1" alt="" style="display:block;border:0">'
        return before_the_end(written, image)

    def text(self, text: str) -> str:
        return _IN_TEXT.sub(lambda match: self._in_text(match[0]), text)

    def _in_text(self, found: str) -> str:
        url = found
        while url:
            last = url[-1]
            if last in _TRAILING or (last in _CLOSERS and url.count(last) > url.count(_CLOSERS[last])):
                url = url[:-1]
            else:
                break
        return self.replaced(url) + found[len(url) :]

    def _tracks(self, url: str) -> bool:
        if self._unsubscribe_url and url.startswith(self._unsubscribe_url):
            return False
        try:
            parts = urlsplit(url)
            host = (parts.hostname or "").rstrip(".")
        except ValueError:
            return False
        return parts.username is None and "\\" not in url and host in self._hosts


def before_the_end(html: str, addition: str) -> str:
    """``addition`` as the last thing in the body."""
    at = max(html.rfind("</body>"), html.rfind("</BODY>"))
    return html + addition if at < 0 else html[:at] + addition + html[at:]

"""Find the links of a message and replace them by links that report a click.

A click link leads through our own address to its target, and so lends the target our name. Only links whose host the
template's author wrote (in the template, or in the arm's offer) are replaced: a trait is written by the user, and a
tracked link to a host of the user's choosing would be an open redirect. Other links stay as they are, including those
into apps (``myapp://``, ``whatsapp:``, ``geo:``). A link that runs a script or opens a file loses its address.

Guarantees: a click leads to exactly the address that a browser would have opened; nothing in a document changes except
addresses, so that comments, conditional ones above all, come out as they were written. Leaves signing to others.

References
----------
WHATWG URL, 4.4 (spaces around an address, and tabs and line breaks inside, are not part of it); CommonMark 0.31, 6.5,
and GitHub Flavored Markdown, 6.9 (where an address in a text ends).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import Protocol
from urllib.parse import quote, urlsplit

from selectolax.lexbor import LexborHTMLParser

from whisperer.content import limits
from whisperer.content.tags import Attribute, Scanned, Tag, scan

_HOSTS = re.compile(r"https?://([A-Za-z0-9.-]+)", re.IGNORECASE)

_OUTSIDE = (
    r'\s<>"\x00-\x20\x7f-\x9f'
    "\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u00ad"  # invisible
)
"""Characters that no address in a text contains, for a pattern."""
_SENTENCE = "\u3001-\u3003\u3008-\u3011\u3014-\u301f\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f\uff3b\uff3d\uff5b-\uff65"
"""Marks such as 。 and 」: in Chinese and Japanese no space separates an address from its sentence."""
_IN_TEXT = re.compile(
    rf"<(?P<marked>https?://[^{_OUTSIDE}]+)>"
    rf"|(?<![A-Za-z0-9=&?/#%@+~$-])(?P<bare>[A-Za-z][A-Za-z0-9+.-]*://[^{_OUTSIDE}{_SENTENCE}]+)",
    re.IGNORECASE,
)
"""Matches an address of any scheme whole: the web address inside ``myapp://open?u=https://…`` is not a link itself."""
_AROUND = "".join(map(chr, range(0x21)))
_CLOSERS = {")": "(", "]": "[", "}": "{"}
_TRAILING = ".,;:!?'*~`|…’”»›؟،؛۔।"

_LITERAL = re.compile(r"""\"[ !#-%'-~]*\"|'[ -%(-~]*'""")
"""A value in quotes that means what it says: printable ASCII without references."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_SCRIPTS = frozenset({"javascript", "jscript", "livescript", "mocha", "vbscript", "vbs"})
_LOCAL = frozenset(
    {"data", "file", "blob", "filesystem", "view-source", "mhtml", "ms-its", "mk", "res", "ms-msdt", "search-ms"}
)
_LEADING = frozenset({"href", "xlink:href", "action", "formaction"})
_LOADING = frozenset({"src", "background", "poster", "data", "lowsrc", "dynsrc"})


class LinkMaker(Protocol):
    """Make the links of one message."""

    def click(self, url: str) -> str:
        """Return a link that leads to ``url`` and reports the click; ``url`` itself if none can be made."""

    def open(self) -> str:
        """Return the address of an image that reports when it is loaded; "" for none."""

    def unsubscribe(self) -> str:
        """Return the address that ends messages of this channel and purpose; its last path segment is the secret."""


class PlainLinks:
    """Make links for previews: they lead straight to their targets, and nothing is reported."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")

    def click(self, url: str) -> str:
        return url

    def open(self) -> str:
        return ""

    def unsubscribe(self) -> str:
        return f"{self._base_url}/m/u/this-is-a-preview"


def hosts_in(source: str) -> frozenset[str]:
    """Return the hosts of the web addresses written out in a text."""
    return frozenset(host.lower().rstrip(".") for host in _HOSTS.findall(source))


def opened(written: str) -> str:
    """Return the address that a browser opens for the text of an ``href``.

    >>> opened(" https://a.example/x\\n  ?y=<1>\\t")
    'https://a.example/x%20%20?y=%3C1%3E'
    """
    url = re.sub(r"[\t\n\r]", "", written.strip(_AROUND))
    return re.sub(rf"[{_OUTSIDE}]", lambda found: quote(found[0], errors="replace"), url)


def is_web(url: str) -> bool:
    """Return whether an address is http or https."""
    return url[:8].lower().startswith(("http://", "https://"))


def in_parentheses(url: str) -> str:
    """Write an address as it follows a link's text in plain text, so that exactly the address is taken for a link.

    >>> in_parentheses("https://a.example/x"), in_parentheses("https://a.example/what?")
    ('(https://a.example/x)', '<https://a.example/what?>')
    """
    found = _IN_TEXT.search(f"({url})")
    exactly = found is not None and found["bare"] is not None and _bare(found) == url
    return f"({url})" if exactly else f"<{url}>"


class Tracking:
    """Replace the links of one message that lead to ``hosts``, except ``unsubscribe_url``."""

    def __init__(self, links: LinkMaker, hosts: frozenset[str], unsubscribe_url: str) -> None:
        self._links = links
        self._hosts = hosts
        self._unsubscribe_url = unsubscribe_url
        self._made: dict[str, str] = {}

    def replaced(self, url: str) -> str:
        """Return the click link for an address, or the address itself if it is not tracked."""
        if url not in self._made:
            wanted = len(self._made) < limits.MAX_TRACKED_LINKS and self._tracks(url)
            if not wanted:
                return url
            self._made[url] = self._links.click(url)
        return self._made[url]

    def html(self, html: str) -> str:
        """Return the document with links replaced and, at the end of its body, an image that reports being loaded."""
        scanned = scan(html)
        changes = [*self._changes(html, scanned)]
        if pixel := self._links.open():
            image = f'<img src="{escape(pixel)}" width="1" height="1" alt="" style="display:block;border:0">'
            at = _end_of_body(scanned)
            changes.append((at, at, image))
        pieces: list[str] = []
        at = 0
        for start, end, instead in sorted(changes, key=lambda change: change[0]):
            pieces += (html[at:start], instead)
            at = end
        return "".join((*pieces, html[at:]))

    def address(self, written: str) -> str:
        """Return the click link for a text that is one address."""
        url = opened(written)
        return self.replaced(url) if is_web(url) else url

    def text(self, text: str) -> str:
        """Return a plain text with links replaced."""
        return _IN_TEXT.sub(self._in_text, text)

    def _changes(self, html: str, scanned: Scanned) -> Iterator[tuple[int, int, str]]:
        """Yield (start, end, replacement) in order."""
        for tag in scanned.tags:
            for attribute in tag.attributes:
                if attribute.name not in _LEADING and attribute.name not in _LOADING:
                    continue
                written = _value(html, attribute)
                url = opened(written)
                scheme = _SCHEME.match(url)
                name = scheme[1].lower() if scheme else ""
                if name in _SCRIPTS or (name in _LOCAL and attribute.name in _LEADING):
                    yield attribute.start, attribute.end, " " if html[attribute.end] not in "\t\n\f\r />" else ""
                elif is_web(url) and _is_link(tag, attribute) and (made := self.replaced(url)) != url:
                    yield attribute.value_start, attribute.end, f'"{escape(made)}"'

    def _in_text(self, match: re.Match[str]) -> str:
        found = match[0]
        url = match["marked"] or _bare(match)
        made = self.replaced(url) if is_web(url) else url
        return found if made == url else found.replace(url, made, 1)

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
    """Insert ``addition`` as the last thing in the body that a reader sees."""
    at = _end_of_body(scan(html))
    return html[:at] + addition + html[at:]


def _end_of_body(found: Scanned) -> int:
    ends = [tag.start for tag in found.tags if tag.is_end and tag.name == "body"]
    return ends[-1] if ends else found.end


def _bare(match: re.Match[str]) -> str:
    """Trim an address that has no marks around it to what a reader takes for it.

    A closing bracket that was opened before it, and the sentence's punctuation, are not part of it.
    """
    url, before = match["bare"], match.string[max(0, match.start() - 1) : match.start()]
    while url:
        last = url[-1]
        opener = _CLOSERS.get(last)
        if (
            last in _TRAILING
            or (opener is not None and url.count(last) > url.count(opener))
            or (last == "_" and before == "_")
        ):
            url = url[:-1]
        else:
            break
    return url


def _is_link(tag: Tag, attribute: Attribute) -> bool:
    return tag.name in ("a", "area") and attribute.name == "href"


def _value(html: str, attribute: Attribute) -> str:
    """Return the attribute's value, with character references resolved as in HTML."""
    written = html[attribute.value_start : attribute.end]
    if _LITERAL.fullmatch(written):  # making a parser costs as much as parsing a mail
        return written[1:-1]
    node = LexborHTMLParser(f"<i x={written or chr(34) * 2}>").css_first("i")
    return (node.attributes.get("x") or "") if node is not None else ""

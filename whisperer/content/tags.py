"""Find the tags of an HTML text and their positions, as a browser's tokenizer does.

This is for changing a few attributes and nothing else. A parser that writes its tree out again closes what the author
left open, drops what it does not expect (a table row inside a conditional comment) and turns ``<![if !mso]>`` into a
comment that no Outlook reads. Guarantees: what a browser takes for text, comment, style or script is never taken for a
tag; time is linear. Leaves to others: which element is inside which, and what a value means.

References
----------
WHATWG HTML, 13.2.5 (tokenization), without scripting, as in mail programs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z][^\t\n\f\r />]*")
_GAP = re.compile(r"[\t\n\f\r /]*")
_ATTRIBUTE = re.compile(
    r"""(=?[^\t\n\f\r />=]*)"""  # an equals sign in front belongs to the name
    r"""(?:[\t\n\f\r ]*=[\t\n\f\r ]*("[^"]*"|'[^']*'|(?!["'])[^\t\n\f\r >]*|))?"""
)
_COMMENT_END = re.compile(r"--!?>")
_TEXT_ONLY = frozenset({"script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes"})
"""Elements that hold no tags except their own end tag."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """Locate one attribute.

    ``start`` to ``end`` is all of it with the spaces in front, ``value_start`` to ``end`` its value with quotes.
    """

    name: str
    start: int
    value_start: int
    end: int


@dataclass(frozen=True, slots=True)
class Tag:
    """Locate one tag; ``attributes`` in order, of which a browser takes the first of a name. An end tag has none."""

    name: str
    is_end: bool
    start: int
    attributes: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class Scanned:
    """Hold the tags of a text.

    ``end``: where a comment, tag or style begins that is never closed and swallows the rest; else the text's end.
    """

    tags: tuple[Tag, ...]
    end: int


def scan(html: str) -> Scanned:
    """Find every tag of a text.

    >>> [tag.name for tag in scan("<p>a <!-- <b> --> <![if !mso]><i x='>'>").tags]
    ['p', 'i']
    >>> scan("<p>a<!-- never closed").end
    4
    """
    found: list[Tag] = []
    at = html.find("<")
    while at >= 0:
        after = _skipped(html, at)
        if after is None:
            tag, after = _tag(html, at)
            if tag is not None:
                found.append(tag)
                if not tag.is_end and tag.name in _TEXT_ONLY and after >= 0:
                    after = _end_of_text(html, tag.name, after)
                elif not tag.is_end and tag.name == "plaintext":
                    break
        if after < 0:
            return Scanned(tuple(found), at)
        at = html.find("<", after)
    return Scanned(tuple(found), len(html))


def _skipped(html: str, at: int) -> int | None:
    """Return where markup that is not a tag ends, -1 if never; None if a tag begins at ``at``."""
    if html.startswith("<!--", at):
        for abrupt in (">", "->"):
            if html.startswith(abrupt, at + 4):
                return at + 4 + len(abrupt)
        closed = _COMMENT_END.search(html, at + 4)
        return closed.end() if closed else -1
    is_end = html.startswith("/", at + 1)
    first = html[at + 1 + is_end : at + 2 + is_end]
    if first.isascii() and first.isalpha():
        return None
    if first and (is_end or first in "!?"):  # a doctype, an instruction, <![if, </ that ends nothing
        closed_at = html.find(">", at + 2)
        return closed_at + 1 if closed_at >= 0 else -1
    return at + 1


def _tag(html: str, start: int) -> tuple[Tag | None, int]:
    """Return the tag at ``start`` and where it ends; (None, -1) if it never does."""
    is_end = html.startswith("/", start + 1)
    name = _NAME.match(html, start + 1 + is_end)
    assert name is not None  # _skipped has checked
    attributes: list[Attribute] = []
    at = name.end()
    while True:
        gap = _GAP.match(html, at)
        inside = gap.end() if gap else at
        if inside >= len(html):
            return None, -1
        if html[inside] == ">":
            return Tag(name[0].lower(), is_end, start, () if is_end else tuple(attributes)), inside + 1
        part = _ATTRIBUTE.match(html, inside)
        if part is None or part.end() >= len(html):
            return None, -1
        value_start = part.start(2) if part[2] is not None else part.end()
        if part[2] == "" and html[part.end()] in "\"'":
            return None, -1  # a quote that is never closed
        attributes.append(Attribute(part[1].lower(), at, value_start, part.end()))
        at = part.end()


def _end_of_text(html: str, name: str, at: int) -> int:
    closing = re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE).search(html, at)
    return closing.start() if closing else -1

"""Make text fit for a channel: put it on one line, normalise its lines, or extract it from HTML.

Control characters never reach a message. A line break in what becomes a header or an SMS turns into a space, whoever
wrote it: a name such as ``Ada\\r\\nBcc: eve@example.com`` stays on its line. From HTML, text that most mail programs do
not show is left out: see :mod:`whisperer.content.visibility`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

from selectolax.lexbor import LexborHTMLParser

from whisperer.content.links import in_parentheses, is_web, opened
from whisperer.content.visibility import SHOWN, Visibility, look_of

_BREAKING = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_BLANKS = re.compile(r"[ \t]+")
_BLOCK, _PARAGRAPH = "\x01", "\x02"  # boundaries; any number in a row counts as one
_BOUNDARIES = re.compile(r"(?: *[\x01\x02])+ *")

_SKIPPED = {"head", "style", "script", "title", "template"}
_BLOCKS = {
    *("address", "article", "aside", "blockquote", "body", "center", "dd", "div", "dl", "dt", "fieldset", "figure"),
    *("footer", "form", "header", "li", "main", "nav", "pre", "section", "tbody", "tr"),
}
_PARAGRAPHS = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "ul", "ol", "table"}
_CELLS = {"td", "th"}


def one_line(text: str) -> str:
    """Replace every run of spaces, line breaks and control characters by one space, and strip the ends.

    >>> one_line(" Ada\\r\\nBcc: eve@example.com\\x00 ")
    'Ada Bcc: eve@example.com'
    """
    return _BREAKING.sub(" ", text).strip(" ")


def lines(text: str) -> str:
    """Turn line breaks into ``\\n`` and remove other control characters except tabs."""
    return _CONTROLS.sub("", _LINE_ENDS.sub("\n", text))


@functools.lru_cache(maxsize=4)
def text_of(html: str) -> str:
    """Return the text that a reader of the HTML sees, with links followed by their addresses.

    >>> text_of('<h1>Hi</h1><p>See <a href="https://a.example/x">the plan</a>.<br>Bye</p>')
    'Hi\\n\\nSee the plan (https://a.example/x).\\nBye'
    """
    root = LexborHTMLParser(html).root
    if root is None:
        return ""
    text = _BLANKS.sub(" ", "".join(_pieces(root)))
    text = _BOUNDARIES.sub(lambda run: "\n\n" if _PARAGRAPH in run[0] else "\n", text)
    return re.sub(r" ?\n ?", "\n", re.sub(r"\n{3,}", "\n\n", text)).strip()


def _pieces(root: Any) -> Iterator[str]:
    """Yield text in reading order, without recursion: a stranger's HTML may be nested as deep as it is long."""
    node: Any = root
    looks: list[Visibility] = [SHOWN]
    while True:
        tag = node.tag
        if tag == "-text":
            if looks[-1].is_read:
                yield _CONTROLS.sub("", re.sub(r"[ \t\r\n\f]+", " ", node.text_content or ""))
        elif tag not in _SKIPPED and not (look := look_of(node.attributes, looks[-1])).is_gone:
            yield _opening(node, tag)
            if node.first_child is not None:
                node = node.first_child
                looks.append(look)
                continue
            yield _closing(node, tag)
        while node.next is None:
            node = node.parent
            if node is None or node.mem_id == root.mem_id:
                return
            looks.pop()
            yield _closing(node, node.tag)
        node = node.next


def _opening(node: Any, tag: str) -> str:
    if tag == "br":
        return "\n"
    if tag == "img":
        return (node.attributes.get("alt") or "").strip()
    if tag == "li":
        return _BLOCK + "- "
    return _PARAGRAPH if tag in _PARAGRAPHS else _BLOCK if tag in _BLOCKS else ""


def _closing(node: Any, tag: str) -> str:
    if tag == "a":
        href = opened(node.attributes.get("href") or "")
        shown = (node.text(deep=True) or "").strip()
        return f" {in_parentheses(href)}" if is_web(href) and href != shown else ""
    return _PARAGRAPH if tag in _PARAGRAPHS else _BLOCK if tag in _BLOCKS else " " if tag in _CELLS else ""

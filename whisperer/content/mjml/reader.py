"""Read a masked MJML document into a tree of elements.

What ``mj-text`` and its like hold is kept as it is written and not looked into. Guarantees: time is linear; the tree is
at most :data:`MAX_DEPTH` deep; reading stops at the first thing that is no MJML, with its place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from whisperer.content.flaws import Flaw
from whisperer.content.masking import Masked
from whisperer.content.mjml.components import components
from whisperer.errors import InputError

MAX_DEPTH = 16
MAX_ELEMENTS = 3_000

_ROOT = re.compile(r"(?:\ufeff|\s|<!--.*?-->|<\?xml[^>]*>|<!doctype[^>]*>)*<mjml(?=[\s/>])", re.DOTALL | re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9:_-]*")
_GAP = re.compile(r"\s*")
_ATTRIBUTE = re.compile(r"""([^\s"'<>/=]+)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s"'<>=`]+))?""")
_SHOWN_CHARS = 40


@dataclass(slots=True)
class Attribute:
    """Hold one attribute: its value without quotes, and where it is."""

    name: str
    value: str
    offset: int


@dataclass(slots=True)
class Element:
    """Hold one element.

    Attributes
    ----------
    children : elements and texts in order; a text here is masked Liquid or a comment
    content : what an element that holds HTML, text or CSS was given, as it is written; None for other elements
    offset, content_offset : of its tag, and of its content, in the masked text
    """

    name: str
    offset: int
    attributes: list[Attribute] = field(default_factory=list)
    children: list[Element | Text] = field(default_factory=list)
    content: str | None = None
    content_offset: int = 0

    def get(self, name: str) -> str | None:
        """Return an attribute's value."""
        return next((one.value for one in self.attributes if one.name == name), None)

    def elements(self) -> list[Element]:
        return [child for child in self.children if isinstance(child, Element)]


@dataclass(slots=True)
class Text:
    """Hold what stands between elements."""

    text: str
    offset: int


class NotMjmlError(InputError):
    """Say that a document cannot be read."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.sentence)
        self.flaw = flaw

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.flaw,)


def is_mjml(source: str) -> bool:
    """Return whether an html part is MJML: whether its first tag is ``<mjml>``.

    >>> is_mjml("<!-- spring -->\\n<mjml>"), is_mjml("<p>about <mjml></p>")
    (True, False)
    """
    return _ROOT.match(source) is not None


def read(document: Masked) -> Element:
    """Return the root element. Raises NotMjmlError."""
    return _Reader(document).read()


class _Reader:
    def __init__(self, document: Masked) -> None:
        self._document = document
        self._text = document.text
        self._n_elements = 0

    def read(self) -> Element:
        text = self._text
        found = _ROOT.match(text)
        at = text.rindex("<", 0, found.end()) if found else 0
        root, at, is_empty = self._tag(at)
        open_now = [] if is_empty else [root]
        while open_now:
            inside = open_now[-1]
            begins = text.find("<", at)
            if begins < 0:
                raise self._flaw(inside.offset, f"<{inside.name}> is never closed")
            self._between(inside, at, begins)
            if text.startswith("<!--", begins):
                ends = text.find("-->", begins + 4)
                if ends < 0:
                    raise self._flaw(begins, "this comment is never closed")
                at = ends + 3
                inside.children.append(Text(text[begins:at], begins))
            elif text.startswith("</", begins):
                at = self._closing(begins, inside)
                open_now.pop()
            else:
                child, at, is_empty = self._tag(begins)
                inside.children.append(child)
                component = components().get(child.name)
                if is_empty:
                    continue
                if component is not None and component.content != "elements":
                    at = self._content(child, at)
                else:
                    open_now.append(child)
                    if len(open_now) > MAX_DEPTH:
                        raise self._flaw(begins, f"elements are nested over {MAX_DEPTH} deep", "too_many")
        rest = re.sub(r"<!--.*?-->", "", text[at:], flags=re.DOTALL).strip()
        if rest:
            raise self._flaw(at, "there is something after </mjml>")
        return root

    def _tag(self, at: int) -> tuple[Element, int, bool]:
        """Return the element that begins at ``at``, where its tag ends, and whether it closes itself."""
        text = self._text
        name = _NAME.match(text, at + 1)
        if name is None:
            raise self._flaw(at, f"{text[at : at + _SHOWN_CHARS]!r} is no element; write &lt; for a <")
        self._n_elements += 1
        if self._n_elements > MAX_ELEMENTS:
            raise self._flaw(at, f"there are over {MAX_ELEMENTS:,} elements", "too_many")
        element = Element(name[0], at)
        here = name.end()
        while True:
            gap = _GAP.match(text, here)
            here = gap.end() if gap else here
            if text.startswith("/>", here):
                return element, here + 2, True
            if text.startswith(">", here):
                return element, here + 1, False
            attribute = _ATTRIBUTE.match(text, here)
            if attribute is None:
                what = "is never closed" if here >= len(text) else f"cannot hold {text[here : here + 20]!r}"
                raise self._flaw(at, f"the tag <{name[0]}> {what}")
            value = attribute[2] or ""
            if value[:1] in ("'", '"'):
                value = value[1:-1]
            element.attributes.append(Attribute(attribute[1], value, here))
            here = attribute.end()

    def _content(self, element: Element, at: int) -> int:
        closing = re.compile(rf"</{re.escape(element.name)}\s*>").search(self._text, at)
        if closing is None:
            raise self._flaw(element.offset, f"<{element.name}> is never closed")
        element.content, element.content_offset = self._text[at : closing.start()], at
        return closing.end()

    def _between(self, inside: Element, start: int, end: int) -> None:
        text = self._text[start:end]
        if not text.strip():
            return
        inside.children.append(Text(text, start))

    def _closing(self, at: int, inside: Element) -> int:
        text = self._text
        name = _NAME.match(text, at + 2)
        end = text.find(">", at)
        if name is None or end < 0:
            raise self._flaw(at, f"{text[at : at + _SHOWN_CHARS]!r} closes nothing")
        if name[0] != inside.name:
            line, _ = self._document.place(inside.offset)
            raise self._flaw(at, f"</{name[0]}> closes nothing: <{inside.name}> of line {line} is still open")
        return end + 1

    def _flaw(self, at: int, message: str, code: str = "syntax_error") -> NotMjmlError:
        return NotMjmlError(Flaw(code, self._document.unmasked(message), *self._document.place(at)))

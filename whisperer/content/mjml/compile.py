"""Compile MJML to HTML, once per version of a template, with its Liquid intact.

Guarantees: what components hold as HTML comes out byte for byte, and Liquid in it, in attributes and around elements is
where its author put it; a language written from right to left is laid out that way; nothing is read or fetched; what
would be lost in compiling is an error, not a silence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mjml import mjml2html

from whisperer.content.flaws import Flaw
from whisperer.content.locales import direction
from whisperer.content.masking import Masked
from whisperer.content.mjml.check import MAX_FLAWS, check
from whisperer.content.mjml.components import TAKES_LIQUID, components
from whisperer.content.mjml.reader import Element, NotMjmlError, Text, read

MAX_COMPILED_CHARS = 256_000

_TO_THE_RIGHT = {
    "mj-text": "align",
    "mj-table": "align",
    "mj-wrapper": "direction",
    "mj-section": "direction",
    "mj-group": "direction",
    "mj-column": "direction",
}
"""Element -> the attribute whose default is for languages written from left to right."""
_VALUES = {"align": "right", "direction": "rtl"}


@dataclass(frozen=True, slots=True)
class Compiled:
    """Hold what became of a document.

    Attributes
    ----------
    html : masked like the source; "" if there are flaws
    styles : CSS that the author wants inlined (``mj-style inline="inline"``), masked
    """

    html: str
    styles: tuple[str, ...]
    flaws: tuple[Flaw, ...]


def compile_mjml(document: Masked, locale: str) -> Compiled:
    """Return the HTML of an MJML document for a message in ``locale``, or everything that is wrong with it."""
    try:
        root = read(document)
    except NotMjmlError as error:
        return Compiled("", (), (error.flaw,))
    if flaws := check(document, root):
        return Compiled("", (), tuple(flaws))
    writer = _Writer(document, locale)
    source = writer.document(root)
    try:
        html = mjml2html(source)
    except ValueError as error:
        return Compiled("", (), (Flaw("syntax_error", f"the compiler refuses it: {error}", 1, 1),))
    lost = writer.lost(html)
    html = writer.restored(html)
    if len(html) > MAX_COMPILED_CHARS:
        message = f"compiled it has {len(html):,} characters; at most {MAX_COMPILED_CHARS:,}"
        lost = [Flaw("too_long", message, 1, 1)]
    return Compiled("" if lost else html, writer.styles, tuple(lost))


class _Writer:
    """Write the structure of a document for the compiler, and put back what it was not shown."""

    def __init__(self, document: Masked, locale: str) -> None:
        self._document = document
        self._locale = locale
        self._prefix = "xq"
        while self._prefix in document.text:
            self._prefix += "q"
        self._held: list[tuple[str, int]] = []
        self._styles: list[str] = []
        self._optional: set[int] = set()
        """What sets defaults, of which no element may make use."""

    @property
    def styles(self) -> tuple[str, ...]:
        return tuple(self._styles)

    def document(self, root: Element) -> str:
        names = {attribute.name for attribute in root.attributes}
        language = "".join(
            f' {name}="{value}"'
            for name, value in (("lang", self._locale), ("dir", direction(self._locale)))
            if name not in names
        )
        head = next((child for child in root.elements() if child.name == "mj-head"), None)
        body = next(child for child in root.elements() if child.name == "mj-body")
        parts = [self._head(head), self._element(body)]
        return f"<mjml{language}{self._attributes(root)}>{''.join(parts)}</mjml>"

    def restored(self, html: str) -> str:
        """Return the HTML with what was held back put in."""
        return self._word.sub(lambda found: self._held[int(found[1])][0], html)

    def lost(self, html: str) -> list[Flaw]:
        """Return a flaw for whatever the compiler left out."""
        there = {int(found[1]) for found in self._word.finditer(html)}
        missing = [offset for n, (_, offset) in enumerate(self._held) if n not in there and n not in self._optional]
        message = "the compiler leaves this out; write it elsewhere, or write a plain value"
        return [Flaw("lost_content", message, *self._document.place(offset)) for offset in missing[:MAX_FLAWS]]

    @property
    def _word(self) -> re.Pattern[str]:
        return re.compile(rf"{self._prefix}(\d+)z")

    def _hold(self, text: str, offset: int) -> str:
        self._held.append((text, offset))
        return f"{self._prefix}{len(self._held) - 1}z"

    def _head(self, head: Element | None) -> str:
        defaults = self._to_the_right(head) if direction(self._locale) == "rtl" else ""
        written = []
        for child in head.elements() if head else []:
            before = len(self._held)
            written.append(self._element(child))
            if child.name in ("mj-attributes", "mj-font"):
                self._optional |= set(range(before, len(self._held)))
        return f"<mj-head>{defaults}{''.join(written)}</mj-head>"

    def _to_the_right(self, head: Element | None) -> str:
        """Return defaults that lay a message out from right to left, except those that its author sets for all."""
        set_for_all = {
            attribute.name
            for defaults in (head.elements() if head else [])
            for one in defaults.elements()
            if one.name == "mj-all"
            for attribute in one.attributes
        }
        turned = [
            f'<{name} {attribute}="{_VALUES[attribute]}" />'
            for name, attribute in _TO_THE_RIGHT.items()
            if attribute not in set_for_all
        ]
        return f"<mj-attributes>{''.join(turned)}</mj-attributes>" if turned else ""

    def _element(self, element: Element) -> str:
        content = components()[element.name].content
        if element.name == "mj-style" and element.get("inline") == "inline":
            self._styles.append(element.content or "")
            return ""
        if content == "elements":
            inside = "".join(self._child(element, child) for child in element.children)
        elif content == "empty" or not (element.content or "").strip():
            inside = ""
        else:
            written = element.content or ""
            inside = self._hold(_titled(written) if element.name == "mj-title" else written, element.content_offset)
        return f"<{element.name}{self._attributes(element)}>{inside}</{element.name}>"

    def _child(self, inside: Element, child: Element | Text) -> str:
        if isinstance(child, Element):
            return self._element(child)
        if inside.name not in TAKES_LIQUID:  # a comment, which goes nowhere
            return ""
        return self._hold(child.text.strip(), child.offset)

    def _attributes(self, element: Element) -> str:
        return "".join(f' {one.name}="{self._value(one.value, one.offset)}"' for one in element.attributes)

    def _value(self, value: str, offset: int) -> str:
        held = self._document.words.sub(lambda found: self._hold(found[0], offset), value)
        return held.replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")


def _titled(text: str) -> str:
    """Return a title so that it can stand in an attribute, too, where the compiler repeats it."""
    return text.replace('"', "&quot;").replace("<", "&lt;").strip()

"""Check an MJML tree against the table of components: everything that the compiler would pass over in silence.

Codes: ``unknown_element``, ``unknown_attribute``, ``repeated_attribute``, ``misplaced_element``, ``invalid_value``,
``misplaced_liquid``, ``stray_text``, ``include_refused``, ``not_supported``, ``missing_element``.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from whisperer.content.flaws import Flaw
from whisperer.content.masking import Masked
from whisperer.content.mjml.components import (
    DEFAULTS,
    EVERYWHERE,
    TAKES_LIQUID,
    Component,
    components,
    every_attribute,
    wanted,
)
from whisperer.content.mjml.reader import Element, Text

MAX_FLAWS = 50
_SHOWN_CHARS = 60
_NOT_SUPPORTED = frozenset({"mj-html-attributes", "mj-selector", "mj-html-attribute"})


def check(document: Masked, root: Element) -> list[Flaw]:
    """Return what is wrong with a document, in its order, at most :data:`MAX_FLAWS`."""
    found: list[Flaw] = []
    for code, message, offset in _Checker(document).of(root, None):
        found.append(Flaw(code, document.unmasked(message), *document.place(offset)))
        if len(found) >= MAX_FLAWS:
            break
    return found


class _Checker:
    def __init__(self, document: Masked) -> None:
        self._document = document

    def of(self, element: Element, parent: Element | None) -> Iterator[tuple[str, str, int]]:
        component = components().get(element.name)
        if component is None:
            yield _unknown(element)
            return
        if parent is not None:
            yield from _misplaced(component, element, parent)
        yield from self._attributes(component, element)
        if parent is None and not any(child.name == "mj-body" for child in element.elements()):
            yield "missing_element", "an MJML document needs an mj-body", element.offset
        seen: set[str] = set()
        for child in element.children:
            if isinstance(child, Text):
                yield from self._text(element, child)
                continue
            if element.name == "mjml" and child.name in seen:
                yield "misplaced_element", f"there is a second {child.name}", child.offset
            seen.add(child.name)
            yield from self.of(child, element)
        if component.content == "empty" and (element.content or "").strip():
            yield "stray_text", f"{element.name} holds nothing", element.content_offset

    def _attributes(self, component: Component, element: Element) -> Iterator[tuple[str, str, int]]:
        known = every_attribute() if component.name in ("mj-all", "mj-class") else component.attributes
        seen: set[str] = set()
        for attribute in element.attributes:
            name = attribute.name
            if self._document.words.search(name):
                message = "Liquid may stand in an attribute's value, not in place of one"
                yield "misplaced_liquid", message, attribute.offset
            elif name not in known and name not in EVERYWHERE and name not in component.attributes:
                near = get_close_matches(name[:_SHOWN_CHARS], [*known], 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                message = f"{component.name} has no attribute {name[:_SHOWN_CHARS]!r}{hint}"
                yield "unknown_attribute", message, attribute.offset
            elif name in seen:
                yield "repeated_attribute", f"{name} is there twice", attribute.offset
            else:
                seen.add(name)
                yield from self._value(component, name, attribute.value, attribute.offset)

    def _value(self, component: Component, name: str, value: str, offset: int) -> Iterator[tuple[str, str, int]]:
        kind = component.attributes.get(name, "string")
        takes = None if self._document.words.search(value) else wanted(kind, value)
        if takes is not None:
            message = f"{name} of {component.name} takes {takes}, not {value[:_SHOWN_CHARS]!r}"
            yield "invalid_value", message, offset

    def _text(self, inside: Element, text: Text) -> Iterator[tuple[str, str, int]]:
        if text.text.startswith("<!--"):
            return
        stray = self._document.words.sub("", text.text).strip()
        if stray:
            at = text.offset + text.text.index(stray[0])
            message = f"{stray[:_SHOWN_CHARS]!r} stands outside of any component; text goes into mj-text"
            yield "stray_text", message, at
        elif inside.name not in TAKES_LIQUID:
            allowed = ", ".join(sorted(TAKES_LIQUID))
            message = f"Liquid cannot stand between the elements of {inside.name}, only of {allowed}"
            yield "misplaced_liquid", message, text.offset


def _unknown(element: Element) -> tuple[str, str, int]:
    name = element.name
    if name == "mj-include":
        message = "mj-include reads files, which templates cannot; write the content here"
        return "include_refused", message, element.offset
    if name in _NOT_SUPPORTED:
        return "not_supported", f"{name} is not supported", element.offset
    near = get_close_matches(name[:_SHOWN_CHARS], components(), 1)
    hint = f"; did you mean {near[0]}?" if near else "; HTML goes into mj-text, mj-table or mj-raw"
    return "unknown_element", f"there is no element {name[:_SHOWN_CHARS]!r} in MJML{hint}", element.offset


def _misplaced(component: Component, element: Element, parent: Element) -> Iterator[tuple[str, str, int]]:
    if parent.name == DEFAULTS:
        if element.children or (element.content or "").strip():
            yield "misplaced_element", f"{element.name} in {DEFAULTS} sets attributes and holds nothing", element.offset
    elif parent.name not in component.parents:
        where = ", ".join(component.parents) or "nothing: it is the root"
        message = f"{element.name} cannot stand in {parent.name}, only in {where}"
        yield "misplaced_element", message, element.offset

"""Write the rules of style sheets into the ``style`` of the elements that they match, as some mail programs ignore
sheets.

Guarantees: nothing in a document changes except ``style`` attributes, so comments, conditional ones above all, come out
as they were written, and sheets stay for what cannot be inlined (media queries, ``:hover``); nothing is fetched; work
is bounded, and a document beyond the bounds stays as it is. ``<style data-css-inline="ignore">`` is left alone.

References
----------
css-inline, by Dmitry Dygalo: rules by specificity, ``!important``, what is inlined already wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

from css_inline import CSSInliner
from selectolax.lexbor import LexborHTMLParser

from whisperer.content.tags import Tag, scan

MAX_ELEMENTS = 3_000
MAX_MATCHING = 2_000_000
"""Selectors times elements."""
MAX_MERGING = 50_000_000
"""Elements times the square of declarations: each that an element gets is compared with those that it has."""
MAX_CHARS = 256_000
"""Of the document with styles inlined."""

_STYLE = re.compile(r"[^>]*>(.*?)</style", re.DOTALL | re.IGNORECASE)
_FOR_ALL = frozenset({"", "all", "screen"})
_BLANK = re.compile(r"[\s;]+")


def with_styles(html: str, styles: tuple[str, ...] | None = None) -> str | None:
    """Return a document with styles inlined: those of its own sheets, or ``styles`` alone if they are given.

    None means that the document, or its style sheets, are too large for it.

    >>> with_styles("<style>p { color: teal }</style><p>Hi")
    '<style>p { color: teal }</style><p style="color: teal;">Hi'
    """
    tags = [tag for tag in scan(html).tags if not tag.is_end]
    css = "\n".join(_sheets(html, tags) if styles is None else styles)
    if "{" not in css:
        return html
    if not _is_bounded(css, len(tags)):
        return None
    inliner = CSSInliner(inline_style_tags=False, load_remote_stylesheets=False, extra_css=css)
    mark = "data-n"
    while mark in html:
        mark += "n"
    marked = _spliced(html, [(_after_name(tag), _after_name(tag), f' {mark}="{n}"') for n, tag in enumerate(tags)])
    try:
        inlined = LexborHTMLParser(inliner.inline(marked))
    except ValueError:
        return None
    wanted: dict[int, str] = {}
    for node in inlined.css(f"[{mark}]"):
        number, style = node.attributes.get(mark) or "", node.attributes.get("style")
        if style and number.isdigit():
            wanted.setdefault(int(number), style)
    text = _spliced(html, [change for n, style in sorted(wanted.items()) if (change := _change(html, tags[n], style))])
    return text if len(text) <= MAX_CHARS else None


def _sheets(html: str, tags: list[Tag]) -> Iterator[str]:
    """Yield the style sheets of a document that are for every reader and not to be left alone."""
    for tag in tags:
        if tag.name == "style" and (found := _STYLE.match(html, tag.start)):
            said = {one.name: html[one.value_start : one.end].strip("\"' ").lower() for one in tag.attributes}
            if said.get("media", "") in _FOR_ALL and said.get("data-css-inline") != "ignore":
                yield found[1]


def _is_bounded(css: str, n_elements: int) -> bool:
    n_declarations = css.count(";") + css.count("{")
    n_selectors = css.count("{") + css.count(",")
    return (
        n_elements <= MAX_ELEMENTS
        and n_elements * n_selectors <= MAX_MATCHING
        and n_elements * n_declarations**2 <= MAX_MERGING
        and ":has(" not in css.lower()
    )


def _after_name(tag: Tag) -> int:
    return tag.start + 1 + len(tag.name)


def _change(html: str, tag: Tag, style: str) -> tuple[int, int, str] | None:
    """Return (start, end, replacement) that gives a tag this style; None if it has it already."""
    written = f'"{escape(style, quote=True)}"'
    held = next((one for one in tag.attributes if one.name == "style"), None)
    if held is None:
        return _after_name(tag), _after_name(tag), f" style={written}"
    before = html[held.value_start : held.end].strip("\"'")
    if _BLANK.sub("", before) == _BLANK.sub("", style) or held.value_start == held.end:
        return None
    return held.value_start, held.end, written


def _spliced(html: str, changes: list[tuple[int, int, str]]) -> str:
    pieces: list[str] = []
    at = 0
    for start, end, instead in changes:
        pieces += (html[at:start], instead)
        at = end
    return "".join((*pieces, html[at:]))

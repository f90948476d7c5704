"""Make of an html part what is rendered: compiled if it is MJML, styles inlined, laid out in its language's direction.

An html part is MJML if its first tag is ``<mjml>``. Done once per version of a template; the same source and locale
always give the same text. Leaves compiling the Liquid to others.
"""

from __future__ import annotations

from dataclasses import dataclass

from whisperer.content.flaws import Flaw
from whisperer.content.inline_styles import with_styles
from whisperer.content.locales import direction
from whisperer.content.masking import masked
from whisperer.content.mjml.compile import compile_mjml
from whisperer.content.mjml.reader import is_mjml
from whisperer.content.tags import scan


@dataclass(frozen=True, slots=True)
class HtmlPart:
    """Hold what became of an html part.

    Attributes
    ----------
    text : what is rendered, "" if there are flaws
    masked : the same with words in the place of Liquid
    is_inlined : false where style sheets are too large
    """

    text: str
    masked: str
    is_mjml: bool
    is_inlined: bool
    flaws: tuple[Flaw, ...] = ()


def html_part(source: str, locale: str) -> HtmlPart:
    """Return what to render of an html part of a message in ``locale``."""
    document = masked(source)
    if is_mjml(source):
        compiled = compile_mjml(document, locale)
        if compiled.flaws:
            return HtmlPart("", "", True, False, compiled.flaws)
        inlined = with_styles(compiled.html, compiled.styles)
        text = compiled.html if inlined is None else inlined
    else:
        inlined = with_styles(document.text)
        text = directed(document.text if inlined is None else inlined, locale)
    return HtmlPart(document.unmasked(text), text, is_mjml(source), inlined is not None)


def directed(html: str, locale: str) -> str:
    """Return a document that says its direction where its language is written from right to left.

    ``dir`` goes to ``html``, or to ``body``, unless they have one; a piece of HTML without either is put into a ``div``
    unless its first element has one.

    >>> directed("<p>שלום", "he"), directed("<p>Hello", "en")
    ('<div dir="rtl"><p>שלום</div>', '<p>Hello')
    """
    if direction(locale) == "ltr":
        return html
    opening = [tag for tag in scan(html).tags if not tag.is_end]
    frames = [tag for tag in opening if tag.name in ("html", "body")]
    if any(attribute.name == "dir" for tag in frames or opening[:1] for attribute in tag.attributes):
        return html
    if frames:
        at = frames[0].start + 1 + len(frames[0].name)
        return f'{html[:at]} dir="rtl"{html[at:]}'
    return f'<div dir="rtl">{html}</div>'

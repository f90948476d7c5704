"""Renders the page behind an unsubscribe link: asks first, and confirms when it is done.

It uses the reader's language as the browser states it. It shows what the messages are, and nothing about who the reader
is, because links are forwarded. Works without JavaScript, under :data:`UNSUBSCRIBE_HEADERS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined

from serve_apps.gateway.pages.static_files import address
from whisperer.content.locales import direction
from whisperer.content.reader_texts import reader_texts, readers_locale
from whisperer.feedback.links import Link

UNSUBSCRIBE_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Vary": "Accept-Language",
}

_MOST_LANGUAGES = 16

_templates = Environment(
    loader=PackageLoader("serve_apps.gateway.pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals.update(static=address)


def render_unsubscribe(link: Link, accept_language: str | None, *, done: bool) -> str:
    """Render the page as HTML; ``done`` after the reader was unsubscribed."""
    locale = readers_locale(_preferred(accept_language or ""))
    return _templates.get_template("unsubscribe.html").render(
        locale=locale,
        dir=direction(locale),
        text=reader_texts()[locale],
        channel=link.channel,
        purpose=link.purpose,
        done=done,
    )


def _preferred(accept_language: str) -> Iterator[str]:
    """Yield the tags of an Accept-Language header, the most wanted first; unintelligible ones are left out."""
    weighted = []
    for part in accept_language[:1_000].split(",")[:_MOST_LANGUAGES]:
        tag, _, weight = part.partition(";")
        try:
            wanted = float(weight.strip().removeprefix("q=")) if weight else 1.0
        except ValueError:
            continue
        if tag.strip() and wanted > 0:
            weighted.append((wanted, tag.strip()))
    yield from (tag for _, tag in sorted(weighted, key=lambda pair: -pair[0]))

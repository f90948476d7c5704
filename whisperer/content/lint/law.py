"""Check what the law asks of marketing mail: a way out, and the sender's postal address."""

from __future__ import annotations

import re
from collections.abc import Iterator

from whisperer.content.lint.finding import Finding
from whisperer.content.lint.subject import Subject
from whisperer.content.plain_text import text_of

ADDRESS_MISSING = "postal_address_missing"
_BRAND_ADDRESS = re.compile(r"\bbrand\s*\.\s*address\b")
_NUMBER = re.compile(r"\d")
_SEPARATED = re.compile(r"[,،、·|]")
_LAST_LINES = 12


def unsubscribe_link(subject: Subject) -> Iterator[Finding]:
    """Report a mail that shows no unsubscribe link of its own; one is added then."""
    if not subject.channel.has_unsubscribe_link or subject.is_rendered:
        return
    for part in ("html", "text"):
        source = subject.sources.get(part)
        if source is not None and not any("unsubscribe_url" in piece for piece in source.pieces):
            message = (
                "it shows no {{ unsubscribe_url }}, so a line with it is added at the end of messages that may be ended"
            )
            yield subject.finding("info", "unsubscribe_link_added", message, part)


def postal_address(subject: Subject) -> Iterator[Finding]:
    """Report a mail in which nothing looks like a postal address."""
    if not subject.channel.has_unsubscribe_link:
        return
    is_unset = subject.brand is not None and not subject.brand.get("address")
    if not is_unset and any(_BRAND_ADDRESS.search(piece) for piece in subject.liquid()):
        return
    text = text_of(subject.html.text) if subject.html is not None else subject.parts.get("text", "")
    stated = (subject.brand or {}).get("address", "")
    if stated and stated in text:
        return
    last = [line for line in text.split("\n") if line.strip()][-_LAST_LINES:]
    if any(_NUMBER.search(line) and _SEPARATED.search(line) and "://" not in line for line in last):
        return
    if subject.html is not None and any(element.name == "address" for element in subject.html.elements):
        return
    message = (
        "no postal address is seen, which marketing mail needs: set the brand's address and write {{ brand.address }}"
    )
    yield subject.finding("warning", ADDRESS_MISSING, message, "html" if subject.html is not None else "text")

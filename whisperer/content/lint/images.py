"""Check pictures: what those who do not see them are told, and whether they load."""

from __future__ import annotations

from collections.abc import Iterator

from whisperer.content.lint.finding import Finding
from whisperer.content.lint.subject import Subject


def images(subject: Subject) -> Iterator[Finding]:
    """Report pictures without ``alt``, without an address, or not over HTTPS."""
    for element in subject.html.elements if subject.html is not None else ():
        if element.name != "img":
            continue
        source = element.attributes.get("src", "").strip()
        shown = source[:60] or "without an address"
        if "alt" not in element.attributes:
            message = f'the picture {shown} has no alt: say what it shows, or write alt="" if it only decorates'
            yield subject.finding("warning", "image_without_alt", message, "html", element)
        if not source:
            yield subject.finding("warning", "image_without_src", "a picture has no src", "html", element)
        elif source.lower().startswith("http://"):
            message = f"the picture {shown} is not over https: mail programs warn of it, or do not load it"
            yield subject.finding("warning", "image_not_https", message, "html", element)
        elif source.lower().startswith("data:"):
            message = (
                "a picture is inside the message (data:); Gmail and Outlook do not show it: write an https address"
            )
            yield subject.finding("warning", "image_inside", message, "html", element)

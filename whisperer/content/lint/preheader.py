"""Check whether an inbox has something to show next to the subject."""

from __future__ import annotations

from collections.abc import Iterator

from whisperer.content.lint.finding import Finding
from whisperer.content.lint.subject import Subject

_SILENT = frozenset({"style", "script", "title"})


def preheader(subject: Subject) -> Iterator[Finding]:
    """Report html that begins with what all see, so that an inbox shows that next to the subject."""
    if subject.html is None or subject.is_rendered:
        return
    for element, _, _, look in subject.html.steps():
        if element.name in _SILENT:
            continue
        if not look.is_gone and look.is_read:
            message = (
                "no preheader: an inbox shows the first words of the mail next to its subject (mj-preview in MJML)"
            )
            yield subject.finding("info", "no_preheader", message, "html")
        return

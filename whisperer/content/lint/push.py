"""Check a push message: whether its settings say something, and whether its platforms carry it.

Only what holds whatever a user is called is an error: a part with Liquid in it may turn out otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator

from whisperer.content.lint.finding import Finding
from whisperer.content.lint.subject import Subject
from whisperer.vocabulary.push import MOST_BYTES, Push, form_problem, tightest


def settings(subject: Subject) -> Iterator[Finding]:
    """Report parts that are not of their form."""
    for part in subject.channel.parts:
        text = subject.parts.get(part.name)
        if not part.form or text is None or _has_liquid(subject, part.name):
            continue
        if problem := form_problem(part.form, part.name, text.strip()):
            yield subject.finding("error", "invalid_part", problem, part.name, 0)


def payload(subject: Subject) -> Iterator[Finding]:
    """Report a message that is over a platform's limit without its values, or near to it."""
    if subject.channel.payload != "push":
        return
    title, body, image, link = (_plain(subject, name) for name in ("title", "body", "image", "link"))
    platform, size = tightest(Push(title, body, image, link))
    most = MOST_BYTES[platform]
    if size > most:
        is_sure = not any("{%" in piece for piece in subject.liquid())  # a tag may leave something out
        message = f"for {platform} it has {size:,} bytes, without its values; at most {most:,}: make it shorter"
        yield subject.finding("error" if is_sure else "warning", "push_too_large", message, "body")


def _has_liquid(subject: Subject, part: str) -> bool:
    source = subject.sources.get(part)
    return source is not None and bool(source.pieces)


def _plain(subject: Subject, part: str) -> str:
    source, text = subject.sources.get(part), subject.parts.get(part, "")
    return source.words.sub("", text) if source is not None else text

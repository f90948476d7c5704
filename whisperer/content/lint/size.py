"""Check how large a message is: what mail programs cut off, and what an SMS costs."""

from __future__ import annotations

from collections.abc import Iterator

from whisperer.content import limits
from whisperer.content.lint.finding import Finding
from whisperer.content.lint.subject import Subject
from whisperer.content.sms_segments import smart_encoded, sms_size

CLIP_BYTES = 102_000
"""Gmail shows this much of a message's html, and a link to the rest."""
NEAR_CLIP_BYTES = 80_000
MANY_SEGMENTS = 3
LONG_SUBJECT_CHARS = 70


def clipped(subject: Subject) -> Iterator[Finding]:
    """Report html that Gmail cuts off; links and values make it longer than the template."""
    if subject.html is None:
        return
    size = len(subject.html.text.encode())
    if size > CLIP_BYTES:
        message = f"the html has {size:,} bytes: Gmail cuts it off at {CLIP_BYTES:,}, with the footer; make it shorter"
        yield subject.finding("warning", "clipped", message, "html")
    elif size > NEAR_CLIP_BYTES:
        message = f"the html has {size:,} bytes; Gmail cuts off what is over {CLIP_BYTES:,}"
        yield subject.finding("info", "nearly_clipped", message, "html")


def too_many_tags(subject: Subject) -> Iterator[Finding]:
    """Report html that no message may have; the other checks of html do not look at it."""
    for part in subject.channel.parts:
        count = subject.parts.get(part.name, "").count("<") if part.syntax == "html" else 0
        if count > limits.MAX_HTML_TAGS:
            message = f"the html has {count:,} tags; a message has at most {limits.MAX_HTML_TAGS:,}"
            yield subject.finding("error", "too_many_tags", message, part.name)


def styles_not_inlined(subject: Subject) -> Iterator[Finding]:
    """Report style sheets that were too large to be written into elements."""
    if subject.html is not None and not subject.html.is_inlined:
        message = "the style sheets, or the document, are too large to be inlined; some mail programs will ignore them"
        yield subject.finding("warning", "styles_not_inlined", message, "html")


def subject_line(subject: Subject) -> Iterator[Finding]:
    """Report a subject that most inboxes cut off."""
    text = subject.parts.get("subject", "")
    if not subject.has_liquid(text) and len(text) > LONG_SUBJECT_CHARS:
        message = f"the subject has {len(text)} characters; many inboxes show about {LONG_SUBJECT_CHARS}"
        yield subject.finding("info", "long_subject", message, "subject")


def segments(subject: Subject) -> Iterator[Finding]:
    """Report what an SMS is billed as, and the characters that make it dearer."""
    if subject.channel.name != "sms" or "text" not in subject.parts:
        return
    text = subject.parts["text"]
    source = subject.sources.get("text")
    plain = source.words.sub("", text) if source is not None else text
    size = sms_size(plain)
    if size.encoding == "UCS-2":
        shown = ", ".join(
            f"{char} (U+{ord(char):04X})" if char.isprintable() else f"U+{ord(char):04X}" for char in size.forcing[:5]
        )
        helps = sms_size(smart_encoded(plain)).encoding == "GSM-7"
        hint = '; set "smart_encoding": true to have them replaced' if helps else ""
        at = next((index for index, char in enumerate(text) if char == size.forcing[0]), None)
        message = f"70 characters a segment, not 160, because of {shown}{' and others' * (len(size.forcing) > 5)}{hint}"
        yield subject.finding("warning" if helps else "info", "sms_ucs2", message, "text", at)
    without = " without its values" if source is not None and source.pieces else ""
    message = f"{size.segments} segment{'s' * (size.segments != 1)} of {size.encoding}{without} ({size.units} units)"
    yield subject.finding("warning" if size.segments > MANY_SEGMENTS else "info", "sms_segments", message, "text")

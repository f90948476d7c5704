"""Take apart the mails in which mail systems report: what became of a message (RFC 3464), who complained (RFC 5965).

Both are ``multipart/report``: a text for people, a part for machines, and the message it is about or its headers. Read
as bytes of any kind, with the oldest and most lenient of the standard library's policies; a bounded number of parts is
looked at. What the part for people says is not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from email.utils import parsedate_to_datetime
from typing import NamedTuple

MAX_PARTS = 64
MAX_HEADER_CHARS = 1_000
_MAX_BOUNDARIES = 500
"""Lines that look like a boundary; beyond that a mail is no report, and the parser is spared."""

DELIVERY_STATUS, FEEDBACK_REPORT = "message/delivery-status", "message/feedback-report"
_RETURNED = (
    "message/rfc822",
    "message/rfc822-headers",
    "text/rfc822-headers",
    "message/global",
    "message/global-headers",
)


class Report(NamedTuple):
    """What a report says: its machine-readable fields, group by group, and the headers of the message it is about."""

    kind: str
    groups: list[Message]
    returned: Message | None

    def about(self, header: str) -> str:
        """Return a header of the message that the report is about, "" if it has none."""
        return "" if self.returned is None else field(self.returned, header)


def read_report(body: bytes) -> Report | None:
    """Return the report that a mail is, None if it is none."""
    if body.count(b"\n--") > _MAX_BOUNDARIES:
        return None
    try:
        mail = BytesParser(policy=compat32).parsebytes(body)
        return _found(mail)
    except (ValueError, LookupError, AttributeError, TypeError, IndexError, RecursionError):
        return None  # the library's parser is lenient, but not with everything


def _found(mail: Message) -> Report | None:
    kind, groups, returned = "", list[Message](), None
    for part in _parts(mail):
        type_of = part.get_content_type()
        if type_of in (DELIVERY_STATUS, "message/global-delivery-status", FEEDBACK_REPORT) and not kind:
            kind = FEEDBACK_REPORT if type_of == FEEDBACK_REPORT else DELIVERY_STATUS
            groups = _groups(part)
        elif type_of in _RETURNED and kind and returned is None:
            returned = _inner(part)
    return Report(kind, groups, returned) if kind and groups else None


def field(of: Message, name: str) -> str:
    """Return a field's text on one line, "" if it is not there or too long to mean anything."""
    value = of.get(name)
    text = " ".join(str(value).split()) if value is not None else ""
    return text if len(text) <= MAX_HEADER_CHARS else ""


def time_of(text: str, now: int) -> int:
    """Return ms UTC of a date as mails write it; ``now`` if it is none."""
    try:
        return min(now, int(parsedate_to_datetime(text).timestamp() * 1000))
    except (ValueError, TypeError, OverflowError, OSError, IndexError):
        return now


def _parts(mail: Message) -> Iterator[Message]:
    """Yield the parts of a mail, and of those within it, but not of the message that is reported on."""
    waiting, n_seen = [mail], 0
    while waiting and n_seen < MAX_PARTS:
        part = waiting.pop(0)
        n_seen += 1
        yield part
        if part.get_content_maintype() == "multipart":
            inside = part.get_payload()
            if isinstance(inside, list):
                waiting[:0] = [one for one in inside[:MAX_PARTS] if isinstance(one, Message)]


def _groups(part: Message) -> list[Message]:
    """Return the groups of fields of a machine-readable part: the library parses them where it knows the type."""
    inside = part.get_payload()
    if isinstance(inside, list):
        return [one for one in inside[:MAX_PARTS] if isinstance(one, Message) and one.keys()]
    decoded = part.get_payload(decode=True)
    parsed = BytesParser(policy=compat32).parsebytes(decoded if isinstance(decoded, bytes) else b"", headersonly=True)
    return [parsed] if parsed.keys() else []


def _inner(part: Message) -> Message | None:
    inside = part.get_payload()
    if isinstance(inside, list):
        first = inside[0] if inside else None
        return first if isinstance(first, Message) else None
    decoded = part.get_payload(decode=True)
    if not isinstance(decoded, bytes):
        return None
    return BytesParser(policy=compat32).parsebytes(decoded.lstrip(b"\r\n"), headersonly=True)

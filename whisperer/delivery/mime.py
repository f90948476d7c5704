"""Build one e-mail: from a dispatch to the bytes that go over the wire.

Guarantees: the bytes are ASCII with CRLF line ends and no line over 998 characters, whatever script the message is in;
no part, header, name or address can add a header or a recipient; the same dispatch, sender and time give the same
bytes, with a Message-ID made from the send key, so that a receiver can recognise a repeated attempt.

Headers are put into their wire form here, not by the standard library: its policies decode an RFC 2047 word that a
subject contains, line break and all, and break a long signed link into words that no mail client can follow.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import format_datetime
from typing import Literal

from whisperer.delivery.addresses import usable_of_kind
from whisperer.delivery.dispatch import Dispatch
from whisperer.delivery.errors import UnsendableError
from whisperer.delivery.senders import from_of, reply_to_of
from whisperer.delivery.text import one_line, whole
from whisperer.ids import SendKey

MAX_LINE = 998
MAX_SUBJECT_CHARS = 998
MAX_HEADERS = 20
MAX_LOCALE_CHARS = 35
MAX_WORD = 76
REFERENCE_HEADER = "X-Whisperer-Reference"
"""The header that a bounce report returns: what callbacks refer to (:attr:`Dispatch.reference`)."""

_ADDED_HEADER = re.compile(r"(?:List-[A-Za-z-]{1,40}|X-[A-Za-z0-9-]{1,60}|Feedback-ID|Auto-Submitted|Precedence)", re.I)
"""Headers that a message may add; we write all others."""
_VERBATIM = re.compile(r"[ -~]+")
_SPECIAL = re.compile(r"[^A-Za-z0-9 !#$%&'*+/=?^_`{|}~-]")
_LOCALE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")
_REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,256}")
_SEND_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")


class _Wire(str):
    """Hold a header value that `EmailMessage` neither parses nor folds: ASCII lines, without the CRLF between them."""

    name: str
    lines: list[str]

    def __new__(cls, name: str, *lines: str) -> _Wire:
        value = super().__new__(cls, " ".join(lines))
        value.name, value.lines = name, list(lines)
        return value

    def fold(self, *, policy: EmailPolicy) -> str:
        folded = f"{policy.linesep} ".join(self.lines)
        return f"{self.name}: {folded}{policy.linesep}"


def build_email(dispatch: Dispatch, sender: str, at: int, reply_to: str = "") -> EmailMessage:
    """Build the e-mail of a dispatch on channel `email`.

    Parameters
    ----------
    sender : ``Ada <ada@example.com>``, checked when the channel was stored; the dispatch may name it otherwise
    at : ms UTC, for the Date header
    reply_to : like ``sender``, or ""; for a dispatch that names none

    Raises
    ------
    UnsendableError : with a sentence for the campaign's author
    """
    parsed = from_of(dispatch, sender)
    recipient = usable_of_kind("email", dispatch.address)
    if parsed is None:
        raise UnsendableError("the channel's sender is no usable address")
    if recipient is None:
        raise UnsendableError("the recipient's address is not usable")
    address = parsed[1]
    message = EmailMessage(policy=SMTP)
    for header in (
        _Wire("From", *_mailbox("From", *parsed)),
        _Wire("To", recipient),
        _Wire("Subject", *_words("Subject", subject_of(dispatch))),
        _Wire("Date", format_datetime(datetime.fromtimestamp(at // 1000, UTC))),
        _Wire("Message-ID", message_id(dispatch.send_key, address)),
    ):
        message[header.name] = header
    if _REFERENCE.fullmatch(dispatch.reference):
        message[REFERENCE_HEADER] = _Wire(REFERENCE_HEADER, dispatch.reference)
    answered_at = reply_to_of(dispatch, reply_to)
    if answered_at is not None:
        message["Reply-To"] = _Wire("Reply-To", *_mailbox("Reply-To", *answered_at))
    for added, value in checked_headers(dispatch.headers).items():
        message[added] = _Wire(added, *value.replace(">, <", ">,\n<").split("\n"))
    text, html = dispatch.parts.get("text", ""), dispatch.parts.get("html", "")
    if not text and not html:
        raise UnsendableError("the e-mail has neither text nor html")
    if text:
        _set(message, text, "plain")
    if text and html:
        _alternative(message, html)
        message.set_boundary("=_" + _digest(dispatch.send_key, text, html))
    elif html:
        _set(message, html, "html")
    if len(dispatch.locale) <= MAX_LOCALE_CHARS and _LOCALE.fullmatch(dispatch.locale):
        message["Content-Language"] = _Wire("Content-Language", dispatch.locale)  # last: setting content clears it
    return message


def message_id(send_key: SendKey, sender_address: str) -> str:
    """Return the Message-ID, ``<snd_…@example.com>``, the same at every attempt."""
    left = send_key if _SEND_KEY.fullmatch(send_key) else _digest(send_key)
    return f"<{left}@{sender_address.rpartition('@')[2]}>"


def subject_of(dispatch: Dispatch) -> str:
    """Return the subject as one line of at most 998 characters."""
    return one_line(dispatch.parts.get("subject", ""))[:MAX_SUBJECT_CHARS]


def checked_headers(headers: dict[str, str]) -> dict[str, str]:
    """Return the headers that a message brings along. Raises UnsendableError if one of them may not be sent."""
    known = {REFERENCE_HEADER.lower()}
    if len(headers) > MAX_HEADERS:
        raise UnsendableError(f"{len(headers)} headers; at most {MAX_HEADERS}")
    for name, value in headers.items():
        if not _ADDED_HEADER.fullmatch(name):
            shown = ascii(name[:40])
            raise UnsendableError(f"a message may not bring the header {shown}; List-* and X-* are allowed")
        if not _VERBATIM.fullmatch(value):
            raise UnsendableError(f"the header {name} holds a line break or something that is not ASCII")
        if max(len(piece) for piece in value.split(">, <")) > MAX_LINE - len(name) - 4:
            raise UnsendableError(f"the header {name} is longer than a line may be")
        if name.lower() in known:
            raise UnsendableError(f"the header {name} comes twice")
        known.add(name.lower())
    return headers


def _set(message: EmailMessage, body: str, subtype: str) -> None:
    message.set_content(whole(body), subtype=subtype, charset="utf-8", cte=_transfer(body))


def _alternative(message: EmailMessage, html: str) -> None:
    message.add_alternative(whole(html), subtype="html", charset="utf-8", cte=_transfer(html))


def _transfer(body: str) -> Literal["base64", "quoted-printable"]:
    """Choose the roughly shorter transfer encoding; never 8bit, so that no server on the way has to re-encode it."""
    n_foreign = sum(1 for char in body if char > "~")
    return "base64" if n_foreign * 4 > len(body) else "quoted-printable"


def _mailbox(header: str, name: str, address: str) -> list[str]:
    name = one_line(name)
    if not name:
        return [address]
    if _is_plain(name) and len(name) <= MAX_WORD:
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return [f'"{escaped}" <{address}>' if _SPECIAL.search(name) else f"{name} <{address}>"]
    return [*_words(header, name), f"<{address}>"]


def _words(header: str, text: str) -> list[str]:
    """Write free text as lines: unchanged if it is short ASCII, else in RFC 2047 words."""
    if _is_plain(text) and len(header) + 2 + len(text) <= MAX_WORD:
        return [text]
    encoded = Header(text, "utf-8", maxlinelen=MAX_WORD, header_name=header).encode(linesep="\n")
    return [line.strip(" ") for line in encoded.split("\n")]


def _is_plain(text: str) -> bool:
    """Return whether a text is ASCII of which nothing can be taken for an encoded word."""
    return text.isascii() and "=?" not in text


def _digest(*parts: str) -> str:
    text = "\x1f".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16, person=b"mime").hexdigest()

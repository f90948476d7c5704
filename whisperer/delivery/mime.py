"""Build one e-mail: from a dispatch to the bytes that go over the wire.

Guarantees: the bytes are ASCII with CRLF line ends and no line over 998 characters, whatever script the message is in;
no part, header, name or address can add a header or a recipient; the same dispatch, sender and time give the same
bytes, with a Message-ID made from the send key, so that a receiver can recognise a repeated attempt.

Headers are put into their wire form here, not by the standard library's: its policies decode an RFC 2047 word that a
subject contains, line break and all, and break a long signed link into words that no mail client can follow. The bytes
are put together here, too, from its encoders: `email.message` parses each header that it is given, and takes 3 ms for a
mail that takes 0.1 ms this way. Its parser reads them in the tests.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from datetime import UTC, datetime
from email.header import Header
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


def build_email(dispatch: Dispatch, sender: str, at: int, reply_to: str = "") -> bytes:
    """Build the e-mail of a dispatch on channel `email`, as it goes over the wire.

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
    head = [
        _header("From", *_mailbox("From", *parsed)),
        _header("To", recipient),
        _header("Subject", *_words("Subject", subject_of(dispatch))),
        _header("Date", format_datetime(datetime.fromtimestamp(at // 1000, UTC))),
        _header("Message-ID", message_id(dispatch.send_key, parsed[1])),
    ]
    if _REFERENCE.fullmatch(dispatch.reference):
        head.append(_header(REFERENCE_HEADER, dispatch.reference))
    answered_at = reply_to_of(dispatch, reply_to)
    if answered_at is not None:
        head.append(_header("Reply-To", *_mailbox("Reply-To", *answered_at)))
    head += [
        _header(added, *value.replace(">, <", ">,\n<").split("\n"))
        for added, value in checked_headers(dispatch.headers).items()
    ]
    if len(dispatch.locale) <= MAX_LOCALE_CHARS and _LOCALE.fullmatch(dispatch.locale):
        head.append(_header("Content-Language", dispatch.locale))
    head.append(_header("MIME-Version", "1.0"))
    return "".join(head).encode("ascii") + _content(dispatch)


def _content(dispatch: Dispatch) -> bytes:
    """Write what the parts are, the empty line, and the parts."""
    text, html = dispatch.parts.get("text", ""), dispatch.parts.get("html", "")
    parts = [_part(body, subtype) for body, subtype in ((text, "plain"), (html, "html")) if body]
    if not parts:
        raise UnsendableError("the e-mail has neither text nor html")
    if len(parts) == 1:
        return parts[0]
    boundary = "=_" + _digest(dispatch.send_key, text, html)  # which neither transfer encoding can bring forth
    fence = f"--{boundary}".encode()
    begun = _header("Content-Type", f'multipart/alternative; boundary="{boundary}"').encode()
    return begun + b"".join(b"\r\n" + fence + b"\r\n" + part for part in parts) + b"\r\n" + fence + b"--\r\n"


def _part(body: str, subtype: str) -> bytes:
    """Write a text with its own headers. Lines of a text end with CRLF in base64, too (RFC 2046, 4.1.1)."""
    data = b"".join(line + b"\r\n" for line in whole(body).encode().splitlines())
    encoding = _transfer(body)
    head = _header("Content-Type", f'text/{subtype}; charset="utf-8"')
    head += _header("Content-Transfer-Encoding", encoding) + "\r\n"
    if encoding == "base64":
        return head.encode() + base64.encodebytes(data).replace(b"\n", b"\r\n")
    return head.encode() + binascii.b2a_qp(data, istext=True)


def _header(name: str, *lines: str) -> str:
    return f"{name}: " + "\r\n ".join(lines) + "\r\n"


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


def _transfer(body: str) -> Literal["base64", "quoted-printable"]:
    """Choose the roughly shorter transfer encoding; never 8bit, so that no server on the way has to re-encode it."""
    n_foreign = 0 if body.isascii() else len(body) - len(body.encode("ascii", "ignore"))
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

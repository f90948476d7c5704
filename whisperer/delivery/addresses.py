"""Decide what is a usable address on a channel, and bring it into the one form in which it is used.

Guarantees: whatever the text, the answer is None or an address that is bounded in length and holds no control
character, no line break and no lone surrogate, so that it cannot end a header, an SMTP command or a log line. A usable
address is returned unchanged when passed again. Leaves whether anybody reads what is sent there to the provider.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import idna

from whisperer.vocabulary.channels import CHANNELS, AddressKind

MAX_EMAIL_CHARS = 254
MAX_LOCAL_CHARS = 64
MAX_DOMAIN_CHARS = 253
MAX_PUSH_CHARS = 4096
MAX_USER_KEY_CHARS = 1024
_LONGEST_TEXT = 8192

# RFC 5321 dot-string. It also allows quoted local parts and domain literals: people do not use them, smugglers do.
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?=[a-z0-9-]*[a-z])[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_PHONE_PUNCTUATION = re.compile(r"[ ().\u00a0\u2011-]")
_UNSEEN = re.compile("[\u00ad\u034f\u061c\u115f\u1160\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
"""Soft hyphens, zero-width spaces, direction marks, byte order marks: they come along when an address is copied."""
_BLANKS = " \t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_AROUND = re.compile(rf"^(?:{_UNSEEN.pattern}|[{_BLANKS}])+|(?:{_UNSEEN.pattern}|[{_BLANKS}])+\Z")
_WIDE_PUNCTUATION = re.compile(rf"{_UNSEEN.pattern}|[{_BLANKS}().\u2010-\u2015\u2212-]")
_PUSH = re.compile(r"[!-~]+")
_FORBIDDEN_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")


def usable_address(channel: str, text: str, *, is_bared: bool = True) -> str | None:
    """Return the address as it is used, or None if `text` is not a usable address on this channel.

    Spaces of every width and invisible characters are stripped around an address, and removed from a phone number.
    Releases before record version 5 stripped only spaces: ``is_bared`` False reads as they did. What they could use
    comes out the same either way, so that hashes of suppressed addresses stay valid; neither strips a line break.

    email: the domain in lower case ASCII (IDNA 2008), the local part as it is; non-ASCII and quoted local parts are not
    usable. sms: E.164 with its plus; spaces, dots, hyphens and parentheses are removed, a national number is not
    usable. push: a token of visible ASCII. webhook: the user key itself.

    Examples
    --------
    >>> usable_address("email", " Ada@Bücher.Example ")
    'Ada@xn--bcher-kva.example'
    >>> usable_address("sms", "\\u202a+49 (151) 234\\u2013567\\u202c")
    '+49151234567'
    >>> usable_address("email", "ada@example.com\\nBcc: all@example.com") is None
    True
    """
    kind = _KINDS.get(channel)
    return None if kind is None else usable_of_kind(kind, text, is_bared=is_bared)


def usable_of_kind(kind: AddressKind, text: str, *, is_bared: bool = True) -> str | None:
    """Return an address of this kind as it is used, or None, like :func:`usable_address`."""
    if len(text) > _LONGEST_TEXT:
        return None
    form = FORMS[kind]
    if is_bared:
        for unwanted in form.bared_of:
            text = unwanted.sub("", text)
    return form.read(text)


def parse_sender(text: str) -> tuple[str, str] | None:
    """Return (display name, address) of ``Ada <ada@example.com>`` or a bare address; None if it is neither.

    >>> parse_sender("Ada <ada@Example.com>")
    ('Ada', 'ada@example.com')
    """
    if not is_clean(text):
        return None
    name, bracket, address = text.strip().removesuffix(">").rpartition("<")
    if bool(bracket) != text.strip().endswith(">"):
        return None
    usable = usable_of_kind("email", address)
    return None if usable is None else (name.strip().strip('"'), usable)


def is_clean(text: str) -> bool:
    """Return whether a text has no control character, no line or paragraph separator and no lone surrogate."""
    return not any(unicodedata.category(char) in _FORBIDDEN_CATEGORIES for char in text)


def ascii_host(name: str) -> str | None:
    """Return a host name in lower case ASCII; None unless it has at least two labels, the last one not a number."""
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            return None
    name = name.lower()
    return name if len(name) <= MAX_DOMAIN_CHARS and _DOMAIN.fullmatch(name) else None


def _email(text: str) -> str | None:
    local, at, domain = text.strip(" ").rpartition("@")
    if not at or len(local) > MAX_LOCAL_CHARS or len(domain) > MAX_DOMAIN_CHARS or not _LOCAL.fullmatch(local):
        return None
    host = ascii_host(domain)
    if host is None or len(local) + 1 + len(host) > MAX_EMAIL_CHARS:
        return None
    return f"{local}@{host}"


def _phone(text: str) -> str | None:
    number = _PHONE_PUNCTUATION.sub("", text.strip(" "))
    return number if _E164.fullmatch(number) else None


def _push_token(text: str) -> str | None:
    token = text.strip(" ")
    return token if len(token) <= MAX_PUSH_CHARS and _PUSH.fullmatch(token) else None


def _user_key(text: str) -> str | None:
    return text if 0 < len(text) <= MAX_USER_KEY_CHARS and is_clean(text) else None


@dataclass(frozen=True, slots=True)
class Form:
    """Say how a kind of address is read, once what is bared of it, in this order, is gone."""

    read: Callable[[str], str | None]
    bared_of: tuple[re.Pattern[str], ...]


FORMS: dict[AddressKind, Form] = {
    "email": Form(_email, (_AROUND,)),
    "phone": Form(_phone, (_AROUND, _WIDE_PUNCTUATION)),
    "push_token": Form(_push_token, (_AROUND,)),
    "user_key": Form(_user_key, ()),
}

_KINDS: dict[str, AddressKind] = {name: channel.address.kind for name, channel in CHANNELS.items()}

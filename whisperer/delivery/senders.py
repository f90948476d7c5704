r"""Decide who an e-mail says it is from, and where answers to it go.

A campaign names both, an arm names them otherwise; what neither names is the channel's. The address that it is from is
always the channel's, since its domain is the one that vouches for the mail.

Guarantees: a name or address for which there is no problem here holds no control character, no line break and no lone
surrogate, so that it cannot end a header, and nothing that turns the letters around it. Both are sent as they are
written: they are no templates.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from whisperer.delivery.addresses import is_clean, parse_sender
from whisperer.delivery.dispatch import Dispatch

MAX_NAME_CHARS = 100
MAX_REPLY_TO_CHARS = 512
"""As of a channel's."""

_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""What sets the direction of the letters that follow. One that nobody ends turns the address next to a name as well."""
_LOGIC = re.compile(r"\{\{|\{%")
_UNSEEN_CATEGORIES = ("Cf", "Mc", "Me", "Mn", "Zs")


class Sender(NamedTuple):
    """Say whom an e-mail names: ``name``, and ``reply_to`` like ``Ada <ada@example.com>``; "" is the channel's own."""

    name: str = ""
    reply_to: str = ""


OF_CHANNEL = Sender()


class Unfit(NamedTuple):
    """Say what is wrong with a name or an address, for the campaign's author."""

    code: str
    message: str


def name_problem(text: str) -> Unfit | None:
    """Return what is wrong with a sender's name, None for one that can be sent.

    >>> name_problem("Ada from Acme, Inc.")
    >>> name_problem("Ada <ada@example.com>").code
    'not_a_name'
    """
    if problem := _text_problem(text):
        return problem
    if parse_sender(text) is not None:
        return Unfit("not_a_name", "write a name alone: the address that a mail is from is the channel's")
    return None


def reply_to_problem(text: str) -> Unfit | None:
    """Return what is wrong with where answers go, None for one address, with or without a name before it.

    >>> reply_to_problem("Support <help@example.com>")
    >>> reply_to_problem("a@example.com, b@example.com").code
    'invalid_address'
    """
    if len(text) > MAX_REPLY_TO_CHARS:
        return Unfit("too_long", f"{len(text)} characters; at most {MAX_REPLY_TO_CHARS}")
    if problem := _control_problem(text):
        return problem
    parsed = parse_sender(text)
    if parsed is None or "<" in parsed[0] or ">" in parsed[0]:
        return Unfit("invalid_address", "write one e-mail address, or a name and an address: Ada <ada@example.com>")
    return _text_problem(parsed[0]) if parsed[0] else None


def from_of(dispatch: Dispatch, sender: str) -> tuple[str, str] | None:
    """Return (name, address) that an e-mail is from; ``sender`` is the channel's. None if that is not usable."""
    own = parse_sender(sender)
    return None if own is None else (dispatch.from_name or own[0], own[1])


def reply_to_of(dispatch: Dispatch, reply_to: str) -> tuple[str, str] | None:
    """Return (name, address) where answers to an e-mail go, or None; ``reply_to`` is the channel's, or ""."""
    return parse_sender(dispatch.reply_to) or parse_sender(reply_to)


def _text_problem(text: str) -> Unfit | None:
    if len(text) > MAX_NAME_CHARS:
        return Unfit("too_long", f"{len(text)} characters; a name has at most {MAX_NAME_CHARS}")
    if problem := _control_problem(text):
        return problem
    if all(unicodedata.category(char) in _UNSEEN_CATEGORIES for char in text):
        return Unfit("empty", "nothing of this name can be seen; write one")
    if _LOGIC.search(text):
        return Unfit("invalid_text", "it is sent as it is written, without variables; take out {{ and {%")
    return None


def _control_problem(text: str) -> Unfit | None:
    if not is_clean(text):
        return Unfit("invalid_text", "it holds a line break or another control character; take it out")
    if _TURNING.search(text):
        return Unfit("invalid_text", "it holds a character that turns the letters after it around; take it out")
    return None

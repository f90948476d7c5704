"""Bring rendered text into a form that every protocol can carry, whatever a user is called."""

from __future__ import annotations

import re

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def whole(text: str) -> str:
    """Replace lone surrogates, which no charset encodes, by question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def plain(text: str) -> str:
    r"""Return a text without lone surrogates and without control characters other than tabs and line ends.

    >>> plain("Ada\x00\nBob")
    'Ada\nBob'
    """
    return _CONTROLS.sub("", whole(text))


def one_line(text: str) -> str:
    r"""Return a text as one line.

    >>> one_line("Hello\r\nBcc: all@example.com")
    'Hello Bcc: all@example.com'
    """
    return _UNPRINTABLE.sub(" ", text).strip()

"""Describe what a provider posts to us, and what is made of it once it is verified.

A provider's module decides from the bytes, the headers and its channel's configuration alone; it opens no connection
and looks at no clock. Whatever the bytes, it returns a value: what was said, or why nothing of it is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from whisperer.feedback.outcome import OutcomeKind
from whisperer.vocabulary.named import Named

MAX_EVENTS = 1_000
"""Events in one callback; SendGrid posts up to this many."""
MAX_AGE_MS = 24 * 3_600_000
"""Providers repeat a callback for about a day; what was signed earlier is stale."""
MAX_AHEAD_MS = 5 * 60_000
MAX_DETAIL_CHARS = 40


class Fate(Named):
    """Name what became of a callback, or of one event in it."""

    TAKEN = "taken"
    IGNORED = "ignored"
    """It says nothing that we act on."""
    UNREFERENCED = "unreferenced"
    """It is about a message that we did not send, or whose reference was lost."""
    REPEATED = "repeated"
    """This very callback was taken before."""
    FORGED = "forged"
    """The signature is missing or wrong."""
    STALE = "stale"
    """It was signed too long ago, or in the future."""
    FOREIGN = "foreign"
    """It is genuine and meant for somebody else: another topic, account, tenant or channel."""
    MALFORMED = "malformed"
    LIMITED = "limited"
    """Too many came at a time."""
    UNAVAILABLE = "unavailable"
    """It could not be journaled, or verified, now."""


REFUSED = (Fate.FORGED, Fate.STALE, Fate.FOREIGN, Fate.MALFORMED)


class Refusal(msgspec.Struct, frozen=True):
    """Say why nothing of a callback is believed. ``fate`` is one of :data:`REFUSED`; ``message`` is ours alone."""

    fate: Fate
    message: str


class Told(msgspec.Struct, frozen=True):
    """Hold what a provider says about one message. ``at`` is ms UTC; ``detail`` a code of the provider's."""

    kind: OutcomeKind
    reference: str
    at: int
    detail: str = ""


class Keyword(Named):
    """Name what a reply asks for."""

    STOP = "stop"
    START = "start"
    HELP = "help"


class Reply(msgspec.Struct, frozen=True):
    """Hold a message that came in: from which address, and whether it asks for something."""

    sender: str
    keyword: Keyword | None
    at: int


class Heard(msgspec.Struct, frozen=True):
    """Hold what one callback says.

    Attributes
    ----------
    n_ignored : events that say nothing we act on
    visit : an address that has to be called to begin a subscription, "" for none
    body, media_type : what the provider expects to be answered
    """

    told: list[Told] = []
    replies: list[Reply] = []
    n_ignored: int = 0
    visit: str = ""
    body: str = ""
    media_type: str = "text/plain"


@dataclass(frozen=True, slots=True)
class Post:
    """What was posted. ``url`` is the whole address that the provider was told, ``now`` ms UTC.

    ``query`` and ``headers`` are decoded; headers by their names in lower case.
    """

    url: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    now: int


@dataclass(frozen=True, slots=True)
class CallbackSpec:
    """Describe how one provider's callbacks are read.

    Attributes
    ----------
    setting : what verification needs from the channel's configuration; without it nothing is believed. "" where the
        secret address alone authenticates
    certificate : finds the address of the certificate that signed a post; None where none is needed
    read : verifies a post and reads it, given the channel's configuration, and the certificate (PEM) if there is one
    """

    name: str
    setting: str
    read: Callable[[Post, Mapping[str, Any], bytes], Heard | Refusal]
    certificate: Callable[[Post, Mapping[str, Any]], str | Refusal] | None = None


def is_stale(at: int, now: int) -> bool:
    """Return whether something was signed too long ago, or in the future."""
    return not now - MAX_AGE_MS <= at <= now + MAX_AHEAD_MS


def moment_of(value: object, unit_ms: int, now: int) -> int:
    """Return ms UTC of a time that a provider gives as a number of units; ``now`` if it is none."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 45:
        return now
    return value * unit_ms


def short(value: object) -> str:
    """Return a provider's code as it may be kept: a few printable ASCII characters, or nothing.

    >>> short("5.1.1"), short(30006), short("no such user ada@example.com"), short(None)
    ('5.1.1', '30006', '', '')
    """
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    plain = text.replace("-", "").replace("_", "").replace(".", "").replace(" ", "")
    return text if len(text) <= MAX_DETAIL_CHARS and plain.isascii() and plain.isalnum() else ""

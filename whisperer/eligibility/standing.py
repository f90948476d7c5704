"""Hold what may be done with one user: consent, suppression, the messages already sent, the experiment's group.

A standing is a value that merges: any order of merges ends in the same standing.
"""

from __future__ import annotations

import msgspec

from whisperer.ids import SendKey, UserKey

RETAIN_SENDS_MS = 62 * 86_400_000
"""The furthest that any cap may look back: two months of 31 days."""

MAX_SENDS = 512


class Consent(msgspec.Struct, array_like=True, frozen=True):
    """Hold the last statement about one channel and purpose. The later one wins; on a tie, a withdrawal does."""

    at: int
    granted: bool
    source: str


class Suppression(msgspec.Struct, array_like=True, frozen=True):
    """Hold a hard stop for one address on one channel. The earliest wins, as it gives the original reason."""

    at: int
    reason: str
    address_hash: bytes


class Sent(msgspec.Struct, array_like=True, frozen=True):
    """Record one message that was sent; ``at`` is ms UTC."""

    at: int
    campaign: str
    channel: str
    send_key: SendKey


class Assignment(msgspec.Struct, array_like=True, frozen=True):
    """Hold the experiment's group, drawn for ``key`` at its first decision and kept.

    ``conflicted``: a merge joined two users of different groups; the user is left out of lift.
    """

    at: int
    key: UserKey
    group: str
    conflicted: bool = False


class Standing(msgspec.Struct, array_like=True):
    """Hold one user's standing.

    ``consent`` is keyed by ``channel/purpose``; ``suppressed`` by channel, in order of address hash; ``sends`` are in
    order of time.
    """

    consent: dict[str, Consent] = {}
    suppressed: dict[str, list[Suppression]] = {}
    sends: list[Sent] = []
    assignment: Assignment | None = None

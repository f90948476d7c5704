"""What may be done with one user: consent, suppression, the messages already sent, the experiment's group.

A value that merges: any order of merges ends in the same standing.
"""

from __future__ import annotations

import msgspec

RETAIN_SENDS_MS = 62 * 86_400_000
"""Longest look back of any cap: a calendar month and its neighbours."""

MAX_SENDS = 512


class Consent(msgspec.Struct, array_like=True, frozen=True):
    """The last statement about one channel and purpose. The later wins; on a tie a withdrawal does."""

    at: int
    granted: bool
    source: str


class Suppression(msgspec.Struct, array_like=True, frozen=True):
    """A hard stop for one address of one channel. The earlier wins: it says why first."""

    at: int
    reason: str
    address_hash: bytes


class Sent(msgspec.Struct, array_like=True, frozen=True):
    """One message that a provider accepted."""

    at: int
    campaign: str
    channel: str
    send_key: str


class Assignment(msgspec.Struct, array_like=True, frozen=True):
    """The experiment's group, drawn for ``key`` at its first decision and kept.

    ``conflicted``: a merge joined two users of different groups; the user is left out of lift.
    """

    at: int
    key: str
    group: str
    conflicted: bool = False


class Standing(msgspec.Struct, array_like=True):
    """``consent`` is keyed ``channel/purpose``; ``suppressed`` by channel, in order of address hash; ``sends`` are in
    order of time.
    """

    consent: dict[str, Consent] = {}
    suppressed: dict[str, list[Suppression]] = {}
    sends: list[Sent] = []
    assignment: Assignment | None = None

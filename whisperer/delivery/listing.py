"""Define what a list of deliveries can be asked, and what it shows: one entry a message, as its latest attempt left it.

A delivery's state is ``accepted``, ``retrying`` (another attempt follows), ``unknown`` (the provider has all of it and
gave no answer), ``bounced``, ``refused`` (never handed to a provider) or ``dead``: a provider would not take it, or
every attempt failed. Rows reach the warehouse, and so this list, a moment after the attempt.
"""

from __future__ import annotations

import msgspec

from whisperer.ids import DecisionId, SendKey, UserKey
from whisperer.vocabulary.named import Named
from whisperer.vocabulary.reasons import Reason

DEAD = (Reason.DELIVERY_EXPIRED, Reason.PROVIDER_REJECTED)
"""Why a message that a provider was given is tried no more."""


class DeliveryState(Named):
    ACCEPTED = "accepted"
    RETRYING = "retrying"
    UNKNOWN = "unknown"
    BOUNCED = "bounced"
    REFUSED = "refused"
    DEAD = "dead"


class DeliveryQuery(msgspec.Struct, array_like=True, frozen=True):
    """Which deliveries: those whose latest attempt is in [since, until), ms UTC, and that have these values."""

    since: int
    until: int
    state: str | None = None
    channel: str | None = None
    campaign: str | None = None
    provider: str | None = None
    send_key: str | None = None
    limit: int = 100
    after: tuple[int, str] | None = None
    """(ms UTC, send key) of the last one of the page before."""
    descends: bool = True


class DeliveryCount(msgspec.Struct, array_like=True):
    """How many of a channel's deliveries are in a state."""

    channel: str
    state: str
    n: int


class DeliveryEntry(msgspec.Struct, array_like=True):
    """One delivery; times in ms UTC, ``reason`` why it ended unsent, else ""."""

    send_key: SendKey
    decision_id: DecisionId
    user_key: UserKey
    campaign: str
    channel: str
    state: str
    reason: str
    provider: str
    provider_id: str
    detail: str
    locale: str
    n_attempts: int
    first_at: int
    at: int

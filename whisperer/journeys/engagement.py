"""What passes between us and one user: the standing, and every candidacy with its decision, send and outcomes.

A *decision* here is one candidacy, from the moment a campaign considered the user until its reward is mature; refused
ones are kept as well, for the user's timeline. In memory are those that are open or immature, and the newest `KEEP`
beyond; the warehouse has them all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from whisperer.eligibility.standing import Standing

KEEP = 16
"""A settled decision costs about 1.7 KB when it was sent, 0.6 KB when it was refused at once."""

PAST_BYTES = 8
KEEP_PAST = 512
"""Ids of settled candidacies remembered beyond KEEP, 4 KB a user at most: two of them agree by chance once in 10^16."""

DECIDING, SENDING = "deciding", "sending"
"""Open: waiting for a choice; waiting for a provider's receipt."""
SENT, NO_SEND, REFUSED = "sent", "no_send", "refused"
"""Closed."""
OPEN = (DECIDING, SENDING)


MOST = 2**62
"""Sums of one user stop here: anybody with a write key can make them grow, and they are stored in 64 bits."""


class OutcomeEntry(msgspec.Struct, array_like=True, frozen=True):
    """``detail``: the address of a clicked link, the name of a goal event; ``value_micros`` of a conversion."""

    at: int
    kind: str
    detail: str = ""
    value_micros: int = 0


class SendState(msgspec.Struct, array_like=True):
    """The one message of a decision. ``next_at`` (ms UTC) is set while it waits for its next attempt, else -1.

    ``unknown``: an attempt was handed over whole and had no answer, and none after it was accepted.
    """

    send_key: str
    channel: str
    attempts: int = 0
    next_at: int = -1
    last_error: str = ""
    provider: str = ""
    provider_id: str = ""
    content_hash: str = ""
    locale: str = ""
    sent_at: int = -1
    unknown: bool = False


class Decision(msgspec.Struct, array_like=True):
    """One candidacy.

    Attributes
    ----------
    trigger : "event", "segment", "schedule" or "request"
    occurrence : what made it unique: a messageId's hash, a segment entry, a scheduled instant, a caller's key
    at : ms UTC when it was considered
    status : deciding, sending, sent, no_send or refused
    reason : of a refusal, else ""
    refused_arms : arm -> why it was not eligible
    group : the experiment's group, "" when refused before one was needed
    event : JSON properties of the triggering event, b"" for none
    choice : msgpack of :class:`whisperer.decisions.decision.Choice`, b"" while there is none
    features : raw, in the order of :data:`whisperer.decisions.context.NAMES`
    mature_at : ms UTC when the attribution window closes; -1 until the choice is made
    early_at : ms UTC of the early look at the reward; -1 when done
    earned_micros : of the goal so far, before cap and costs, within ±MOST
    converted_at : ms UTC of the first conversion, -1 for none
    revision : of the reward, counting up
    matured : the reward is final
    """

    id: str
    campaign: str
    campaign_version: int
    trigger: str
    occurrence: str
    at: int
    status: str
    reason: str = ""
    refused_arms: dict[str, str] = {}
    group: str = ""
    event: bytes = b""
    features: list[float] = []
    arms: list[str] = []
    arm: str = ""
    choice: bytes = b""
    chosen_at: int = -1
    send: SendState | None = None
    outcomes: list[OutcomeEntry] = []
    mature_at: int = -1
    early_at: int = -1
    earned_micros: int = 0
    converted_at: int = -1
    revision: int = 0
    matured: bool = False
    closed_at: int = -1


class Exposure(msgspec.Struct, array_like=True):
    """A user's part in one campaign's experiment, from its first decision on, whatever was decided.

    ``goal_milli``: all that the goal brought since, within ±MOST, in thousandths of its unit (conversions count 1000
    each).
    """

    since: int
    goal_milli: int = 0


class Pinned(msgspec.Struct, array_like=True, frozen=True):
    """A campaign's version that decisions are under, as :func:`whisperer.journeys.campaign.to_json` writes it."""

    campaign: str
    version: int
    definition: str


class Engagement(msgspec.Struct, array_like=True):
    """``decisions`` in the order they were considered."""

    standing: Standing = msgspec.field(default_factory=Standing)
    decisions: list[Decision] = []
    exposures: dict[str, Exposure] = {}
    fired: dict[str, int] = {}
    """Scheduled campaign -> the last instant (ms UTC) for which this user was considered."""
    pinned: list[Pinned] = []
    """Only on the way to another user's home, which may never have seen these versions."""
    past: bytes = b""
    """PAST_BYTES of the id of each candidacy that is in memory no longer, so that none is considered twice."""


def remember(past: bytes, ids: Iterable[str]) -> bytes:
    """``past`` with more ids, the oldest making room beyond KEEP_PAST."""
    return (past + b"".join(map(_short, ids)))[-KEEP_PAST * PAST_BYTES :]


def is_past(past: bytes, decision_id: str) -> bool:
    short = _short(decision_id)
    at = past.find(short)
    while at % PAST_BYTES and at >= 0:  # found across two entries
        at = past.find(short, at + 1)
    return at >= 0


def _short(decision_id: str) -> bytes:
    return hashlib.blake2b(decision_id.encode(), digest_size=PAST_BYTES).digest()


def bounded(amount: int) -> int:
    return max(-MOST, min(amount, MOST))


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Engagement).decode

"""Hold what passes between us and one user: the standing, and every candidacy with its decision, send and outcomes.

A *decision* here is one candidacy, from the moment a campaign considered the user until its reward is mature; refused
ones are kept as well, for the user's timeline. Memory holds those that are open or immature and the newest `KEEP` of
the others; the warehouse has them all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from whisperer.delivery.dispatch import Looked
from whisperer.eligibility.standing import Standing
from whisperer.feedback.outcome import OutcomeKind
from whisperer.ids import DecisionId, SendKey
from whisperer.journeys.inbox import InboxEntry
from whisperer.vocabulary.named import Named

KEEP = 16
"""Settled decisions kept per user. One takes about 1.7 KB if it was sent, 0.6 KB if it was refused at once."""

PAST_BYTES = 8
KEEP_PAST = 512
"""Settled candidacies beyond KEEP whose shortened ids are remembered, at most 4 KB per user. A new id is mistaken for
one of them once in 10^16."""


class DecisionStatus(Named):
    """Name where a decision stands: waiting for a choice, waiting for a provider's receipt, or closed."""

    DECIDING = "deciding"
    SENDING = "sending"
    SENT = "sent"
    NO_SEND = "no_send"
    REFUSED = "refused"


OPEN = (DecisionStatus.DECIDING, DecisionStatus.SENDING)

MOST = 2**62
"""Bound on a user's sums, which are stored in 64 bits: anybody with a write key can make them grow."""


class OutcomeEntry(msgspec.Struct, array_like=True, frozen=True):
    """Record one outcome; ``at`` is ms UTC.

    ``detail``: a clicked link's address, a goal event's name or a provider's code; ``value_micros``: a conversion's
    value in millionths; ``address_hash``: of the address that bounced.
    """

    at: int
    kind: OutcomeKind
    detail: str = ""
    value_micros: int = 0
    address_hash: bytes = b""


class SendState(msgspec.Struct, array_like=True):
    """Track the one message of a decision. ``next_at`` (ms UTC) is set while it waits for its next attempt, else -1.

    ``unknown``: an attempt reached the provider whole but got no answer, and no later one was accepted. ``before``: how
    many of the attempts the schedule does not count: looks for the message, and all that were made before it was last
    brought back from the dead letters; attempts keep their numbers, by which the delivery application knows what it has
    answered. ``provenance``: JSON of where the words of the newest attempt come from, b"" for none; at most 4,096
    bytes. ``looked``: how far the search for it has come; while it is set, the message is looked for and not sent.
    """

    send_key: SendKey
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
    before: int = 0
    provenance: bytes = b""
    looked: Looked | None = None


class Decision(msgspec.Struct, array_like=True):
    """Hold one candidacy.

    Attributes
    ----------
    trigger : "event", "segment", "schedule" or "request"
    occurrence : what makes it unique: a messageId, a segment entry, a scheduled instant, a caller's key
    at : ms UTC when it was considered
    reason : why it was refused, else ""
    refused_arms : arm -> why it was not eligible
    group : the experiment's group, "" when refused before one was needed
    event : JSON properties of the triggering event, b"" for none
    choice : msgpack of :class:`whisperer.decisions.decision.Choice`, b"" while there is none
    features : raw, in the order of :data:`whisperer.decisions.context.NAMES`
    mature_at : ms UTC when the attribution window closes; -1 until the choice is made
    early_at : ms UTC of the early look at the reward; -1 once done
    earned_micros : what the goal brought so far, in millionths, before cap and costs, within ±MOST
    converted_at : ms UTC of the first conversion, -1 for none
    revision : number of the reward's next revision
    matured : the reward is final
    """

    id: DecisionId
    campaign: str
    campaign_version: int
    trigger: str
    occurrence: str
    at: int
    status: DecisionStatus
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
    """Hold a user's part in one campaign's experiment since their first decision (ms UTC), whatever was decided.

    ``goal_milli``: all that the goal brought since, in thousandths of its unit (1000 per conversion), within ±MOST.
    """

    since: int
    goal_milli: int = 0


class Pinned(msgspec.Struct, array_like=True, frozen=True):
    """Carry a campaign version that decisions are under, as :func:`whisperer.journeys.campaign.to_json` writes it."""

    campaign: str
    version: int
    definition: str


class Engagement(msgspec.Struct, array_like=True):
    """Hold everything that passed between us and one user; ``decisions`` in the order they were considered."""

    standing: Standing = msgspec.field(default_factory=Standing)
    decisions: list[Decision] = []
    exposures: dict[str, Exposure] = {}
    fired: dict[str, int] = {}
    """Scheduled campaign -> the last instant (ms UTC) for which this user was considered."""
    pinned: list[Pinned] = []
    """Set only while it travels to another user's home, which may never have seen these versions."""
    past: bytes = b""
    """PAST_BYTES of a hash of each candidacy's id that left memory, so that none is considered twice."""
    inbox: list[InboxEntry] = []
    """In-app messages, oldest first."""


def remember(past: bytes, ids: Iterable[DecisionId]) -> bytes:
    """Return ``past`` with ``ids`` added; beyond KEEP_PAST the oldest are dropped."""
    return (past + b"".join(map(_short, ids)))[-KEEP_PAST * PAST_BYTES :]


def is_past(past: bytes, decision_id: DecisionId) -> bool:
    """Return whether an id is among those that :func:`remember` put in ``past``."""
    short = _short(decision_id)
    at = past.find(short)
    while at % PAST_BYTES and at >= 0:  # found across two entries
        at = past.find(short, at + 1)
    return at >= 0


def _short(decision_id: DecisionId) -> bytes:
    return hashlib.blake2b(decision_id.encode(), digest_size=PAST_BYTES).digest()


def bounded(amount: int) -> int:
    """Return ``amount``, limited to ±MOST."""
    return max(-MOST, min(amount, MOST))


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Engagement).decode

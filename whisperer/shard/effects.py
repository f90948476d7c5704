"""Name what a shard wants done: intents with deterministic ids, carried out once their record is durable.

Nothing here is executed during recovery; what must survive a crash (letters) is kept until it is confirmed,
and sent again.
"""

from __future__ import annotations

from dataclasses import dataclass

from whisperer.decisions.decision import Candidate
from whisperer.shard.records import Letter


@dataclass(frozen=True, slots=True)
class SendLetter:
    """Deliver a letter to the shard where its target partition lives, after the letters before it."""

    letter: Letter


@dataclass(frozen=True, slots=True)
class SegmentChanged:
    """Report that a user entered or left a segment. The id is (tenant, user, segment, version, at, entered)."""

    tenant: str
    user: str
    segment: str
    version: int
    entered: bool
    at: int


@dataclass(frozen=True, slots=True)
class UserErased:
    """Rewrite the warehouse without this key."""

    tenant: str
    key: str


@dataclass(frozen=True, slots=True)
class Decide:
    """Ask the decisions application; the answer comes back as a DecisionsMade record."""

    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Deliver:
    """Render and dispatch a decision's message; the receipt comes back as a Receipts record."""

    tenant: str
    decision_id: str
    channel: str


@dataclass(frozen=True, slots=True)
class Settled:
    """Report that a decision has its choice or was refused, so that a caller who asked for it can be answered."""

    tenant: str
    decision_id: str


Effect = SendLetter | SegmentChanged | UserErased | Decide | Deliver | Settled

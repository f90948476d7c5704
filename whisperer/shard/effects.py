"""Name what a shard wants done: intents with deterministic ids, carried out once their record is durable.

Nothing here is executed during recovery; what must survive a crash (letters) is kept until it is confirmed,
and sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from whisperer.decisions.decision import Candidate
from whisperer.ids import DecisionId, TenantId, UserKey
from whisperer.shard.records import Letter


@dataclass(frozen=True, slots=True)
class _Caused:
    """Carry the journal position of the record that asked for it; -1 until :func:`caused` has run."""

    cause: int = field(default=-1, init=False, compare=False)


@dataclass(frozen=True, slots=True)
class SendLetter(_Caused):
    """Deliver a letter to the shard where its target partition lives, after the letters before it."""

    letter: Letter


@dataclass(frozen=True, slots=True)
class SegmentChanged(_Caused):
    """Report that a user entered or left a segment. The id is (tenant, user, segment, version, at, entered)."""

    tenant: TenantId
    user: UserKey
    segment: str
    version: int
    entered: bool
    at: int


@dataclass(frozen=True, slots=True)
class UserErased(_Caused):
    """Rewrite the warehouse without this key."""

    tenant: TenantId
    key: UserKey


@dataclass(frozen=True, slots=True)
class Decide(_Caused):
    """Ask the decisions application; the answer comes back as a DecisionsMade record."""

    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Deliver(_Caused):
    """Render and dispatch a decision's message; the receipt comes back as a Receipts record."""

    tenant: TenantId
    decision_id: DecisionId
    channel: str


@dataclass(frozen=True, slots=True)
class Settled(_Caused):
    """Report that a decision has its choice or was refused, so that a caller who asked for it can be answered."""

    tenant: TenantId
    decision_id: DecisionId


Effect = SendLetter | SegmentChanged | UserErased | Decide | Deliver | Settled


def caused(position: int, effects: Iterable[Effect]) -> Iterator[Effect]:
    """Yield the effects of a record with its journal position as their cause."""
    for effect in effects:
        object.__setattr__(effect, "cause", position)
        yield effect

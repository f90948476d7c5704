"""Define what follows a decision: outcomes as they arrive, and the reward that the decision earned."""

from __future__ import annotations

import math

import msgspec

from whisperer.ids import DecisionId
from whisperer.vocabulary.named import Named


class OutcomeKind(Named):
    """Name what a user or a provider did about a message.

    A reward follows from CONVERTED and UNSUBSCRIBED alone; contact features look at OPENED and CLICKED.
    """

    OPENED = "opened"
    CLICKED = "clicked"
    CONVERTED = "converted"
    UNSUBSCRIBED = "unsubscribed"
    COMPLAINED = "complained"
    """The reader called it spam: the address is suppressed."""
    BOUNCED = "bounced"
    """The address does not exist: it is suppressed."""
    DELIVERED = "delivered"
    SOFT_BOUNCED = "soft_bounced"
    """The mailbox did not take this message; several within days suppress the address."""
    FAILED = "failed"
    """The provider gave up, for a reason that says nothing about the address."""
    REPLIED = "replied"
    AUTO_OPENED = "auto_opened"
    """A program fetched the picture, not the reader."""
    AUTO_CLICKED = "auto_clicked"
    """A program followed the link, not the reader."""


OUTCOMES = tuple(OutcomeKind)


class Reward(msgspec.Struct, array_like=True, frozen=True):
    """Report one decision's reward as known so far, for the learner.

    ``number`` counts up without gaps within one tenant of one shard: the learner's offset. ``revision`` counts up per
    decision; the last one is ``mature`` and final, whatever arrives later.

    Attributes
    ----------
    features : raw values as logged with the candidate
    reward_micros : int, millionths of the unit of the campaign's goal
    at : ms UTC when this revision became known
    score : the value model's score of the arm, as logged with the choice; NaN if there was none
    policy_version : as logged with the choice
    user : 64-bit hash of the user's key, within the tenant
    unsubscribed : whether the user unsubscribed by this decision's message
    decided_at : ms UTC when the candidate was considered
    """

    number: int
    decision_id: DecisionId
    campaign: str
    campaign_version: int
    group: str
    arms: list[str]
    arm: str
    propensity: float
    features: list[float]
    reward_micros: int
    revision: int
    mature: bool
    at: int
    score: float = math.nan
    policy_version: str = ""
    user: int = 0
    unsubscribed: bool = False
    decided_at: int = 0

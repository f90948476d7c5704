"""Define how a shard shows a decision: what was known, what was decided, what followed.

Times are ms UTC, None where there is none. A field that is added gets a default: a shard of the release before does not
have it (:mod:`actors.calls.plain`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from whisperer.content.generation.record import GenerationRecord
from whisperer.ids import DecisionId, SendKey, UserKey

UNKNOWN = "unknown"
"""The status of a decision that does not exist, for a caller who asked about a user the shard does not have."""


class SendView(msgspec.Struct, kw_only=True):
    """Show a decision's message, as :class:`whisperer.journeys.engagement.SendState`.

    ``quality``: the message's score by the rubric; ``generation``: what a model had to do with its words.
    """

    send_key: SendKey
    channel: str
    attempts: int
    next_at: int | None
    last_error: str | None
    provider: str | None
    provider_id: str | None
    content_hash: str | None
    locale: str | None
    sent_at: int | None
    unknown: bool
    quality: float | None = None
    generation: GenerationRecord | None = None


class OutcomeView(msgspec.Struct):
    """Show one outcome, as :class:`whisperer.journeys.engagement.OutcomeEntry`."""

    at: int
    kind: str
    detail: str | None
    value_micros: int


class DecisionView(msgspec.Struct, kw_only=True):
    """Show everything about one decision.

    Attributes
    ----------
    refused_arms : arm -> why it was not eligible
    features : raw values as the choice saw them, None where absent
    propensities, means, spreads, scores, shadow : by arm, in the order of ``arms``; as in
        :class:`whisperer.decisions.decision.Choice`
    template, offer : of the arm chosen; ``template`` is name@version, ``offer`` the caller's JSON
    mature_at : when the attribution window closes
    matured : whether the reward is final
    reward : in the goal's unit

    The warehouse, from which a view is made as well, does not have ``template``, ``offer`` and ``mature_at``.
    """

    id: DecisionId
    user_key: UserKey
    user_id: str | None
    campaign: str
    campaign_version: int
    trigger: str
    occurrence: str | None
    at: int
    status: str
    reason: str | None
    refused_arms: dict[str, str]
    group: str | None
    features: dict[str, float | None]
    arms: list[str]
    arm: str | None
    chosen_at: int | None
    propensity: float | None
    propensities: list[float]
    means: list[float]
    spreads: list[float]
    seed: int | None
    policy_version: str | None
    scores: list[float | None]
    shadow: list[float | None]
    shadow_version: str | None
    template: str | msgspec.UnsetType | None = msgspec.UNSET
    offer: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET
    send: SendView | None
    outcomes: list[OutcomeView]
    mature_at: int | msgspec.UnsetType | None = msgspec.UNSET
    matured: bool
    reward_micros: int | None
    reward: float | None


class DecisionBrief(msgspec.Struct, kw_only=True):
    """Show what a caller acts on, as in :class:`DecisionView`; of an :data:`UNKNOWN` one, only the id counts."""

    id: DecisionId
    campaign: str = ""
    campaign_version: int = 0
    occurrence: str = ""
    at: int = -1
    status: str
    reason: str | None = None
    refused_arms: dict[str, str] = {}
    group: str | None = None
    arm: str | None = None
    propensity: float | None = None
    policy_version: str | None = None


class LatestDecision(msgspec.Struct):
    """Show a recent decision. ``arm`` and ``propensity`` are None while nothing is chosen, and if it never was."""

    decision_id: DecisionId
    user: str
    """User key."""
    campaign: str
    arm: str | None
    propensity: float | None
    group: str | None
    status: str
    reason: str | None
    at: int

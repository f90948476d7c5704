"""Defines the shapes of what the pages show besides the live document: messages, users, decisions, campaigns.

Plain JSON values, filled by whoever implements :class:`~serve_apps.gateway.pages.source.PageSource`. A time is int ms
UTC or ISO 8601, whichever the document already had; unknown ones are None or -1.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

import msgspec

from serve_apps.gateway.services.lift_days import DayDocument
from serve_apps.gateway.services.report import Report

Time = int | str | None


class SinkMessage(TypedDict):
    """One message as the sink received it. ``parts`` is keyed by the names of
    :data:`whisperer.content.message.PARTS`."""

    serial: int
    send_key: str
    decision_id: str
    channel: str
    user_id: str
    user_key: NotRequired[str]
    address: str
    campaign: str
    locale: str
    parts: dict[str, str]
    headers: dict[str, str]
    content_hash: NotRequired[str]
    received_at: Time
    n_received: int  # how often this send key was presented; still one message


class SinkCounts(TypedDict):
    """Counts of a tenant's sink, trimmed messages included."""

    by_channel: dict[str, int]
    total: int
    n_repeats: int
    doubled: int


class SinkPage(TypedDict):
    """One page of the sink's messages, with what the filters offer."""

    messages: list[SinkMessage]  # newest first
    next_before: int | None  # serial with which to ask for older ones; None at the end
    counts: SinkCounts
    campaigns: list[str]  # to choose from


class SendView(TypedDict):
    """A send, as :class:`whisperer.journeys.engagement.SendState`."""

    send_key: str
    channel: str
    attempts: int
    next_at: Time
    last_error: str
    provider: str
    provider_id: str
    content_hash: str
    locale: str
    sent_at: Time
    unknown: bool


class OutcomeView(TypedDict):
    at: Time
    kind: str
    detail: str
    value_micros: int


class DecisionView(TypedDict):
    """One candidacy with everything known about it, as :class:`whisperer.journeys.engagement.Decision` and its choice.

    :func:`serve_apps.gateway.pages.record.record` fills in what a source leaves out or has as None.
    """

    id: str
    user_key: str
    user_id: NotRequired[str | None]  # None once the user was erased
    campaign: str
    campaign_version: int
    trigger: str
    occurrence: str
    at: Time
    status: str
    reason: str
    refused_arms: dict[str, str]
    group: str
    features: dict[str, float | None]
    arm: str
    propensity: float | None
    arms: list[str]
    propensities: list[float]
    means: list[float]
    spreads: list[float]
    seed: int | None
    policy_version: str
    chosen_at: Time
    send: SendView | None
    outcomes: list[OutcomeView]
    reward_micros: int
    matured: bool
    event: NotRequired[Any]  # properties of the triggering event
    mature_at: NotRequired[Time]  # when the attribution window closes
    template: NotRequired[str]  # name@version
    offer: NotRequired[Any]


class ConsentView(TypedDict):
    channel: str
    purpose: str
    granted: bool
    at: Time
    source: str


class SuppressionView(TypedDict):
    channel: str
    at: Time
    reason: str


class GroupView(TypedDict):
    group: str
    at: Time
    conflicted: bool


class SentView(TypedDict):
    at: Time
    campaign: str
    channel: str
    send_key: str


class CapView(TypedDict):
    """How much of one cap a user has used. ``rule`` is in words: "3 in 7 days, this campaign"."""

    campaign: str
    rule: str
    most: int
    used: int


class ScoresView(TypedDict):
    churn: float | None
    engagement: float | None
    model: str | None
    at: Time  # of the newest change on the user's shard


class UserView(TypedDict):
    """`GET /v1/users/{id}`, and our contacts with the user."""

    user_id: str | None
    anonymous_ids: list[str]
    previous_ids: list[str]
    traits: dict[str, Any]
    traits_held: NotRequired[dict[str, int]]  # names, bytes, most_names, most_bytes
    features: dict[str, float | None]
    event_counts: dict[str, int]
    segments: Any
    timeline: list[dict[str, Any]]  # newest first
    first_seen: Time
    last_seen: Time
    time_zone: str | None
    locale: str | None
    candidacies: list[DecisionView]  # newest first
    consent: list[ConsentView]
    suppressed: list[SuppressionView]
    group: GroupView | None
    sends: list[SentView]
    caps: NotRequired[list[CapView]]
    scores: NotRequired[ScoresView | None]  # None: not swept yet


class CampaignPage(Report, kw_only=True):
    """A campaign's report, its lift by day, oldest first, and the newest simulation.

    ``simulation`` is as `GET /v1/campaigns/{name}/simulations/{id}`.
    """

    days: list[DayDocument] = msgspec.field(default_factory=list)
    simulation: dict[str, Any] | None = None


class Tenants(TypedDict):
    names: list[str]
    demo: str | None  # shown unless another one is asked for

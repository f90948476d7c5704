"""Users, their decisions and inboxes."""

from __future__ import annotations

from typing import Any

import msgspec


class Send(msgspec.Struct):
    send_key: str
    channel: str
    attempts: int
    sent_at: str | None


class Outcome(msgspec.Struct):
    at: str | None
    kind: str
    detail: str | None


class Audit(msgspec.Struct, kw_only=True):
    id: str
    user_key: str
    campaign: str
    campaign_version: int
    trigger: str
    occurrence: str | None
    at: str | None
    status: str
    reason: str | None
    reason_text: str | None
    refused_arms: dict[str, str]
    group: str | None
    features: dict[str, int | float | None]
    arm: str | None
    arms: list[str]
    propensities: list[float]
    means: list[float]
    spreads: list[float]
    send: Send | None
    outcomes: list[Outcome]
    matured: bool
    reward: float | None = None


class Candidacy(msgspec.Struct):
    id: str
    campaign: str
    arm: str | None
    at: str | None
    status: str
    reason: str | None


class Entry(msgspec.Struct):
    type: str
    timestamp: str | None = None
    event: str | None = None


class UserToken(msgspec.Struct):
    user_id: str
    token: str
    expires_at: str


class InboxMessage(msgspec.Struct):
    id: str
    campaign: str
    kind: str
    title: str
    state: str
    sent_at: str | None


class Inbox(msgspec.Struct):
    data: list[InboxMessage]
    unread: int


class Profile(msgspec.Struct):
    """``traits`` are the client's JSON."""

    user_id: str | None
    first_seen: str | None
    last_seen: str | None
    segments: list[str]
    traits: dict[str, Any]
    features: dict[str, int | float | None]
    timeline: list[Entry]
    candidacies: list[Candidacy]

"""Channels, their provider accounts and deliveries."""

from __future__ import annotations

from typing import Any

import msgspec


class Delivery(msgspec.Struct):
    """One entry of the list of deliveries."""

    decision_id: str
    user_key: str
    user_id: str | None
    campaign: str
    channel: str
    status: str
    reason_text: str | None
    detail: str | None
    attempts: int
    at: str | None


class ChannelAccount(msgspec.Struct):
    name: str
    provider: str
    config: dict[str, Any]
    weight: int
    rates: dict[str, Any] | None = None
    warm_up: dict[str, Any] | None = None
    callback_url: str | None = None


class Channel(msgspec.Struct):
    """``config`` is the provider's, without secrets; ``callback_url`` is where the provider posts what became of
    messages."""

    channel: str
    provider: str
    config: dict[str, Any]
    callback_url: str | None = None
    name: str = ""
    weight: int = 1
    rates: dict[str, Any] | None = None
    warm_up: dict[str, Any] | None = None
    failover: list[ChannelAccount] = []


class WarmUpState(msgspec.Struct):
    """``given`` of the ``limit`` messages of day ``day``."""

    day: int
    days: int
    limit: int
    given: int


class AccountState(msgspec.Struct):
    """How one provider account does; docs/delivery.md says what the figures mean."""

    account: str
    provider: str
    weight: int
    breaker: str
    left_alone_s: float
    times_opened: int
    under_way: int
    receipts: dict[str, int]
    held: dict[str, int]
    last_trouble: str
    breaker_since: str | None = None
    per_second: float | None = None
    per_second_lately: float = 0.0
    warm_up: WarmUpState | None = None
    taken_over: int = 0
    searches: dict[str, int] = {}


class ChannelCounts(msgspec.Struct):
    days: int
    by_status: dict[str, int]


class ChannelState(msgspec.Struct):
    channel: str
    replicas: int
    accounts: list[AccountState]

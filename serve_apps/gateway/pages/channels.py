"""Renders how a tenant's channels do: who carries their messages, how much of each rate and warm-up is used, whether a
breaker keeps an account from being asked, and how many messages wait, are unknown or are dead letters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from serve_apps.gateway.pages import formats
from serve_apps.gateway.pages.documents import ChannelsPage
from serve_apps.gateway.pages.rendering import render
from serve_apps.gateway.pages.site import Site
from serve_apps.gateway.services.deliveries import USUAL_DAYS
from serve_apps.gateway.services.provider_states import AccountDoing, ChannelDoing
from whisperer.delivery.breaker import BreakerState
from whisperer.delivery.listing import DeliveryState

_TO_LOOK_AT = (DeliveryState.DEAD, DeliveryState.UNKNOWN)
_HELD = {
    "rate": "for its rate",
    "domain": "for a recipient domain's rate",
    "warm_up": "for the warm-up",
    "breaker": "by its breaker",
    "busy": "as it was busy",
}


def render_channels(document: ChannelsPage, *, now: int, site: Site) -> str:
    """Render the page at ``/channels``."""
    counts = document.counts
    return render(
        "channels.html",
        site=site,
        now=now,
        days=USUAL_DAYS,
        channels=[
            _channel(one, None if counts is None else counts.by_channel.get(one.channel, {}))
            for one in document.channels
        ],
        others=document.others,
    )


@dataclass(frozen=True, slots=True)
class Used:
    """How much of what is allowed is used; ``width`` is per cent, None where nothing bounds it."""

    text: str
    width: float | None


@dataclass(frozen=True, slots=True)
class ShownAccount:
    """An account as the page shows it; ``share`` is the width, in per cent, of its part of the messages."""

    name: str
    provider: str
    weight: str
    share: float
    breaker: str
    since: str | None
    notes: str
    rate: Used
    warm_up: Used | None
    attempts: str
    held: str
    taken_over: int
    trouble: str
    is_well: bool


@dataclass(frozen=True, slots=True)
class ShownChannel:
    """A channel; ``counts``: (status, messages, whether somebody should look at them), None while nobody knows."""

    name: str
    replicas: int
    accounts: list[ShownAccount]
    counts: list[tuple[str, int, bool]] | None


def _channel(doing: ChannelDoing, counts: Mapping[str, int] | None) -> ShownChannel:
    total = sum(account.weight for account in doing.accounts) or 1
    return ShownChannel(
        doing.channel,
        doing.replicas,
        [_account(account, total) for account in doing.accounts],
        None
        if counts is None
        else [(state, counts[state], state in _TO_LOOK_AT) for state in DeliveryState if counts.get(state)],
    )


def _account(doing: AccountDoing, total: int) -> ShownAccount:
    notes = []
    if doing.left_alone_s:
        notes.append(f"left alone for another {formats.span(doing.left_alone_s * 1000)}")
    if doing.times_opened:
        notes.append(f"opened {_times(doing.times_opened)}")
    return ShownAccount(
        name=doing.account,
        provider=doing.provider,
        weight=f"weight {formats.count(doing.weight)}" if doing.weight else "stands by",
        share=round(100 * doing.weight / total, 2),
        breaker=doing.breaker,
        since=doing.breaker_since,
        notes="; ".join(notes),
        rate=_rate(doing),
        warm_up=_warm_up(doing),
        attempts=_listed(doing.receipts, {}) or "none yet",
        held=_listed(doing.held, _HELD),
        taken_over=doing.taken_over,
        trouble=doing.last_trouble,
        is_well=doing.breaker == BreakerState.CLOSED,
    )


def _rate(doing: AccountDoing) -> Used:
    lately = formats.number(doing.per_second_lately)
    if doing.per_second is None:
        return Used(f"{lately} a second, no rate set", None)
    width = min(100.0, 100 * doing.per_second_lately / doing.per_second)
    return Used(f"{lately} of {formats.number(doing.per_second)} a second", round(width, 2))


def _warm_up(doing: AccountDoing) -> Used | None:
    one = doing.warm_up
    if one is None:
        return None
    text = f"day {one.day} of {one.days}: {formats.count(one.given)} of {formats.count(one.limit)} messages"
    return Used(text, round(min(100.0, 100 * one.given / one.limit), 2))


def _listed(by_name: Mapping[str, int], words: Mapping[str, str]) -> str:
    most_first = sorted(by_name.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{formats.count(n)} {words.get(name, name.replace('_', ' '))}" for name, n in most_first if n)


def _times(n: int) -> str:
    return "once" if n == 1 else f"{formats.count(n)} times"

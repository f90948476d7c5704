"""Draws the loop as one picture: what came in, was decided, was sent, what resulted, and what it was worth.

Stages are in the order an event passes them, each with one figure, one line of words and, where it divides, bars. Sums
are over all campaigns; the lift is that of the campaign with the most decisions, which is named.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from serve_apps.gateway.pages.formats import count, percent, rate
from serve_apps.gateway.pages.live_view import CampaignView, LiveView, LoopView
from serve_apps.gateway.pages.pictures import Bar, LiftPicture, Slice, accounting, bars, lift_picture
from serve_apps.gateway.services.report import LiftDocument

_MOST_BARS = 5


@dataclass(frozen=True, slots=True)
class FlowStage:
    id: str
    title: str
    figure: str
    note: str
    bars: list[Bar]


@dataclass(frozen=True, slots=True)
class CampaignCard:
    """A campaign as the home page shows it."""

    view: CampaignView
    parts: list[Slice]
    missing: int
    arms: list[Bar]
    lift: LiftPicture


def stages(live: LiveView, loop: LoopView) -> list[FlowStage]:
    """Return the stages from an event to its worth."""
    totals, campaigns = loop.totals, loop.campaigns
    by_arm: Counter[str] = Counter()
    by_channel: Counter[str] = Counter()
    for campaign in campaigns:
        for arm in campaign.arms:
            by_arm[arm.arm] += arm.decisions
            if arm.channel:
                by_channel[arm.channel] += arm.sent
    n_decided = sum(by_arm.values()) or totals.sent + totals.no_send
    n_refused = sum(totals.refused.values())
    sent = totals.sent
    return [
        FlowStage("events", "Events", rate(live.events_per_s), f"a second, from {count(live.users)} users", []),
        FlowStage(
            "candidates",
            "Candidates",
            count(totals.candidates),
            f"{_of(n_refused, totals.candidates)} not eligible" if n_refused else "users a campaign considered",
            bars(totals.refused, _MOST_BARS) if n_refused else [],
        ),
        FlowStage(
            "decided",
            "Decided",
            count(n_decided),
            "by arm; no_send leaves alone",
            bars(by_arm.most_common(), _MOST_BARS),
        ),
        FlowStage(
            "sent",
            "Sent",
            count(sent),
            "by channel",
            bars([pair for pair in by_channel.most_common() if pair[1]], _MOST_BARS),
        ),
        FlowStage(
            "answered",
            "Opened",
            count(totals.opened),
            f"{_of(totals.opened, sent)} of sent",
            bars([("opened", totals.opened), ("clicked", totals.clicked), ("unsubscribed", totals.unsubscribed)])
            if sent
            else [],
        ),
        FlowStage("converted", "Conversions", count(totals.conversions), "reached a campaign's goal in time", []),
        _worth(campaigns),
    ]


def cards(loop: LoopView) -> list[CampaignCard]:
    """Return the campaigns, those with the most candidates first."""
    found = []
    for view in sorted(loop.campaigns, key=lambda c: (-c.candidates, c.tenant, c.name)):
        parts, missing = accounting(view.candidates, view.sent, view.no_send, view.refused, view.pending)
        decided = bars([(arm.arm, arm.decisions) for arm in view.arms])
        found.append(CampaignCard(view, parts, missing, decided, lift_picture(view.lift, view.uniform_lift)))
    return found


def _worth(campaigns: list[CampaignView]) -> FlowStage:
    if not campaigns:
        return FlowStage("lift", "Lift", "–", "of the policy over the holdout", [])
    leading = max(campaigns, key=lambda c: (isinstance(c.lift, LiftDocument), c.candidates))
    policy = lift_picture(leading.lift, leading.uniform_lift).estimates[0]
    if policy.interval is None:
        return FlowStage("lift", "Lift", "not yet", policy.text, [])
    return FlowStage("lift", "Lift", policy.headline, f"over the holdout, {leading.name}", [])


def _of(part: int, whole: int) -> str:
    return percent(part / whole) if whole else "–"

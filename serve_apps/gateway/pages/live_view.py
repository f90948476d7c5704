"""Defines the shape of ``GET /internal/live``: what is running, as one document.

The home page renders it on the server for the first view, then in the browser once a second. The gateway fills it; this
module only names its parts. Times are int ms UTC, sizes bytes, shares floats in [0, 1].
"""

from __future__ import annotations

from typing import NotRequired, TypedDict


class TenantView(TypedDict):
    name: str
    users: int
    events_accepted: int


class SegmentView(TypedDict):
    tenant: str
    name: str
    description: str
    members: int
    backfill: float | None  # share done; None once membership is complete


class ShardView(TypedDict):
    """A shard. One that cannot be reached keeps its row: unknown values are None, and ``state`` says why."""

    name: str
    pid: int | None
    epoch: int | None
    sequence: int | None
    users: int | None
    rss_bytes: int | None
    state: str
    partitions: int | None
    journal_bytes: int | None


class EventView(TypedDict):
    tenant: str
    type: str
    name: str
    user: str  # user key: `u:…` or `a:…`
    timestamp: int
    received_at: int


class DemoView(TypedDict):
    tenant: str
    write_key: str


class ArmView(TypedDict):
    """One arm over all groups, including `no_send` (whose channel is "")."""

    arm: str
    channel: str
    decisions: int
    sent: int
    converted: int


class LiftView(TypedDict):
    """Goal per user of one group minus that of the holdout; ``low`` and ``high`` bound the difference at 95 %."""

    difference: float
    low: float
    high: float
    relative: float | None  # of the holdout's mean; None if that may be 0 or less
    relative_low: NotRequired[float | None]  # its interval
    relative_high: NotRequired[float | None]
    relative_reason: NotRequired[str]  # why there is none: a code of whisperer.evaluation.lift
    rests_on: NotRequired[float]  # users with outcomes of equal size that would carry the same evidence
    users: int
    holdout_users: int


class NotYetView(TypedDict):
    not_yet: str  # why there is no interval


class CampaignView(TypedDict):
    """A campaign's counts: candidates = sent + no_send + the refused + pending."""

    tenant: str
    name: str
    status: str
    compressed: bool  # the demo's attribution windows, which last seconds
    candidates: int
    sent: int
    no_send: int
    refused: dict[str, int]
    pending: int
    conversions: int
    arms: list[ArmView]
    lift: LiftView | NotYetView
    uniform_lift: LiftView | NotYetView


class LoopTotals(TypedDict):
    candidates: int
    sent: int
    no_send: int
    refused: dict[str, int]
    pending: int
    conversions: int
    opened: int
    clicked: int
    unsubscribed: int


class LatestDecision(TypedDict):
    """A recent decision. ``arm`` is "" or None, and ``propensity`` None, if nothing is chosen yet or the candidate was
    refused."""

    tenant: str
    decision_id: str
    user: str  # user key
    campaign: str
    arm: str | None
    propensity: float | None
    group: str | None
    status: str
    reason: NotRequired[str | None]
    at: int


class LatestMessage(TypedDict):
    tenant: str
    send_key: str
    channel: str
    locale: str
    user: str  # user key
    subject: str  # or how the text begins
    at: int


class LoopView(TypedDict):
    campaigns: list[CampaignView]
    totals: LoopTotals
    latest_decisions: list[LatestDecision]  # newest first
    latest_messages: list[LatestMessage]  # newest first


def no_loop() -> LoopView:
    """Return the loop of an installation where nothing has been considered yet."""
    totals: LoopTotals = {
        "candidates": 0,
        "sent": 0,
        "no_send": 0,
        "refused": {},
        "pending": 0,
        "conversions": 0,
        "opened": 0,
        "clicked": 0,
        "unsubscribed": 0,
    }
    return {"campaigns": [], "totals": totals, "latest_decisions": [], "latest_messages": []}


class LiveView(TypedDict):
    version: str
    now: int
    started_at: int
    events_per_s: float
    events_accepted: int
    events_duplicate: int
    events_rejected: dict[str, int]
    users: int
    tenants: list[TenantView]
    segments: list[SegmentView]
    shards: list[ShardView]
    latest: list[EventView]  # newest first
    loop: NotRequired[LoopView]
    demo: DemoView | None
    dashboard_url: str | None
    warnings: list[str]

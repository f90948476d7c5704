"""Defines ``GET /internal/live``: what is running, and the loop, as one document.

The home page renders it on the server for the first view, then in the browser once a second. Field order is the order
of the JSON; times are int ms UTC, sizes bytes, shares floats in [0, 1].
"""

from __future__ import annotations

import msgspec

from serve_apps.gateway.metrics.documents import Running
from serve_apps.gateway.services.report import AnyLift
from whisperer.ids import SendKey
from whisperer.shard.views import decision


class ArmView(msgspec.Struct):
    """One arm over all groups, including `no_send` (whose channel is "")."""

    arm: str
    channel: str
    decisions: int
    sent: int
    converted: int


class CampaignView(msgspec.Struct, kw_only=True):
    """A campaign's counts: candidates = sent + no_send + the refused + pending.

    ``compressed``: the demo's attribution windows, which last seconds.
    """

    tenant: str
    name: str
    status: str
    compressed: bool
    candidates: int
    sent: int
    unknown: int
    no_send: int
    pending: int
    conversions: int
    refused: dict[str, int]
    arms: list[ArmView]
    lift: AnyLift
    uniform_lift: AnyLift


class LoopTotals(msgspec.Struct, kw_only=True):
    """The counts of all campaigns together."""

    candidates: int = 0
    sent: int = 0
    unknown: int = 0
    no_send: int = 0
    pending: int = 0
    conversions: int = 0
    refused: dict[str, int] = {}
    opened: int = 0
    clicked: int = 0
    unsubscribed: int = 0


class LatestDecision(decision.LatestDecision):
    """A recent decision, with its tenant's name."""

    tenant: str


class LatestMessage(msgspec.Struct, kw_only=True):
    """A message that the sink received; ``subject``, or how its text begins."""

    tenant: str
    send_key: SendKey
    channel: str
    locale: str
    user: str
    subject: str
    at: int


class LoopView(msgspec.Struct):
    """The latest of everything comes first."""

    campaigns: list[CampaignView] = []
    totals: LoopTotals = msgspec.field(default_factory=LoopTotals)
    latest_decisions: list[LatestDecision] = []
    latest_messages: list[LatestMessage] = []


class LiveView(Running, kw_only=True):
    loop: LoopView = msgspec.field(default_factory=LoopView)

"""Defines what pages show in addition to what REST answers: the sink's page, a campaign's page, the tenants to choose.

Filled by whoever implements :class:`~serve_apps.gateway.pages.source.PageSource`.
"""

from __future__ import annotations

import msgspec

from serve_apps.delivery.sink import SinkCounts
from serve_apps.gateway.routes.sink import MessageDocument
from serve_apps.gateway.services.lift_days import DayDocument
from serve_apps.gateway.services.report import Report
from serve_apps.gateway.services.simulations import SimulationDocument


class SinkPage(msgspec.Struct):
    """One page of the sink's messages, newest first, with what the filters offer.

    Attributes
    ----------
    next_before : serial with which to ask for older ones; None at the end
    campaigns : to choose from
    """

    messages: list[MessageDocument]
    next_before: int | None
    counts: SinkCounts
    campaigns: list[str]


class CampaignPage(Report, kw_only=True):
    """A campaign's report, its lift by day, oldest first, and the newest simulation."""

    days: list[DayDocument] = msgspec.field(default_factory=list)
    simulation: SimulationDocument | None = None


class Tenants(msgspec.Struct):
    """The tenants by name; ``demo`` is shown unless another one is asked for."""

    names: list[str]
    demo: str | None

"""Defines what pages show in addition to what REST answers: the sink, a campaign, a template, the tenants to choose.

Filled by whoever implements :class:`~serve_apps.gateway.pages.source.PageSource`.
"""

from __future__ import annotations

import msgspec

from cluster.control_plane.drafts import ReviewDocument, RevisionDocument
from cluster.control_plane.supply_documents import CatalogueDocument, CouponPoolDocument, GivenDocument, ItemDocument
from serve_apps.delivery.sink import SinkCounts
from serve_apps.gateway.routes.sink import MessageDocument
from serve_apps.gateway.services.lift_days import DayDocument
from serve_apps.gateway.services.preview import NoPreview, Preview
from serve_apps.gateway.services.report import Report
from serve_apps.gateway.services.simulations import SimulationDocument
from whisperer.content.lint.finding import Finding


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
    """A campaign's report, its lift by day, oldest first, the newest simulation, what went live lately, newest first,
    and the review of its draft, if one is open or approved.
    """

    days: list[DayDocument] = msgspec.field(default_factory=list)
    simulation: SimulationDocument | None = None
    history: list[RevisionDocument] = msgspec.field(default_factory=list)
    review: ReviewDocument | None = None


class TemplatePage(msgspec.Struct):
    """A template's newest version as one user would get it, and what the lint finds in it in all its languages.

    ``arms``: ``campaign/arm`` of those that send it.
    """

    name: str
    version: int
    channel: str
    locales: list[str]
    preview: Preview | NoPreview
    findings: list[Finding]
    arms: list[str] = []


class CataloguesPage(msgspec.Struct):
    """All catalogues, or one with a part of its items; ``after``: the last of them, if more follow."""

    catalogues: list[CatalogueDocument]
    items: list[ItemDocument] | None = None
    after: str | None = None


class CouponsPage(msgspec.Struct):
    """All coupon pools, or one with the codes that were given lately."""

    pools: list[CouponPoolDocument]
    given: list[GivenDocument] | None = None


class Tenants(msgspec.Struct):
    """The tenants by name; ``demo`` is shown unless another one is asked for."""

    names: list[str]
    demo: str | None

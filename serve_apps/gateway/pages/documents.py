"""Defines what pages show in addition to what REST answers: the sink, a campaign, channels, the tenants to choose.

Filled by whoever implements :class:`~serve_apps.gateway.pages.source.PageSource`.
"""

from __future__ import annotations

import msgspec

from cluster.control_plane.drafts import ReviewDocument, RevisionDocument
from cluster.control_plane.supply_documents import CatalogueDocument, CouponPoolDocument, GivenDocument, ItemDocument
from serve_apps.delivery.sink import SinkCounts
from serve_apps.gateway.routes.deliveries import DeliveryDocument
from serve_apps.gateway.routes.sink import MessageDocument
from serve_apps.gateway.services.campaign_quality import CampaignQualityDocument
from serve_apps.gateway.services.deliveries import StateCounts
from serve_apps.gateway.services.lift_days import DayDocument
from serve_apps.gateway.services.preview import NoPreview, Preview
from serve_apps.gateway.services.provider_states import ChannelDoing
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
    the review of its draft, if one is open or approved, and how good its messages were, None while that is not known.
    """

    days: list[DayDocument] = msgspec.field(default_factory=list)
    simulation: SimulationDocument | None = None
    history: list[RevisionDocument] = msgspec.field(default_factory=list)
    review: ReviewDocument | None = None
    quality: CampaignQualityDocument | None = None


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


class ChannelsPage(msgspec.Struct):
    """How the channels do that somebody set up.

    Attributes
    ----------
    channels : in the order in which people see them
    others : (channel, provider) of those that nobody set up
    counts : of their messages; None while they are not known
    """

    channels: list[ChannelDoing]
    others: list[tuple[str, str]] = []
    counts: StateCounts | None = None


class DeliveriesPage(msgspec.Struct):
    """A part of the deliveries, latest attempt first; ``after``: where older ones begin, if there are any."""

    deliveries: list[DeliveryDocument]
    after: tuple[int, str] | None = None


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

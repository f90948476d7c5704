"""Builds the pages' documents, from the same parts that answer REST:
:class:`~serve_apps.gateway.pages.source.PageSource`.

Pages identify a tenant by its name; everything behind them by its id.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from typing import TypeVar

import msgspec

from actors.calls.shard_status import AnyStatus
from cluster.control_plane import CampaignVersion
from cluster.control_plane.documents import COMPRESSED_S
from cluster.control_plane.drafts import PENDING, Kind, ReviewDocument, RevisionDocument
from cluster.control_plane.listing import After, Place
from cluster.control_plane.supply_documents import catalogue_document, given_document, item_document, pool_document
from serve_apps.delivery.sink import SinkMessage
from serve_apps.gateway.metrics.sums import by_tenant
from serve_apps.gateway.pages import documents as shapes
from serve_apps.gateway.pages.live_view import (
    ArmView,
    CampaignView,
    LatestDecision,
    LatestMessage,
    LiveView,
    LoopTotals,
    LoopView,
)
from serve_apps.gateway.pages.supplies import PER_PAGE
from serve_apps.gateway.routes.deliveries import delivery_document
from serve_apps.gateway.routes.mounting import tenant_named
from serve_apps.gateway.routes.sink import NEWEST, MessageDocument, of_user, shown
from serve_apps.gateway.services import inbox_message
from serve_apps.gateway.services.audit import Audit
from serve_apps.gateway.services.deliveries import USUAL_DAYS
from serve_apps.gateway.services.inbox_message import InboxMessage
from serve_apps.gateway.services.lift_days import DayDocument
from serve_apps.gateway.services.linting import LintBody, lint
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.policies import PolicyRecord
from serve_apps.gateway.services.preview import PreviewBody, preview
from serve_apps.gateway.services.profile import UserProfile
from serve_apps.gateway.services.report import lift_over_holdout
from whisperer.delivery.listing import DeliveryQuery
from whisperer.delivery.plan import ALONE
from whisperer.errors import NotFoundError, OverloadError, RequestError, TooLargeError, UnavailableError
from whisperer.feedback.links import LinkSigner
from whisperer.feedback.outcome import OutcomeKind
from whisperer.ids import DecisionId, SendKey, TenantId
from whisperer.journeys.campaign import CampaignStatus
from whisperer.shard.views.counts import CampaignCounts, TenantCounts, loop_counts
from whisperer.vocabulary.channels import CHANNELS
from whisperer.vocabulary.groups import Group
from whisperer.vocabulary.units import DAY_MS

LATEST = 12
REVISIONS = 8
"""Versions shown in a campaign's history."""
_SUBJECT_CHARS = 120

Answer = TypeVar("Answer")


class Documents:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._signer = LinkSigner(bytes.fromhex(parts.installation.link_secret))
        self._home: LiveView | None = None
        self._statuses: list[AnyStatus] = []
        self._making = asyncio.Lock()

    async def home(self) -> LiveView:
        """Return the home page's document, built once per round of asking the shards: every open page asks once a
        second."""
        installation, overview = self._parts.installation, self._parts.overview
        async with self._making:
            statuses = await overview.shards()
            if self._home is None or statuses is not self._statuses:
                running = await overview.running(installation.demo, installation.dashboard_url or None)
                self._home = LiveView(**msgspec.structs.asdict(running), loop=await self._loop(statuses))
                self._statuses = statuses
            return self._home

    async def tenants(self) -> shapes.Tenants:
        await self._parts.overview.reload()
        names = sorted(self._parts.overview.tenants.values())
        demo = self._parts.installation.demo
        return shapes.Tenants(names, demo.tenant if demo is not None and demo.tenant in names else None)

    async def sink(
        self,
        tenant: str,
        channel: str | None,
        user_id: str | None,
        campaign: str | None,
        before: int | None,
        limit: int,
    ) -> shapes.SinkPage:
        tenant_id = await tenant_named(self._parts, tenant)
        edge = {"before": NEWEST if before is None else before}
        sink = self._parts.sink
        found = await asyncio.to_thread(
            of_user, sink, tenant_id, user_id, channel=channel, campaign=campaign, limit=limit, **edge
        )
        counts = await asyncio.to_thread(sink.counts, tenant_id)
        published = self._parts.overview.published.get(tenant_id)
        return shapes.SinkPage(
            [shown(message) for message in found],
            found[-1].serial if len(found) == limit else None,
            counts,
            [] if published is None else [row.name for row in published.campaigns],
        )

    async def message(self, tenant: str, send_key: str) -> MessageDocument:
        tenant_id = await tenant_named(self._parts, tenant)
        found = await asyncio.to_thread(self._parts.sink.message, tenant_id, SendKey(send_key))
        if found is None:
            raise NotFoundError(f"the sink has no message {send_key[:80]!r}", code="message_not_found")
        return shown(found)

    async def user(self, tenant: str, user_id: str) -> UserProfile:
        tenant_id = await tenant_named(self._parts, tenant)
        return await self._parts.users.show(tenant_id, user_id)

    async def inbox(self, tenant: str, user_id: str) -> list[InboxMessage]:
        tenant_id = await tenant_named(self._parts, tenant)
        return inbox_message.shown(await self._parts.inboxes.show(tenant_id, user_id))

    async def decision(self, tenant: str, decision_id: str) -> Audit:
        tenant_id = await tenant_named(self._parts, tenant)
        return await self._parts.decisions.show(tenant_id, DecisionId(decision_id))

    async def campaign(self, tenant: str, name: str) -> shapes.CampaignPage:
        tenant_id = await tenant_named(self._parts, tenant)
        parts = self._parts
        report, days, simulation, quality = await asyncio.gather(
            parts.campaigns.report(tenant_id, name),
            self._days(tenant_id, name),
            parts.simulations.newest(tenant_id, name),
            _or_none(parts.quality.of_campaign_soon(tenant_id, name)),
        )
        history, review = await asyncio.to_thread(self._published, tenant_id, name)
        return shapes.CampaignPage(
            **msgspec.structs.asdict(report),
            days=days,
            simulation=simulation,
            history=history,
            review=review,
            quality=quality,
        )

    def _published(self, tenant_id: TenantId, name: str) -> tuple[list[RevisionDocument], ReviewDocument | None]:
        plane = self._parts.plane
        newest = plane.page_of_reviews(tenant_id, Place(1, descends=True), kind=Kind.CAMPAIGN, name=name)
        pending = next((one for one in newest.items if one.state in PENDING), None)
        return plane.history(tenant_id, Kind.CAMPAIGN, name, limit=REVISIONS), pending

    async def _days(self, tenant_id: TenantId, name: str) -> list[DayDocument]:
        """Return lift by day; the page works without it."""
        found = await _or_none(self._parts.lift_days.show(tenant_id, name))
        return [] if found is None else found.data

    async def template(self, tenant: str, name: str, shown_as: PreviewBody) -> shapes.TemplatePage:
        tenant_id = await tenant_named(self._parts, tenant)
        async with self._parts.compiling:
            shown = await preview(self._parts, tenant_id, name, shown_as)
            held = await asyncio.to_thread(self._parts.plane.get_template, tenant_id, name, shown.version)
            found = await lint(self._parts, tenant_id, name, LintBody(version=shown.version))
        campaigns = await asyncio.to_thread(self._parts.plane.list_campaigns, tenant_id)
        arms = [
            f"{row.name}/{arm.id}"
            for row in campaigns
            if row.status != CampaignStatus.ENDED
            for arm in row.campaign.arms
            if arm.template == name
        ]
        locales = [*held.body["locales"]]
        return shapes.TemplatePage(name, shown.version, shown.channel, locales, shown, found.findings, arms)

    async def channels(self, tenant: str) -> shapes.ChannelsPage:
        tenant_id = await tenant_named(self._parts, tenant)
        found = await asyncio.to_thread(self._parts.plane.list_channels, tenant_id)
        others = {
            name: one for name, one in found.items() if one.provider == CHANNELS[name].unset and one.plan == ALONE
        }
        set_up = {name: one for name, one in found.items() if name not in others}
        doing, counts = await asyncio.gather(
            self._parts.provider_states.of(tenant_id, set_up), _or_none(self._parts.deliveries.counts_soon(tenant_id))
        )
        return shapes.ChannelsPage(doing, [(name, one.provider) for name, one in others.items()], counts)

    async def deliveries(
        self, tenant: str, status: str | None, channel: str | None, campaign: str | None, after: tuple[int, str] | None
    ) -> shapes.DeliveriesPage:
        tenant_id = await tenant_named(self._parts, tenant)
        now = time.time_ns() // 1_000_000
        query = DeliveryQuery(
            since=now - USUAL_DAYS * DAY_MS,
            until=now + 1,
            state=status,
            channel=channel,
            campaign=campaign,
            limit=PER_PAGE + 1,
            after=after,
        )
        found = await self._parts.deliveries.page(tenant_id, query)
        part = found[:PER_PAGE]
        last = (part[-1].at, part[-1].send_key) if len(found) > PER_PAGE else None
        return shapes.DeliveriesPage([delivery_document(one) for one in part], last)

    async def catalogues(self, tenant: str, name: str, after: str | None) -> shapes.CataloguesPage:
        tenant_id, plane = await tenant_named(self._parts, tenant), self._parts.plane
        if not name:
            found = await asyncio.to_thread(plane.list_catalogues, tenant_id)
            return shapes.CataloguesPage([catalogue_document(one) for one in found])
        place = Place(PER_PAGE, None if after is None else After(after))
        one = await asyncio.to_thread(plane.get_catalogue, tenant_id, name)
        part = await asyncio.to_thread(plane.page_of_items, tenant_id, name, place)
        last = None if part.last is None else part.last.key
        return shapes.CataloguesPage([catalogue_document(one)], [item_document(item) for item in part.items], last)

    async def coupons(self, tenant: str, name: str) -> shapes.CouponsPage:
        tenant_id, plane = await tenant_named(self._parts, tenant), self._parts.plane
        if not name:
            found = await asyncio.to_thread(plane.list_pools, tenant_id)
            return shapes.CouponsPage([pool_document(one) for one in found])
        one = await asyncio.to_thread(plane.get_pool, tenant_id, name)
        newest = Place(PER_PAGE, descends=True, sort="given_at")
        part = await asyncio.to_thread(plane.page_of_given, tenant_id, name, newest)
        return shapes.CouponsPage([pool_document(one)], [given_document(code) for code in part.items])

    async def policies(self, tenant: str) -> list[PolicyRecord]:
        tenant_id = await tenant_named(self._parts, tenant)
        return await self._parts.policies.page(tenant_id)

    def link_target(self, url: str) -> tuple[str, str] | None:
        token = url.partition("/m/")[2].partition("/")[2]  # under whichever address a tenant's links lead
        if not token:
            return None
        try:
            link = self._signer.read(token, time.time_ns() // 1_000_000)
        except RequestError:
            return None
        return link.kind, link.url

    async def _loop(self, statuses: Sequence[AnyStatus]) -> LoopView:
        overview, summed = self._parts.overview, by_tenant(statuses)
        known = {tenant: summed.get(tenant, TenantCounts()).campaigns for tenant in overview.published}
        latest = [
            LatestDecision(**msgspec.structs.asdict(one), tenant=overview.tenants[tenant])
            for status in statuses
            for tenant, counts in status.tenants.items()
            for one in counts.latest_decisions
            if tenant in overview.tenants
        ]
        return LoopView(
            [
                _campaign(overview.tenants[tenant], row, known[tenant].get(row.name, CampaignCounts()))
                for tenant, published in overview.published.items()
                for row in published.campaigns
            ],
            _totals([counts for campaigns in known.values() for counts in campaigns.values()]),
            sorted(latest, key=lambda one: one.at, reverse=True)[:LATEST],
            await asyncio.to_thread(self._latest_messages, dict(overview.tenants)),
        )

    def _latest_messages(self, tenants: Mapping[TenantId, str]) -> list[LatestMessage]:
        return [
            LatestMessage(
                tenant=tenants[message.tenant],
                send_key=message.send_key,
                channel=message.channel,
                locale=message.locale,
                user=message.user_key,
                subject=_subject(message),
                at=message.received_at,
            )
            for message in self._parts.sink.latest(LATEST)
            if message.tenant in tenants
        ]


async def _or_none(asked: Awaitable[Answer]) -> Answer | None:
    """Return what a job answers, None if it cannot now: a page works without it."""
    try:
        return await asked
    except (OverloadError, TooLargeError, UnavailableError):
        return None


def _campaign(tenant: str, row: CampaignVersion, counts: CampaignCounts) -> CampaignView:
    campaign = row.campaign
    channels = {arm.id: arm.channel for arm in campaign.arms}
    arms: dict[str, ArmView] = {}
    for one in counts.arms:
        arm = arms.setdefault(one.arm, ArmView(one.arm, channels.get(one.arm, ""), 0, 0, 0))
        arm.decisions += one.decisions
        arm.sent += one.sent
        arm.converted += one.converted
    return CampaignView(
        tenant=tenant,
        name=row.name,
        status=row.status,
        compressed=campaign.goal.window_s < COMPRESSED_S,
        candidates=counts.candidates,
        sent=counts.sent,
        unknown=counts.unknown,
        no_send=counts.no_send,
        pending=counts.pending,
        conversions=counts.conversions,
        refused=counts.refused,
        arms=[arms[name] for name in sorted(arms)],
        lift=lift_over_holdout(counts, Group.POLICY),
        uniform_lift=lift_over_holdout(counts, Group.UNIFORM),
    )


def _totals(several: Sequence[CampaignCounts]) -> LoopTotals:
    total = loop_counts(several)
    return LoopTotals(
        candidates=total.candidates,
        sent=total.sent,
        unknown=total.unknown,
        no_send=total.no_send,
        pending=total.pending,
        conversions=total.conversions,
        refused=total.refused,
        opened=total.outcomes.get(OutcomeKind.OPENED, 0),
        clicked=total.outcomes.get(OutcomeKind.CLICKED, 0),
        unsubscribed=total.outcomes.get(OutcomeKind.UNSUBSCRIBED, 0),
    )


def _subject(message: SinkMessage) -> str:
    parts = message.parts
    for part in ("subject", "title", "text", "body"):
        if parts.get(part):
            return parts[part][:_SUBJECT_CHARS]
    return ""

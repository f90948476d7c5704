"""Takes campaigns from a draft to every shard, and reports their results.

A version is first a row in the control plane, then a record in each shard's journal; :class:`Publishing` distributes
it. Times are returned as ISO 8601 in UTC.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec

from cluster.control_plane import CampaignVersion, ControlPlane, Published
from cluster.control_plane.documents import CampaignDocument, CampaignTotals, campaign_document
from serve_apps.gateway.metrics.status import Overview
from serve_apps.gateway.services.report import Report, report
from serve_apps.gateway.services.segments import Publishing
from whisperer.ids import TenantId
from whisperer.journeys.campaign import CampaignStatus
from whisperer.shard.views.counts import CampaignCounts


class CampaignService:
    """Campaigns as callers see and change them."""

    def __init__(self, plane: ControlPlane, publishing: Publishing, overview: Overview) -> None:
        self._plane = plane
        self._publishing = publishing
        self._overview = overview

    async def create(
        self, tenant: TenantId, name: str, definition: object, publish: bool, *, brings: bool = True
    ) -> CampaignDocument:
        """Store a draft and, if asked, publish it; both or neither. ``brings``: and tell the shards. Raises
        CampaignError with every problem.
        """
        write = partial(self._plane.create_campaign, publish=publish)
        row = await asyncio.to_thread(write, tenant, name, definition)
        return await (self._changed if brings else self._shown)(tenant, row)

    async def put(
        self, tenant: TenantId, name: str, definition: object, publish: bool, if_match: str | None = None
    ) -> CampaignDocument:
        """Create or change a campaign. Raises StaleError if it no longer matches ``if_match``."""
        write = partial(self._plane.put_campaign, publish=publish, if_match=if_match)
        return await self._changed(tenant, await asyncio.to_thread(write, tenant, name, definition))

    async def turn(self, tenant: TenantId, name: str, action: str) -> CampaignDocument:
        """Change a campaign's status; ``action`` is pause, resume or end."""
        turn: Callable[[str, str], CampaignVersion] = getattr(self._plane, f"{action}_campaign")
        return await self._changed(tenant, await asyncio.to_thread(turn, tenant, name))

    async def list(self, tenant: TenantId) -> list[CampaignDocument]:
        """Return all campaigns with their results so far."""
        list_all = partial(self._plane.list_campaigns, tenant)
        rows = await self._overview.read(tenant, list_all, lambda published: published.campaigns)
        counts = (await self._overview.by_tenant(tenant)).campaigns
        return [shown(row, counts.get(row.name, CampaignCounts())) for row in rows]

    async def show(self, tenant: TenantId, name: str, version: int | None = None) -> CampaignDocument:
        """Return a campaign with its results so far. Raises NotFoundError."""
        return await self._shown(tenant, await self._row(tenant, name, version))

    async def report(self, tenant: TenantId, name: str) -> Report:
        """Return what a campaign did and what that was worth; see docs/campaigns.md. Raises NotFoundError."""
        row = await self._row(tenant, name)
        ask = partial(self._plane.experiment, tenant)
        experiment = await self._overview.read(tenant, ask, lambda published: published.experiment)
        counts = (await self._overview.by_tenant(tenant)).campaigns.get(name, CampaignCounts())
        budget = None if row.campaign.budget is None else await self._overview.budgets(tenant, name)
        return report(row, counts, experiment, budget)

    async def running(self, tenant: TenantId, name: str) -> bool:
        """Return whether callers may ask about a campaign now: it is live, or paused, which the shards answer with a
        refusal.

        Raises NotFoundError if there is no such campaign.
        """
        published = self._overview.published.get(tenant)
        rows = [] if published is None else [row for row in published.campaigns if row.name == name]
        row = rows[0] if rows else await asyncio.to_thread(self._plane.get_campaign, tenant, name)
        return row.status in (CampaignStatus.LIVE, CampaignStatus.PAUSED)

    async def _row(self, tenant: TenantId, name: str, version: int | None = None) -> CampaignVersion:
        def known(published: Published) -> CampaignVersion | None:
            rows = [row for row in published.campaigns if row.name == name]
            return rows[0] if rows and version is None else None

        return await self._overview.read(tenant, partial(self._plane.get_campaign, tenant, name, version), known)

    async def _changed(self, tenant: TenantId, row: CampaignVersion) -> CampaignDocument:
        await self._publishing.bring(tenant)  # a draft changes nothing for shards, and costs them nothing
        return await self._shown(tenant, row)

    async def _shown(self, tenant: TenantId, row: CampaignVersion) -> CampaignDocument:
        counts = (await self._overview.by_tenant(tenant)).campaigns
        return shown(row, counts.get(row.name, CampaignCounts()))


def shown(row: CampaignVersion, counts: CampaignCounts) -> CampaignDocument:
    """Return a campaign with its results so far."""
    totals = CampaignTotals(
        candidates=counts.candidates,
        sent=counts.sent,
        unknown=counts.unknown,
        no_send=counts.no_send,
        pending=counts.pending,
        conversions=counts.conversions,
        refused=counts.refused,
    )
    return msgspec.structs.replace(campaign_document(row), counts=totals)

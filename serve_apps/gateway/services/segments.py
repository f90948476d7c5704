"""Takes segments from a predicate to live memberships on every shard, and distributes everything that is published.

A published version is first a row in the control plane, then a record in each shard's journal. What a shard missed
while it was away is sent again whenever the control plane changes and at every start. What scores a tenant's users is
distributed the same way.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import msgspec

from actors.calls.shards import ShardCalls
from cluster.control_plane import ControlPlane, Published, Segment, segment_etag
from cluster.control_plane.policies import ScoreVersion
from serve_apps.gateway.metrics.status import Overview
from whisperer.errors import NotFoundError, UnavailableError
from whisperer.ids import TenantId
from whisperer.journeys.campaign import CampaignStatus
from whisperer.models.rollout import BUILT_IN, SCORES
from whisperer.profiles.features import FEATURES
from whisperer.segments import describe, parse_predicate, to_json
from whisperer.shard.records import CampaignConfig, ScoreModelChosen, SegmentConfig
from whisperer.shard.views.counts import SegmentCounts

SPREAD_TIMEOUT_S = 20.0


class PublishedSegment(msgspec.Struct):
    """A version that was just published."""

    name: str
    version: int
    predicate: dict[str, Any]
    etag: str


class ArchivedSegment(msgspec.Struct):
    name: str
    archived: bool = True


class SegmentDocument(msgspec.Struct, kw_only=True):
    """A segment; ``done`` of ``total`` users have been tested for it. ``published_at``: ms UTC."""

    name: str
    version: int
    predicate: dict[str, Any]
    description: str
    etag: str
    published_at: int
    members: int
    done: int
    total: int


_log = logging.getLogger(__name__)


class Publishing:
    """Publishes segments and distributes configuration. ``models_uri``: where shards find the versions that score
    users."""

    def __init__(self, plane: ControlPlane, shards: ShardCalls, overview: Overview, models_uri: str) -> None:
        self._models_uri = models_uri
        self._plane = plane
        self._shards = shards
        self._overview = overview

    async def publish(
        self,
        tenant: TenantId,
        name: str,
        predicate: dict[str, Any],
        if_match: str | None = None,
        *,
        brings: bool = True,
    ) -> PublishedSegment:
        """Publish the next version; ``brings``: and tell the shards. Raises PredicateError with every problem of the
        predicate, and StaleError.
        """
        checked = to_json(parse_predicate(predicate, FEATURES))
        publish = partial(self._plane.publish_segment, tenant, name, checked, if_match=if_match)
        version = await asyncio.to_thread(publish)
        if brings:
            await self.bring(tenant)
        return PublishedSegment(name, version, checked, segment_etag(name, version))

    async def archive(self, tenant: TenantId, name: str) -> ArchivedSegment:
        """End a segment on every shard. Raises NotFoundError (`segment_not_found`)."""
        await asyncio.to_thread(self._plane.archive_segment, tenant, name)
        await self.bring(tenant)
        return ArchivedSegment(name)

    async def list(self, tenant: TenantId) -> list[SegmentDocument]:
        """Return a tenant's segments with their current membership."""
        rows = await self._rows(tenant)
        counts = (await self._overview.by_tenant(tenant)).segments
        return [_shown(row, counts.get(row.name, SegmentCounts())) for row in rows]

    async def show(self, tenant: TenantId, name: str) -> SegmentDocument:
        """Return a segment with its current membership. Raises NotFoundError (`segment_not_found`)."""
        rows = await self._rows(tenant)
        row = next((row for row in rows if row.name == name), None)
        if row is None:
            raise NotFoundError(f"there is no segment {name[:80]!r}", code="segment_not_found")
        return _shown(row, (await self._overview.by_tenant(tenant)).segments.get(name, SegmentCounts()))

    async def _rows(self, tenant: TenantId) -> Sequence[Segment]:
        ask = partial(self._plane.list_segments, tenant)
        return await self._overview.read(tenant, ask, lambda published: published.segments)

    async def bring(self, tenant: TenantId) -> None:
        """Send what a tenant has just changed to every shard, for as long as the caller may be kept waiting.

        The change is stored and valid. A caller told of a shard that is away would make it a second time, so the
        failure is only logged; the watch over the control plane updates that shard when it is back.
        """
        try:
            async with asyncio.timeout(SPREAD_TIMEOUT_S):
                await self.spread([tenant])
        except (UnavailableError, TimeoutError) as error:
            _log.warning("a change of %s has not reached every shard yet: %r", tenant, error)

    async def spread(self, only: Collection[TenantId] | None = None) -> None:
        """Send what all tenants, or some, have published to every shard. Raises UnavailableError if one stays away."""
        if self._shards.places.current.version == 0:
            await self._shards.until(self._shards.places.refresh, SPREAD_TIMEOUT_S)
        # Read before the rows: a change between the two is then sent again under its own, later version.
        version = await asyncio.to_thread(self._plane.version)
        published = await self._overview.reload()
        for shard in self._shards.places.current.shards:
            for tenant in published if only is None else only:
                config = published.get(tenant)
                if config is None:  # the tenant no longer exists
                    continue
                segments, campaigns = _configs(config)
                await self._shards.until(
                    lambda shard=shard, sent=(tenant, version, segments, campaigns, config.experiment): (  # type: ignore[misc]
                        self._shards.call(shard, "publish", *sent)
                    ),
                    SPREAD_TIMEOUT_S,
                )
                if config.score_version is not None:
                    chosen = self._chosen(tenant, config.score_version)
                    await self._shards.until(
                        lambda shard=shard, chosen=chosen: self._shards.call(shard, "choose_score_model", chosen),  # type: ignore[misc]
                        SPREAD_TIMEOUT_S,
                    )

    def _chosen(self, tenant: TenantId, found: ScoreVersion) -> ScoreModelChosen:
        if found.version == BUILT_IN:
            return ScoreModelChosen(tenant)
        return ScoreModelChosen(tenant, self._models_uri, SCORES, found.version, found.digest)


def _configs(published: Published) -> tuple[list[SegmentConfig], list[CampaignConfig]]:
    """Return the segments and campaigns for the shards; experiment and version are sent separately."""
    segments = [SegmentConfig(row.name, row.version, json.dumps(row.predicate)) for row in published.segments]
    campaigns = [
        CampaignConfig(row.name, row.version, CampaignStatus(row.status), row.definition) for row in published.campaigns
    ]
    return segments, campaigns


def _shown(row: Segment, counts: SegmentCounts) -> SegmentDocument:
    return SegmentDocument(
        name=row.name,
        version=row.version,
        predicate=row.predicate,
        description=describe(parse_predicate(row.predicate)),
        etag=row.etag,
        published_at=row.published_at,
        members=counts.members,
        done=counts.done,
        total=counts.total,
    )

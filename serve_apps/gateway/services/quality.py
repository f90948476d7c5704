"""How good a tenant's messages were, by channel, and what readers make of it: the document of `GET /v1/quality`, and a
campaign's by arm and language (:mod:`.campaign_quality`).

Read from the warehouse, as a job, and kept for a minute.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from actors.jobs import EngagementByScore, Jobs, QualityByArm, StoredBin, read_arm_scores, read_bins
from cluster.times import iso
from serve_apps.gateway.services.campaign_quality import CampaignQualityDocument, of_arms
from serve_apps.gateway.services.kept import Kept, now_ms
from whisperer.content.quality.calibration import N_BINS, Calibration, Observed, fit
from whisperer.content.quality.rubric import MOST
from whisperer.ids import TenantId
from whisperer.vocabulary.units import DAY_MS

DAYS = 90


class ScoreBin(msgspec.Struct, kw_only=True):
    """Messages with about one score: sent, engaged, the rate that is expected of them, and the score calibrated."""

    score: float
    sent: int
    engaged: int
    rate: float
    calibrated: float


class ChannelQuality(msgspec.Struct, kw_only=True):
    """One channel's scored messages; ``mean`` is None where there are none."""

    channel: str
    scored: int
    mean: float | None
    bins: list[ScoreBin]


class QualityDocument(msgspec.Struct, kw_only=True):
    """Quality by channel over the last ``days``; channels without a scored message are left out."""

    as_of: str | None
    days: int
    channels: list[ChannelQuality]


class QualityReports:
    """Makes the document of each tenant. Use from one event loop. ``warehouse``: its URI."""

    def __init__(self, jobs: Jobs, warehouse: str, clock: Callable[[], int] = now_ms) -> None:
        self._jobs = jobs
        self._warehouse = warehouse
        self._kept: Kept[QualityDocument] = Kept(clock)
        self._campaigns: Kept[CampaignQualityDocument] = Kept(clock)

    async def show(self, tenant: TenantId) -> QualityDocument:
        """Return the document. Raises what :class:`Jobs` raises."""
        return await self._kept.get(tenant, "", lambda now: self._made(tenant, now))

    async def of_campaign(self, tenant: TenantId, name: str) -> CampaignQualityDocument:
        """Return a campaign's document; one that nobody knows has no messages. Raises what :class:`Jobs` raises."""
        return await self._campaigns.get(tenant, name, lambda now: self._of_campaign(tenant, name, now))

    async def of_campaign_soon(self, tenant: TenantId, name: str) -> CampaignQualityDocument | None:
        """Return it if it is there in a moment. Raises as :meth:`of_campaign`."""
        return await self._campaigns.soon(tenant, name, lambda now: self._of_campaign(tenant, name, now))

    async def _of_campaign(self, tenant: TenantId, name: str, now: int) -> CampaignQualityDocument:
        task = QualityByArm(self._warehouse, tenant, name, now - DAYS * DAY_MS)
        found = read_arm_scores(await self._jobs.ask(task))
        return of_arms(name, found, curves(await self.show(tenant)) if found else {}, now, DAYS)

    async def _made(self, tenant: TenantId, now: int) -> QualityDocument:
        task = EngagementByScore(self._warehouse, tenant, now - DAYS * DAY_MS)
        return document(read_bins(await self._jobs.ask(task)), now)


def curves(found: QualityDocument) -> dict[str, Calibration]:
    """Return each channel's curve."""
    return {
        channel.channel: fit(Observed(one.score, one.sent, one.engaged) for one in channel.bins)
        for channel in found.channels
    }


def document(found: list[StoredBin], now: int) -> QualityDocument:
    """Return the document of what was observed."""
    channels = []
    for channel in dict.fromkeys(one.channel for one in found):
        of = {one.place: one for one in found if one.channel == channel}
        centres = {place: MOST * (place + 0.5) / N_BINS for place in range(N_BINS)}
        curve = fit(Observed(centres[place], one.sent, one.engaged) for place, one in of.items())
        scored = sum(one.sent for one in of.values())
        bins = [
            ScoreBin(
                score=centre,
                sent=of[place].sent if place in of else 0,
                engaged=of[place].engaged if place in of else 0,
                rate=round(curve.rate(centre), 6),
                calibrated=round(curve.calibrated(centre), 2),
            )
            for place, centre in centres.items()
        ]
        mean = round(sum(one.total for one in of.values()) / scored, 2) if scored else None
        channels.append(ChannelQuality(channel=channel, scored=scored, mean=mean, bins=bins))
    return QualityDocument(as_of=iso(now), days=DAYS, channels=channels)

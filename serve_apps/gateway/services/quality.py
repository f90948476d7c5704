"""How good a tenant's messages were, by channel, and what readers make of it: the document of `GET /v1/quality`.

Read from the warehouse, as a job, and kept for a minute.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec

from actors.jobs import EngagementByScore, Jobs, StoredBin, read_bins
from cluster.times import iso
from whisperer.content.quality.calibration import N_BINS, Observed, fit
from whisperer.content.quality.rubric import MOST
from whisperer.ids import TenantId
from whisperer.vocabulary.units import DAY_MS

DAYS = 90
KEPT_S = 60.0
MOST_KEPT = 256


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

    def __init__(
        self, jobs: Jobs, warehouse: str, clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        self._jobs = jobs
        self._warehouse = warehouse
        self._clock = clock
        self._kept: dict[TenantId, tuple[int, QualityDocument]] = {}
        self._asking: dict[TenantId, asyncio.Lock] = {}

    async def show(self, tenant: TenantId) -> QualityDocument:
        """Return the document; who asks meanwhile shares it. Raises what :class:`Jobs` raises."""
        lock = self._asking.setdefault(tenant, asyncio.Lock())
        try:
            async with lock:
                now, kept = self._clock(), self._kept.pop(tenant, None)
                if kept is None or now - kept[0] >= KEPT_S * 1000:
                    task = EngagementByScore(self._warehouse, tenant, now - DAYS * DAY_MS)
                    kept = now, document(read_bins(await self._jobs.ask(task)), now)
                self._kept[tenant] = kept
                while len(self._kept) > MOST_KEPT:
                    self._kept.pop(next(iter(self._kept)))
                return kept[1]
        finally:
            if not lock.locked() and self._asking.get(tenant) is lock:
                del self._asking[tenant]


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

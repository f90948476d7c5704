"""How good a campaign's messages were, by arm and language: the document of `GET /v1/campaigns/{name}/report/quality`.

Scores are the rubric's, and calibrated by what readers of the whole channel did. Pure; :mod:`.quality` reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from actors.jobs import StoredArmScores
from cluster.times import iso
from whisperer.content.quality.calibration import Calibration

MOST_LOWEST = 3
PERFECT = 0.995
"""A mean mark from here on costs nothing that shows."""


class CriterionMark(msgspec.Struct):
    """The mean mark of a criterion, 0 to 1."""

    criterion: str
    mark: float


class ArmQuality(msgspec.Struct, kw_only=True):
    """The scored messages of an arm in one language.

    ``mean`` and ``calibrated`` are of 5; ``lowest`` are the criteria that cost most, the worst first.
    """

    arm: str
    channel: str
    locale: str
    scored: int
    mean: float
    calibrated: float
    lowest: list[CriterionMark]


class CampaignQualityDocument(msgspec.Struct, kw_only=True):
    """A campaign's scored messages of the last ``days``; means are None where there are none.

    ``arms``: those with the most messages first; an arm has an entry for each of its languages.
    """

    name: str
    as_of: str | None
    days: int
    scored: int
    mean: float | None
    calibrated: float | None
    arms: list[ArmQuality]


def of_arms(
    name: str, found: Iterable[StoredArmScores], curves: Mapping[str, Calibration], now: int, days: int
) -> CampaignQualityDocument:
    """Return the document of a campaign's scores of the last ``days``, by its channels' curves."""
    arms = sorted((_arm(one, curves) for one in found), key=lambda arm: (-arm.scored, arm.arm, arm.locale))
    scored = sum(arm.scored for arm in arms)
    return CampaignQualityDocument(
        name=name,
        as_of=iso(now),
        days=days,
        scored=scored,
        mean=round(sum(arm.scored * arm.mean for arm in arms) / scored, 2) if scored else None,
        calibrated=round(sum(arm.scored * arm.calibrated for arm in arms) / scored, 2) if scored else None,
        arms=arms,
    )


def _arm(found: StoredArmScores, curves: Mapping[str, Calibration]) -> ArmQuality:
    scored = sum(n for _, n, _ in found.bins)
    total = sum(total for _, _, total in found.bins)
    curve = curves.get(found.channel)
    # A bin's messages lie close together, and the curve is a line between the bins' centres.
    calibrated = total if curve is None else sum(n * curve.calibrated(total / n) for _, n, total in found.bins)
    marks = [(1 - lack / found.marked, name) for name, lack in found.lacking.items()] if found.marked else []
    return ArmQuality(
        arm=found.arm,
        channel=found.channel,
        locale=found.locale,
        scored=scored,
        mean=round(total / scored, 2),
        calibrated=round(calibrated / scored, 2),
        lowest=[CriterionMark(name, round(mark, 2)) for mark, name in sorted(marks)[:MOST_LOWEST] if mark < PERFECT],
    )

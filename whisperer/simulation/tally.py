"""Count what became of candidates, from the rows that a shard logs: the same rows that the live warehouse receives.

Guarantees: candidates = sent + no_send + refused + pending, every day and in total; money is exact. Memory: each day,
arm and reason costs an entry, a user one text in up to three sets.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from whisperer.decisions.decision import NO_SEND
from whisperer.delivery.dispatch import Verdict
from whisperer.ids import DecisionId, UserKey
from whisperer.journeys.campaign import Campaign
from whisperer.shard.state.log import DecisionRow, DeliveryRow, LogRow, RewardRow
from whisperer.vocabulary.units import DAY_MS, MICROS


@dataclass(slots=True)
class DayCounts:
    """Counts of a day, or of all. ``spent_micros`` is the cost of the arms that were sent."""

    candidates: int = 0
    sent: int = 0
    no_send: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    spent_micros: int = 0

    @property
    def pending(self) -> int:
        """Candidates whose outcome is still open."""
        return self.candidates - self.sent - self.no_send - sum(self.refused.values())

    def __add__(self, other: DayCounts) -> DayCounts:
        return DayCounts(
            self.candidates + other.candidates,
            self.sent + other.sent,
            self.no_send + other.no_send,
            self.refused + other.refused,
            self.spent_micros + other.spent_micros,
        )


@dataclass(slots=True)
class ArmCounts:
    """Counts of an arm. ``refused``: why the arm was not available, over candidates that were considered."""

    decisions: int = 0
    sent: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class CampaignTally:
    """Count one campaign."""

    def __init__(self, campaign: Campaign) -> None:
        self._cost = {arm.id: round(arm.cost * MICROS) for arm in campaign.arms}
        self.days: defaultdict[int, DayCounts] = defaultdict(DayCounts)
        """By day since 1970, UTC."""
        self.arms: dict[str, ArmCounts] = {arm: ArmCounts() for arm in (NO_SEND, *self._cost)}
        self.groups: Counter[str] = Counter()
        """Decisions by group; candidates refused before a group was needed have none."""
        self.chosen: Counter[str] = Counter()
        """Decisions of the group `policy`, by arm."""
        self.considered: set[UserKey] = set()
        self.eligible: set[UserKey] = set()
        self.reached: set[UserKey] = set()
        self.matured = 0
        """Decisions whose attribution window closed in time."""
        self._open: dict[DecisionId, tuple[str, int]] = {}
        """Decision -> arm and day of each message on its way."""

    def take(self, rows: Iterable[LogRow]) -> None:
        """Count rows of the shard's log."""
        for row in rows:
            match row:
                case DecisionRow():
                    self._decision(row)
                case DeliveryRow():
                    self._delivery(row)
                case RewardRow(mature=True):
                    self.matured += 1

    @property
    def total(self) -> DayCounts:
        """Counts over all days."""
        return sum(self.days.values(), DayCounts())

    def _decision(self, row: DecisionRow) -> None:
        day = row.at // DAY_MS
        counts = self.days[day]
        counts.candidates += 1
        self.considered.add(row.user_key)
        self._refused_arms(row.refused_arms)
        if row.reason:
            counts.refused[row.reason] += 1
            return
        self.eligible.add(row.user_key)
        self.groups[row.group] += 1
        self.arms[row.arm].decisions += 1
        if row.group == "policy":
            self.chosen[row.arm] += 1
        if row.arm == NO_SEND:
            counts.no_send += 1
        else:
            self._open[row.decision_id] = row.arm, day

    def _delivery(self, row: DeliveryRow) -> None:
        if row.status != Verdict.ACCEPTED and not row.reason:
            return  # an attempt that another will follow
        arm, day = self._open.pop(row.decision_id)
        counts = self.days[day]
        if row.reason:
            counts.refused[row.reason] += 1
            return
        counts.sent += 1
        counts.spent_micros += self._cost[arm]
        self.arms[arm].sent += 1
        self.reached.add(row.user_key)

    def _refused_arms(self, reasons: Mapping[str, str]) -> None:
        for arm, reason in reasons.items():
            self.arms[arm].refused[reason] += 1

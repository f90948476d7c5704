"""Reports what a campaign did and what that was worth: the document of `GET /v1/campaigns/{name}/report`. Pure.

Every candidate is accounted for: candidates = sent + no_send + the refused + pending; of the sent, the unknown have no
answer from their provider. The comparison is by users and by intention to treat (:mod:`whisperer.evaluation.lift`). The
table by group and arm covers decisions whose reward is final and supports no claim, because the policy chose whom to
give which arm. Field order is the order of the JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from cluster.control_plane import CampaignVersion
from cluster.control_plane.documents import CampaignDocument, campaign_document
from cluster.times import iso
from whisperer.decisions.allotment import BudgetWindow
from whisperer.evaluation.lift import GroupTally, Lift, NotYet, lift, sample_ratio
from whisperer.shard.records import Experiment
from whisperer.shard.views.counts import ArmCounts, CampaignCounts
from whisperer.vocabulary.groups import GROUPS, Group
from whisperer.vocabulary.units import MICROS


class LiftDocument(msgspec.Struct, kw_only=True):
    """The goal per user of one group, less that of the holdout; see :class:`whisperer.evaluation.lift.Lift`."""

    difference: float
    low: float
    high: float
    level: float
    relative: float | None
    relative_low: float | None
    relative_high: float | None
    relative_reason: str
    rests_on: float
    mean: float
    holdout_mean: float
    users: int
    holdout_users: int

    @classmethod
    def of(cls, found: Lift) -> LiftDocument:
        """Return the document of a lift."""
        return cls(
            difference=found.difference,
            low=found.low,
            high=found.high,
            level=found.level,
            relative=found.relative,
            relative_low=found.relative_low,
            relative_high=found.relative_high,
            relative_reason=found.relative_reason,
            rests_on=found.rests_on,
            mean=found.treated_mean,
            holdout_mean=found.holdout_mean,
            users=found.treated_users,
            holdout_users=found.holdout_users,
        )


class NotYetDocument(msgspec.Struct):
    """Why there is no interval: in words, and as a code."""

    not_yet: str
    reason: str


AnyLift = LiftDocument | NotYetDocument


class GroupResult(msgspec.Struct):
    """``mean``: of the goal per user since the first decision; None without users."""

    group: str
    users: int
    mean: float | None


class ArmTotals(msgspec.Struct):
    """:class:`whisperer.shard.views.counts.ArmCounts`, with the reward in the goal's unit."""

    group: str
    arm: str
    decisions: int
    sent: int
    converted: int
    reward_micros: int
    reward: float

    @classmethod
    def of(cls, counts: ArmCounts) -> ArmTotals:
        """Return the result of an arm in one group."""
        return cls(
            counts.group,
            counts.arm,
            counts.decisions,
            counts.sent,
            counts.converted,
            counts.reward_micros,
            counts.reward_micros / MICROS,
        )


class SampleRatioDocument(msgspec.Struct):
    """Whether group sizes match the current ``shares``; changed shares make them suspicious for a while."""

    p_value: float
    suspicious: bool
    shares: dict[str, float]


class WindowDocument(msgspec.Struct, kw_only=True):
    """One window of the budget; see :class:`whisperer.decisions.allotment.BudgetWindow`."""

    begins_at: str | None
    ends_at: str | None
    amount: float
    granted: float
    spent: float
    price: float
    withheld: int


class Report(CampaignDocument, kw_only=True):
    """What a campaign did. ``lift`` and ``uniform_lift`` are over the holdout; ``budget`` is None without one."""

    since: str | None
    candidates: int
    sent: int
    unknown: int
    no_send: int
    refused: dict[str, int]
    pending: int
    conversions: int
    outcomes: dict[str, int]
    groups: list[GroupResult]
    conflicted_users: int
    lift: AnyLift
    uniform_lift: AnyLift
    sample_ratio: SampleRatioDocument
    budget: list[WindowDocument] | None
    arms: list[ArmTotals]


def report(
    row: CampaignVersion,
    counts: CampaignCounts,
    experiment: Experiment,
    budget: Sequence[BudgetWindow] | None = None,
) -> Report:
    """Return the report of a campaign; ``counts`` are its sums over all shards, ``budget`` its windows."""
    tallies = {group: counts.groups.get(group, GroupTally()) for group in GROUPS}
    return Report(
        **msgspec.structs.asdict(campaign_document(row)),
        since=iso(row.first_published_at),
        candidates=counts.candidates,
        sent=counts.sent,
        unknown=counts.unknown,
        no_send=counts.no_send,
        refused=counts.refused,
        pending=counts.pending,
        conversions=counts.conversions,
        outcomes=counts.outcomes,
        groups=[
            GroupResult(group, tally.users, tally.mean if tally.users else None) for group, tally in tallies.items()
        ],
        conflicted_users=counts.conflicted,
        lift=lift_over_holdout(counts, Group.POLICY),
        uniform_lift=lift_over_holdout(counts, Group.UNIFORM),
        sample_ratio=_ratio(tallies, experiment),
        budget=None if budget is None else [_window(one) for one in budget],
        arms=sorted(map(ArmTotals.of, counts.arms), key=lambda arm: (GROUPS.index(arm.group), arm.arm)),
    )


def _window(found: BudgetWindow) -> WindowDocument:
    return WindowDocument(
        begins_at=iso(found.begins_at),
        ends_at=iso(found.ends_at),
        amount=found.amount,
        granted=found.granted,
        spent=found.spent,
        price=found.price,
        withheld=found.withheld,
    )


def lift_over_holdout(counts: CampaignCounts, group: str) -> AnyLift:
    """Return the lift of a group over the holdout: a difference per user, or why not yet."""
    found = lift(counts.groups.get(group, GroupTally()), counts.groups.get(Group.HOLDOUT, GroupTally()))
    return NotYetDocument(found.detail, found.reason) if isinstance(found, NotYet) else LiftDocument.of(found)


def _ratio(tallies: Mapping[Group, GroupTally], experiment: Experiment) -> SampleRatioDocument:
    shares: dict[str, float] = {Group.HOLDOUT: experiment.holdout, Group.UNIFORM: experiment.uniform}
    shares[Group.POLICY] = max(0.0, 1 - sum(shares.values()))
    found = sample_ratio({group: tally.users for group, tally in tallies.items()}, shares)
    return SampleRatioDocument(found.p_value, found.suspicious, shares)

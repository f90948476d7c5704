"""Define a shard's counts of its tenants and campaigns, and how those of several shards add up.

Every count is an integer, so the sums over shards are exact and do not depend on their order. A field that is added
gets a default: a shard of the release before does not have it (:mod:`actors.calls.plain`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from whisperer.evaluation.lift import GroupTally
from whisperer.shard.views.decision import LatestDecision

Key = TypeVar("Key")


class LoopCounts(msgspec.Struct, kw_only=True):
    """Count candidates: candidates = sent + no_send + the refused + pending. The unknown are among the sent."""

    candidates: int = 0
    sent: int = 0
    unknown: int = 0
    no_send: int = 0
    pending: int = 0
    conversions: int = 0
    refused: dict[str, int] = {}
    outcomes: dict[str, int] = {}


class ArmCounts(msgspec.Struct):
    """Count the decisions of one group that chose one arm and whose reward is final."""

    group: str
    arm: str
    decisions: int = 0
    sent: int = 0
    converted: int = 0
    reward_micros: int = 0

    def plus(self, other: ArmCounts) -> ArmCounts:
        """Return the sums of the same arm in the same group."""
        return ArmCounts(
            self.group,
            self.arm,
            self.decisions + other.decisions,
            self.sent + other.sent,
            self.converted + other.converted,
            self.reward_micros + other.reward_micros,
        )


class CampaignCounts(LoopCounts, kw_only=True):
    """Count what one campaign did.

    Attributes
    ----------
    version, status : as the shard runs it, None if it does not; of several shards the newest
    conflicted : users left out of lift because a merge joined two groups
    """

    version: int | None = 0
    status: str | None = None
    conflicted: int = 0
    groups: dict[str, GroupTally] = {}
    arms: list[ArmCounts] = []

    def plus(self, other: CampaignCounts) -> CampaignCounts:
        """Return the sums over the shards of both."""
        # A shard that was away may still run an older version, or none.
        newest = other if (other.version or 0) >= (self.version or 0) else self
        return CampaignCounts(
            candidates=self.candidates + other.candidates,
            sent=self.sent + other.sent,
            unknown=self.unknown + other.unknown,
            no_send=self.no_send + other.no_send,
            pending=self.pending + other.pending,
            conversions=self.conversions + other.conversions,
            refused=_added(self.refused, other.refused),
            outcomes=_added(self.outcomes, other.outcomes),
            version=newest.version or 0,
            status=newest.status,
            conflicted=self.conflicted + other.conflicted,
            groups=self.groups
            | {group: self.groups.get(group, _NOBODY) + tally for group, tally in other.groups.items()},
            arms=_arms(self.arms, other.arms),
        )


class SegmentCounts(msgspec.Struct):
    """Count a segment's members, and how many of ``total`` users its backfill has tested (``done``)."""

    members: int = 0
    version: int = 0
    done: int = 0
    total: int = 0

    def plus(self, other: SegmentCounts) -> SegmentCounts:
        """Return the sums over the shards of both, with the newest version."""
        return SegmentCounts(
            self.members + other.members,
            max(self.version, other.version),
            self.done + other.done,
            self.total + other.total,
        )


class TenantCounts(msgspec.Struct, kw_only=True):
    """Count one tenant's events and users, and what is kept of them.

    Attributes
    ----------
    events_dropped, traits_refused : by reason
    names : event names, time zones and locales; of several shards the fullest one's
    dedup_ids, dedup_evicted : message ids remembered, and forgotten before their time
    messages_waiting : letters between partitions that have not been taken
    bytes : memory that the users' state takes, by part
    latest_decisions : newest first
    """

    users: int = 0
    events_accepted: int = 0
    events_duplicate: int = 0
    events_dropped: dict[str, int] = {}
    events_unnamed: int = 0
    names_retired: int = 0
    names: dict[str, int] = {}
    dedup_ids: int = 0
    dedup_evicted: int = 0
    traits_refused: dict[str, int] = {}
    messages_waiting: int = 0
    config_version: int = 0
    campaigns: dict[str, CampaignCounts] = {}
    segments: dict[str, SegmentCounts] = {}
    bytes: dict[str, int] = {}
    latest_decisions: list[LatestDecision] = []

    def plus(self, other: TenantCounts) -> TenantCounts:
        """Return the sums over the shards of both."""
        return TenantCounts(
            users=self.users + other.users,
            events_accepted=self.events_accepted + other.events_accepted,
            events_duplicate=self.events_duplicate + other.events_duplicate,
            events_dropped=_added(self.events_dropped, other.events_dropped),
            events_unnamed=self.events_unnamed + other.events_unnamed,
            names_retired=self.names_retired + other.names_retired,
            names=self.names | {kind: max(self.names.get(kind, 0), n) for kind, n in other.names.items()},
            dedup_ids=self.dedup_ids + other.dedup_ids,
            dedup_evicted=self.dedup_evicted + other.dedup_evicted,
            traits_refused=_added(self.traits_refused, other.traits_refused),
            messages_waiting=self.messages_waiting + other.messages_waiting,
            config_version=max(self.config_version, other.config_version),
            campaigns=self.campaigns
            | {name: self.campaigns.get(name, _NO_CAMPAIGN).plus(one) for name, one in other.campaigns.items()},
            segments=self.segments
            | {name: self.segments.get(name, _NO_SEGMENT).plus(one) for name, one in other.segments.items()},
            bytes=_added(self.bytes, other.bytes),
            latest_decisions=self.latest_decisions + other.latest_decisions,
        )


_NOBODY, _NO_CAMPAIGN, _NO_SEGMENT = GroupTally(), CampaignCounts(), SegmentCounts()


def loop_counts(several: Iterable[LoopCounts]) -> LoopCounts:
    """Return the sums over several campaigns."""
    total = LoopCounts()
    for one in several:
        total.candidates += one.candidates
        total.sent += one.sent
        total.unknown += one.unknown
        total.no_send += one.no_send
        total.pending += one.pending
        total.conversions += one.conversions
        total.refused = _added(total.refused, one.refused)
        total.outcomes = _added(total.outcomes, one.outcomes)
    return total


def _added(ours: Mapping[Key, int], theirs: Mapping[Key, int]) -> dict[Key, int]:
    return {**ours, **{name: ours.get(name, 0) + n for name, n in theirs.items()}}


def _arms(ours: list[ArmCounts], theirs: list[ArmCounts]) -> list[ArmCounts]:
    sums = {(arm.group, arm.arm): arm for arm in ours}
    for arm in theirs:
        held = sums.get((arm.group, arm.arm))
        sums[arm.group, arm.arm] = arm if held is None else held.plus(arm)
    return list(sums.values())

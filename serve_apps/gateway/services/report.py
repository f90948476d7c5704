"""Reports what a campaign did and what that was worth: the document of `GET /v1/campaigns/{name}/report`. Pure.

Every candidate is accounted for: candidates = sent + no_send + the refused + pending; of the sent, the unknown have no
answer from their provider. The comparison is by users and by intention to treat (:mod:`whisperer.evaluation.lift`). The
table by group and arm covers decisions whose reward is final and supports no claim, because the policy chose whom to
give which arm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cluster.control_plane import CampaignVersion
from cluster.control_plane.documents import campaign_document
from cluster.times import iso
from whisperer.evaluation.lift import GroupTally, Lift, NotYet, lift, sample_ratio
from whisperer.shard.records import Experiment
from whisperer.vocabulary.groups import GROUPS, Group
from whisperer.vocabulary.units import MICROS


def report(
    row: CampaignVersion, counted: dict[str, Any], experiment: Experiment, budget: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Return the report's document.

    ``counted`` is the campaign's sums over all shards, as :mod:`serve_apps.gateway.metrics.sums` has them; ``budget``
    is its windows, as the learner has them (:meth:`actors.learner.budgets.Treasury.status`).
    """
    tallies = {group: _tally(counted["groups"].get(group)) for group in GROUPS}
    return {
        **campaign_document(row),
        "since": iso(row.first_published_at),
        **{
            name: counted[name]
            for name in ("candidates", "sent", "unknown", "no_send", "refused", "pending", "conversions")
        },
        "outcomes": counted["outcomes"],
        "groups": [
            {"group": group, "users": tally.users, "mean": tally.mean if tally.users else None}
            for group, tally in tallies.items()
        ],
        "conflicted_users": counted["conflicted"],
        **lifts(counted),
        "sample_ratio": _ratio(tallies, experiment),
        "budget": None if budget is None else [_window(one) for one in budget],
        "arms": [
            {**arm, "reward": arm["reward_micros"] / MICROS}
            for arm in sorted(counted["arms"], key=lambda arm: (GROUPS.index(arm["group"]), arm["arm"]))
        ],
    }


def _window(told: dict[str, Any]) -> dict[str, Any]:
    window = {name: value for name, value in told.items() if name not in ("tenant", "campaign")}
    return {**window, "begins_at": iso(told["begins_at"]), "ends_at": iso(told["ends_at"])}


def lifts(counted: dict[str, Any]) -> dict[str, Any]:
    """Return ``lift`` of the policy and ``uniform_lift``, each over the holdout: a difference per user, or why not
    yet."""
    holdout = _tally(counted["groups"].get(Group.HOLDOUT))
    return {
        name: _shown(lift(_tally(counted["groups"].get(group)), holdout))
        for name, group in (("lift", Group.POLICY), ("uniform_lift", Group.UNIFORM))
    }


def _tally(sums: dict[str, int] | None) -> GroupTally:
    return GroupTally() if sums is None else GroupTally(**sums)


def _shown(found: Lift | NotYet) -> dict[str, Any]:
    if isinstance(found, NotYet):
        return {"not_yet": found.detail, "reason": found.reason}
    return {
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "level": found.level,
        "relative": found.relative,
        "relative_low": found.relative_low,
        "relative_high": found.relative_high,
        "relative_reason": found.relative_reason,
        "rests_on": found.rests_on,
        "mean": found.treated_mean,
        "holdout_mean": found.holdout_mean,
        "users": found.treated_users,
        "holdout_users": found.holdout_users,
    }


def _ratio(tallies: Mapping[Group, GroupTally], experiment: Experiment) -> dict[str, Any]:
    """Test whether group sizes match the current shares; changed shares make it suspicious for a while."""
    shares: dict[str, float] = {Group.HOLDOUT: experiment.holdout, Group.UNIFORM: experiment.uniform}
    shares[Group.POLICY] = max(0.0, 1 - sum(shares.values()))
    found = sample_ratio({group: tally.users for group, tally in tallies.items()}, shares)
    return {"p_value": found.p_value, "suspicious": found.suspicious, "shares": shares}

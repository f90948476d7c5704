"""Sums one tenant's counts over the shards' statuses. Pure: dicts in, dicts out, integers throughout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from whisperer.ids import TenantId
from whisperer.shard.state.tenant import COUNTED

LOOP_COUNTS = ("candidates", "sent", "unknown", "no_send", "pending", "conversions")
_CAMPAIGN_COUNTS = (*LOOP_COUNTS, "conflicted")
_TENANT_COUNTS = ("users", *COUNTED, "messages_waiting", "dedup_ids", "dedup_evicted")
_GROUP_SUMS = ("users", "total_milli", "squares_milli2", "absolute_milli")
_ARM_SUMS = ("decisions", "sent", "converted", "reward_micros")


def by_tenant(statuses: Iterable[Mapping[str, Any]]) -> dict[TenantId, dict[str, Any]]:
    """Return tenant id -> its sums, over the shards that answered."""
    found: dict[TenantId, dict[str, Any]] = {}
    for status in statuses:
        for tenant, counted in status["tenants"].items():
            total = found.setdefault(tenant, no_counts())
            _add(total, counted, _TENANT_COUNTS)
            for kind, count in counted.get("names", {}).items():  # of the fullest shard
                total["names"][kind] = max(total["names"].get(kind, 0), count)
            _add_each(total["events_dropped"], counted["events_dropped"])
            _add_each(total["traits_refused"], counted.get("traits_refused", {}))  # a shard of an older release
            _add_each(total["bytes"], counted["bytes"])
            for name, segment in counted["segments"].items():
                sums = total["segments"].setdefault(name, {"members": 0, "done": 0, "total": 0, "version": 0})
                _add(sums, segment, ("members", "done", "total"))
                sums["version"] = max(sums["version"], segment["version"])
            for name, campaign in counted.get("campaigns", {}).items():
                _add_campaign(total["campaigns"].setdefault(name, no_campaign()), campaign)
    return found


def encodable(campaigns: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Make campaigns' sums fit for JSON: one that exceeds 64 bits, which takes hostile revenues, loses digits."""
    return {
        name: {
            **campaign,
            "groups": {g: {k: _within_64_bits(n) for k, n in sums.items()} for g, sums in campaign["groups"].items()},
            "arms": [{k: _within_64_bits(n) for k, n in arm.items()} for arm in campaign["arms"]],
        }
        for name, campaign in campaigns.items()
    }


def _within_64_bits(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


def loop_counts(campaigns: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Sum over all campaigns: candidates = sent + no_send + the refused + pending. The unknown are among the sent."""
    totals: dict[str, Any] = {name: 0 for name in LOOP_COUNTS} | {"refused": {}, "outcomes": {}}
    for campaign in campaigns.values():
        _add(totals, campaign, LOOP_COUNTS)
        _add_each(totals["refused"], campaign["refused"])
        _add_each(totals["outcomes"], campaign["outcomes"])
    return totals


def no_counts() -> dict[str, Any]:
    """Return the sums of a tenant that no shard knows yet."""
    counts: dict[str, Any] = {name: 0 for name in _TENANT_COUNTS}
    by_name = ("events_dropped", "traits_refused", "names", "segments", "campaigns", "bytes")
    return counts | {name: {} for name in by_name}


def no_campaign() -> dict[str, Any]:
    """Return the sums of a campaign that no shard knows yet."""
    counts = {name: 0 for name in _CAMPAIGN_COUNTS}
    return {**counts, "version": 0, "status": None, "refused": {}, "outcomes": {}, "groups": {}, "arms": []}


def _add_campaign(total: dict[str, Any], campaign: Mapping[str, Any]) -> None:
    _add(total, campaign, _CAMPAIGN_COUNTS)
    if (campaign["version"] or 0) >= total["version"]:  # a shard that was away may still run an older one, or none
        total["version"], total["status"] = campaign["version"] or 0, campaign["status"]
    _add_each(total["refused"], campaign["refused"])
    _add_each(total["outcomes"], campaign.get("outcomes", {}))
    for group, counted in campaign["groups"].items():
        none = {name: 0 for name in _GROUP_SUMS}
        # A shard that still runs the previous release does not count sizes (absolute_milli).
        _add(total["groups"].setdefault(group, none), {**none, **counted}, _GROUP_SUMS)
    arms = {(arm["group"], arm["arm"]): arm for arm in total["arms"]}
    for counted in campaign["arms"]:
        place = (counted["group"], counted["arm"])
        if place not in arms:
            arms[place] = {"group": place[0], "arm": place[1], **{name: 0 for name in _ARM_SUMS}}
            total["arms"].append(arms[place])
        _add(arms[place], counted, _ARM_SUMS)


def _add(total: dict[str, Any], counted: Mapping[str, Any], names: Iterable[str]) -> None:
    for name in names:
        total[name] += counted.get(name, 0)  # a shard of an earlier release does not count everything


def _add_each(total: dict[str, int], counted: Mapping[str, int]) -> None:
    for name, count in counted.items():
        total[name] = total.get(name, 0) + count

"""Presents a decision and a user's standing to callers: plain values, ISO 8601 times, reasons also in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cluster.times import iso
from whisperer.decisions.decision import NO_SEND
from whisperer.decisions.versions import parsed
from whisperer.delivery.dispatch import Verdict
from whisperer.eligibility.standing import Standing
from whisperer.ids import bare_id
from whisperer.journeys.engagement import DecisionStatus
from whisperer.vocabulary.reasons import SENTENCES, Reason
from whisperer.vocabulary.units import MICROS

PSEUDONYM = "erased:"
"""The prefix that the warehouse gives the key of an erased user."""

_TIMES = ("at", "chosen_at", "mature_at", "closed_at", "next_at", "sent_at")


def audit(view: dict[str, Any]) -> dict[str, Any]:
    """Convert a shard's or the warehouse's view for callers: ISO 8601 times, the reason also in words."""
    decider = parsed(view.get("policy_version") or "")
    return {
        **_with_times(view),
        "price": decider.price if decider else None,
        "user_id": None if view["user_key"].startswith(PSEUDONYM) else bare_id(view["user_key"]),
        "reason_text": sentence(view.get("reason")),
        "send": None if view.get("send") is None else _with_times(view["send"]),
        "outcomes": [_with_times(outcome) for outcome in view.get("outcomes") or []],
    }


def from_warehouse(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the warehouse's record of a decision (:class:`actors.warehouse.reader.Audit`) to the form of a shard's
    view."""
    row, deliveries, rewards = stored["decision"], stored["deliveries"], stored["rewards"]
    reward = max(rewards, key=lambda one: int(one["revision"]), default=None)
    status, reason = _ending(row, deliveries)
    outcomes = [{name: one[name] for name in ("at", "kind", "detail", "value_micros")} for one in stored["outcomes"]]
    same = (
        *("user_key", "campaign", "campaign_version", "trigger", "occurrence", "at", "chosen_at", "group", "arm"),
        *("propensity", "propensities", "means", "spreads", "seed", "policy_version", "arms", "shadow_version"),
    )
    return {
        "id": row["decision_id"],
        **{name: row[name] for name in same},
        **{name: row[name] or [] for name in ("scores", "shadow")},
        "status": status,
        "reason": reason,
        "refused_arms": dict(row["refused_arms"] or {}),
        "features": _features(row["features"]),
        "send": _send(deliveries),
        "outcomes": outcomes,
        "matured": reward is not None and bool(reward["mature"]),
        "reward_micros": None if reward is None else reward["reward_micros"],
        "reward": None if reward is None else reward["reward_micros"] / MICROS,
    }


def _ending(row: Mapping[str, Any], deliveries: Sequence[Mapping[str, Any]]) -> tuple[str, str | None]:
    """Return status and reason, from how the last attempt ended."""
    if row["reason"]:
        return DecisionStatus.REFUSED, row["reason"]
    if row["arm"] == NO_SEND:
        withheld = Reason.BUDGET_SPENT in dict(row["refused_arms"] or {}).values()
        return DecisionStatus.NO_SEND, Reason.BUDGET_SPENT if withheld else None
    if any(attempt["status"] in (Verdict.ACCEPTED, Verdict.UNKNOWN) for attempt in deliveries):
        return (
            DecisionStatus.SENT,
            None,
        )  # even if a later attempt failed: a message that may have arrived is not refused
    reason = next((attempt["reason"] for attempt in reversed(deliveries) if attempt["reason"]), None)
    return (DecisionStatus.REFUSED, reason) if reason else (DecisionStatus.SENDING, None)


def _send(deliveries: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    if not deliveries:
        return None
    last = deliveries[-1]
    accepted = next((attempt for attempt in deliveries if attempt["status"] == Verdict.ACCEPTED), None)
    is_unknown = accepted is None and any(attempt["status"] == Verdict.UNKNOWN for attempt in deliveries)
    return {
        **{name: last[name] for name in ("send_key", "channel", "provider", "provider_id", "content_hash", "locale")},
        "attempts": len(deliveries),
        "next_at": None,
        "last_error": None if accepted else last["detail"],
        "sent_at": accepted["at"] if accepted else last["at"] if is_unknown else None,
        "unknown": is_unknown,
    }


def _features(stored: Any) -> dict[str, float | None]:
    """Return features given as a map or as pairs; null where the user was erased."""
    if stored is None:
        return {}
    pairs = (
        stored.items()
        if isinstance(stored, Mapping)
        else ((one["name"], one["value"]) if isinstance(one, Mapping) else one for one in stored)
    )
    return {name: None if value is None or math.isnan(value) else value for name, value in pairs}


def standing(held: Standing) -> dict[str, Any]:
    """Return what may be done with a user. Suppressed addresses are stored as hashes, and so are not shown."""
    assignment = held.assignment
    return {
        "group": None
        if assignment is None
        else {"group": assignment.group, "at": iso(assignment.at), "conflicted": assignment.conflicted},
        "consent": [
            {
                "channel": place.partition("/")[0],
                "purpose": place.partition("/")[2],
                "granted": said.granted,
                "at": iso(said.at),
                "source": said.source,
            }
            for place, said in sorted(held.consent.items())
        ],
        "suppressed": [
            {"channel": channel, "at": iso(one.at), "reason": one.reason}
            for channel, stops in sorted(held.suppressed.items())
            for one in stops
        ],
        "sends": [
            {"at": iso(sent.at), "campaign": sent.campaign, "channel": sent.channel, "send_key": sent.send_key}
            for sent in reversed(held.sends)
        ],
    }


def sentence(reason: str | None) -> str | None:
    """Return a refusal reason in words."""
    return next((words for known, words in SENTENCES.items() if known == reason), None)


def _with_times(view: dict[str, Any]) -> dict[str, Any]:
    return {
        name: iso(value) if name in _TIMES and (value is None or isinstance(value, int)) else value
        for name, value in view.items()
    }

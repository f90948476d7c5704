"""Write a campaign back as its author wrote it: the JSON of docs/campaigns.md, and one English sentence.

``parse_campaign(to_caller(c), c.name) == c`` for every campaign not pinned yet; :func:`template_versions` returns the
template versions that a published one is pinned to.
"""

from __future__ import annotations

from typing import Any

import msgspec

from whisperer.content.generation.brief import Brief
from whisperer.decisions.budget import Budget
from whisperer.eligibility.rules import Cap, QuietHours
from whisperer.journeys.campaign import (
    USER_ZONE,
    Arm,
    Campaign,
    Goal,
    OnEvent,
    OnSchedule,
    OnSegment,
    Trigger,
)
from whisperer.segments import describe as describe_predicate
from whisperer.segments import parse_json
from whisperer.vocabulary.units import MICROS

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


def to_caller(campaign: Campaign) -> dict[str, Any]:
    """Return the caller's JSON with defaults written out; the name is not part of it."""
    return {
        "trigger": _trigger(campaign.trigger),
        "audience": msgspec.json.decode(campaign.audience) if campaign.audience else None,
        "goal": msgspec.structs.asdict(campaign.goal),
        "purpose": campaign.purpose,
        "arms": [_arm(arm) for arm in campaign.arms],
        "caps": [_cap(cap) for cap in campaign.caps],
        "quiet_hours": _quiet_hours(campaign.quiet_hours),
        "budget": _budget(campaign.budget),
        **_sender(campaign),
    }


def template_versions(campaign: Campaign) -> dict[str, int]:
    """Return template -> the version that its arms are pinned to; empty before publication."""
    return {arm.template: arm.template_version for arm in campaign.arms if arm.template_version}


def describe(campaign: Campaign) -> str:
    """Describe a campaign in one sentence.

    >>> from whisperer.journeys.parse import parse_campaign
    >>> describe(parse_campaign({"trigger": {"event": "Trial Started"}, "goal": {"event": "Paid", "window": "3d"},
    ...     "arms": [{"id": "tips", "channel": "email", "template": "tips"}]}, "welcome"))
    "When a user does 'Trial Started', sends tips (email) or nothing, hoping for 'Paid' within 3 days."
    """
    who = f" and {describe_predicate(parse_json(campaign.audience))}" if campaign.audience else ""
    arms = ", ".join(f"{arm.id} ({arm.channel})" for arm in campaign.arms)
    return f"{_when(campaign.trigger)}{who}, sends {arms} or nothing, hoping for {_hope(campaign.goal)}."


def _trigger(trigger: Trigger) -> dict[str, Any]:
    match trigger:
        case OnEvent(event):
            return {"event": event}
        case OnSegment(segment):
            return {"segment": segment}
        case OnSchedule(cron, zone):
            return {"schedule": {"cron": cron, "zone": zone}}
    return {"request": True}


def _arm(arm: Arm) -> dict[str, Any]:
    brief = {} if arm.brief is None else {"generate": _brief(arm.brief)}
    return {
        "id": arm.id,
        "channel": arm.channel,
        "template": arm.template,
        "offer": arm.offer,
        "cost": arm.cost,
        **brief,
        **_sender(arm),
    }


def _sender(of: Campaign | Arm) -> dict[str, str]:
    """Return what is said about the sender, nothing where nothing is: what was written before it could be stays so."""
    sender = {"from_name": of.from_name, "reply_to": of.reply_to}
    return {name: text for name, text in sender.items() if text}


def _brief(brief: Brief) -> dict[str, Any]:
    return {"brief": brief.text, "facts": list(brief.facts), "max_chars": brief.max_chars}


def _cap(cap: Cap) -> dict[str, Any]:
    hours = {"hours": cap.hours} if cap.per == "rolling" else {}
    return {"most": cap.most, "per": cap.per, **hours, "scope": cap.scope}


def _quiet_hours(quiet: QuietHours | None) -> dict[str, str] | None:
    return None if quiet is None else {"from": _clock(quiet.from_min), "until": _clock(quiet.until_min)}


def _budget(budget: Budget | None) -> dict[str, Any] | None:
    if budget is None:
        return None
    amount, hours = budget.amount_micros / MICROS, list(budget.hours) or None
    return {"amount": amount, "days": budget.days, "hours": hours}


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _when(trigger: Trigger) -> str:
    match trigger:
        case OnEvent(event):
            return f"When a user does '{_printable(event)}'"
        case OnSegment(segment):
            return f"When a user enters the segment {segment}"
        case OnSchedule(cron, zone):
            where = "each user's own time" if zone == USER_ZONE else zone
            return f"At '{cron}' in {where}, for every user"
    return "When a caller asks"


def _hope(goal: Goal) -> str:
    event = f"'{_printable(goal.event)}' within {duration(goal.window_s)}"
    return event if goal.reward == "conversion" else f"revenue of {event}, up to {goal.cap:,g}"


def duration(seconds: float) -> str:
    """Write a duration in words, in the largest unit that divides it evenly.

    >>> duration(259_200), duration(90), duration(60)
    ('3 days', '90 seconds', '1 minute')
    """
    size, unit = next(((s, u) for s, u in _UNITS if seconds >= s and seconds % s == 0), (1, "second"))
    count = seconds / size
    return f"{count:,g} {unit}{'' if count == 1 else 's'}"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)

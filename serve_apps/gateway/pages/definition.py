"""Describes a campaign's definition in words, from the caller's JSON of docs/campaigns.md.

A part it does not understand, such as a later field or an unknown form, is shown as JSON instead of hidden.
"""

from __future__ import annotations

import json
from typing import Any

from serve_apps.gateway.pages.formats import number, span
from whisperer.errors import WhispererError
from whisperer.segments import describe, parse_predicate

_SCOPES = {"campaign": "of this campaign", "tenant": "of all campaigns", "channel": "on the same channel"}


def rows(definition: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (what, in words), in the order an author thinks of them; arms have a separate table."""
    known = (
        ("Trigger", "trigger", _trigger),
        ("Audience", "audience", _audience),
        ("Goal", "goal", _goal),
        ("Purpose", "purpose", str),
        ("Caps", "caps", _caps),
        ("Quiet hours", "quiet_hours", _quiet),
        ("Budget", "budget", _budget),
        ("From name", "from_name", _sender),
        ("Reply-To", "reply_to", _sender),
    )
    found = []
    for title, name, in_words in known:
        if name in definition:
            found.append((title, in_words(definition[name])))
    taken = {name for _, name, _ in known} | {"arms", "name", "publish", "description"}
    found += [(name, _json(value)) for name, value in definition.items() if name not in taken and value is not None]
    return found


def _trigger(trigger: Any) -> str:
    match trigger:
        case {"event": str(event)}:
            return f"each event {event}"
        case {"segment": str(segment)}:
            return f"each entry into the segment {segment}"
        case {"schedule": {"cron": str(cron), **more}}:
            zone = more.get("zone", "user")
            return f"by the schedule {cron}, " + ("in each user's own zone" if zone == "user" else f"in {zone}")
        case {"request": True}:
            return "only when a caller asks"
    return _json(trigger)


def _audience(audience: Any) -> str:
    if audience is None:
        return "everyone"
    try:
        return describe(parse_predicate(audience))
    except WhispererError:
        return _json(audience)


def _goal(goal: Any) -> str:
    match goal:
        case {"event": str(event)}:
            more: dict[str, Any] = goal
            window = more.get("window") or _seconds(more.get("window_s"))
            earns = "the revenue it brings" if more.get("reward") == "revenue" else "one conversion"
            cap = f", at most {number(more['cap'])}" if isinstance(more.get("cap"), (int, float)) else ""
            cost = more.get("unsubscribe_cost")
            minus = f"; an unsubscription costs {number(cost)}" if isinstance(cost, (int, float)) and cost else ""
            return f"{event} within {window}: {earns}{cap}{minus}"
    return _json(goal)


def _seconds(seconds: Any) -> str:
    return span(seconds * 1000) if isinstance(seconds, (int, float)) else "its window"


def _caps(caps: Any) -> str:
    if not isinstance(caps, list):
        return _json(caps)
    return "; ".join(map(_cap, caps)) or "none"


def _cap(cap: Any) -> str:
    match cap:
        case {"most": int(most), "per": str(per)}:
            more: dict[str, Any] = cap
            unit = _seconds(more.get("hours", 0) * 3600) if per == "rolling" else f"a calendar {per}"
            every = f"in {unit}" if per == "rolling" else unit
            return f"at most {most} {every}, {_SCOPES.get(more.get('scope', 'campaign'), '')}".rstrip(", ")
    return _json(cap)


def _quiet(quiet: Any) -> str:
    match quiet:
        case None:
            return "none"
        case {"from": str(start), "until": str(end)}:
            return f"nothing from {start} until {end}, the user's time"
    return _json(quiet)


def _budget(budget: Any) -> str:
    match budget:
        case None:
            return "none"
        case {"amount": int() | float() as amount, "days": int() | float() as days, **more} if not any(more.values()):
            return (
                f"at most {number(amount)} of arms' costs a {'day' if days == 1 else f'window of {number(days)} days'}"
            )
    return _json(budget)


def _sender(named: Any) -> str:
    return "the channel's" if named is None else str(named)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)

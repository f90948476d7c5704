"""Build the JSON Schema (2020-12) of a campaign as callers write it, for editors, OpenAPI and clients' own checks.

Everything that the parser accepts is valid under it; the parser refuses a little more: crons that never fire, unknown
zones, repeated arm ids, offers that are too large, predicates beyond their limits.
"""

from __future__ import annotations

from typing import Any

from whisperer.content.generation.brief import (
    DEFAULT_CHARS,
    MAX_BRIEF_CHARS,
    MAX_CHARS,
    MAX_FACT_CHARS,
    MAX_FACTS,
    MIN_CHARS,
)
from whisperer.decisions.decision import NO_SEND
from whisperer.decisions.pacing import HOURS
from whisperer.delivery.senders import MAX_NAME_CHARS, MAX_REPLY_TO_CHARS
from whisperer.journeys import limits
from whisperer.journeys.parse import PERIODS, REWARDS, SCOPES
from whisperer.segments import json_schema
from whisperer.segments import limits as predicate_limits
from whisperer.vocabulary.channels import CHANNELS

_NAME: dict[str, Any] = {"type": "string", "pattern": f"^{limits.NAME_PATTERN}$"}
_EVENT: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": predicate_limits.MAX_NAME}
_AMOUNT: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": limits.MAX_AMOUNT}
_SENDER: dict[str, dict[str, Any]] = {
    "from_name": {
        "type": ["string", "null"],
        "minLength": 1,
        "maxLength": MAX_NAME_CHARS,
        "description": "whom its e-mails name as their sender; by default an arm's is the campaign's, and a "
        "campaign's the channel's",
    },
    "reply_to": {
        "type": ["string", "null"],
        "minLength": 1,
        "maxLength": MAX_REPLY_TO_CHARS,
        "description": "where answers to its e-mails go: an address, or a name and an address",
        "examples": ["Ada <ada@example.com>"],
    },
}
_TIME: dict[str, Any] = {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}

EXAMPLE: dict[str, Any] = {
    "trigger": {"event": "Trial Started"},
    "audience": {"trait": "plan", "op": "eq", "value": "trial"},
    "goal": {"event": "Subscription Started", "window": "72h"},
    "purpose": "marketing",
    "arms": [
        {"id": "tips", "channel": "email", "template": "tips-email"},
        {"id": "offer", "channel": "email", "template": "offer-email", "offer": {"percent": 20}, "cost": 0.1},
        {"id": "nudge", "channel": "push", "template": "nudge-push"},
    ],
    "caps": [{"most": 3, "per": "rolling", "hours": 168, "scope": "tenant"}, {"most": 1, "per": "day"}],
    "quiet_hours": {"from": "21:00", "until": "08:00"},
    "budget": {"amount": 25, "days": 1},
}


def campaign_json_schema() -> dict[str, Any]:
    """Return the schema as a new dict; ``$defs`` holds the campaign's parts and the predicates."""
    definitions = json_schema()["$defs"] | {
        "Trigger": _trigger(),
        "Goal": _goal(),
        "Arm": _object(
            ("id", "channel", "template"),
            id=_NAME | {"not": {"const": NO_SEND}},
            channel={"enum": list(CHANNELS)},
            template=_NAME | {"description": "pinned to its newest version when the campaign is published"},
            offer={"type": ["object", "null"], "description": "what templates see as `offer`", "default": None},
            cost=_AMOUNT | {"default": 0, "description": "taken off the reward when it is sent, in the goal's unit"},
            generate={"oneOf": [_reference("Brief"), {"type": "null"}], "default": None},
            **_SENDER,
        ),
        "Brief": _object(
            ("brief",),
            brief={"type": "string", "minLength": 1, "maxLength": MAX_BRIEF_CHARS},
            facts={
                "type": "array",
                "items": {"type": "string", "maxLength": MAX_FACT_CHARS},
                "maxItems": MAX_FACTS,
                "default": [],
                "description": "values that the model may know, such as user.plan",
            },
            max_chars={"type": "integer", "minimum": MIN_CHARS, "maximum": MAX_CHARS, "default": DEFAULT_CHARS},
        ),
        "Cap": _cap(),
        "Budget": _budget(),
        "QuietHours": _object(("from", "until"), **{"from": _TIME, "until": _TIME}),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Campaign",
        **_object(
            ("trigger", "goal", "arms"),
            trigger=_reference("Trigger"),
            audience={"oneOf": [_reference("Predicate"), {"type": "null"}], "default": None},
            goal=_reference("Goal"),
            purpose=_NAME | {"default": "marketing", "description": "transactional skips consent, never suppression"},
            arms={"type": "array", "items": _reference("Arm"), "minItems": 1, "maxItems": limits.MAX_ARMS},
            caps={"type": ["array", "null"], "items": _reference("Cap"), "maxItems": limits.MAX_CAPS},
            quiet_hours={"oneOf": [_reference("QuietHours"), {"type": "null"}], "default": None},
            budget={"oneOf": [_reference("Budget"), {"type": "null"}], "default": None},
            **_SENDER,
        ),
        "$defs": definitions,
        "examples": [EXAMPLE],
    }


def _trigger() -> dict[str, Any]:
    zone = {"type": "string", "default": "user", "description": "IANA name, or user for each user's own"}
    cron = {"type": "string", "maxLength": limits.MAX_CRON, "examples": ["0 9 * * 1"]}
    return {
        "oneOf": [
            _object(("event",), event=_EVENT),
            _object(("segment",), segment=_NAME),
            _object(("schedule",), schedule=_object(("cron",), cron=cron, zone=zone)),
            _object(("request",), request={"const": True}),
        ]
    }


def _goal() -> dict[str, Any]:
    window_s = {"type": "number", "exclusiveMinimum": 0, "maximum": limits.MAX_WINDOW_S}
    goal = _object(
        ("event",),
        event=_EVENT,
        window_s=window_s,
        window={"type": "string", "pattern": r"^[0-9]{1,9}(\.[0-9]{1,6})?[smhd]$", "examples": ["72h"]},
        reward={"enum": list(REWARDS), "default": "conversion"},
        cap={"type": "number", "exclusiveMinimum": 0, "maximum": limits.MAX_AMOUNT},
        unsubscribe_cost=_AMOUNT | {"default": 0.5},
    )
    return goal | {
        "oneOf": [{"required": ["window_s"]}, {"required": ["window"]}],
        "if": {"properties": {"reward": {"const": "revenue"}}, "required": ["reward"]},
        "then": {"required": ["cap"]},
    }


def _cap() -> dict[str, Any]:
    cap = _object(
        ("most", "per"),
        most={"type": "integer", "minimum": 1, "maximum": limits.MAX_MOST},
        per={"enum": list(PERIODS), "description": "day, week and month are calendar units in the user's zone"},
        hours={"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": limits.MAX_CAP_HOURS},
        scope={"enum": list(SCOPES), "default": "campaign"},
    )
    rolling = {"required": ["hours"], "properties": {"hours": {"type": "number"}}}
    calendar = {"properties": {"hours": {"type": "null"}}}
    return cap | {"if": {"properties": {"per": {"const": "rolling"}}}, "then": rolling, "else": calendar}


def _budget() -> dict[str, Any]:
    shares = {"type": "array", "items": _AMOUNT, "minItems": HOURS, "maxItems": HOURS}
    return _object(
        ("amount",),
        amount={"type": "number", "exclusiveMinimum": 0, "maximum": limits.MAX_AMOUNT},
        days={"type": "integer", "minimum": 1, "maximum": limits.MAX_BUDGET_DAYS, "default": 1},
        hours={
            "oneOf": [shares, {"type": "null"}],
            "default": None,
            "description": "shares of a day by the UTC hour; every hour alike by default",
        },
    )


def _object(required: tuple[str, ...], **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties, "additionalProperties": False}


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}

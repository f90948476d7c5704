"""Completes one decision's record for the pages: whatever is absent becomes an empty value of its kind.

A shard leaves out what did not happen yet, the warehouse what it does not hold, and an erasure who it was. The pages
read all of them the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from serve_apps.gateway.pages.documents import DecisionView

_EMPTY: dict[str, Any] = {
    "id": "",
    "user_key": "",
    "user_id": None,
    "campaign": "",
    "campaign_version": 0,
    "trigger": "",
    "occurrence": "",
    "at": None,
    "status": "",
    "reason": "",
    "refused_arms": {},
    "group": "",
    "features": {},
    "arm": "",
    "propensity": None,
    "arms": [],
    "propensities": [],
    "means": [],
    "spreads": [],
    "seed": None,
    "policy_version": "",
    "chosen_at": None,
    "send": None,
    "outcomes": [],
    "mature_at": None,
    "reward_micros": 0,
    "matured": False,
    "event": None,
    "template": "",
    "offer": None,
}
_EMPTY_SEND: dict[str, Any] = {
    "send_key": "",
    "channel": "",
    "attempts": 0,
    "next_at": None,
    "last_error": "",
    "provider": "",
    "provider_id": "",
    "content_hash": "",
    "locale": "",
    "sent_at": None,
    "unknown": False,
}
_EMPTY_OUTCOME: dict[str, Any] = {"at": None, "kind": "", "detail": "", "value_micros": 0}


def plain(document: Any) -> Any:
    """Convert to plain JSON: what a client wrote may still be raw, and a NaN becomes null."""
    return msgspec.json.decode(msgspec.json.encode(document))


def record(decision: Mapping[str, Any]) -> DecisionView:
    """Return a plain decision without gaps."""
    found = _filled(_EMPTY, decision)
    if found["send"] is not None:
        found["send"] = _filled(_EMPTY_SEND, found["send"])
    found["outcomes"] = [_filled(_EMPTY_OUTCOME, outcome) for outcome in found["outcomes"]]
    return cast(DecisionView, found)


def _filled(empty: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    return {**empty, **{name: value for name, value in given.items() if value is not None}}

"""Decode the variables of one request: what a template may name.

A trait or property that cannot be decoded is absent, like one that was never sent; so is null. Whole floats are written
as whole numbers: 3 events, not 3.0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from whisperer.content.locales import direction
from whisperer.content.message import RenderRequest
from whisperer.content.recent import ByName, RecentEvent
from whisperer.content.template import Scalar
from whisperer.ids import bare_id

_decode = msgspec.json.Decoder().decode


def variables_of(
    request: RenderRequest,
    defaults: Mapping[str, Scalar],
    locale: str,
    unsubscribe_url: str,
    brand: Mapping[str, str],
    generated: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the variables by name.

    ``locale`` is the message's, not the user's; an empty ``unsubscribe_url`` leaves that variable out. ``brand`` holds
    the tenant's settings of that name, ``generated`` what a model wrote, by slot.
    """
    user: dict[str, Any] = {name: _value(text) for name, text in request.traits.items()}
    for name, value in defaults.items():
        held = user.get(name)
        if held is None or (isinstance(held, str) and not held.strip()):
            user[name] = value
    user["id"] = bare_id(request.user_key)
    return {
        "user": user,
        "features": {name: _plain(value) for name, value in request.features.items() if math.isfinite(value)},
        "event": _value(request.event),
        "offer": _value(request.offer),
        "recent": _recent(request.recent or ()),
        "brand": dict(brand),
        "generated": dict(generated or {}),
        "campaign": request.campaign,
        "arm": request.variant,
        "locale": locale,
        "dir": direction(locale),
        "now": datetime.fromtimestamp(request.now // 1000, UTC).isoformat().replace("+00:00", "Z"),
        **({"unsubscribe_url": unsubscribe_url} if unsubscribe_url else {}),
    }


def _recent(events: Iterable[RecentEvent]) -> ByName:
    found = ByName()
    for event in events:
        properties = _value(event.properties)
        found.setdefault(event.name, []).append(properties if isinstance(properties, dict) else {})
    return found


def _value(text: bytes) -> Any:
    try:
        return _decode(text) if text else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _plain(value: float) -> int | float:
    return int(value) if value.is_integer() and abs(value) < 2**53 else value

"""A body of any bytes: the scanner and the exact way agree to the last byte, and neither ever fails."""

from __future__ import annotations

import json
from collections.abc import Hashable

from tests.unit.whisperer.events.ingesting import admitted
from tests.unit.whisperer.events.kernels.test_scanner import check, n_plain
from whisperer.events.refusals import Refusal
from whisperer.events.routes import ROUTES

_ROUTES = sorted(ROUTES)
WORDS = (
    '"batch":[', '"type":"track"', '"type":"identify"', '"userId":', '"anonymousId":', '"event":', '"messageId":',
    '"timestamp":"2026-11-23T00:55:22.700Z"', '"originalTimestamp":', '"sentAt":', '"properties":{', '"revenue":',
    '"context":{', '"timezone":"Europe/Vienna"', '"locale":"de-AT"', '"active":false', '"traits":{', '"previousId":',
    '"writeKey":"', '"integrations":{', '"groupId":', "\\ud83d", "\\u0000", "\\/", "null", "true", "1e3", "-0.0", "12.345678",
    '"$page"', "9007199254740993", "ß", "\ufeff",
)  # fmt: skip


def seeds() -> list[bytes]:
    event = {
        "type": "track", "userId": "u1", "anonymousId": "a1", "event": "Paid", "messageId": "m1",
        "timestamp": "2026-11-23T00:55:22.700Z", "properties": {"revenue": 12.5, "größe": [1, None]},
        "context": {"timezone": "Europe/Vienna", "locale": "de-AT", "active": False},
    }  # fmt: skip
    bodies = [
        event,
        {"batch": [event, {**event, "type": "identify", "traits": {"plan": "pro"}}], "sentAt": "2026-11-23T00:55:22Z"},
    ]
    return [bytes([n]) + json.dumps(body).encode() for n in range(len(_ROUTES)) for body in bodies]


def attack(data: bytes) -> Hashable:
    if not data:
        return None
    route = _ROUTES[data[0] % len(_ROUTES)]
    body = data[1:]
    check(body, route)
    result = admitted(body, route)
    if isinstance(result, Refusal):
        return result.code
    codes = tuple(sorted({fault.code for fault in result.rejected}))
    return route, min(result.n_accepted, 3), n_plain(body, route), codes, tuple(sorted(result.notices))

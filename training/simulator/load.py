"""Prebuild request bodies for load tests: a template of one batch into which ids, users and times are patched.

About 450 bytes per event in a believable mix of calls. The same arguments give the same bytes; every messageId is new
within a seed. Nothing is encoded per batch, so one core makes millions of events a second, and it is the receiver that
gets measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .people import FEATURES, ZONES
from .segment import SITE

_ID_DIGITS = 12
_USER_DIGITS = 9
_ID_MARK = "#" * _ID_DIGITS
_USER_MARK = "%" * _USER_DIGITS
_TIME_MARK = "@" * 24
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_START = datetime(2026, 1, 5, tzinfo=UTC)
_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/130.0.0.0"


def load_batches(
    seed: int, n_events: int, batch: int = 500, *, n_users: int = 100_000, start: datetime = _START
) -> Iterator[bytes]:
    """Yield bodies for ``POST /v1/batch``, ``batch`` events each (the last may hold fewer), ``n_events`` in all.

    Users are ``load-<9 digits>``, drawn evenly; events are 1 ms apart from ``start``, a batch sharing one time.
    """
    if not 1 <= batch <= 2_500:
        raise ValueError("a batch holds 1 to 2,500 events")
    full = _Template(seed, min(batch, max(1, n_events)))
    for number, first in enumerate(range(0, n_events, batch)):
        size = min(batch, n_events - first)
        template = full if size == full.size else _Template(seed, size)
        users = np.random.default_rng([seed, number]).integers(0, n_users, size)
        yield template.filled(first, users, start + timedelta(milliseconds=first))


class _Template:
    def __init__(self, seed: int, size: int) -> None:
        self.size = size
        events = [_event(seed, place) for place in range(size)]
        text = json.dumps({"batch": events}, separators=(",", ":")).encode()
        self._bytes = np.frombuffer(text, np.uint8)
        self._ids = _places(text, _ID_MARK)
        self._times = _places(text, _TIME_MARK)
        self._users = _places(text, _USER_MARK)
        # An event may name its user more than once (identify: in the e-mail too), so each place needs its event.
        self._event_of_user = np.searchsorted(self._ids[:, 0], self._users[:, 0], side="right") - 1

    def filled(self, first: int, users: NDArray[np.int64], at: datetime) -> bytes:
        body = self._bytes.copy()
        body[self._ids] = _digits(np.arange(first, first + self.size), 16, _ID_DIGITS)
        body[self._users] = _digits(users, 10, _USER_DIGITS)[self._event_of_user]
        body[self._times] = np.frombuffer(f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z".encode(), np.uint8)
        return body.tobytes()


def _places(text: bytes, mark: str) -> NDArray[np.int64]:
    """Return the positions of the mark's characters, shape (n_marks, len(mark))."""
    found, at = [], text.find(mark.encode())
    while at >= 0:
        found.append(at)
        at = text.find(mark.encode(), at + len(mark))
    return np.array(found, np.int64).reshape(-1, 1) + np.arange(len(mark))


def _digits(numbers: NDArray[np.int64], base: int, width: int) -> NDArray[np.uint8]:
    """Return the digits of each number as ASCII, shape (n, width)."""
    powers = base ** np.arange(width - 1, -1, -1, dtype=np.int64)
    return np.asarray(_HEX[numbers[:, None] // powers % base])


def _event(seed: int, place: int) -> dict[str, Any]:
    """Return one event of the mix: of 20, fourteen tracks (one with revenue), four pages, one screen, one identify."""
    zone, locale, _ = ZONES[place % len(ZONES)]
    event: dict[str, Any] = {"messageId": f"load-{seed:x}-{_ID_MARK}", "timestamp": _TIME_MARK}
    event["userId"] = f"load-{_USER_MARK}"
    event["context"] = {
        "library": {"name": "analytics.js", "version": "npm:next-1.81.0"},
        "locale": locale,
        "timezone": zone,
        "userAgent": _AGENT,
    }
    turn = place % 20
    if turn == 0:
        traits = {"email": f"{_USER_MARK}@load.example", "name": "Load Test", "plan": "team", "company": "Harbor Labs"}
        return {"type": "identify", **event, "traits": traits}
    if turn == 1:
        return {"type": "screen", **event, "name": "Projects", "properties": {"name": "Projects", "orientation": "up"}}
    if turn < 6:
        page = {"path": "/dashboard", "title": "Dashboard", "url": f"{SITE}/dashboard", "referrer": f"{SITE}/projects"}
        return {"type": "page", **event, "name": "Dashboard", "properties": page}
    if turn == 6:
        order = {"order_id": f"o-{place}", "plan": "team", "revenue": 49.0, "currency": "USD", "coupon": None}
        return {"type": "track", **event, "event": "Order Completed", "properties": order}
    properties = {"plan": "team", "items": place % 9 + 1, "project": f"project-{place % 97}", "source": "toolbar"}
    return {"type": "track", **event, "event": FEATURES[place % len(FEATURES)], "properties": properties}

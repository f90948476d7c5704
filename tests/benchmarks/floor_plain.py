"""The floor as one would write it first: msgspec structs, dictionaries, numpy. Imports nothing of the product."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

_DAY_MS = 86_400_000
_WINDOW = 90
_AWAY_MS = 14 * _DAY_MS
_SEED = 0x5EED
_BUSY_EVENT = "Report Exported"
_PLAN = "team"
_KINDS = {"track": 1, "page": 2, "screen": 3, "identify": 4, "group": 5}


class _Context(msgspec.Struct, frozen=True, gc=False):
    locale: str = ""
    timezone: str = ""


class _Properties(msgspec.Struct, frozen=True, gc=False):
    revenue: float | str | None = None


class _Event(msgspec.Struct, gc=False):
    type: str
    messageId: str  # noqa: N815  the wire's name
    timestamp: str = ""
    userId: str = ""  # noqa: N815
    anonymousId: str = ""  # noqa: N815
    event: str = ""
    name: str = ""
    context: _Context = _Context()
    properties: _Properties = _Properties()
    traits: msgspec.Raw = msgspec.Raw(b"")


class _Batch(msgspec.Struct, gc=False):
    batch: list[_Event]


_decode = msgspec.json.Decoder(_Batch).decode


def _is_whole(event: _Event) -> bool:
    return bool(
        event.type in _KINDS
        and event.messageId
        and (event.userId or event.anonymousId)
        and (event.event or event.type != "track")
    )


class Plain:
    """The same interface as `floor.Compiled`."""

    def __init__(self, n_users: int) -> None:
        self.n_counted = 0
        self.traits: dict[int, dict[str, tuple[int, int, Any]]] = {}
        self.timeline: dict[int, list[tuple[int, int, int]]] = {}
        self._seen: set[bytes] = set()
        self._rows: dict[str, int] = {}
        self._names: dict[str, int] = {}
        self._by_name: dict[tuple[int, int, int], int] = {}
        self._sequence = np.zeros(64, np.int64)
        self._first = np.full(n_users, np.iinfo(np.int64).max)
        self._last = np.full(n_users, -1, np.int64)
        self._events = np.zeros(n_users, np.int64)
        self._revenue = np.zeros(n_users, np.int64)
        self._zone = np.zeros(n_users, np.int32)
        self._locale = np.zeros(n_users, np.int32)
        self._newest = np.zeros(n_users, np.int32)
        self._daily = np.zeros((n_users, _WINDOW), np.uint16)
        self._plan = np.zeros(n_users, np.bool_)
        self._segments = np.zeros(n_users, np.int8)

    def decode(self, body: bytes, now: int) -> tuple[Any, Any, list[Any]]:
        events = [event for event in _decode(body).batch if _is_whole(event)]
        keys = [event.userId or event.anonymousId for event in events]
        hashes = np.array([xxhash.xxh3_64_intdigest(key.encode(), _SEED) for key in keys], np.uint64)
        ids = [xxhash.xxh3_128_digest(event.messageId.encode()) for event in events]
        times = np.array([round(datetime.fromisoformat(e.timestamp).timestamp() * 1000) for e in events], np.int64)
        revenue = np.array([round(float(e.properties.revenue or 0) * 1_000_000) for e in events], np.int64)
        partition = (hashes >> np.uint64(58)).astype(np.int64)
        kinds = np.array([_KINDS[event.type] for event in events], np.uint8)
        decoded = (events, keys, ids, np.minimum(times, now), revenue, partition, kinds)
        columns: list[NDArray[Any]] = [times, revenue, hashes, partition, kinds]
        return decoded, len(events), [*(column.tobytes() for column in columns), b"".join(ids), body]

    def apply(self, decoded: Any, n: int, now: int, position: int) -> None:
        events, keys, ids, times, revenue, partition, _ = decoded
        np.add.at(self._sequence, partition, 1)
        fresh = np.zeros(n, np.bool_)
        for place, message in enumerate(ids):
            if message not in self._seen:
                self._seen.add(message)
                fresh[place] = True
        self.n_counted += int(fresh.sum())
        rows = np.array([self._rows.setdefault(key, len(self._rows)) for key in keys], np.int64)[fresh]
        chosen = np.flatnonzero(fresh).tolist()
        times, days = times[fresh], times[fresh] // _DAY_MS
        np.minimum.at(self._first, rows, times)
        np.maximum.at(self._last, rows, times)
        np.add.at(self._events, rows, 1)
        np.add.at(self._revenue, rows, revenue[fresh])
        number = self._names.setdefault
        self._zone[rows] = [number(events[i].context.timezone, len(self._names)) for i in chosen]
        self._locale[rows] = [number(events[i].context.locale, len(self._names)) for i in chosen]
        for row in np.unique(rows[days > self._newest[rows]]).tolist():
            day = int(days[rows == row].max())
            skipped = np.arange(max(self._newest[row] + 1, day - _WINDOW + 1), day + 1) % _WINDOW
            self._daily[row, skipped] = 0
            self._newest[row] = day
        np.add.at(self._daily, (rows, days % _WINDOW), 1)
        names = [events[i].event or events[i].name or events[i].type for i in chosen]
        by_name, today = self._by_name, now // _DAY_MS
        busy = set()
        for place, row, at, day, name in zip(chosen, rows.tolist(), times.tolist(), days.tolist(), names, strict=True):
            code = number(name, len(self._names))
            for key in ((row, code, -1), (row, code, day)):
                by_name[key] = by_name.get(key, 0) + 1
            self.timeline.setdefault(row, []).append((at, position + place, code))
            if name == _BUSY_EVENT and sum(by_name.get((row, code, d), 0) for d in range(today - 6, today + 1)) >= 3:
                busy.add(row)
            if events[place].traits:
                held = self.traits.setdefault(row, {})
                version = (day, position + place)
                for trait, value in msgspec.json.decode(events[place].traits).items():
                    if trait not in held or held[trait][:2] < version:
                        held[trait] = (*version, value)
                self._plan[row] = held.get("plan", (0, 0, None))[2] == _PLAN
        touched = np.unique(rows)
        month = self._daily[touched[:, None], np.arange(today - 29, today + 1) % _WINDOW].sum(axis=1)
        found = np.where(self._plan[touched] & (month >= 5), 2, 0) | np.where(
            self._last[touched] + _AWAY_MS <= now, 4, 0
        )
        found |= np.isin(touched, list(busy)).astype(np.int64) | (self._segments[touched] & 1)
        self._segments[touched] = found

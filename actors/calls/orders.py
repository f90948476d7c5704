"""Define what the directory answers to its orders: what a move and an upgrade took.

It travels as plain documents (:mod:`actors.calls.plain`).
"""

from __future__ import annotations

import msgspec


class Figures(msgspec.Struct):
    """Say what a move took. ``pause_ms``: from the first refusal until the new home had everything."""

    users: int = 0
    users_in_pause: int = 0
    rounds: int = 0
    parts: int = 0
    size_bytes: int = 0
    seconds: float = 0.0
    pause_ms: float = 0.0


class Moved(msgspec.Struct, kw_only=True):
    """Give the map's version after a move, and where the partition was and :class:`Figures`, if it was elsewhere."""

    map_version: int
    source: int | msgspec.UnsetType = msgspec.UNSET
    users: int | msgspec.UnsetType = msgspec.UNSET
    users_in_pause: int | msgspec.UnsetType = msgspec.UNSET
    rounds: int | msgspec.UnsetType = msgspec.UNSET
    parts: int | msgspec.UnsetType = msgspec.UNSET
    size_bytes: int | msgspec.UnsetType = msgspec.UNSET
    seconds: float | msgspec.UnsetType = msgspec.UNSET
    pause_ms: float | msgspec.UnsetType = msgspec.UNSET


class Upgraded(msgspec.Struct, kw_only=True):
    """Say what an upgrade took.

    Attributes
    ----------
    prepared_s : until the successor stood by and no send was under way
    name : of the successor
    pause_s : how long nobody served, of which ``took_over_s`` by the successor
    records, seconds : replayed, and how long that took
    """

    prepared_s: float
    name: str
    pause_s: float
    took_over_s: float
    records: int
    seconds: float


class Drained(msgspec.Struct):
    """Give the position up to which a shard's state is in its last snapshot."""

    position: int

"""Define one user's whole profile as a value, as a merge, a move, an export or an erasure handles it.

``combine`` in :mod:`whisperer.profiles.population` adds such a value to a stored user; sums, minima, maxima, unions and
last-writer-wins registers make the result independent of the order in which states arrive.
"""

from __future__ import annotations

import msgspec

from whisperer.ids import UserKey
from whisperer.profiles.timeline import Entry


class ProfileState(msgspec.Struct, array_like=True, gc=False):
    """Hold one user's whole profile.

    Attributes
    ----------
    first_seen, last_seen : ms UTC, -1 for never
    n_events : int
    revenue : micro-units
    zone_at, locale_at : ms UTC of the event that last stated the time zone, the locale; -1 for never
    history : (event name, UTC day or 0 for ever, count)
    timeline : entries, newest first
    traits : :mod:`whisperer.profiles.traits` registers
    links : linked user keys (``a:...`` owned, ``u:...`` joined by alias)
    refused : anonymous keys that belong to another user
    engagement : what passed between us and the user, opaque here; b"" if nothing did
    """

    first_seen: int = -1
    last_seen: int = -1
    n_events: int = 0
    revenue: int = 0
    zone: str = ""
    zone_at: int = -1
    locale: str = ""
    locale_at: int = -1
    history: list[tuple[str, int, int]] = []
    timeline: list[Entry] = []
    traits: dict[str, tuple[int, int, bytes]] = {}
    links: list[UserKey] = []
    refused: list[UserKey] = []
    engagement: bytes = b""

"""Users as the tests keep them, plainly, and the columns view of a batch of them that the segments ask.

A user's features are drawn from three kinds of clock: `revenue` (none), `week_events` (day: a windowed count as a float)
and `idle_days`, `tenure_hours` (elapsed, in days and in hours, since an anchor of the user).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from whisperer.segments import TraitTest

DAY = 86_400_000
HOUR = 3_600_000
NOW = 20_000 * DAY + 10 * HOUR + 123


@dataclass(frozen=True)
class Spec:
    name: str
    unit: str
    clock: Literal["none", "day", "elapsed"]
    description: str = ""


FEATURES = {
    spec.name: spec
    for spec in (
        Spec("revenue", "currency units", "none"),
        Spec("week_events", "events", "day"),
        Spec("idle_days", "days", "elapsed"),
        Spec("tenure_hours", "hours", "elapsed"),
    )
}


@dataclass(frozen=True)
class User:
    traits: dict[str, Any] = field(default_factory=dict)
    events: tuple[tuple[str, int], ...] = ()
    """(name, ms UTC)"""
    last_seen: int = -1
    revenue: float | None = None
    idle_since: int | None = None
    first_seen: int | None = None

    def feature(self, name: str, now: int) -> float | None:
        match name:
            case "revenue":
                return self.revenue
            case "week_events":
                return float(sum(now // DAY - at // DAY < 7 for _, at in self.events))
            case "idle_days":
                return None if self.idle_since is None else (now - self.idle_since) / DAY
            case "tenure_hours":
                return None if self.first_seen is None else (now - self.first_seen) / HOUR
        raise KeyError(name)

    def count(self, event: str, days: int | None, now: int) -> int:
        return sum(name == event and (days is None or now // DAY - at // DAY < days) for name, at in self.events)


class FakeRows:
    """A batch as the shard would show it; `tested` counts the trait tests asked."""

    def __init__(self, users: Sequence[User], now: int = NOW) -> None:
        self.users = users
        self.n = len(users)
        self.now = now
        self.tested: list[str] = []

    def trait_test(self, test: TraitTest) -> NDArray[np.bool_]:
        self.tested.append(test.key)
        answer = np.array([test.matches(user.traits) for user in self.users], np.bool_)
        answer.flags.writeable = False  # the shard may hand out its own cache
        return answer

    def feature(self, name: str) -> NDArray[np.float64]:
        values = [user.feature(name, self.now) for user in self.users]
        return np.array([np.nan if value is None else value for value in values], np.float64)

    def event_count(self, event: str, days: int | None) -> NDArray[np.int64]:
        return np.array([user.count(event, days, self.now) for user in self.users], np.int64)

    def last_seen(self) -> NDArray[np.int64]:
        return np.array([user.last_seen for user in self.users], np.int64)

"""Turn the population's life into one ordered stream of events, and pace it against a clock.

Guarantees: the n-th event of a stream is the same whatever the speed, and its messageId says which stream and which
place it has, so no messageId ever stands for two contents.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from whisperer.vocabulary.units import DAY_MS

from .population import Population
from .segment import Event

_MAX_BACKLOG_S = 5.0


@dataclass(slots=True, frozen=True)
class Kept:
    """A population between two hours, and the place in the stream of the first event after it."""

    place: int
    arrays: bytes
    rest: dict[str, Any]


class Life:
    """Iterate endlessly over (simulated ms UTC, event). ``place`` is the place of the next event; ``kept`` the
    population as it was at the last simulated midnight."""

    def __init__(self, population: Population, *, place: int = 0, salt: str = "") -> None:
        self.place = place
        self.kept: Kept | None = None
        self._population = population
        self._head = hashlib.blake2b((population.identity() + salt).encode(), digest_size=5).hexdigest()
        self._hour: Iterator[tuple[int, Event]] = iter(())

    def __iter__(self) -> Life:
        return self

    def __next__(self) -> tuple[int, Event]:
        while (pair := next(self._hour, None)) is None:
            if self._population.hour % 24 == 0:
                self.kept = Kept(self.place, *self._population.snapshot())
            self._hour = iter(self._population.step())
        pair[1]["messageId"] = f"sim-{self._head}-{self.place:010x}"
        self.place += 1
        return pair


def stream(population: Population, *, until: datetime | None = None, n_events: int | None = None) -> Iterator[Event]:
    """Yield events in simulated time, oldest first: up to ``until`` (exclusive), up to ``n_events``, or without end.

    For a stream at a given speed, see :class:`SpeedPace` and :class:`RatePace`.
    """
    end_ms = None if until is None else int(until.timestamp() * 1000)
    for place, (at_ms, event) in enumerate(Life(population)):
        if place == n_events or (end_ms is not None and at_ms >= end_ms):
            return
        yield event


class Pacing(Protocol):
    """Say, event by event, how long to wait; after a long pause, at most five seconds' worth is made up for."""

    def wait_s(self, at_ms: int) -> float:
        """Seconds until the next event, of simulated time ``at_ms``, is due; 0 or less when it is."""
        ...

    def took(self, at_ms: int) -> None:
        """Note that this event has been taken."""
        ...


class RatePace:
    """Pace events evenly, ``per_s`` a second, whatever the simulated time."""

    def __init__(self, per_s: float, clock: Callable[[], float]) -> None:
        if per_s <= 0:
            raise ValueError("the rate is above 0 events a second")
        self._gap_s = 1.0 / per_s
        self._clock = clock
        self._next = clock()

    def wait_s(self, at_ms: int) -> float:
        return self._next - self._clock()

    def took(self, at_ms: int) -> None:
        self._next = max(self._next + self._gap_s, self._clock() - _MAX_BACKLOG_S)


class SpeedPace:
    """Let a simulated day take ``day_s`` seconds: nights are quiet and mornings busy."""

    def __init__(self, day_s: float, clock: Callable[[], float]) -> None:
        if day_s <= 0:
            raise ValueError("a simulated day takes more than 0 seconds")
        self._s_per_ms = day_s / DAY_MS
        self._clock = clock
        self._origin: tuple[int, float] | None = None

    def wait_s(self, at_ms: int) -> float:
        if self._origin is None:
            self._origin = at_ms, self._clock()
        simulated, real = self._origin
        return real + (at_ms - simulated) * self._s_per_ms - self._clock()

    def took(self, at_ms: int) -> None:
        behind = -self.wait_s(at_ms)
        if behind > _MAX_BACKLOG_S:
            self._origin = at_ms, self._clock() - _MAX_BACKLOG_S

"""Simulate the population: n users who live an hour at a time.

``step()`` lives the next hour and returns its events in order of time. Who does something is decided for all users at
once with numpy; only those few are then handled one by one. Each hour has its own random generator seeded by (seed,
hour), so the state at an hour is all that is needed to go on (``snapshot``, ``restored``).
"""

from __future__ import annotations

import json
from collections import deque
from datetime import datetime
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from whisperer.vocabulary.units import DAY_MS, HOUR_MS

from . import billing
from .people import Person, person
from .rhythm import local_clock, visit_weight
from .segment import Event
from .state import LifeStage, State
from .visits import N_DRAWS, Timeline, visit

_FORM = 2  # raised whenever the same arguments start to give another stream
_REVIEW_HOUR = 4  # local hour at which a user's day is summed up and churn decided
_VISITOR_PER_DAY = 1.2
_FORGET = float(np.exp(-1 / 7))


class Population:
    """Hold ``n_users`` people at a time from ``start`` on (timezone-aware; cut to the hour). Others replace those who
    leave.

    ``gone`` holds the (userId, ms UTC) of the last users to churn.
    """

    def __init__(self, seed: int, n_users: int, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("start needs a time zone")
        if n_users < 1 or seed < 0:
            raise ValueError("n_users is at least 1, seed at least 0")
        self.seed = seed
        self.n_users = n_users
        self.start_ms = int(start.timestamp()) // 3600 * HOUR_MS
        self.hour = 0
        self.gone: deque[tuple[str, int]] = deque(maxlen=100_000)
        self._pending: Timeline = []
        self._people: dict[int, Person] = {}
        self.state = State.empty(n_users)
        rng = np.random.default_rng([seed, 2**32])
        soon = rng.random(n_users) < 0.5  # half discover the product in its first three days, the rest over months
        days = np.where(soon, rng.random(n_users) * 3, rng.random(n_users) * 90)
        self.state.arrives_at = self.start_ms + (days * DAY_MS).astype(np.int64)

    @property
    def now_ms(self) -> int:
        """Start of the hour that ``step`` lives next, ms UTC."""
        return self.start_ms + self.hour * HOUR_MS

    def step(self) -> list[tuple[int, Event]]:
        """Live one hour; return its (ms UTC, event without messageId), sorted by time."""
        state, now = self.state, self.now_ms
        until = now + HOUR_MS
        rng = np.random.default_rng([self.seed, self.hour])
        luck = rng.random((3, self.n_users))
        out = self._pending
        self._arrivals(until)
        hour, day_off = local_clock(now)
        hour, day_off = hour[state.zone], day_off[state.zone]
        self._due(luck[0], until, out)
        self._review(np.flatnonzero((hour == _REVIEW_HOUR) & (state.stage != LifeStage.GONE)), luck, now, out)
        self._visits(hour, day_off, luck[2], rng, now, out)
        out.sort(key=lambda pair: pair[0])  # stable: events of one moment keep their order
        cut = next((i for i, (at_ms, _) in enumerate(out) if at_ms >= until), len(out))
        self._pending = out[cut:]
        self.hour += 1
        return out[:cut]

    def _person(self, slot: int) -> Person:
        found = self._people.get(slot)
        if found is None:
            found = self._people[slot] = person(self.seed, slot, int(self.state.generation[slot]), self.n_users)
        return found

    def _arrivals(self, until: int) -> None:
        state = self.state
        for slot in np.flatnonzero((state.stage == LifeStage.GONE) & (state.arrives_at < until)).tolist():
            state.generation[slot] += 1
            self._people.pop(slot, None)
            who = self._person(slot)
            state.stage[slot] = LifeStage.VISITOR
            state.plan[slot] = state.onboarding[slot] = 0
            state.app_known[slot] = state.in_group[slot] = False
            state.activity[slot] = 0.4 * who.visits_per_day
            state.busy_until[slot] = state.arrives_at[slot]
            for name in ("visits_per_day", "early_by_h", "weekend", "patience", "zone"):
                getattr(state, name)[slot] = getattr(who, name)

    def _due(self, luck: NDArray[np.float64], until: int, out: Timeline) -> None:
        state = self.state
        for slot in np.flatnonzero(state.ticket_due_at < until).tolist():
            billing.ticket_answered(state, slot, self._person(slot), float(luck[slot]), out)
        for slot in np.flatnonzero(state.trial_ends_at < until).tolist():
            billing.trial_ended(state, slot, self._person(slot), float(luck[slot]), out)
        for slot in np.flatnonzero(state.refund_at < until).tolist():
            billing.refund_due(state, slot, self._person(slot), out)
        for slot in np.flatnonzero(state.renews_at < until).tolist():
            billing.renewal_due(state, slot, self._person(slot), float(luck[slot]), out)

    def _review(self, slots: NDArray[np.int64], luck: NDArray[np.float64], now: int, out: Timeline) -> None:
        """Once a day, at night, let activity fade and some users leave; never in the middle of a visit."""
        state = self.state
        state.activity[slots] *= _FORGET
        hazard = billing.churn_hazard(state)
        leaving = slots[(luck[1, slots] < hazard[slots]) & (state.busy_until[slots] <= now)]
        for slot in leaving.tolist():
            who = self._person(slot)
            at_ms = now + int(luck[2, slot] * HOUR_MS)
            if any(at >= at_ms and event.get("userId") == who.user_id for at, event in self._pending):
                continue  # an event of this user is still pending: another night
            self.gone.append((who.user_id, at_ms))
            billing.churned(state, slot, who, at_ms, float(luck[0, slot]), out)

    def _visits(
        self,
        hour: NDArray[np.int64],
        day_off: NDArray[np.bool_],
        luck: NDArray[np.float64],
        rng: np.random.Generator,
        now: int,
        out: Timeline,
    ) -> None:
        state = self.state
        per_day = np.where(state.stage == LifeStage.VISITOR, _VISITOR_PER_DAY, state.visits_per_day)
        rate = per_day * visit_weight(hour, day_off, state.early_by_h, state.weekend)
        free = (state.stage != LifeStage.GONE) & (state.busy_until <= now)
        slots = np.flatnonzero(free & (luck < -np.expm1(-rate)))
        for slot, draws in zip(slots.tolist(), rng.random((len(slots), N_DRAWS)).tolist(), strict=True):
            begins = now + int(draws[0] * HOUR_MS)
            visit(state, slot, self._person(slot), begins, iter(draws[1:]), out)

    def snapshot(self) -> tuple[bytes, dict[str, Any]]:
        """Return the state between two hours: arrays, and the rest as JSON values."""
        return self.state.to_bytes(), {"hour": self.hour, "pending": list(self._pending)}

    @classmethod
    def restored(cls, seed: int, n_users: int, start: datetime, arrays: bytes, rest: dict[str, Any]) -> Self:
        """Restore the population as it was at :meth:`snapshot` (``rest`` may have been through JSON)."""
        population = cls(seed, n_users, start)
        population.state = State.from_bytes(arrays)
        population.hour = int(rest["hour"])
        population._pending = [(int(at_ms), event) for at_ms, event in rest["pending"]]
        return population

    def identity(self) -> str:
        """Return what determines the stream: part of every messageId."""
        return json.dumps([self.seed, self.n_users, self.start_ms, _FORM])

"""Define the features, once for live scoring, segments, training and simulation.

Every feature is computed from a user's columns as of a moment, so that "then" can be asked as well as "now". Windows
are whole UTC days that end with the day asked about (decisioning.md, method 1). No definition depends on anything
learned, so a value logged yesterday means the same today; what a model says is a *score*, a column like any other
(:mod:`whisperer.profiles.scores`). A definition that changes gets a higher version, which changes :func:`feature_hash`:
what was trained on the old one is not applied to the new one.

What passed between us and the user is not a column; its features are in :mod:`whisperer.journeys.contact`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from whisperer.profiles import bgnbd, daily
from whisperer.profiles.columns import Table
from whisperer.profiles.record import NEVER, WINDOW_DAYS
from whisperer.profiles.scores import CHURN, ENGAGEMENT
from whisperer.vocabulary.units import DAY_MS, MICROS

MONTH_WEEKS = 30 / 7
"""30 days, for a model that counts in weeks."""

Floats = NDArray[np.float64]


class Batch:
    """Hold users of a table at a moment; inputs that several features share are computed once.

    ``rows`` int64, shape (n,); ``now`` ms UTC.
    """

    def __init__(self, table: Table, rows: NDArray[np.int64], now: int) -> None:
        self.table, self.rows, self.now = table, rows, now
        self.today = now // DAY_MS
        self._windows: dict[int, Floats] = {}

    def column(self, name: str) -> NDArray[Any]:
        """Return these users' values of a column."""
        found: NDArray[Any] = self.table[name][self.rows]
        return found

    def events(self, days: int) -> Floats:
        """Return the number of events in the ``days`` UTC days that end today."""
        if days not in self._windows:
            self._windows[days] = daily.window(self.table, self.rows, self.today, days).astype(np.float64)
        return self._windows[days]

    @cached_property
    def activity(self) -> daily.Activity:
        """Active days within the ring; ``recent`` counts those among the last 90 days."""
        return daily.activity(self.table, self.rows, self.today - WINDOW_DAYS)

    @cached_property
    def purchases(self) -> tuple[Floats, Floats, Floats]:
        """(x, t_x, T) of :mod:`whisperer.profiles.bgnbd`, in weeks; each active day within the ring is a purchase."""
        found = self.activity
        until = np.maximum(found.last, self.today)
        x = np.maximum(found.n_days - 1, 0).astype(np.float64)
        return x, (found.last - found.first) / 7, (until - found.first) / 7

    def elapsed(self, name: str) -> Floats:
        """Return the days since the time in a column, NaN for NEVER."""
        since = self.column(name)
        return np.where(since == NEVER, np.nan, (self.now - since) / DAY_MS)

    def where_active(self, values: Floats) -> Floats:
        """Return ``values``, NaN for users without an active day."""
        return np.where(self.activity.n_days > 0, values, np.nan)


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """Define a feature.

    Attributes
    ----------
    clock : how it changes with no new event: never, at UTC midnight, or a day each day
    of : computes it: float64, shape (n,), NaN if there is no value
    version : rises with every change of what `of` gives
    is_whole : whether people are shown an integer
    is_score : whether a model said it, so that no model of the user is trained on it
    """

    name: str
    unit: str
    clock: Literal["none", "day", "elapsed"]
    description: str
    of: Callable[[Batch], Floats]
    version: int = 1
    is_whole: bool = False
    is_score: bool = False


def _silence_over_gap(batch: Batch) -> Floats:
    # In whole days, so that it moves at midnight only, as its clock says.
    last = batch.column("last_seen")
    silent = np.where(last == NEVER, np.nan, float(batch.today) - last // DAY_MS)
    return _ratio(silent, batch.activity.gap_mean)


def _revenue(batch: Batch) -> Floats:
    money: Floats = batch.column("revenue") / MICROS
    return money


def _of_purchases(which: int) -> Callable[[Batch], Floats]:
    return lambda batch: batch.where_active(batch.purchases[which])


def _expected_days(batch: Batch) -> Floats:
    return batch.where_active(bgnbd.expected_purchases(bgnbd.CDNOW, MONTH_WEEKS, *batch.purchases))


def _score(name: str) -> Callable[[Batch], Floats]:
    return lambda b: b.column(name).astype(np.float64)


def _events_within(days: int) -> FeatureSpec:
    description = f"events in the last {days} UTC days, today included"
    return FeatureSpec(f"events_{days}d", "events", "day", description, lambda b: b.events(days), is_whole=True)


# To add a feature, write its entry here and its row into docs/users.md; CONTRIBUTING.md has the recipe.
FEATURES: dict[str, FeatureSpec] = {
    spec.name: spec
    for spec in (
        FeatureSpec(
            "events_total",
            "events",
            "none",
            "all events counted so far",
            lambda b: b.column("n_events").astype(np.float64),
            is_whole=True,
        ),
        _events_within(7),
        _events_within(30),
        _events_within(90),
        FeatureSpec(
            "trend",
            "ratio",
            "day",
            "events a day in the last 7 days over those in the last 30",
            lambda b: _ratio(b.events(7) / 7, b.events(30) / 30),
        ),
        FeatureSpec("revenue", "currency units", "none", "sum of properties.revenue of track events", _revenue),
        FeatureSpec("recency_days", "days", "elapsed", "time since last seen", lambda b: b.elapsed("last_seen")),
        FeatureSpec("tenure_days", "days", "elapsed", "time since first seen", lambda b: b.elapsed("first_seen")),
        FeatureSpec(
            "active_days_90d",
            "days",
            "day",
            "UTC days with any event among the last 90",
            lambda b: b.activity.recent,
            is_whole=True,
        ),
        FeatureSpec(
            "gap_mean_days",
            "days",
            "none",
            "mean gap between active days, within the newest 90",
            lambda b: b.activity.gap_mean,
        ),
        FeatureSpec("gap_sd_days", "days", "none", "standard deviation of those gaps", lambda b: b.activity.gap_sd),
        FeatureSpec(
            "recency_over_gap", "ratio", "day", "UTC days since last seen over the mean gap", _silence_over_gap
        ),
        FeatureSpec("repeat_days", "days", "none", "active days within the newest 90, but the first", _of_purchases(0)),
        FeatureSpec("repeat_span_weeks", "weeks", "none", "from the first of those days to the last", _of_purchases(1)),
        FeatureSpec("since_first_weeks", "weeks", "day", "from the first of those days to today", _of_purchases(2)),
        FeatureSpec(
            "p_alive",
            "probability",
            "day",
            "that the user has not left, by BG/NBD over active days (CDNOW parameters)",
            lambda b: b.where_active(bgnbd.p_alive(bgnbd.CDNOW, *b.purchases)),
        ),
        FeatureSpec(
            "expected_days_30d",
            "days",
            "day",
            "active days to expect within 30 days, by the same model",
            _expected_days,
        ),
        FeatureSpec(
            CHURN,
            "probability",
            "none",
            "that the user does nothing within 30 days, by the score model",
            _score(CHURN),
            is_score=True,
        ),
        FeatureSpec(
            ENGAGEMENT,
            "share",
            "none",
            "of the next 30 days, those with activity to expect, by the score model",
            _score(ENGAGEMENT),
            is_score=True,
        ),
    )
}

REPLAYED: tuple[str, ...] = tuple(name for name, spec in FEATURES.items() if not spec.is_score)
"""Features that follow from events alone: models of the user are trained on these and applied to them."""


def compute(name: str, table: Table, rows: NDArray[np.int64], now: int) -> Floats:
    """Return a feature of ``rows`` as of ``now`` (ms UTC); float64, shape (n,), NaN if there is no value."""
    return FEATURES[name].of(Batch(table, rows, now))


def matrix(names: Sequence[str], table: Table, rows: NDArray[np.int64], now: int) -> Floats:
    """Return several features at once: float64, shape (n, len(names)), bit for bit those of :func:`compute`."""
    batch = Batch(table, rows, now)
    found = np.empty((len(rows), len(names)))
    for place, name in enumerate(names):
        found[:, place] = FEATURES[name].of(batch)
    return found


def feature_hash(specs: Iterable[Any]) -> str:
    """Hash features in order (name, unit, version) to 32 hex digits: an artifact records what it was fed."""
    stated = [(spec.name, spec.unit, spec.version) for spec in specs]
    return hashlib.blake2b(msgspec.json.encode(stated), digest_size=16).hexdigest()


Described = dict[str, int | float | None]


def describe(table: Table, rows: Sequence[int], now: int) -> list[Described]:
    """Return all features of each user for people and callers: counts as integers, missing values as None.

    Of one user it takes about 90 us, of 32 together 100.
    """
    places = np.array(rows, np.int64)
    computed = matrix(tuple(FEATURES), table, places, now).tolist()
    exact = zip(table["n_events"][places].tolist(), table["revenue"][places].tolist(), strict=True)
    found = []
    for of_user, (n_events, revenue) in zip(computed, exact, strict=True):
        values: Described = {}
        for (name, spec), value in zip(FEATURES.items(), of_user, strict=True):
            if value != value:  # NaN
                values[name] = None
            elif spec.is_whole:
                values[name] = int(value)
            else:
                values[name] = round(value, 6)
        found.append(values | {"events_total": n_events, "revenue_micros": revenue})
    return found


def _ratio(top: Floats, bottom: Floats) -> Floats:
    ratio = np.full(len(top), np.nan)
    np.divide(top, bottom, out=ratio, where=bottom > 0)
    return ratio

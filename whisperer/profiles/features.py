"""The registry of features: one definition for live scoring, segments, training and simulation.

Every feature is computed from a user's columns as of a moment, so that "then" can be asked as well as "now". Windows
are whole UTC days that end with the day asked about (decisioning.md, method 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from whisperer.profiles import daily
from whisperer.profiles.columns import Table
from whisperer.profiles.history import DAY_MS
from whisperer.profiles.record import NEVER, WINDOW_DAYS

MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """``clock`` says how the value moves with no new event: not at all, at UTC midnight, or a day each day."""

    name: str
    unit: str
    clock: Literal["none", "day", "elapsed"]
    description: str


FEATURES: dict[str, FeatureSpec] = {
    spec.name: spec
    for spec in (
        FeatureSpec("events_total", "events", "none", "all events counted so far"),
        FeatureSpec("events_7d", "events", "day", "events in the last 7 UTC days, today included"),
        FeatureSpec("events_30d", "events", "day", "events in the last 30 UTC days, today included"),
        FeatureSpec("events_90d", "events", "day", "events in the last 90 UTC days, today included"),
        FeatureSpec("trend", "ratio", "day", "events a day in the last 7 days over those in the last 30"),
        FeatureSpec("revenue", "currency units", "none", "sum of properties.revenue of track events"),
        FeatureSpec("recency_days", "days", "elapsed", "time since last seen"),
        FeatureSpec("tenure_days", "days", "elapsed", "time since first seen"),
        FeatureSpec("active_days_90d", "days", "day", "UTC days with any event among the last 90"),
        FeatureSpec("gap_mean_days", "days", "none", "mean gap between active days, within the newest 90"),
        FeatureSpec("gap_sd_days", "days", "none", "standard deviation of those gaps"),
        FeatureSpec("recency_over_gap", "ratio", "day", "UTC days since last seen over the mean gap"),
    )
}


def compute(name: str, table: Table, rows: NDArray[np.int64], now: int) -> NDArray[np.float64]:
    """A feature of ``rows`` as of ``now`` (ms UTC); float64, shape (n,), NaN where it has no value."""
    today = now // DAY_MS
    match name:
        case "events_total":
            return table["n_events"][rows].astype(np.float64)
        case "events_7d" | "events_30d" | "events_90d":
            return daily.window(table, rows, today, int(name[7:-1])).astype(np.float64)
        case "trend":
            week, month = (daily.window(table, rows, today, d) for d in (7, 30))
            return _ratio(week / 7, month / 30)
        case "revenue":
            money: NDArray[np.float64] = table["revenue"][rows] / MICROS
            return money
        case "recency_days":
            return _elapsed(table["last_seen"][rows], now)
        case "tenure_days":
            return _elapsed(table["first_seen"][rows], now)
        case "active_days_90d":
            return daily.activity(table, rows, today - WINDOW_DAYS)[0]
        case "gap_mean_days":
            return daily.activity(table, rows, 0)[1]
        case "gap_sd_days":
            return daily.activity(table, rows, 0)[2]
        case "recency_over_gap":
            gap = daily.activity(table, rows, 0)[1]
            # In whole days, so that it moves at midnight only, as its clock says.
            last = table["last_seen"][rows]
            return _ratio(np.where(last == NEVER, np.nan, float(today) - last // DAY_MS), gap)
        case _:
            raise KeyError(name)


def describe(table: Table, row: int, now: int) -> dict[str, Any]:
    """All features of one user for people and callers: counts as integers, absent values as None."""
    rows = np.array([row])
    values: dict[str, Any] = {}
    for name, spec in FEATURES.items():
        value = float(compute(name, table, rows, now)[0])
        if np.isnan(value):
            values[name] = None
        elif spec.unit == "events" or name == "active_days_90d":
            values[name] = int(value)
        else:
            values[name] = round(value, 6)
    values["events_total"] = int(table["n_events"][row])
    values["revenue_micros"] = int(table["revenue"][row])
    return values


def _elapsed(since: NDArray[np.int64], now: int) -> NDArray[np.float64]:
    return np.where(since == NEVER, np.nan, (now - since) / DAY_MS)


def _ratio(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio = np.full(len(top), np.nan)
    np.divide(top, bottom, out=ratio, where=bottom > 0)
    return ratio

"""Define the features a decision looks at: their names, in order, and how raw values become a linear model's vector.

The shard logs raw values with every candidate; the transformation belongs to the policy. Names are only ever added at
the end. :func:`transform` guarantees finite values within `LIMIT` of zero for any input, the same for a row alone and
in a batch. Leaves to others: where the raw values come from, and what is learned from them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def of_channel(channel: str) -> tuple[str, ...]:
    """Return the names of the features that a channel has of its own."""
    return f"{channel}_sends_30d", f"{channel}_opens_30d", f"{channel}_clicks_30d", f"hours_since_{channel}"


NAMES: tuple[str, ...] = (
    "events_7d",
    "events_30d",
    "trend",
    "revenue",
    "recency_days",
    "tenure_days",
    "active_days_90d",
    "gap_mean_days",
    "recency_over_gap",
    "sends_7d",
    "hours_since_send",
    "engaged_30d",
    "local_hour",
    "local_weekday",
    "events_90d",
    "gap_sd_days",
    "p_alive",
    "expected_days_30d",
    "score.churn",
    "score.engagement",
    *of_channel("email"),
    *of_channel("sms"),
    *of_channel("push"),
    *of_channel("webhook"),
    *of_channel("inapp"),
)
"""Each is explained in :mod:`whisperer.shard.decision.features`. Those that :func:`transform` does not use are for the
models trained on what was logged."""

CONTEXT_VERSION = 2
"""Changes with every change of :func:`transform`: statistics of two versions are never combined. Version 1 lacked the
column `model_score`; it counts as 0 there, the value of a candidate without scores."""

LIMIT = 3.0

COLUMNS: tuple[str, ...] = (
    "one",
    "model_score",
    "events_7d",
    "events_30d",
    "trend",
    "revenue",
    "recency_days",
    "tenure_days",
    "active_days_90d",
    "gap_mean_days",
    "recency_over_gap",
    "sends_7d",
    "closeness_of_send",
    "engaged_30d",
    "hour_sin",
    "hour_cos",
    "weekday_sin",
    "weekday_cos",
    "no_gap",
    "never_seen",
)
D = len(COLUMNS)

SCORE = 1
"""The only column that differs by arm: what a value model expects of the arm over `no_send`, in standard deviations of
the reward among its training rows; 0 without a model."""

_LOGARITHMS: dict[str, tuple[float, float]] = {
    "events_7d": (2.0, 1.5),
    "events_30d": (3.0, 1.5),
    "revenue": (2.0, 2.0),
    "recency_days": (1.0, 1.6),
    "tenure_days": (4.0, 1.3),
    "active_days_90d": (2.0, 1.0),
    "gap_mean_days": (1.0, 1.2),
    "recency_over_gap": (1.0, 1.0),
    "sends_7d": (0.0, 1.0),
    "engaged_30d": (0.0, 1.2),
}
"""Counts, money and times: (log1p(value) - centre) / scale. Fixed numbers, not estimates: a vector logged yesterday
means the same today. Money below zero (refunds) counts as none."""

_LARGEST = 1e12


def transform(raw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn raw values into the linear model's vectors.

    Parameters
    ----------
    raw : float64, shape (n, len(NAMES))
        Raw values in the order of :data:`NAMES`, NaN where absent.

    Returns
    -------
    x : float64, shape (n, D)
        In the order of :data:`COLUMNS`, each within [-LIMIT, LIMIT]; an absent value is placed at the centre, 0, and so
        is the model's score, which :func:`bounded_scores` returns by arm.

    Raises
    ------
    ValueError
        For another shape.

    Examples
    --------
    >>> x = transform(np.full((1, len(NAMES)), np.nan))
    >>> x.shape == (1, D), float(x[0, 0]), float(x[0, COLUMNS.index("never_seen")])
    (True, 1.0, 1.0)
    """
    if raw.ndim != 2 or raw.shape[1] != len(NAMES):
        raise ValueError(f"expected shape (n, {len(NAMES)}), not {raw.shape}")
    value = {name: np.ascontiguousarray(raw[:, at]) for at, name in enumerate(NAMES)}
    made: dict[str, NDArray[np.float64]] = {"one": np.ones(len(raw)), "model_score": np.zeros(len(raw))}
    for name, (centre, scale) in _LOGARITHMS.items():
        made[name] = (np.log1p(np.clip(value[name], 0.0, _LARGEST)) - centre) / scale
    made["trend"] = value["trend"] - 1.0  # 1 is a user as active as ever
    # One scale for seconds and weeks; "never" is infinitely long ago, not an average time ago.
    made["closeness_of_send"] = 1.0 / (1.0 + np.sqrt(np.clip(value["hours_since_send"], 0.0, _LARGEST)))
    for name, turn in (("hour", value["local_hour"] / 24), ("weekday", value["local_weekday"] / 7)):
        angle = 2 * math.pi * np.where(np.isfinite(turn), turn, np.nan)
        made[f"{name}_sin"], made[f"{name}_cos"] = np.sin(angle), np.cos(angle)
    made["no_gap"] = np.isnan(value["gap_mean_days"]).astype(np.float64)
    made["never_seen"] = np.isnan(value["recency_days"]).astype(np.float64)
    x = np.stack([made[name] for name in COLUMNS], axis=1)
    x[np.isnan(x)] = 0.0
    return np.clip(x, -LIMIT, LIMIT, out=x)


def bounded_scores(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return model scores as column `SCORE` takes them, any shape: within [-LIMIT, LIMIT], 0 where absent (NaN)."""
    return np.clip(np.where(np.isnan(scores), 0.0, scores), -LIMIT, LIMIT)


def rows_of(features: list[list[float]]) -> NDArray[np.float64]:
    """Return logged lists as one array; lists from before a name was added lack its last values, which are absent."""
    width = len(NAMES)
    if all(len(row) == width for row in features):
        return np.array(features, np.float64).reshape(-1, width)
    padded = [(row + [math.nan] * width)[:width] for row in features]
    return np.array(padded, np.float64).reshape(-1, width)

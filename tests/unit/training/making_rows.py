"""Rows to train on, small and with known causes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from training.rows.decisions import HASH_KEY
from whisperer.profiles.features import FEATURES, REPLAYED, feature_hash

DAY_MS = 86_400_000
FIRST = 1_600_000_000_000
ARMS = ("no_send", "offer", "tips")
SHARES = (0.4, 0.3, 0.3)
EFFECT = 2.0
"""Of the offer, for users whose `wealth` is above 1, where it costs as much for the others."""


def churn_table(n: int = 1_000, seed: int = 0, **more: Any) -> pa.Table:
    """Users leave who are silent and seldom came; five cutoffs, fifteen days apart."""
    random = np.random.default_rng(seed)
    silent, visits = random.gamma(2, 1, n), random.poisson(3, n).astype(float)
    left = random.random(n) < 1 / (1 + np.exp(2 - 2 * silent + visits))
    cutoff = FIRST + (np.arange(n) * 5 // n) * 15 * DAY_MS
    columns = {
        "user_key": [f"u{number % (n // 4)}" for number in range(n)],
        "cutoff": pa.array(cutoff, pa.timestamp("ms")),
        "came_back": ~left,
        "silent": np.where(random.random(n) < 0.05, np.nan, silent),
        "visits": visits,
        "noise": random.normal(size=n),
    }
    return pa.table(columns | more)


def score_table(n: int = 3_000, seed: int = 0) -> pa.Table:
    """Users as a shard knows them, all features of it: the longer silent, the likelier they leave; five cutoffs."""
    random = np.random.default_rng(seed)
    days, since, silent = random.poisson(3, n).astype(float), random.uniform(5, 20, n), random.exponential(12, n)
    left = random.random(n) < 1 / (1 + np.exp(1.5 - silent / 6 + days / 3))
    held = {
        "recency_days": silent,
        "repeat_days": days,
        "repeat_span_weeks": np.where(days > 0, np.maximum(since - silent / 7, 0.0), 0.0),
        "since_first_weeks": since,
        "events_30d": random.poisson(3 * np.exp(-silent / 30)).astype(float),
    }
    columns = {
        "user_key": [f"u{number % (n // 4)}" for number in range(n)],
        "cutoff": pa.array(FIRST + (np.arange(n) * 5 // n) * 30 * DAY_MS, pa.timestamp("ms")),
        "came_back": ~left,
        "active_days": np.where(left, 0, 1 + random.poisson(days)).astype(float),
    }
    columns |= {name: held.get(name, random.normal(size=n)) for name in REPLAYED}
    definitions = feature_hash(FEATURES[name] for name in REPLAYED)
    return pa.table(columns).replace_schema_metadata({HASH_KEY: definitions.encode()})


def decision_table(n: int = 3_000, seed: int = 0, **more: Any) -> pa.Table:
    random = np.random.default_rng(seed)
    wealth, age = random.gamma(2, 0.7, n), random.normal(size=n)
    action = random.choice(3, n, p=SHARES)
    effect = np.stack([np.zeros(n), np.where(wealth > 1, EFFECT, -EFFECT), np.full(n, 0.1)], axis=1)
    reward = wealth + effect[np.arange(n), action] + random.normal(scale=0.5, size=n)
    columns = {
        "user_key": [f"u{number % (n // 2)}" for number in range(n)],
        "occurred_at": pa.array(FIRST + np.arange(n) * 60_000, pa.timestamp("ms")),
        "arm": [ARMS[number] for number in action],
        "arms": [list(ARMS)] * n,
        "propensities": [list(SHARES)] * n,
        "experiment_group": ["policy"] * n,
        "reward_micros": (reward * 1e6).astype(np.int64),
        "wealth": wealth,
        "age": age,
    }
    return pa.table(columns | more)


def written(table: pa.Table, folder: Path, name: str = "rows.parquet") -> str:
    path = folder / name
    pq.write_table(table, path)
    return str(path)

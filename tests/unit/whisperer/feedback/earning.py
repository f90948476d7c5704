"""Rewards for tests, and what the statistics must be, worked out the slow way."""

from __future__ import annotations

from typing import Any

import numpy as np

from whisperer.decisions.context import NAMES
from whisperer.decisions.linear import CampaignStatistics
from whisperer.feedback.ledger import Ledger
from whisperer.feedback.outcome import Reward
from whisperer.vocabulary.units import DAY_MS, MICROS

DAY = 20_000
TENANT, CAMPAIGN = "tenant", "campaign"


def reward(number: int, decision: str = "", *, value: float = 1.0, day: float = DAY, **changes: Any) -> Reward:
    decision = decision or f"dec_{number}"
    seed = sum(decision.encode())
    fields: dict[str, Any] = {
        "number": number,
        "decision_id": decision,
        "campaign": CAMPAIGN,
        "campaign_version": 1,
        "group": "policy",
        "arms": ["no_send", "mail"],
        "arm": "mail",
        "propensity": 0.5,
        "features": np.abs(np.random.default_rng(seed).normal(size=len(NAMES))).tolist(),
        "reward_micros": round(value * MICROS),
        "revision": 1,
        "mature": True,
        "at": round(day * DAY_MS),
    }
    return Reward(**{**fields, **changes})


def early(number: int, decision: str, value: float = 0.0, **changes: Any) -> Reward:
    return reward(number, decision, value=value, mature=False, **changes)


def final(number: int, decision: str, value: float = 1.0, **changes: Any) -> Reward:
    return reward(number, decision, value=value, **{"revision": 2, **changes})


def numbers_of(statistics: CampaignStatistics) -> np.ndarray:
    """Everything as one array, arms by name."""
    parts = [np.r_[arm.gram.ravel(), arm.moment, arm.n, arm.squares] for _, arm in sorted(statistics.arms.items())]
    return np.concatenate([np.array([statistics.day, len(parts)]), *parts])


def same(one: Ledger, other: Ledger) -> bool:
    return one.statistics.keys() == other.statistics.keys() and all(
        np.allclose(numbers_of(one.statistics[key]), numbers_of(other.statistics[key]), atol=1e-9)
        for key in one.statistics
    )


def fed(*shards: list[Reward]) -> Ledger:
    """A ledger that was given each shard's rewards in one go."""
    ledger = Ledger()
    for shard, rewards in enumerate(shards):
        ledger.apply(shard, [(TENANT, one) for one in rewards])
    return ledger

"""Candidates and statistics for the tests of this folder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whisperer.decisions.context import NAMES, transform
from whisperer.decisions.decision import Candidate
from whisperer.decisions.linear import CampaignStatistics
from whisperer.vocabulary.groups import Group

ARMS = ["no_send", "mail", "sms"]
KEY = ("tenant", "campaign")
DAY = 20_000


def raw(n: int, seed: int = 0) -> NDArray[np.float64]:
    return np.abs(np.random.default_rng(seed).normal(size=(n, len(NAMES)))) * 8


def candidates(
    n: int, *, group: str = Group.POLICY, arms: list[str] = ARMS, campaign: str = KEY[1], name: str = "dec"
) -> list[Candidate]:
    return [
        Candidate(f"{name}_{at}", KEY[0], campaign, 1, group, arms, row, 0) for at, row in enumerate(raw(n).tolist())
    ]


def learned(means: dict[str, float], n: int = 400, seed: int = 1) -> CampaignStatistics:
    """Statistics in which an arm brings 1 with its probability, whatever the context."""
    rng = np.random.default_rng(seed)
    statistics = CampaignStatistics()
    for at, (arm, mean) in enumerate(means.items()):
        reward = (rng.random(n) < mean).astype(np.float64)
        statistics.arm(arm).add(transform(raw(n, seed + at)), reward, statistics.weights(np.full(n, DAY)))
    return statistics

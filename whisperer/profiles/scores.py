"""Define scores: what a model says about each user, kept in columns until the next sweep.

A score is a number that a model wrote down once, not a formula: it is journaled with the model's version, so that
replay gives the same number whatever became of the model. Decides which scores there are, which changes are worth a
record, and what the scores are before any model has been trained. Leaves to others: learned models
(:mod:`whisperer.models.scores`), the rhythm of sweeps (:mod:`actors.shard.scoring`) and what a change triggers
(:mod:`whisperer.shard.people.scoring`).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from whisperer.profiles import bgnbd
from whisperer.profiles.bgnbd import CDNOW, BgNbd

CHURN, ENGAGEMENT = "score.churn", "score.engagement"
SCORES = (CHURN, ENGAGEMENT)
"""Names of the features, and of the columns: float32 in [0, 1], NaN until a user's first sweep."""

HORIZON_DAYS = 30
STILL = 0.002
"""A score that moved by at most this is not updated: that would only fill the journal."""


class ScoreModel(Protocol):
    """Score users, as plain data: the same figures for the same user, whoever else is in the batch."""

    @property
    def version(self) -> str: ...
    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns of ``x``, from :data:`whisperer.profiles.features.REPLAYED`."""
        ...

    def score(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (churn, engagement): float64, shape (n,) each, in [0, 1], NaN if unknown.

        ``x``: float64, shape (n, len(features)), NaN for a missing value.
        """
        ...


class BgNbdScores:
    """Score by a formula until a model is trained, or for good if no model beats it.

    Churn is the probability of no active day within ``horizon_days``; engagement is the active days to expect in that
    time, as a share of it. ``params`` are per week. CDNOW's describe people who buy music, not the tenant's users: the
    order of users means more than the figures.

    References
    ----------
    Fader, Hardie & Lee, Marketing Science 24 (2005).
    """

    features: tuple[str, ...] = ("repeat_days", "repeat_span_weeks", "since_first_weeks")

    def __init__(self, params: BgNbd = CDNOW, version: str = "bgnbd@cdnow", horizon_days: float = HORIZON_DAYS) -> None:
        self.params, self.version, self.horizon_days = params, version, horizon_days

    def score(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        known = ~np.isnan(x).any(axis=1)
        history = [np.ascontiguousarray(column) for column in x[known].T]
        churn, engagement = np.full((2, len(x)), np.nan)
        churn[known] = 1 - bgnbd.p_purchase(self.params, self.horizon_days / 7, *history)
        expected = bgnbd.expected_purchases(self.params, self.horizon_days / 7, *history)
        engagement[known] = np.minimum(expected / self.horizon_days, 1.0)
        return churn, engagement


def moved(held: NDArray[np.float32], found: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return ``found`` where it is the first score or differs from ``held`` by more than `STILL`, elsewhere NaN."""
    bounded = np.clip(found, 0.0, 1.0).astype(np.float32)
    is_still = np.abs(bounded - held) <= STILL  # false if there was none
    return np.where(is_still, np.float32(np.nan), bounded)

"""Decide whether a campaign's world is still the one that was learned: three checks of matured rewards.

    residuals    the mean of (reward - expected) of an arm changes        ADWIN per arm
    features     a column's distribution leaves its reference             PSI above `PSI_ALARM`
    calibration  rewards no longer rise with what was expected of them    slope's interval wholly outside `SLOPE_BOUNDS`

For `ALARM_DAYS` after an alarm the floor is `FLOOR_IN_ALARM` and memory is short
(:data:`whisperer.decisions.linear.SHORT_MEMORY`), then both return to normal. Another alarm restarts that time.
Guarantees: deterministic, on the clock of the rewards; the state is plain numbers, to be stored with the statistics. An
arm is watched once its expectation rests on `LEARNED` rewards: before that, being wrong is learning, not drift.

Features and calibration are judged over whole UTC days that together hold `WINDOW` rewards, so that the daily rhythm
does not count as drift; columns that follow the clock are left out. The first window is the reference, unless one is
given; a window that departs from it becomes the next reference, so a change alarms once. Leaves to others: which
rewards are final (:mod:`whisperer.feedback.ledger`) and when a state is stored (:mod:`actors.learner.actor`).

References
----------
Bifet & Gavalda, SDM 2007 (ADWIN); Siddiqi 2006 (the population stability index and its customary 0.25); Cox,
Biometrika 1958 (slope of calibration).
"""

from __future__ import annotations

import math
from collections import Counter
from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from whisperer.decisions.adwin import Adwin
from whisperer.decisions.context import COLUMNS, LIMIT
from whisperer.decisions.posterior import FLOOR

Floats = NDArray[np.float64]

ALARM_DAYS = 7
FLOOR_IN_ALARM = 2 * FLOOR
LEARNED = 500.0
WINDOW = 2_000
N_BINS = 12
PSI_ALARM = 0.25
SLOPE_BOUNDS = (0.5, 2.0)
N_SIGMA = 4.0
"""Half the width of the slope's interval, in standard errors."""

WATCHED = [
    at for at, name in enumerate(COLUMNS) if name != "one" and not name.startswith(("hour_", "weekday_", "model_"))
]
"""Columns whose distribution is watched."""


class Alarm(StrEnum):
    """The kinds of alarm."""

    RESIDUALS = "residuals"
    FEATURES = "features"
    CALIBRATION = "calibration"


class _Window(msgspec.Struct, array_like=True):
    """Rewards of whole days: histograms by column and, for those with an expectation e, sums of 1, e, r, ee, er, rr."""

    first_day: int
    histogram: list[list[int]]
    n: int = 0
    sums: tuple[float, ...] = (0.0,) * 6


class DriftWatch(msgspec.Struct, array_like=True):
    """Watch one campaign.

    Attributes
    ----------
    until : UTC day on which the alarm ends; -1 if there has been none
    alarms : by kind, since the campaign began
    reference : counts by watched column and bin; empty until there is one
    """

    until: int = -1
    alarms: dict[str, int] = {}
    residuals: dict[str, Adwin] = {}
    reference: list[list[int]] = []
    window: _Window | None = None

    def floor(self, day: int) -> float:
        """Return the least probability of an eligible arm on a UTC day."""
        return FLOOR_IN_ALARM if day < self.until else FLOOR

    def see(self, arm: str, x: Floats, expected: Floats, reward: Floats, day: int, learned: float) -> bool:
        """Check an arm's matured rewards; return whether they raise an alarm, which then counts from ``day`` on.

        Parameters
        ----------
        x : float64, shape (m, D)
        expected, reward : float64, shape (m,), unit of the goal
        day : UTC day on which they became known, never earlier than a day already seen
        learned : weight of the rewards behind ``expected``
        """
        found: list[Alarm] = []
        if learned >= LEARNED and self.residuals.setdefault(arm, Adwin()).add(reward - expected):
            found.append(Alarm.RESIDUALS)
        if self.window is not None and day > self.window.first_day and self.window.n >= WINDOW:
            found += self._judge(self.window)
            self.window = None
        if self.window is None:
            self.window = _Window(day, np.zeros((len(WATCHED), N_BINS), np.int64).tolist())
        self.window.histogram = (np.array(self.window.histogram) + histograms(x)).tolist()
        self.window.n += len(x)
        if learned >= LEARNED:
            e, r = expected, reward
            sums = (len(e), float(e.sum()), float(r.sum()), float(e @ e), float(e @ r), float(r @ r))
            self.window.sums = tuple(np.add(self.window.sums, sums).tolist())
        for alarm in found:
            self.alarms[alarm] = self.alarms.get(alarm, 0) + 1
        if found:
            self.until = day + ALARM_DAYS
        return bool(found)

    def _judge(self, window: _Window) -> list[Alarm]:
        """Return the alarms that a complete window raises."""
        found = []
        if not self.reference:
            self.reference = window.histogram
        elif float(psi(np.array(self.reference), np.array(window.histogram)).max()) > PSI_ALARM:
            self.reference = window.histogram
            found.append(Alarm.FEATURES)
        slope, error = calibration_slope(*window.sums)
        if slope + N_SIGMA * error < SLOPE_BOUNDS[0] or slope - N_SIGMA * error > SLOPE_BOUNDS[1]:
            found.append(Alarm.CALIBRATION)
        return found


def histograms(x: Floats) -> NDArray[np.int64]:
    """Count values in `N_BINS` equal bins over [-LIMIT, LIMIT]; shape (len(WATCHED), N_BINS)."""
    bins = ((x[:, WATCHED] + LIMIT) * (N_BINS / (2 * LIMIT))).astype(np.int64).clip(0, N_BINS - 1)
    counts = np.bincount((bins + N_BINS * np.arange(len(WATCHED))).ravel(), minlength=N_BINS * len(WATCHED))
    return counts.reshape(len(WATCHED), N_BINS)


def psi(reference: NDArray[np.int64], current: NDArray[np.int64]) -> Floats:
    """Compute the population stability index of each row of counts, shape (..., n_bins) -> (...).

    Half a count is added to every bin: an empty bin means rare, not impossible.

    Examples
    --------
    >>> psi(np.array([50, 50]), np.array([50, 50])) == 0
    True
    """
    was, now = ((counts + 0.5) / (counts + 0.5).sum(axis=-1, keepdims=True) for counts in (reference, current))
    return np.asarray(((now - was) * np.log(now / was)).sum(axis=-1), np.float64)


def calibration_slope(n: float, e: float, r: float, ee: float, er: float, rr: float) -> tuple[float, float]:
    """Return the slope of rewards on expectations and its standard error, from sums; (1, inf) if nothing varies."""
    if n < 3 or ee * n - e * e <= 1e-12 * n * ee:
        return 1.0, math.inf
    var, cov, total = ee - e * e / n, er - e * r / n, rr - r * r / n
    slope = cov / var
    return slope, math.sqrt(max(total - slope * cov, 0.0) / (n - 2) / var)


def totals(watches: list[DriftWatch]) -> dict[str, int]:
    """Count alarms by kind over all campaigns, including kinds with none."""
    counts: Counter[str] = Counter({alarm.value: 0 for alarm in Alarm})
    for watch in watches:
        counts.update(watch.alarms)
    return dict(counts)

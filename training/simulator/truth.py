"""Compute, not estimate, what whole policies are worth under :class:`~training.simulator.effects.Effects`.

For any set of people: the mean value of treating everyone with the same arm, of drawing arms evenly, of leaving
everyone alone, and of the best arm for each, both by what features show and with tastes known as well. A learner's
regret and a report's lift are measured against these. ``a_population`` draws people for tests and benchmarks; the
running simulator uses its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from whisperer.decisions.context import NAMES

from .effects import ARMS, Effects, Floats


@dataclass(frozen=True, slots=True)
class Worth:
    """Means over people. ``single`` is by arm, `no_send` among them; ``visible_best`` looks only at features, the most
    any policy can achieve, ``best`` at tastes as well. Values are in conversions, net of costs."""

    single: dict[str, float]
    uniform: float
    visible_best: float
    best: float

    @property
    def no_send(self) -> float:
        """Value of leaving everyone alone."""
        return self.single[ARMS[0]]

    @property
    def best_single_arm(self) -> str:
        """The arm that is best if everyone gets the same one."""
        return max(self.single, key=lambda arm: self.single[arm])

    def lift(self, value: float) -> float:
        """Return what a policy of this value adds to a decision over leaving people alone, as a holdout is."""
        return value - self.no_send


def worth(effects: Effects, features: Floats, t: ArrayLike, taste: Floats | None = None) -> Worth:
    """Compute the worth of policies on these people.

    Parameters
    ----------
    features : float64, shape (n, len(NAMES))
        Raw, NaN where absent.
    t : days, number or shape (n,)
    taste : float64, shape (n, len(ARMS)), optional
        From :meth:`Effects.taste`; without it features show everything.

    Examples
    --------
    >>> features, taste = a_population(5_000, seed=1)
    >>> found = worth(Effects(1), features, t=0.0, taste=taste)
    >>> found.no_send < found.uniform < found.single[found.best_single_arm] < found.visible_best < found.best
    True
    """
    values = effects.values(features, t, taste)
    chosen = effects.best_arm(features, t)
    return Worth(
        single={arm: float(values[:, place].mean()) for place, arm in enumerate(ARMS)},
        uniform=float(values.mean()),
        visible_best=float(values[np.arange(len(values)), chosen].mean()),
        best=float(values.max(axis=1).mean()),
    )


def a_population(n: int, seed: int) -> tuple[Floats, Floats]:
    """Draw features and tastes of ``n`` people like the simulation's: float64, (n, len(NAMES)) and (n, len(ARMS)).

    Most columns that effects do not look at are also filled plausibly, so that a learner has something to be misled by;
    the others are NaN.
    """
    rng = np.random.default_rng([seed, n])
    habit = rng.standard_normal(n)
    events = rng.poisson(41 * np.exp(0.8 * habit)).astype(np.float64)
    tenure = rng.exponential(20.0, n)
    months = 1 + np.floor(tenure / 30)
    price = rng.choice([0.0, 19.0, 49.0, 199.0], n, p=[0.7, 0.16, 0.1, 0.04])
    sends = rng.poisson(2.0, n).astype(np.float64)
    recency = rng.exponential(0.6 * np.exp(-0.5 * habit))
    gap = 1 + rng.exponential(1.5 * np.exp(-0.5 * habit))
    column = {
        "events_7d": events,
        "events_30d": events * np.clip(tenure / 7, 1.0, 4.3),
        "trend": np.exp(0.3 * rng.standard_normal(n)),
        "revenue": price * months,
        "recency_days": recency,
        "tenure_days": tenure,
        "active_days_90d": np.minimum(np.floor(tenure / gap) + 1, 90.0),
        "gap_mean_days": np.where(tenure > gap, gap, np.nan),
        "recency_over_gap": np.where(tenure > gap, recency / gap, np.nan),
        "sends_7d": sends,
        "hours_since_send": np.where(sends > 0, rng.exponential(40.0, n), np.nan),
        "engaged_30d": rng.binomial(sends.astype(np.int64), 0.4).astype(np.float64),
        "local_hour": 24 * rng.random(n),
        "local_weekday": rng.integers(0, 7, n).astype(np.float64),
    }
    taste = Effects.tastes_of_strangers(n, rng)
    absent = np.full(n, np.nan)
    return np.stack([column.get(name, absent) for name in NAMES], axis=1), taste

"""Randomised trials whose effects are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.uplift.trial import Trial

Array = NDArray[np.float64]


def effects_of(x: Array) -> Array:
    """Arm 1 helps whose first coordinate is high, arm 2 everybody a little."""
    return np.column_stack([np.zeros(len(x)), 1.5 * x[:, 0], np.full(len(x), 0.4)])


def a_trial(n: int = 3000, seed: int = 0, noise: float = 1.0, shares: tuple[float, ...] = (0.4, 0.4, 0.2)) -> Trial:
    """Rewards are in money; the second coordinate moves the reward and no effect."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    action = rng.choice(len(shares), size=n, p=shares)
    reward = 2 * x[:, 1] + effects_of(x)[np.arange(n), action] + noise * rng.normal(size=n)
    return Trial(x, action, reward, np.array(shares), user=np.arange(n) // 2)


def a_binary_trial(n: int = 4000, seed: int = 0) -> Trial:
    """The only arm helps whose first coordinate is positive: .2 becomes .6."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    action = rng.integers(0, 2, n)
    p = 0.2 + 0.4 * (x[:, 0] > 0) * action
    return Trial(x, action, (rng.random(n) < p).astype(float), np.array([0.5, 0.5]))

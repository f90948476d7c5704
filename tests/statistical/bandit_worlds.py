"""Logged bandits whose truth is known: users who decide several times, with tastes of their own, under a known policy.

A user has a context and a taste that the log does not show, and 1 to 9 decisions that share both: decisions of one user
are alike. The logging policy is a softmax with a floor, the target another softmax. Rewards are conversions or money.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whisperer.evaluation.logged import Logged

Floats = NDArray[np.float64]

N_ARMS, N_CONTEXT = 4, 3
_N_TRUTH = 400_000


@dataclass(frozen=True)
class World:
    """``sharpness`` of the target, and how far its taste is the truth's: 1 picks what earns, -1 what does not.

    ``floor`` is the logging policy's, an arm; the target's is half of it.
    """

    money: bool = False
    sharpness: float = 1.5
    aim: float = 1.0
    seed: int = 0
    floor: float = 0.05

    @property
    def _slopes(self) -> Floats:
        return np.random.default_rng([self.seed, 7]).normal(0, 0.5, (N_CONTEXT, N_ARMS))

    def logging(self, x: Floats) -> Floats:
        wrong = np.random.default_rng([self.seed, 8]).normal(0, 0.7, (N_CONTEXT, N_ARMS))
        return self.floor + (1 - N_ARMS * self.floor) * _softmax(x @ wrong)

    def target(self, x: Floats) -> Floats:
        return self.floor / 2 + (1 - N_ARMS * self.floor / 2) * _softmax(
            self.aim * self.sharpness * 2 * (x @ self._slopes)
        )

    def expected(self, x: Floats, taste: Floats) -> Floats:
        """Of each arm, shape (n, N_ARMS): a probability of conversion, times 20 where money is spent."""
        rate = 1 / (1 + np.exp(1.8 - x @ self._slopes - np.linspace(-0.3, 0.3, N_ARMS) - taste[:, None]))
        return rate * (20.0 if self.money else 1.0)

    def draw(self, seed: int, n_users: int) -> tuple[Logged, Floats]:
        """A log, and the target policy at each row."""
        rng = np.random.default_rng([self.seed, 9, seed])
        decisions = rng.integers(1, 10, n_users)
        user = np.repeat(np.arange(n_users), decisions)
        x = rng.normal(size=(n_users, N_CONTEXT))[user] + 0.3 * rng.normal(size=(len(user), N_CONTEXT))
        taste = rng.normal(0, 1.0, n_users)[user]
        p = self.logging(x)
        action = (p.cumsum(axis=1) < rng.random((len(user), 1))).sum(axis=1)
        chosen = (np.arange(len(user)), action)
        if self.money:
            reward = (rng.random(len(user)) < self.expected(x, taste)[chosen] / 20) * rng.gamma(2.0, 10.0, len(user))
        else:
            reward = (rng.random(len(user)) < self.expected(x, taste)[chosen]).astype(np.float64)
        return Logged(action, reward, p[chosen], user, x, p), self.target(x)

    def truth(self) -> tuple[float, float]:
        """Value of the target and of the logging policy a decision, by many users and no sampling of arms or rewards."""
        rng = np.random.default_rng([self.seed, 10])
        x = rng.normal(0, np.sqrt(1 + 0.3**2), (_N_TRUTH, N_CONTEXT))
        earned = self.expected(x, rng.normal(0, 1.0, _N_TRUTH))
        return float((self.target(x) * earned).sum(1).mean()), float((self.logging(x) * earned).sum(1).mean())


def _softmax(scores: Floats) -> Floats:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)

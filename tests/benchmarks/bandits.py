"""The libraries' bandits that ours stands beside, behind one small interface, each with its library's other defaults.

Each keeps the floor that ours keeps: an arm is never rarer than ``floor``. Vowpal Wabbit tells its probabilities and
takes them back when it learns; MABWiser does neither, so a share of its decisions is taken by chance.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from whisperer.decisions.thompson import mixed

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


class Bandit(Protocol):
    """``x`` (m, width) with a one in front, ``taken`` (m,) indexes of arms, ``p`` (m,) their probabilities."""

    def decide(self, x: Floats) -> tuple[Rows, Floats]: ...

    def learn(self, x: Floats, taken: Rows, p: Floats, reward: Floats) -> None: ...


class VowpalWabbit:
    """Over action-dependent features, with interactions of context and arm.

    ``exploration`` is an option such as ``--squarecb``; ``most`` and ``least`` bound a reward, which both RegCB and
    SquareCB need to be told.
    """

    def __init__(
        self, exploration: str, n_arms: int, floor: float, seed: int, least: float = 0.0, most: float = 1.0
    ) -> None:
        import vowpalwabbit as vw

        self._floor, self._rng = floor, np.random.default_rng([seed, 2])
        costs = f"--cb_min_cost {-most} --cb_max_cost {-least}"
        self._workspace = vw.Workspace(f"--cb_explore_adf {exploration} {costs} -q ua --quiet --random_seed {seed}")
        self._arms = [f"|a arm{arm}" for arm in range(n_arms)]

    def decide(self, x: Floats) -> tuple[Rows, Floats]:
        shown = [self._workspace.predict([shared, *self._arms]) for shared in self._shared(x)]
        p = np.array(shown, np.float64)
        p = mixed(p / p.sum(axis=1, keepdims=True), self._floor)
        taken = (p.cumsum(axis=1) < self._rng.random((len(x), 1))).sum(axis=1).clip(max=len(self._arms) - 1)
        return taken, p[np.arange(len(x)), taken]

    def learn(self, x: Floats, taken: Rows, p: Floats, reward: Floats) -> None:
        for shared, arm, at, earned in zip(self._shared(x), taken.tolist(), p.tolist(), reward.tolist(), strict=True):
            lines = list(self._arms)
            lines[arm] = f"0:{-earned:.4f}:{at:.4f} {lines[arm]}"
            self._workspace.learn([shared, *lines])

    @staticmethod
    def _shared(x: Floats) -> list[str]:
        return ["shared |u " + " ".join(f"f{at}:{value:.4f}" for at, value in enumerate(row[1:])) for row in x.tolist()]


class MabWiser:
    """``policy`` is ``LinTS`` or ``LinUCB``; chosen by chance until there is a reward, and as the floor asks later."""

    def __init__(self, policy: str, width: float, n_arms: int, floor: float, seed: int) -> None:
        from mabwiser.mab import MAB, LearningPolicy

        self._n_arms, self._by_chance = n_arms, floor * n_arms
        self._rng = np.random.default_rng([seed, 3])
        self._mab = MAB(list(range(n_arms)), getattr(LearningPolicy, policy)(alpha=width), seed=seed)
        self._fitted = False

    def decide(self, x: Floats) -> tuple[Rows, Floats]:
        taken = self._rng.integers(0, self._n_arms, len(x))
        learned = self._rng.random(len(x)) >= self._by_chance
        if self._fitted and learned.any():
            taken[learned] = self._mab.predict(x[learned])
        return taken, np.full(len(x), np.nan)

    def learn(self, x: Floats, taken: Rows, p: Floats, reward: Floats) -> None:
        if len(x):
            (self._mab.partial_fit if self._fitted else self._mab.fit)(taken, reward, x)
            self._fitted = True


class BetaThompson:
    """Thompson sampling of success rates, no context (Chapelle & Li, NIPS 2011). Rewards are 0 or 1."""

    def __init__(self, n_arms: int, floor: float, seed: int) -> None:
        self._counts = np.ones((2, n_arms))
        self._by_chance = floor * n_arms
        self._rng = np.random.default_rng([seed, 4])

    def decide(self, x: Floats) -> tuple[Rows, Floats]:
        n_arms = self._counts.shape[1]
        taken = self._rng.beta(*self._counts, (len(x), n_arms)).argmax(axis=1)
        chance = self._rng.random(len(x)) < self._by_chance
        taken[chance] = self._rng.integers(0, n_arms, int(chance.sum()))
        return taken, np.full(len(x), np.nan)

    def learn(self, x: Floats, taken: Rows, p: Floats, reward: Floats) -> None:
        np.add.at(self._counts, (1 - reward.astype(np.int64), taken), 1)

"""Learn what an arm adds, in five ways: S, T, X and DR, made of any regressions, and related logits.

An effect is an arm's expected reward minus that of `no_send`, arm 0, whose own effect is 0.

| learner | does | good where |
|---|---|---|
| S | one regression of the reward on (x, arm's features) | arms are many and alike |
| T | a regression per arm | arms differ and rows are plenty |
| X | T, then regressions of each row's reward minus what the other arm would have brought | one arm is rare |
| DR | T, then regressions of doubly robust scores | the effect is simpler than the reward |
| related | a logit per arm, shrunk towards what arms have in common | the reward is yes or no |

Guarantees: X and DR use first-stage predictions of rows by regressions that have not seen the row's user. Leaves to
others: which of them to believe (:mod:`training.uplift.mix`).

References
----------
Kuenzel, Sekhon, Bickel & Yu, PNAS 2019 (S, T, X); Kennedy, EJS 2023 (DR); Chernozhukov et al., 2018 (cross-fitting).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from training.uplift.bases import Base, related_logits
from training.uplift.trial import ABSENT_ARM, BAD_REWARD, Floats, Trial, TrialError
from whisperer.models.effects import ByArm, Effects, Levels, Shared
from whisperer.models.regressions import Regression

N_FOLDS = 5


class Learner(Protocol):
    """Settings of a way to learn effects; ``fit`` learns them from a trial."""

    def fit(self, trial: Trial, /) -> Effects: ...


@dataclass(frozen=True, slots=True)
class Average:
    """Learn each arm's mean effect, by doubly robust scores; ``base`` fits the first stage."""

    base: Base

    def fit(self, trial: Trial, /) -> Levels:
        return Levels(scores(trial, expected(trial, self.base)).mean(axis=0))


@dataclass(frozen=True, slots=True)
class S:
    """Learn one regression of the reward on (x, arm's features)."""

    base: Base

    def fit(self, trial: Trial, /) -> Shared:
        arms = trial.arm_features
        assert arms is not None
        return Shared(self.base.fit(_beside(trial.x, arms[trial.action]), trial.reward), arms)


@dataclass(frozen=True, slots=True)
class T:
    """Learn a regression per arm."""

    base: Base

    def fit(self, trial: Trial, /) -> ByArm:
        return ByArm([[(1.0, regression)] for regression in _by_arm(trial, self.base)])


@dataclass(frozen=True, slots=True)
class Related:
    """Learn related logits (:func:`bases.related_logits`), for rewards of 0 and 1.

    What moves the reward anyway is learned from all rows at once, and only the differences between arms are shrunk
    towards 0: a T-learner shrinks both or neither.

    Raises
    ------
    TrialError
        ``bad_reward`` if a reward is neither 0 nor 1.
    """

    penalty: float = 1.0
    apart: float = 30.0

    def fit(self, trial: Trial, /) -> ByArm:
        if not trial.is_binary:
            raise TrialError(BAD_REWARD, "related logits are of 0 and 1")
        logits = related_logits(trial.x, trial.action, trial.reward, trial.n_arms, self.penalty, self.apart)
        return ByArm([[(1.0, logit)] for logit in logits])


@dataclass(frozen=True, slots=True)
class X:
    """Learn as the X-learner does; ``effect`` is the base of the second stage. An arm's two effects are weighted by its
    share among it and `no_send`."""

    base: Base
    effect: Base

    def fit(self, trial: Trial, /) -> ByArm:
        first = expected(trial, self.base)
        left = trial.action == 0
        terms: list[list[tuple[float, Regression]]] = [[]]
        for arm in range(1, trial.n_arms):
            reached = trial.action == arm
            gained = self.effect.fit(trial.x[reached], trial.reward[reached] - first[reached, 0])
            missed = self.effect.fit(trial.x[left], first[left, arm] - trial.reward[left])
            shares = trial.propensity[:, [0, arm]].sum(axis=0)
            share = float(shares[1] / shares.sum())
            terms.append([(1 - share, gained), (share, missed)])
        return ByArm(terms)


@dataclass(frozen=True, slots=True)
class DR:
    """Learn by regressing doubly robust scores; ``base`` fits the first stage, ``effect`` the second."""

    base: Base
    effect: Base

    def fit(self, trial: Trial, /) -> ByArm:
        robust = scores(trial, expected(trial, self.base))
        columns = range(1, trial.n_arms)
        return ByArm([[], *([(1.0, self.effect.fit(trial.x, robust[:, k] - robust[:, 0]))] for k in columns)])


def expected(trial: Trial, base: Base, n_folds: int = N_FOLDS, seed: int = 0) -> Floats:
    """Predict the reward under each arm, by a regression per arm that has not seen the row's user.

    Returns
    -------
    float64, shape (n, n_arms)

    Raises
    ------
    TrialError
    """
    fold = trial.folds(n_folds, seed)
    values = np.empty((len(trial), trial.n_arms))
    for k in range(n_folds):
        out = fold == k
        values[out] = np.stack([r.predict(trial.x[out]) for r in _by_arm(trial.at(~out), base)], axis=1)
    return values


def scores(trial: Trial, values: Floats) -> Floats:
    """Compute each arm's doubly robust score at each row: ``values`` plus the chosen one's residual over its
    propensity.

    Its mean over rows estimates what the arm would bring if all were given it; the mean of a policy's column, row by
    row, what the policy would. An arm that was impossible at a row has the expected value there.

    Parameters
    ----------
    values : float64, shape (n, n_arms), expected rewards

    References
    ----------
    Robins, Rotnitzky & Zhao, JASA 1994; Dudik, Langford & Li, ICML 2011.

    Examples
    --------
    >>> scores(Trial(np.zeros((2, 1)), [0, 1], [1.0, 3.0], [0.5, 0.5]), np.full((2, 2), 2.0))
    array([[0., 2.],
           [2., 4.]])
    """
    rows = np.arange(len(trial))
    robust = np.array(values, np.float64)
    robust[rows, trial.action] += (trial.reward - values[rows, trial.action]) / trial.propensity[rows, trial.action]
    return robust


def _by_arm(trial: Trial, base: Base) -> list[Regression]:
    chosen = [trial.action == arm for arm in range(trial.n_arms)]
    for arm, rows in enumerate(chosen):
        if not rows.any():
            raise TrialError(ABSENT_ARM, "no row to fit a regression to", arm)
    return [base.fit(trial.x[rows], trial.reward[rows]) for rows in chosen]


def _beside(x: Floats, arms: Floats) -> Floats:
    return np.hstack([x, arms])

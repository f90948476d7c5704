"""Predict expected rewards by context and arm, for users the model has not seen.

A reward model is a function: rows in, a predictor out (:class:`RewardModel`); one that needs arms' features, or a tree
model, closes over them. Guarantees: :func:`cross_fitted` predicts a row only with a model fitted without any row of
that user, so that DR keeps its guarantees whatever the model. Leaves to others: models for serving (``training``); this
one is only the control variate of an evaluation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from whisperer.evaluation.logged import BAD_PREDICTION, TOO_FEW_USERS, Floats, Ints, InvalidLogError, Logged

Predict = Callable[[Floats], Floats]
"""Map contexts, shape (n, d), to expected rewards, shape (n, n_arms)."""

N_FOLDS = 5

_RIDGE = 1e-3  # makes an arm without rows, or a column without spread, nearly unknown rather than an error


class RewardModel(Protocol):
    """Fit logged rows, and return a predictor."""

    def __call__(self, context: Floats, action: Ints, reward: Floats, n_arms: int, /) -> Predict:
        """Fit rows; context has shape (n, d), action and reward (n,)."""
        ...


def arm_ridge(context: Floats, action: Ints, reward: Floats, n_arms: int, /) -> Predict:
    """Fit a common linear model, plus each arm's own deviation from it, as far as arms are seen to differ.

    Nothing is tuned and no unit matters. Common slopes are shrunk by James and Stein's factor. How far arms scatter
    about them, in level and in slopes, is estimated by moments from the arms' own least squares; that is the prior of
    each arm's ridge. An arm with few rows follows the common model, and so do all arms if they do not differ.

    Parameters
    ----------
    context : float64, shape (n, d)
    action : int64, shape (n,)
    reward : float64, shape (n,)

    References
    ----------
    Efron & Morris, JASA 1975; Lindley & Smith, JRSS B 1972.
    """
    n, d = context.shape
    centre, spread = context.mean(axis=0), context.std(axis=0)
    scale = np.where(spread > 1e-12, spread, np.inf)  # what does not vary has no slope

    def standard(raw: Floats) -> Floats:
        return np.asarray((raw - centre) / scale, np.float64)

    x = standard(context)
    slopes = np.linalg.solve(x.T @ x + np.eye(d), x.T @ reward)
    fitted, level = x @ slopes, float(reward.mean())
    n_slopes = int(np.isfinite(scale).sum())
    noise = float(((reward - level - fitted) ** 2).sum() / max(n - n_slopes - 1, 1))
    explained = float(fitted @ fitted)
    shrink = max(0.0, 1 - n_slopes * noise / explained) if explained > 0 else 0.0
    residual = reward - level - shrink * fitted
    own = _deviations(x, action, residual, noise, n_arms)

    def predict(asked: Floats) -> Floats:
        rows = standard(asked)
        return np.asarray(level + shrink * (rows @ slopes)[:, None] + own[:, 0] + rows @ own[:, 1:].T, np.float64)

    return predict


def _deviations(x: Floats, action: Ints, residual: Floats, noise: float, n_arms: int) -> Floats:
    """Return each arm's level and slopes relative to the common model, shape (n_arms, 1 + d)."""
    d = x.shape[1]
    grams, moments = [], []
    for arm in range(n_arms):
        rows = np.c_[np.ones(int((action == arm).sum())), x[action == arm]]
        grams.append(rows.T @ rows + _RIDGE * np.eye(1 + d))
        moments.append(rows.T @ residual[action == arm])
    gram, moment = np.stack(grams), np.stack(moments)
    inverse = np.linalg.inv(gram)
    free = np.einsum("aij,aj->ai", inverse, moment)
    spread = np.einsum("aii->ai", inverse)
    from_noise = noise * (spread - _RIDGE * (inverse**2).sum(axis=2))  # E[free^2] is this plus the scatter
    for part in (slice(0, 1), slice(1, None)):
        surplus = float(((free[:, part] ** 2 - from_noise[:, part]) / spread[:, part]).sum())
        known = float((1 / spread[:, part]).sum())
        # Without scatter the precision is so high that nothing is left of a deviation.
        precision = noise * known / surplus if surplus > 0 else 1e6 * known
        gram[:, range(d + 1)[part], range(d + 1)[part]] += precision
    return np.asarray(np.linalg.solve(gram, moment[:, :, None])[:, :, 0], np.float64)


def cross_fitted(
    logged: Logged, n_arms: int, model: RewardModel = arm_ridge, n_folds: int = N_FOLDS, seed: int = 0
) -> Floats:
    """Predict the expected reward of each arm at each decision, with models that have not seen the decision's user.

    Parameters
    ----------
    n_arms : columns of the result
    seed : of the division of users into folds

    Returns
    -------
    float64, shape (n, n_arms)

    Raises
    ------
    InvalidLogError
        With fewer users than folds, or predictions of another shape.

    References
    ----------
    Chernozhukov et al., The Econometrics Journal 2018 (cross-fitting).
    """
    if logged.n_users < n_folds or n_folds < 2:
        raise InvalidLogError(TOO_FEW_USERS, f"{logged.n_users} users do not make {n_folds} folds of at least 2")
    context = logged.context if logged.context is not None else np.empty((len(logged), 0))
    fold = (np.random.default_rng(seed).permutation(logged.n_users) % n_folds)[logged.user]
    expected = np.empty((len(logged), n_arms))
    for at in range(n_folds):
        out, rest = fold == at, fold != at
        predicted = model(context[rest], logged.action[rest], logged.reward[rest], n_arms)(context[out])
        if predicted.shape != (int(out.sum()), n_arms):
            raise InvalidLogError(BAD_PREDICTION, f"predictions have shape {predicted.shape}")
        expected[out] = predicted
    return expected

"""Estimate what a policy would have earned per decision, from decisions that another policy took: five estimators.

Each returns its sum by decision (:class:`Terms`), not only the value, so that a bootstrap needs no second pass and two
policies on the same log can be compared in pairs. Guarantees: no weight is clipped silently; only SWITCH-DR bounds
weights, at a threshold that the caller passes. Leaves to others: whether the log supports the policy at all
(:mod:`whisperer.evaluation.overlap`) and the reward model (:mod:`whisperer.evaluation.reward_model`).

| estimator | unbiased if | fails by |
|---|---|---|
| IPS | propensities are right | variance |
| SNIPS | the same, in large logs | less variance; unchanged when all rewards grow by a constant |
| DM | the model is right | invisible bias |
| DR | either is right | variance where weights are large |
| SWITCH-DR | weights stay below tau, or the model is right above it | a little of both |
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from whisperer.evaluation.logged import (
    BAD_PREDICTION,
    NO_OVERLAP,
    Floats,
    InvalidLogError,
    Logged,
    checked_policy,
    refuse,
)

N_THRESHOLDS = 21


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """An estimate as a ratio of sums over decisions.

    Attributes
    ----------
    numerator, denominator : float64, shape (n,)
    """

    numerator: Floats
    denominator: Floats

    @property
    def value(self) -> float:
        """The estimate, in the reward's unit per decision."""
        return float(self.numerator.sum() / self.denominator.sum())


def weights(logged: Logged, target: ArrayLike) -> Floats:
    """Compute importance weights w_i = pi(a_i | x_i) / p_i, shape (n,).

    Parameters
    ----------
    target : float64, shape (n, n_arms) or (n_arms,)
        The policy to evaluate.

    Raises
    ------
    InvalidLogError
    """
    policy = checked_policy(logged, target)
    return np.asarray(policy[np.arange(len(logged)), logged.action] / logged.propensity, np.float64)


def on_policy(logged: Logged) -> Terms:
    """Estimate the policy that took the decisions: the mean reward."""
    return Terms(logged.reward, np.ones(len(logged)))


def ips(logged: Logged, target: ArrayLike) -> Terms:
    """Estimate by inverse propensity scoring: mean of w r (Horvitz & Thompson, JASA 1952).

    Examples
    --------
    >>> log = Logged([0, 1, 1, 0], [1.0, 0.0, 2.0, 1.0], [0.5, 0.5, 0.25, 0.5], [0, 1, 2, 3])
    >>> ips(log, [0.25, 0.75]).value
    1.75
    """
    return Terms(weights(logged, target) * logged.reward, np.ones(len(logged)))


def snips(logged: Logged, target: ArrayLike) -> Terms:
    """Estimate by self-normalised IPS: sum of w r over sum of w (Swaminathan & Joachims, NeurIPS 2015).

    Raises
    ------
    InvalidLogError
        ``no_overlap`` where every weight is 0.
    """
    weight = weights(logged, target)
    if not weight.any():
        raise InvalidLogError(NO_OVERLAP, "the policy never takes an arm that the log took")
    return Terms(weight * logged.reward, weight)


def dm(logged: Logged, target: ArrayLike, expected: ArrayLike) -> Terms:
    """Estimate by the direct method: mean over decisions of sum_a pi(a | x) q(x, a).

    Parameters
    ----------
    expected : float64, shape (n, n_arms)
        q(x_i, a), preferably from a model that has not seen the user (:func:`reward_model.cross_fitted`).
    """
    policy = checked_policy(logged, target)
    return Terms((policy * _checked(logged, policy, expected)).sum(axis=1), np.ones(len(logged)))


def dr(logged: Logged, target: ArrayLike, expected: ArrayLike) -> Terms:
    """Estimate doubly robustly: direct method plus weighted residual w (r - q) (Dudik, Langford & Li, ICML 2011)."""
    return switch_dr(logged, target, expected, np.inf)


def switch_dr(logged: Logged, target: ArrayLike, expected: ArrayLike, tau: float) -> Terms:
    """Estimate doubly robustly where w <= tau, by the model alone above it (Wang, Agarwal & Dudik, ICML 2017).

    Parameters
    ----------
    expected : float64, shape (n, n_arms)
    tau : the largest weight that is used; 0 is the direct method, infinity DR
        See :func:`threshold`.
    """
    weight = weights(logged, target)
    return Terms(
        dm(logged, target, expected).numerator + np.where(weight <= tau, weight, 0.0) * _residual(logged, expected),
        np.ones(len(logged)),
    )


def threshold(logged: Logged, target: ArrayLike, expected: ArrayLike, reward_bound: float | None = None) -> float:
    """Choose the tau that minimises estimated variance plus the squared bound of the bias.

    The variance is of the mean, by user. The bias is at most ``reward_bound`` times the policy's mass above tau, which
    is known where whole vectors were logged and otherwise estimated from the weights' shares. Candidates are 21 from
    the weights' 5 % quantile to their maximum, evenly spaced by ratio, and infinity.

    Parameters
    ----------
    reward_bound : bound on the size of an expected reward
        By default the largest prediction, or the largest mean of an arm plus two standard errors if that is more. (The
        largest reward seen, the usual choice, would never leave a rare click to the model.)

    References
    ----------
    Wang, Agarwal & Dudik, ICML 2017, section 3.3.
    """
    policy, weight = checked_policy(logged, target), weights(logged, target)
    positive = weight[weight > 0]
    if len(positive) == 0:
        return np.inf
    bound = _reward_bound(logged, np.asarray(expected, np.float64)) if reward_bound is None else reward_bound
    model, residual = dm(logged, policy, expected).numerator, _residual(logged, expected)
    spaced = np.geomspace(np.quantile(positive, 0.05), positive.max(), N_THRESHOLDS + 1)
    candidates: list[float] = [*spaced[:-1].tolist(), np.inf]

    def error(tau: float) -> float:
        used = np.where(weight <= tau, weight, 0.0)
        term = model + used * residual
        by_user = np.bincount(logged.user, term - term.mean())
        if logged.probabilities is None:
            above = (weight - used).sum() / weight.sum()
        else:
            above = np.where(policy > tau * logged.probabilities, policy, 0.0).sum(axis=1).mean() if tau < np.inf else 0
        return float(by_user @ by_user / len(logged) ** 2 + (bound * above) ** 2)

    return float(min(reversed(candidates), key=error))


def _reward_bound(logged: Logged, expected: Floats) -> float:
    counts = np.bincount(logged.action)
    seen = counts > 0
    means = np.bincount(logged.action, logged.reward)[seen] / counts[seen]
    return float(max(np.abs(expected).max(), (np.abs(means) + 2 * logged.reward.std() / np.sqrt(counts[seen])).max()))


def _residual(logged: Logged, expected: ArrayLike) -> Floats:
    predicted = np.asarray(expected, np.float64)[np.arange(len(logged)), logged.action]
    return np.asarray(logged.reward - predicted, np.float64)


def _checked(logged: Logged, policy: Floats, expected: ArrayLike) -> Floats:
    predicted = np.asarray(expected, np.float64)
    if predicted.shape != policy.shape:
        raise InvalidLogError(BAD_PREDICTION, f"predictions have shape {predicted.shape}, not {policy.shape}")
    refuse(BAD_PREDICTION, "an expected reward is a finite number", ~np.isfinite(predicted).all(axis=1))
    return predicted

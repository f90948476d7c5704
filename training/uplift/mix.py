"""Mix several learners' effects, weighted by how they do on users none of them has seen.

Decides how far to personalise: each arm's mean effect is a member like any other, so that weight on it is shrinkage to
one arm for all. Weights are not negative, and fit the members' out-of-fold effects to doubly robust scores, whose mean
over rows is the value of a policy; data that cannot distinguish members leave them equal. Guarantees: no row weights a
learner that was fitted with a row of the same user; the same trial gives the same mix. Leaves to others: costs, limits,
and whether the mix may go live.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from training.uplift.bases import Base, Boosted, Ridge
from training.uplift.caution import Caution, caution
from training.uplift.learners import N_FOLDS, Average, Learner, Related, S, T, expected, scores
from training.uplift.trial import DataReport, Floats, Trial, examine
from whisperer.models.effects import Mix


@dataclass(frozen=True, slots=True, eq=False)
class MixReport:
    """How the mix came about.

    Attributes
    ----------
    data : what is odd about the trial
    weights : of the members by name
    values : doubly robust value per decision of giving everybody the best arm according to a member, by name, or to
        ``mix``; out of fold. The mix's weights have seen the rows, so its figure is slightly flattering.
    caution : the best single arm, and how much more another has to promise to be given instead
    out_of_fold : float64, shape (n, n_arms), the mix's effects from members that have not seen the row's user;
        thresholds are chosen on these
    """

    data: DataReport
    weights: dict[str, float]
    values: dict[str, float]
    caution: Caution
    out_of_fold: Floats


def standard_learners(trial: Trial) -> dict[str, Learner]:
    """Return the product's value model: trees over (x, arm's features), a line per arm, and the arms' mean effects.

    Money that is hardly ever negative is boosted with a Tweedie loss, whose noise grows with the mean.
    """
    money = not trial.is_binary and float((trial.reward < 0).mean()) < _HARDLY_EVER
    objective = "binary:logistic" if trial.is_binary else "reg:tweedie" if money else "reg:squarederror"
    return {"trees": S(Boosted(objective, fewest=5.0)), "lines": lines(trial), "levels": Average(Ridge())}


def lines(trial: Trial) -> Learner:
    """Return a learner with a line per arm: related logits for yes or no, ridges for money."""
    return Related() if trial.is_binary else T(Ridge())


def fit_mix(
    trial: Trial,
    learners: Mapping[str, Learner] | None = None,
    *,
    nuisance: Base | None = None,
    n_folds: int = N_FOLDS,
    seed: int = 0,
) -> tuple[Mix, MixReport]:
    """Fit the learners, weight them out of fold, and fit them again on everything.

    Parameters
    ----------
    learners : by name; :func:`standard_learners` by default
    nuisance : fits the expected rewards inside the doubly robust scores; ridge by default
    seed : of the division of users into folds

    Raises
    ------
    TrialError
        If an arm or any variation of the reward is absent, or there are fewer users than folds.

    References
    ----------
    Wolpert, Neural Networks 1992; Breiman, Machine Learning 1996 (stacking with weights that are not negative);
    Kennedy, EJS 2023 (the doubly robust score as what effects are fitted to).
    """
    data = examine(trial)
    chosen = dict(standard_learners(trial) if learners is None else learners)
    robust = scores(trial, expected(trial, nuisance or Ridge(), n_folds, seed))
    out = out_of_fold(trial, list(chosen.values()), n_folds, seed)
    weights = stacked(out, robust - robust[:, :1])
    mix = Mix(tuple(weights.tolist()), [learner.fit(trial) for learner in chosen.values()])
    values = {name: _value(member, robust) for name, member in zip(chosen, out, strict=True)}
    mixed = np.tensordot(weights, out, axes=1)
    values["mix"] = _value(mixed, robust)
    assert trial.user is not None
    by_name = dict(zip(chosen, weights.tolist(), strict=True))
    return mix, MixReport(data, by_name, values, caution(mixed, robust, trial.user), mixed)


def out_of_fold(trial: Trial, learners: Sequence[Learner], n_folds: int = N_FOLDS, seed: int = 0) -> Floats:
    """Return effects by fits without the row's user, shape (n_learners, n, n_arms)."""
    fold = trial.folds(n_folds, seed)
    effects = np.empty((len(learners), len(trial), trial.n_arms))
    for k in range(n_folds):
        out, rest = fold == k, trial.at(fold != k)
        for at, learner in enumerate(learners):
            effects[at, out] = learner.fit(rest).effects(trial.x[out])
    return effects


def stacked(effects: Floats, target: Floats) -> Floats:
    """Return non-negative least-squares weights for ``target``, shrunk towards equal ones as far as noise requires.

    The prior of a weight is normal about 1/m with a deviation of 1/m, against noise as large as the target's own: in
    large samples its influence vanishes.

    Parameters
    ----------
    effects : float64, shape (m, n, n_arms), out of fold
    target : float64, shape (n, n_arms), noisy effects whose mean is right

    Returns
    -------
    float64, shape (m,)

    Examples
    --------
    >>> truth = np.random.default_rng(0).normal(size=(5000, 2))
    >>> stacked(np.stack([truth, -truth]), truth).round(2)
    array([1., 0.])
    """
    m = len(effects)
    flat, aim = effects.reshape(m, -1), target.ravel()
    pull = float((aim**2).mean()) * m**2
    # Least squares by its normal equations: a root of the Gram matrix takes the place of the rows.
    gram = flat @ flat.T + pull * np.eye(m)
    root = np.linalg.cholesky(gram).T
    weights, _ = nnls(root, np.linalg.solve(root.T, flat @ aim + pull / m))
    return np.asarray(weights, np.float64)


def _value(effects: Floats, robust: Floats) -> float:
    return float(robust[np.arange(len(robust)), effects.argmax(axis=1)].mean())


_HARDLY_EVER = 0.01

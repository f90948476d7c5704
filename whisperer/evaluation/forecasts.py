"""Judge whether a forecast of who will leave is better than others, on the same rows, none of which it has seen.

A forecast takes no decision, so nothing has to be weighted: it is right or wrong about what happened. It must have a
lower log-loss than each of the others, a ranking that is not worse, and probabilities that mean what they say.
Guarantees: a user's rows count as one piece of evidence; every refusal says why. Leaves to others: where the rows come
from, and picking one of many candidates on the same rows, which makes any gate optimistic.

References
----------
Obuchowski, Biometrics 1997 (areas under ROC curves of clustered rows); Cox, Biometrika 1958 (slope of calibration).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from whisperer.evaluation.bootstrap import N_RESAMPLES, Interval, compare
from whisperer.evaluation.estimators import Terms
from whisperer.evaluation.gate import MAY_BE_WORSE, NOT_BETTER
from whisperer.evaluation.lift import FEWEST_USERS, TOO_FEW_USERS
from whisperer.evaluation.logged import Floats, Ints
from whisperer.evaluation.overlap import Refusal
from whisperer.evaluation.quantiles import student_t

TOO_FEW_ROWS, RANKS_WORSE, MISCALIBRATED = "too_few_rows", "ranks_worse", "miscalibrated"
_SURE = 1e-6
"""Probabilities closer than this to 0 or 1 are moved to this distance: one wrong row is not infinitely wrong."""


@dataclass(frozen=True, slots=True)
class ForecastRule:
    """The settings of a judgement.

    Attributes
    ----------
    level : of the intervals; the bound that counts is the worse end of the two-sided one
    tolerance : how far the difference's upper bound may lie above 0, as a share of the other forecast's log-loss
    auc_drop : how much lower the area under the ROC curve may be at worst
    slope : of calibration, lowest and highest; 1 is calibrated, below 1 the forecast is too sure
    fewest : rows required with either label
    """

    level: float = 0.95
    tolerance: float = 0.01
    auc_drop: float = 0.01
    slope: tuple[float, float] = (2 / 3, 3 / 2)
    fewest: int = 50
    n_resamples: int = N_RESAMPLES
    seed: int = 0


RULE = ForecastRule()


@dataclass(frozen=True, slots=True)
class Quality:
    """One forecast's quality on the rows."""

    log_loss: float
    auc: float
    slope: float


@dataclass(frozen=True, slots=True)
class Against:
    """A comparison with an existing forecast: its quality, and the new one's log-loss and AUC minus its own."""

    quality: Quality
    log_loss: Interval
    auc: Interval


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome: ``promote`` is true if and only if there is no reason against it; ``against`` is by name."""

    promote: bool
    reasons: tuple[Refusal, ...]
    quality: Quality | None
    against: Mapping[str, Against]


def judge(label: Floats, user: Ints, said: Floats, others: Mapping[str, Floats], rule: ForecastRule = RULE) -> Verdict:
    """Compare a forecast with the existing ones.

    Parameters
    ----------
    label : float64, shape (n,), 1 for a user who left
    user : int64, shape (n,), numbers from 0 without gaps
    said : float64, shape (n,), probability that the user leaves
    others : the same for other forecasts, by name

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> p = rng.uniform(0.1, 0.9, 2_000)
    >>> label, user = (rng.random(2_000) < p).astype(np.float64), np.arange(2_000)
    >>> judge(label, user, p, {"everybody": np.full(2_000, 0.5)}).promote
    True
    >>> [one.reason for one in judge(label, user, p, {"itself": p}).reasons]
    ['not_better']
    """
    n_left = int((label > 0).sum())
    if min(n_left, len(label) - n_left) < rule.fewest:
        counted = f"{n_left} of {len(label)} rows are of users who left: {rule.fewest} of either kind are needed."
        return Verdict(False, (Refusal(TOO_FEW_ROWS, counted),), None, {})
    n_users = len(np.unique(user))
    if n_users < FEWEST_USERS:  # an interval by users would have nothing to draw from
        counted = f"The rows are of {n_users} users; an interval needs at least {FEWEST_USERS}."
        return Verdict(False, (Refusal(TOO_FEW_USERS, counted),), None, {})
    mine, reasons, against = quality(label, said), list[Refusal](), dict[str, Against]()
    lowest, highest = rule.slope
    if not lowest <= mine.slope <= highest:
        told = f"The slope of calibration is {mine.slope:.2f}, not within {lowest:.2f} and {highest:.2f}."
        reasons.append(Refusal(MISCALIBRATED, told))
    for name, theirs in others.items():
        ones = np.ones(len(label))
        ours, current = Terms(_losses(label, said), ones), Terms(_losses(label, theirs), ones)
        losses = compare(ours, current, user, rule.level, rule.n_resamples, rule.seed).difference
        against[name] = Against(quality(label, theirs), losses, _aucs_apart(label, user, said, theirs, rule.level))
        reasons += _objections(name, against[name], rule)
    return Verdict(not reasons, tuple(reasons), mine, against)


def quality(label: Floats, said: Floats) -> Quality:
    """Measure a forecast on rows of both labels; shapes as in :func:`judge`."""
    return Quality(float(_losses(label, said).mean()), _auc(label, said)[0], slope(label, said))


def slope(label: Floats, said: Floats) -> float:
    """Return the slope of a logistic regression of outcomes on the forecast's log-odds; NaN if those never vary."""
    p = np.clip(said, _SURE, 1 - _SURE)
    z = np.log(p / (1 - p))
    if np.ptp(z) < 1e-9:
        return float("nan")
    x, beta, ridge = np.stack([np.ones_like(z), z], axis=1), np.array([0.0, 1.0]), 1e-3 * np.eye(2)
    for _ in range(50):  # Newton's method; the ridge keeps separable rows from driving the slope to infinity
        q = 1 / (1 + np.exp(-np.clip(x @ beta, -30, 30)))
        gradient = x.T @ (label - q) - ridge @ (beta - [0.0, 1.0])
        step = np.linalg.solve((x * (q * (1 - q))[:, None]).T @ x + ridge, gradient)
        beta = beta + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-8:
            break
    return float(beta[1])


def _objections(name: str, found: Against, rule: ForecastRule) -> list[Refusal]:
    losses, aucs, reasons = found.log_loss, found.auc, []
    told = f"{losses.value:+.4f} ({rule.level:.0%} interval {losses.low:+.4f} to {losses.high:+.4f})"
    allowed = rule.tolerance * found.quality.log_loss
    if not losses.value < 0:
        reasons.append(Refusal(NOT_BETTER, f"Its log-loss is not below that of {name}: the difference is {told}."))
    elif not losses.high < allowed:
        sentence = f"A log-loss more than {allowed:.4f} above that of {name} is not excluded: the difference is {told}."
        reasons.append(Refusal(MAY_BE_WORSE, sentence))
    if not aucs.low > -rule.auc_drop:
        told = f"{aucs.value:+.4f} ({rule.level:.0%} interval {aucs.low:+.4f} to {aucs.high:+.4f})"
        reasons.append(Refusal(RANKS_WORSE, f"It may rank users worse than {name}: the difference in AUC is {told}."))
    return reasons


def _losses(label: Floats, said: Floats) -> Floats:
    p = np.clip(said, _SURE, 1 - _SURE)
    return np.asarray(-label * np.log(p) - (1 - label) * np.log1p(-p), np.float64)


def _aucs_apart(label: Floats, user: Ints, said: Floats, theirs: Floats, level: float) -> Interval:
    (mine, moved), (other, moved_other) = _auc(label, said), _auc(label, theirs)
    by_user = np.bincount(user, moved - moved_other)
    half = student_t(0.5 + level / 2, max(4, len(by_user) - 1)) * float(np.sqrt((by_user**2).sum()))
    return Interval(mine - other, mine - other - half, mine - other + half)


def _auc(label: Floats, said: Floats) -> tuple[float, Floats]:
    """Return the area under the ROC curve, and how far each row moves it, shape (n,)."""
    left = label > 0
    n_left, n_stayed = int(left.sum()), int((~left).sum())
    ranks, right = _midranks(said), np.empty(len(said))
    # For each row, the share of rows of the other label that are on the right side of it; a tie counts half.
    right[left] = (ranks[left] - _midranks(said[left])) / n_stayed
    right[~left] = 1 - (ranks[~left] - _midranks(said[~left])) / n_left
    area = float(right[left].mean())
    return area, (right - area) / np.where(left, n_left, n_stayed)


def _midranks(values: Floats) -> Floats:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], np.float64)

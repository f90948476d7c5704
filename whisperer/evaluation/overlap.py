"""Measure whether a log can say anything about a policy: how far what the policy would do was tried.

Guarantees: a refusal is a value with a stable reason and a sentence for people; chance alone never makes a policy count
as unsupported, or propensities as wrong. Leaves to others: what the policy earns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from whisperer.evaluation.estimators import weights
from whisperer.evaluation.lift import FEWEST_USERS, TOO_FEW_USERS
from whisperer.evaluation.logged import Logged, checked_policy

TOO_LITTLE_OVERLAP, UNSUPPORTED, PROPENSITIES_WRONG = "too_little_overlap", "unsupported", "propensities_wrong"

FEWEST_EFFECTIVE = 1_000
MOST_UNSUPPORTED = 0.01
"""Largest share of a policy's decisions that may have been impossible under the log: no estimator has data on them."""
SURE = 4.0
"""Standard errors, by user, beyond which a mean weight is not off by chance alone."""

QUANTILES = (0.5, 0.9, 0.99, 0.999)


@dataclass(frozen=True, slots=True)
class Refusal:
    """``reason`` is a constant for programs, ``sentence`` is for people."""

    reason: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Overlap:
    """How well a log supports a policy.

    Attributes
    ----------
    n_effective : (sum w)^2 / sum w^2, in [0, n_decisions]: how many of the policy's own decisions it is worth (Kish
        1965)
    mean_weight : near 1 if propensities are right and everything is supported
    mean_weight_error : its standard error, by user
    unsupported : share of the policy's probability on arms that the log could not take; known if whole vectors were
        logged, otherwise how far the mean weight is below 1, when that is beyond chance
    weight_quantiles : by level
    """

    n_decisions: int
    n_users: int
    n_effective: float
    max_weight: float
    mean_weight: float
    mean_weight_error: float
    unsupported: float
    weight_quantiles: Mapping[str, float]


def overlap(logged: Logged, target: ArrayLike) -> Overlap:
    """Measure how well a log supports a policy.

    Parameters
    ----------
    target : float64, shape (n, n_arms) or (n_arms,)

    Raises
    ------
    InvalidLogError

    Examples
    --------
    >>> found = overlap(Logged([0, 0, 0, 1], [0.0] * 4, [0.75, 0.75, 0.75, 0.25], [0, 1, 2, 3]), [0.0, 1.0])
    >>> found.n_effective, found.max_weight
    (1.0, 4.0)
    """
    policy, weight = checked_policy(logged, target), weights(logged, target)
    squares, mean = float(weight @ weight), float(weight.mean())
    by_user = np.bincount(logged.user, weight - mean)
    error = float(np.sqrt(by_user @ by_user)) / len(logged)
    if logged.probabilities is None:
        unsupported = 1 - mean if 1 - mean > SURE * error else 0.0
    else:
        unsupported = float(np.where(logged.probabilities > 0, 0.0, policy).sum(axis=1).mean())
    return Overlap(
        n_decisions=len(logged),
        n_users=logged.n_users,
        n_effective=float(weight.sum() ** 2 / squares) if squares else 0.0,
        max_weight=float(weight.max()),
        mean_weight=mean,
        mean_weight_error=error,
        unsupported=unsupported,
        weight_quantiles={str(q): float(v) for q, v in zip(QUANTILES, np.quantile(weight, QUANTILES), strict=True)},
    )


def refusals(found: Overlap, fewest_effective: float = FEWEST_EFFECTIVE) -> list[Refusal]:
    """Return why this overlap supports no estimate; empty if it does."""
    reasons = []
    if found.n_users < FEWEST_USERS:
        reasons.append(
            Refusal(TOO_FEW_USERS, f"{found.n_users} users are in the log; an interval needs at least {FEWEST_USERS}.")
        )
    if found.n_effective < fewest_effective:
        reasons.append(
            Refusal(
                TOO_LITTLE_OVERLAP,
                f"the log's {found.n_decisions:,} decisions are worth {found.n_effective:,.0f} of this policy's own; "
                f"at least {fewest_effective:,.0f} are needed. Log it longer, or with a higher exploration floor.",
            )
        )
    if found.unsupported > MOST_UNSUPPORTED:
        reasons.append(
            Refusal(
                UNSUPPORTED,
                f"{found.unsupported:.1%} of what the policy would do could not happen under the log; "
                f"at most {MOST_UNSUPPORTED:.0%} may be.",
            )
        )
    if found.mean_weight - 1 > SURE * found.mean_weight_error:
        reasons.append(
            Refusal(
                PROPENSITIES_WRONG,
                f"weights average {found.mean_weight:.3f} where 1 is expected: the logged propensities are too small.",
            )
        )
    return reasons

"""Decide whether a new policy may replace the current one, from logged decisions.

Three estimators that fail in different ways must agree (SNIPS, cross-fitted DR, SWITCH-DR), each on the paired
difference with an interval by users. Guarantees: what the log does not support is refused, never promoted on a guess;
every refusal says why; a verdict holds each estimator's figures and the settings they were computed with, as plain
data. Leaves to others: stages, rollback, who may overrule (the rollout), and picking one of many candidates on the same
log, which makes any gate optimistic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from whisperer.evaluation.bootstrap import N_RESAMPLES, Comparison, compare
from whisperer.evaluation.estimators import Terms, dr, on_policy, snips, switch_dr, threshold
from whisperer.evaluation.logged import Floats, Logged, checked_policy
from whisperer.evaluation.overlap import FEWEST_EFFECTIVE, Overlap, Refusal, overlap, refusals
from whisperer.evaluation.reward_model import N_FOLDS, RewardModel, arm_ridge, cross_fitted

NOT_BETTER, MAY_BE_WORSE = "not_better", "may_be_worse"

SNIPS, DR, SWITCH_DR = "snips", "dr", "switch_dr"


@dataclass(frozen=True, slots=True)
class GateRule:
    """The settings of a judgement.

    Attributes
    ----------
    level : of the intervals; the bound that counts is the lower end of the two-sided one
    tolerance : how far the lower bound may lie below 0, as a share of the current policy's value
    fewest_effective : effective decisions required of either policy
    """

    level: float = 0.95
    tolerance: float = 0.01
    fewest_effective: float = FEWEST_EFFECTIVE
    n_folds: int = N_FOLDS
    n_resamples: int = N_RESAMPLES
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """What a verdict is based on.

    Attributes
    ----------
    overlap : of the new policy
    current_overlap : of the current one; None where it took the decisions itself
    estimates : by estimator; empty if the log has nothing to compute them from
    tau : SWITCH-DR's threshold for the new policy; None for no threshold
    """

    overlap: Overlap
    current_overlap: Overlap | None
    estimates: Mapping[str, Comparison]
    tau: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome; ``promote`` is true if and only if there is no reason against it."""

    promote: bool
    reasons: tuple[Refusal, ...]
    figures: Figures
    rule: GateRule

    def as_json(self) -> bytes:
        """Serialise to JSON; an infinite bound becomes null."""
        return msgspec.json.encode(self)

    def as_dict(self) -> dict[str, Any]:
        """Return the same as dicts, lists, strings, numbers and None."""
        decoded: dict[str, Any] = msgspec.json.decode(self.as_json())
        return decoded

    def __str__(self) -> str:
        lines = ["Promote." if self.promote else "Refused."]
        lines += [f"- {one.sentence}" for one in self.reasons]
        lines += [
            f"{name}: new {c.new.value:.6g}, current {c.current.value:.6g}, difference {_told(c, self.rule.level)}"
            for name, c in self.figures.estimates.items()
        ]
        lines.append(f"effective decisions: {self.figures.overlap.n_effective:,.0f}")
        return "\n".join(lines)


def judge(
    logged: Logged,
    new: ArrayLike,
    current: ArrayLike | None = None,
    model: RewardModel = arm_ridge,
    rule: GateRule | None = None,
) -> Verdict:
    """Compare two policies on a log and decide.

    Promote if, by each estimator, the difference is above 0 and its lower bound above -``tolerance`` times the current
    value, and the log supports the policies.

    Parameters
    ----------
    logged : decisions with final rewards, without the holdout
    new : float64, shape (n, n_arms) or (n_arms,)
        The candidate's probabilities, as it would sample: its exploration floor mixed in.
    current : the same for the policy in use
        By default the policy that took the decisions, whose value is the mean reward.
    model : of rewards, fitted by folds of users
    rule : the default :class:`GateRule` if None

    Raises
    ------
    InvalidLogError
        For an invalid log or policy: that is an error of the caller, not a refusal.
    """
    rule = rule or GateRule()
    policies = [checked_policy(logged, one) for one in (new, current) if one is not None]
    overlaps = [overlap(logged, one) for one in policies]
    reasons = refusals(overlaps[0], rule.fewest_effective)
    for found in overlaps[1:]:
        reasons += [
            Refusal(one.reason, f"Of the current policy: {one.sentence}")
            for one in refusals(found, rule.fewest_effective)
        ]
    estimates: dict[str, Comparison] = {}
    tau = np.inf
    if all(found.n_effective for found in overlaps) and logged.n_users >= rule.n_folds:
        expected = cross_fitted(logged, policies[0].shape[1], model, rule.n_folds, rule.seed)
        ours, tau = _by_estimator(logged, policies[0], expected)
        theirs = dict.fromkeys(ours, on_policy(logged))
        if current is not None:
            theirs, _ = _by_estimator(logged, policies[1], expected)
        for name in ours:
            found_apart = compare(ours[name], theirs[name], logged.user, rule.level, rule.n_resamples, rule.seed)
            estimates[name] = found_apart
            reasons += _against(name, found_apart, rule)
    current_overlap = overlaps[1] if current is not None else None
    figures = Figures(overlaps[0], current_overlap, estimates, tau if np.isfinite(tau) else None)
    return Verdict(not reasons, tuple(reasons), figures, rule)


def _by_estimator(logged: Logged, policy: Floats, expected: Floats) -> tuple[dict[str, Terms], float]:
    tau = threshold(logged, policy, expected)
    return {
        SNIPS: snips(logged, policy),
        DR: dr(logged, policy, expected),
        SWITCH_DR: switch_dr(logged, policy, expected, tau),
    }, tau


def _against(name: str, comparison: Comparison, rule: GateRule) -> list[Refusal]:
    difference, told = comparison.difference, _told(comparison, rule.level)
    allowed = -rule.tolerance * abs(comparison.current.value)
    reasons = []
    if not difference.value > 0:
        reasons.append(Refusal(NOT_BETTER, f"{name} does not see it ahead: the difference is {told}."))
    if not difference.low > allowed:
        reasons.append(
            Refusal(MAY_BE_WORSE, f"{name} does not exclude a loss beyond {-allowed:.3g} a decision: it is {told}.")
        )
    return reasons


def _told(comparison: Comparison, level: float) -> str:
    found = comparison.difference
    return f"{found.value:+.3g} ({level:.0%} interval {found.low:+.3g} to {found.high:+.3g})"

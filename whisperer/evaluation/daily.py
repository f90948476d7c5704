"""Compute lift by day: policy and uniform over the holdout, and policy over uniform, as it was known on each day.

A day's look covers all users whose window had closed by the end of that day, each with the final total of that window;
intervals may be looked at every day (:mod:`whisperer.evaluation.sequential`). So may the check of the groups' sizes: a
mixture of multinomials against the shares, whose p-value holds at all looks together. Guarantees: sums are exact
integers, and add up in any order; :data:`MOST_DAYS` days are kept, and earlier ones are added to the first. Leaves to
others: who was in which group, and what each did.

References
----------
Lindon & Malek, NeurIPS 2022 (anytime-valid inference for multinomial counts).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from whisperer.evaluation.lift import SUSPICIOUS_P, GroupTally, NotYet
from whisperer.evaluation.sequential import AnytimeLift, anytime_lift
from whisperer.vocabulary.groups import GROUPS

MOST_DAYS = 400
_BELIEF = 1_000.0
"""How many users the alternatives of :func:`anytime_ratio` are worth: near the shares, as real mismatches are."""

Groups = Mapping[str, GroupTally]
"""Tallies by group; a missing group has no users."""


@dataclass(frozen=True, slots=True)
class DailyLook:
    """One day's look.

    Attributes
    ----------
    day : days since 1970, UTC
    joined : users whose window closed on this day
    so_far : users whose window closed by its end
    lift, uniform_lift, over_uniform : policy over holdout, uniform over holdout, policy over uniform
    ratio_p : p-value of the groups' sizes, over all looks up to this one
    """

    day: int
    joined: Groups
    so_far: Groups
    lift: AnytimeLift | NotYet
    uniform_lift: AnytimeLift | NotYet
    over_uniform: AnytimeLift | NotYet
    ratio_p: float

    @property
    def suspicious(self) -> bool:
        """Whether the groups' sizes are not as they should be: then no comparison of them may be believed."""
        return self.ratio_p < SUSPICIOUS_P


def looks(
    days: Iterable[tuple[int, str, GroupTally]], shares: Mapping[str, float], level: float = 0.95
) -> list[DailyLook]:
    """Return a look for each day on which a window closed.

    Parameters
    ----------
    days : (day, group, users whose window closed on it), in any order, possibly in parts
    shares : group -> its intended share
    level : probability that every interval of one comparison holds the truth

    Examples
    --------
    >>> ten, twenty = GroupTally(100, 10_000, 10_000_000), GroupTally(100, 20_000, 20_000_000)
    >>> found = looks([(1, "holdout", ten), (1, "policy", twenty), (2, "policy", twenty)], {"holdout": 1, "policy": 2})
    >>> [(look.day, look.so_far["policy"].users, round(look.lift.difference, 3)) for look in found]
    [(1, 100, 0.1), (2, 200, 0.1)]
    """
    by_day: dict[int, dict[str, GroupTally]] = {}
    for day, group, tally in days:
        held = by_day.setdefault(day, {})
        held[group] = held.get(group, GroupTally()) + tally
    ordered = sorted(by_day)
    if len(ordered) > MOST_DAYS:
        first = ordered[-MOST_DAYS]
        for day in ordered[:-MOST_DAYS]:
            by_day[first] = _added(by_day[first], by_day.pop(day))
    so_far: Groups = {}
    p = 1.0
    found = []
    for day in ordered[-MOST_DAYS:]:
        so_far = _added(so_far, by_day[day])
        holdout, uniform, policy = (so_far.get(group, GroupTally()) for group in GROUPS)
        p = min(p, anytime_ratio({group: tally.users for group, tally in so_far.items()}, shares))
        found.append(
            DailyLook(
                day,
                by_day[day],
                so_far,
                anytime_lift(policy, holdout, level),
                anytime_lift(uniform, holdout, level),
                anytime_lift(policy, uniform, level),
                p,
            )
        )
    return found


def anytime_ratio(counts: Mapping[str, int], shares: Mapping[str, float]) -> float:
    """Return the p-value of users falling into groups as the shares say; the smallest over all looks is valid too.

    1 / BF against a Dirichlet mixture about the shares: P(it is ever below p) is at most p if the shares are right.

    Raises
    ------
    ValueError
        For a count of a group that has no share, or shares that are negative or all zero.

    Examples
    --------
    >>> anytime_ratio({"holdout": 50, "policy": 950}, {"holdout": 0.05, "policy": 0.95})
    1.0
    >>> anytime_ratio({"holdout": 100, "policy": 900}, {"holdout": 0.05, "policy": 0.95}) < 0.001
    True
    """
    whole = sum(shares.values())
    if whole <= 0 or min(shares.values()) < 0 or set(counts) - set(shares):
        raise ValueError("shares are of every group, not negative and not all zero")
    if any(counts.get(group, 0) for group, share in shares.items() if share / whole == 0):
        return 0.0
    log_bayes = math.lgamma(_BELIEF) - math.lgamma(_BELIEF + sum(counts.values()))
    for group, share in shares.items():
        if n := counts.get(group, 0):
            theta = share / whole
            log_bayes += math.lgamma(_BELIEF * theta + n) - math.lgamma(_BELIEF * theta) - n * math.log(theta)
    return min(1.0, math.exp(-log_bayes)) if log_bayes < 700 else 0.0


def _added(a: Groups, b: Groups) -> dict[str, GroupTally]:
    return {group: a.get(group, GroupTally()) + b.get(group, GroupTally()) for group in {**a, **b}}

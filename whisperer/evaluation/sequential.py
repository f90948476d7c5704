"""Measure lift that may be looked at every day: intervals hold at all looks together, not at one chosen in advance.

Whoever stops at the first ordinary interval that excludes 0 stops too often: one look errs in 5 % of cases, a month of
daily looks several times as often. These are asymptotic confidence sequences: the probability that *any* look misses
the true difference is at most 1 - level. The price is an interval about half as wide again. Guarantees: the same
tallies give the same interval, whatever was looked at before. Leaves to others: assignment, and its check.

References
----------
Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, Annals of Statistics 2024 (asymptotic confidence sequences); Robbins,
Annals of Mathematical Statistics 1970 (the normal mixture).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from whisperer.evaluation.lift import (
    FEWEST_USERS,
    NO_OUTCOMES,
    TOO_FEW_USERS,
    GroupTally,
    NotYet,
    adjusted_mean,
    typical,
)

TUNED_FOR_USERS = 10_000
"""Number of users at which the interval is tightest, relative to a single look's; choose it before seeing data. A
factor of ten makes little difference."""


@dataclass(frozen=True, slots=True)
class AnytimeLift:
    """The lift at one look.

    Attributes
    ----------
    level : probability that every interval of the sequence holds the truth
    users : of both groups
    difference, low, high : treated mean minus holdout mean per user, in the goal's unit, and its interval
    """

    level: float
    users: int
    difference: float
    low: float
    high: float

    @property
    def decided(self) -> bool:
        """Whether 0 is excluded; one may stop whenever this is first true."""
        return self.low > 0 or self.high < 0


def anytime_lift(
    treated: GroupTally, holdout: GroupTally, level: float = 0.95, tuned_for_users: int = TUNED_FOR_USERS
) -> AnytimeLift | NotYet:
    """Compare a treated group with the holdout, at one of many looks.

    Parameters
    ----------
    treated, holdout : tallies of users assigned at random
        Users join with the final total of a fixed window, once it has closed. Totals that keep growing make looks
        depend on each other in a way that the theory does not cover.
    level : in (0, 1)
    tuned_for_users : of both groups

    Raises
    ------
    ValueError
        For a level outside (0, 1), or ``tuned_for_users`` below 1.

    Examples
    --------
    >>> found = anytime_lift(GroupTally(1000, 150_000, 150_000_000), GroupTally(1000, 100_000, 100_000_000))
    >>> round(found.difference, 3), round(found.low, 3), round(found.high, 3)
    (0.05, 0.0, 0.1)
    """
    if not 0 < level < 1 or tuned_for_users < 1:
        raise ValueError(f"a level is in (0, 1) and users to tune for are some, not {level} and {tuned_for_users}")
    fewest = min(treated.users, holdout.users)
    if fewest < FEWEST_USERS:
        return NotYet(TOO_FEW_USERS, f"{fewest} users in the smaller group; at least {FEWEST_USERS} are needed")
    both = treated + holdout
    if both.squares_milli2 == 0:
        return NotYet(NO_OUTCOMES, "nobody has reached the goal yet")
    added = typical(both)
    mean_t, error_t = adjusted_mean(treated, added)
    mean_h, error_h = adjusted_mean(holdout, added)
    margin = anytime_quantile(both.users, level, tuned_for_users) * math.sqrt(error_t + error_h)
    middle = mean_t - mean_h
    return AnytimeLift(level, both.users, treated.mean - holdout.mean, middle - margin, middle + margin)


def by_day(
    days: Sequence[tuple[GroupTally, GroupTally]], level: float = 0.95, tuned_for_users: int = TUNED_FOR_USERS
) -> list[AnytimeLift | NotYet]:
    """Return the sequence, from (treated, holdout) users whose window closed on each day; looks are cumulative."""
    treated = holdout = GroupTally()
    looks = []
    for more_treated, more_holdout in days:
        treated, holdout = treated + more_treated, holdout + more_holdout
        looks.append(anytime_lift(treated, holdout, level, tuned_for_users))
    return looks


def anytime_quantile(n: int, level: float, tuned_for: int) -> float:
    """Return the standard errors on each side after ``n`` users, in place of the normal quantile for a single look.

    sqrt(2 (n r + 1) / (n r) log(sqrt(n r + 1) / alpha)), with the r that minimises it at ``tuned_for``.

    Examples
    --------
    >>> round(anytime_quantile(10_000, 0.95, 10_000), 2), round(anytime_quantile(100, 0.95, 10_000), 2)
    (3.04, 9.08)
    """
    alpha = 1 - level
    r = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / tuned_for
    return math.sqrt(2 * (n * r + 1) / (n * r) * math.log(math.sqrt(n * r + 1) / alpha))

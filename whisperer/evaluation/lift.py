"""Measure what a policy earned over leaving people alone: the difference to the randomised holdout, with its interval.

The unit is a user, by intention to treat: everything the goal brought since the user's first decision in the campaign,
whatever was decided and whether or not it could be sent. Users are randomised, decisions are not, and one user's
decisions are not independent. Only this comparison supports a claim of incrementality. Guarantees: sums are exact
integers, so that shards' tallies add up in any order; an interval is finite and as wide as users differ, even where
earnings and refunds cancel; nothing is divided by a mean that may be 0. Leaves to others: who belongs to which group.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from whisperer.evaluation.quantiles import chi2_tail, student_t

FEWEST_USERS = 20
"""Users required in either group; with fewer, no interval is stated."""

TOO_FEW_USERS, NO_OUTCOMES = "too_few_users", "no_outcomes"

HOLDOUT_NEAR_ZERO, HOLDOUT_BELOW_ZERO = "holdout_near_zero", "holdout_below_zero"
"""Why no relative lift is stated: a mean that may be 0 divides nothing, and a share of a loss has no meaning."""

LEAST_EXPECTED = 5.0
SUSPICIOUS_P = 0.001
"""For the groups' sizes. Chance alone falls below it in one of 1,000 campaigns; a bug does so in every one."""


@dataclass(frozen=True, slots=True)
class GroupTally:
    """One group's users and their goal totals.

    Attributes
    ----------
    users : with at least one decision of the campaign
    total_milli : sum over users of the goal total, in thousandths of its unit
    squares_milli2 : sum over users of its square
    absolute_milli : sum over users of its absolute value: the total if nobody is below 0. If it was not counted, the
        least value consistent with the others stands in
    """

    users: int = 0
    total_milli: int = 0
    squares_milli2: int = 0
    absolute_milli: int = 0

    def __add__(self, other: GroupTally) -> GroupTally:
        return GroupTally(
            self.users + other.users,
            self.total_milli + other.total_milli,
            self.squares_milli2 + other.squares_milli2,
            self.absolute_milli + other.absolute_milli,
        )

    @property
    def mean(self) -> float:
        """Goal total per user, in the goal's unit; 0 without users."""
        return self.total_milli / 1000 / self.users if self.users else 0.0

    @property
    def rests_on(self) -> float:
        """How many users with equal outcomes would carry as much information, (sum |x|)^2 / sum x^2: far fewer than
        there are if a few users bring most of it."""
        return self._absolute**2 / self.squares_milli2 if self.squares_milli2 > 0 else 0.0

    @property
    def _absolute(self) -> int:
        return max(self.absolute_milli, abs(self.total_milli), math.isqrt(max(0, self.squares_milli2)))


@dataclass(frozen=True, slots=True)
class Typical:
    """A typical user with an outcome: the average over such users, weighted by the size of their outcome.

    Attributes
    ----------
    size_milli : sum x^2 / sum |x|, never above the largest outcome
    mean_milli : the part of it that users below 0 do not cancel; the size itself if there are none
    """

    size_milli: int
    mean_milli: int


@dataclass(frozen=True, slots=True)
class Lift:
    """A treated group's lift over the holdout.

    Attributes
    ----------
    difference, low, high : treated mean minus holdout mean per user, in the goal's unit, and its interval
    relative, relative_low, relative_high : difference / holdout mean, and its interval; None if it cannot be estimated
    relative_reason : why not: ``holdout_near_zero``, the holdout's mean is not reliably above 0 at this level, or
        ``holdout_below_zero``; "" if it can
    rests_on : how many users with equal outcomes would carry as much information, in the group with fewer. If it is
        far below the number of users with an outcome, a few carry most of it: the interval may then miss the truth
        more often than it says (docs/evaluation.md has figures), and no interval from the same data is sure to do
        better
    """

    level: float
    treated_users: int
    holdout_users: int
    treated_mean: float
    holdout_mean: float
    difference: float
    low: float
    high: float
    relative: float | None
    relative_low: float | None
    relative_high: float | None
    relative_reason: str = ""
    rests_on: float = 0.0


@dataclass(frozen=True, slots=True)
class NotYet:
    """Why no lift is stated: ``too_few_users`` or ``no_outcomes``; ``detail`` is for people."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """Whether users are divided as intended. If ``suspicious``, no comparison of these groups may be believed."""

    chi2: float
    p_value: float
    suspicious: bool


def lift(treated: GroupTally, holdout: GroupTally, level: float = 0.95) -> Lift | NotYet:
    """Compare a treated group with the holdout.

    The interval is Welch's, over tallies with two users added to each group, one without an outcome and one with a
    typical one. That is Agresti and Caffo's adjustment, for totals of any size: it keeps the coverage where few have
    converted, or none in one group, and vanishes as users grow. Point estimates use the tallies as they are. The
    relative lift has Fieller's interval over the same tallies, and is stated only where that is finite.

    Parameters
    ----------
    treated, holdout : tallies of users assigned at random
    level : of the intervals, in (0, 1)

    Raises
    ------
    ValueError
        For a level outside (0, 1).

    References
    ----------
    Welch, Biometrika 1947; Agresti & Caffo, The American Statistician 2000; Fieller, JRSS B 1954.

    Examples
    --------
    >>> found = lift(GroupTally(1000, 150_000, 150_000_000), GroupTally(1000, 100_000, 100_000_000))
    >>> round(found.difference, 3), round(found.low, 3), round(found.high, 3)
    (0.05, 0.021, 0.079)
    >>> lift(GroupTally(1000, 150_000, 150_000_000), GroupTally(3)).reason
    'too_few_users'
    """
    if not 0 < level < 1:
        raise ValueError(f"a level is in (0, 1), not {level}")
    fewest = min(treated.users, holdout.users)
    if fewest < FEWEST_USERS:
        return NotYet(TOO_FEW_USERS, f"{fewest} users in the smaller group; at least {FEWEST_USERS} are needed")
    outcomes = treated + holdout
    if outcomes.squares_milli2 == 0:
        return NotYet(NO_OUTCOMES, "nobody has reached the goal yet")
    added = typical(outcomes)
    mean_t, error_t = adjusted_mean(treated, added)
    mean_h, error_h = adjusted_mean(holdout, added)
    squared_error = error_t + error_h
    df = squared_error**2 / (error_t**2 / (treated.users + 1) + error_h**2 / (holdout.users + 1))
    t = student_t(0.5 + level / 2, df)
    margin = t * math.sqrt(squared_error)
    ratio = _fieller(mean_t, error_t, mean_h, error_h, t)
    reason = HOLDOUT_BELOW_ZERO if mean_h < 0 else ""
    if ratio is None or holdout.total_milli == 0:
        reason = HOLDOUT_NEAR_ZERO
    stated = None if reason else ratio
    return Lift(
        level=level,
        treated_users=treated.users,
        holdout_users=holdout.users,
        treated_mean=treated.mean,
        holdout_mean=holdout.mean,
        difference=treated.mean - holdout.mean,
        low=mean_t - mean_h - margin,
        high=mean_t - mean_h + margin,
        relative=None if stated is None else (treated.mean - holdout.mean) / holdout.mean,
        relative_low=None if stated is None else stated[0] - 1,
        relative_high=None if stated is None else stated[1] - 1,
        relative_reason=reason,
        rests_on=min(treated.rests_on, holdout.rests_on),
    )


def sample_ratio(counts: Mapping[str, int], shares: Mapping[str, float]) -> SampleRatio:
    """Test whether users fell into groups as the shares say (a "sample ratio mismatch" means a bug, not luck).

    Parameters
    ----------
    counts : group -> users; a missing group has none
    shares : group -> its intended share; divided by their sum

    Raises
    ------
    ValueError
        For a count of a group that has no share, or shares that are negative or all zero.

    References
    ----------
    Fabijan et al., KDD 2019. While a group's share comes to fewer than 5 users nothing can be said, and the p-value is
    1: chi-square is no approximation there (Cochran, Biometrics 1954).

    Examples
    --------
    >>> sample_ratio({"holdout": 1}, {"holdout": 0.05, "policy": 0.95}).suspicious
    False
    >>> sample_ratio({"holdout": 50, "policy": 950}, {"holdout": 0.05, "policy": 0.95}).suspicious
    False
    >>> sample_ratio({"holdout": 100, "policy": 900}, {"holdout": 0.05, "policy": 0.95}).suspicious
    True
    """
    whole = sum(shares.values())
    if whole <= 0 or min(shares.values()) < 0:
        raise ValueError("shares are not negative and not all zero")
    strays = [group for group in counts if group not in shares]
    if strays:
        raise ValueError(f"no share is stated for {', '.join(sorted(strays))}")
    n = sum(counts.values())
    if any(counts.get(group, 0) for group, share in shares.items() if share / whole == 0):
        return SampleRatio(math.inf, 0.0, True)
    expected = {group: wanted for group, share in shares.items() if (wanted := n * (share / whole)) > 0}
    if len(expected) < 2 or min(expected.values()) < LEAST_EXPECTED:
        return SampleRatio(0.0, 1.0, False)
    chi2 = sum((counts.get(group, 0) - wanted) ** 2 / wanted for group, wanted in expected.items())
    p = chi2_tail(chi2, len(expected) - 1)
    return SampleRatio(chi2, p, p < SUSPICIOUS_P)


def typical(tally: GroupTally) -> Typical:
    """Return the typical user of a tally's users with an outcome.

    The denominator of sum x^2 / sum x may come near 0 when earnings and refunds cancel; sum |x| cannot.

    Examples
    --------
    >>> typical(GroupTally(1000, 100_000, 100_000_000, 100_000))
    Typical(size_milli=1000, mean_milli=1000)
    >>> typical(GroupTally(1000, 0, 100_000_000, 100_000))
    Typical(size_milli=1000, mean_milli=0)
    """
    squares, absolute = tally.squares_milli2, tally._absolute
    if squares <= 0:
        return Typical(0, 0)
    return Typical(squares // absolute, squares * tally.total_milli // absolute**2)


def adjusted_mean(tally: GroupTally, added: Typical) -> tuple[float, float]:
    """Return the mean per user and its squared standard error, with one user without outcome and one typical one added.

    Sums and the variance's n sum x^2 - (sum x)^2 are of integers: with floats, the small difference of two large
    numbers would be noise.
    """
    n = tally.users + 2
    total = tally.total_milli + added.mean_milli
    squares = tally.squares_milli2 + added.size_milli**2
    spread = max(0, n * squares - total**2)
    return total / n / 1e3, spread / (n * n * (n - 1)) / 1e6


def _fieller(mean_t: float, error_t: float, mean_h: float, error_h: float, t: float) -> tuple[float, float] | None:
    """Return the interval of mean_t / mean_h, two independent means with squared errors; None if it is not finite."""
    g = t**2 * error_h / mean_h**2 if mean_h else math.inf
    if g >= 1:
        return None
    ratio = mean_t / mean_h
    margin = t / abs(mean_h) * math.sqrt(error_t * (1 - g) + ratio**2 * error_h)
    return (ratio - margin) / (1 - g), (ratio + margin) / (1 - g)

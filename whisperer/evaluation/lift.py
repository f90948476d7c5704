"""What a policy earned over leaving people alone: the difference to the randomised holdout, with its interval.

The unit is a user, by intention to treat: everything the goal brought since the user's first decision in the campaign,
whatever was decided and whether or not it could be sent. Users are randomised, decisions are not, and one user's
decisions are not independent. Only this comparison supports a claim of incrementality. Guarantees: sums are exact
integers, so that shards' tallies add up in any order. Leaves to others: who belongs to which group.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from whisperer.evaluation.quantiles import chi2_tail, student_t

FEWEST_USERS = 20
"""In either group; with fewer no interval is stated."""

TOO_FEW_USERS, NO_OUTCOMES = "too_few_users", "no_outcomes"

SUSPICIOUS_P = 0.001


@dataclass(frozen=True, slots=True)
class GroupTally:
    """One group's users and their goal totals.

    Attributes
    ----------
    users : with at least one decision of the campaign
    total_milli : sum over users of the goal total, in thousandths of its unit
    squares_milli2 : sum over users of its square
    """

    users: int = 0
    total_milli: int = 0
    squares_milli2: int = 0

    def __add__(self, other: GroupTally) -> GroupTally:
        return GroupTally(
            self.users + other.users,
            self.total_milli + other.total_milli,
            self.squares_milli2 + other.squares_milli2,
        )

    @property
    def mean(self) -> float:
        """Goal total a user, in the goal's unit; 0 without users."""
        return self.total_milli / 1000 / self.users if self.users else 0.0


@dataclass(frozen=True, slots=True)
class Lift:
    """Attributes
    ----------
    difference, low, high : treated mean less holdout mean a user, in the goal's unit, and its interval
    relative : difference / holdout mean, None where that mean is 0
    relative_low, relative_high : its interval; None where the holdout's mean is too uncertain for a finite one
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


@dataclass(frozen=True, slots=True)
class NotYet:
    """Why no lift is stated: ``too_few_users`` or ``no_outcomes``; ``detail`` is for people."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """Whether users are divided as they should be. ``suspicious``: no comparison of these groups may be believed."""

    chi2: float
    p_value: float
    suspicious: bool


def lift(treated: GroupTally, holdout: GroupTally, level: float = 0.95) -> Lift | NotYet:
    """Compare a treated group with the holdout.

    The interval is Welch's, over tallies to which two users were added in each group, one without outcome and one with
    a typical one. That is Agresti and Caffo's adjustment, for totals of any size: it keeps the coverage where few have
    converted, or none in one group, and vanishes as users grow. Point estimates are of the tallies as they are. The
    relative lift has Fieller's interval over the same.

    Parameters
    ----------
    treated, holdout : tallies of users assigned at random
    level : of the intervals, in (0, 1)

    Raises
    ------
    ValueError
        For another level.

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
    typical = outcomes.squares_milli2 / outcomes.total_milli if outcomes.total_milli > 0 else 0.0
    mean_t, error_t = adjusted_mean(treated, typical)
    mean_h, error_h = adjusted_mean(holdout, typical)
    squared_error = error_t + error_h
    df = squared_error**2 / (error_t**2 / (treated.users + 1) + error_h**2 / (holdout.users + 1))
    t = student_t(0.5 + level / 2, df)
    margin = t * math.sqrt(squared_error)
    relative = (treated.mean - holdout.mean) / holdout.mean if holdout.mean else None
    ratio_low, ratio_high = _fieller(mean_t, error_t, mean_h, error_h, t) if relative is not None else (None, None)
    return Lift(
        level=level,
        treated_users=treated.users,
        holdout_users=holdout.users,
        treated_mean=treated.mean,
        holdout_mean=holdout.mean,
        difference=treated.mean - holdout.mean,
        low=mean_t - mean_h - margin,
        high=mean_t - mean_h + margin,
        relative=relative,
        relative_low=None if ratio_low is None else ratio_low - 1,
        relative_high=None if ratio_high is None else ratio_high - 1,
    )


def sample_ratio(counts: Mapping[str, int], shares: Mapping[str, float]) -> SampleRatio:
    """Test whether users fell into groups as the shares say (a "sample ratio mismatch" means a bug, not luck).

    Parameters
    ----------
    counts : group -> users; a group that is missing has none
    shares : group -> its intended share; divided by their sum

    Raises
    ------
    ValueError
        For a count of a group that has no share, or shares that are negative or all zero.

    References
    ----------
    Fabijan et al., KDD 2019.

    Examples
    --------
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
    if any(counts.get(group, 0) for group, share in shares.items() if share == 0):
        return SampleRatio(math.inf, 0.0, True)
    expected = {group: n * share / whole for group, share in shares.items() if share > 0}
    if n == 0 or len(expected) < 2:
        return SampleRatio(0.0, 1.0, False)
    chi2 = sum((counts.get(group, 0) - wanted) ** 2 / wanted for group, wanted in expected.items())
    p = chi2_tail(chi2, len(expected) - 1)
    return SampleRatio(chi2, p, p < SUSPICIOUS_P)


def adjusted_mean(tally: GroupTally, typical_milli: float) -> tuple[float, float]:
    """Mean a user and its squared standard error, with one user of nothing and one of ``typical_milli`` added."""
    n = tally.users + 2
    mean = (tally.total_milli + typical_milli) / n
    variance = max(0.0, (tally.squares_milli2 + typical_milli**2 - n * mean**2) / (n - 1))
    return mean / 1e3, variance / n / 1e6


def _fieller(
    mean_t: float, error_t: float, mean_h: float, error_h: float, t: float
) -> tuple[float | None, float | None]:
    """Interval of mean_t / mean_h, two independent means with squared errors; None where it is not finite."""
    g = t**2 * error_h / mean_h**2 if mean_h else math.inf
    if g >= 1:
        return None, None
    ratio = mean_t / mean_h
    margin = t / mean_h * math.sqrt(error_t * (1 - g) + ratio**2 * error_h)
    ends = sorted(((ratio - margin) / (1 - g), (ratio + margin) / (1 - g)))
    return ends[0], ends[1]

"""Decide when a version goes back by itself: too many unsubscriptions, errors or slow answers, or too little value.

Tallies are looked at again and again, so every test is sequential: the chance that a version within the limits is ever
rolled back, over all looks at one stage, is at most ``alpha`` per guardrail. Counts are always tested against an
absolute limit, and against the live version while both decide; value only against the live version. Guarantees: the
tests of counts hold for any number of events, however few; that of value is asymptotic in users. Leaves to others:
counting, and what follows from a breach (:mod:`.rollout`).

References
----------
Lindon & Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022 (counts); value's are those of
:mod:`whisperer.evaluation.sequential`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import msgspec

from whisperer.evaluation.lift import GroupTally, NotYet
from whisperer.evaluation.sequential import AnytimeLift, anytime_lift

UNSUBSCRIBED, FAILED, SLOW, VALUE = "unsubscribed", "failed", "slow", "value"
FEWEST_USERS = 400
"""Users required in either version before value is judged: the test is asymptotic."""

TUNED_FOR_USERS = 4_000
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class VersionTally(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one version has added up to since its stage began.

    Attributes
    ----------
    decisions : taken, or scored in shadow
    unsubscribed, failed, slow : decisions after which the user left the channel; with no answer; with an answer later
        than the caller waits
    users, total_milli, squares_milli2, absolute_milli : of the reward, as in
        :class:`whisperer.evaluation.lift.GroupTally`. A user joins with the final total of a fixed window, once it has
        closed
    """

    decisions: _Count = 0
    unsubscribed: _Count = 0
    failed: _Count = 0
    slow: _Count = 0
    users: _Count = 0
    total_milli: int = 0
    squares_milli2: Annotated[int, msgspec.Meta(ge=0)] = 0
    absolute_milli: Annotated[int, msgspec.Meta(ge=0)] = 0

    def __post_init__(self) -> None:
        if max(self.unsubscribed, self.failed, self.slow, self.users) > self.decisions:
            raise ValueError("more of something than decisions")
        if self.total_milli**2 > self.users * self.squares_milli2:
            raise ValueError("a sum of squares below what the total implies")


@dataclass(frozen=True, slots=True)
class Limits:
    """How bad a version may be.

    Attributes
    ----------
    alpha : chance of a false alarm, per guardrail and stage
    unsubscribed, failed, slow : greatest share of decisions
    ratio : greatest ratio of the candidate's shares to the live version's
    value_drop : greatest loss of reward per user, as a share of the live version's
    """

    alpha: float = 0.01
    unsubscribed: float = 0.01
    failed: float = 0.01
    slow: float = 0.05
    ratio: float = 1.25
    value_drop: float = 0.01


LIMITS = Limits()


class Breach(msgspec.Struct, frozen=True):
    """A broken limit: ``guardrail`` is one of the four, ``reason`` is for people."""

    guardrail: str
    reason: str


def breaches(tally: VersionTally, live: VersionTally | None = None, limits: Limits = LIMITS) -> list[Breach]:
    """Return every guardrail that a version has broken.

    Parameters
    ----------
    tally : of the version
    live : of the live version over the same time, if ``tally`` is that of a candidate that decides for users

    Examples
    --------
    >>> [breach.guardrail for breach in breaches(Tally(decisions=2_000, failed=100))]
    ['failed']
    >>> breaches(Tally(decisions=2_000, failed=10))
    []
    """
    found = []
    for name in (UNSUBSCRIBED, FAILED, SLOW):
        count, most = getattr(tally, name), getattr(limits, name)
        if is_more_often(count, tally.decisions, most, limits.alpha):
            reason = f"{count:,} of {tally.decisions:,} decisions {name}: more than {most:.1%}"
            found.append(Breach(name, reason))
        elif live is not None and _is_worse(tally, live, name, limits):
            reason = (
                f"{count:,} of {tally.decisions:,} decisions {name}, the live version's {getattr(live, name):,} of "
                f"{live.decisions:,}: more than {limits.ratio:g} times as often"
            )
            found.append(Breach(name, reason))
    if live is not None and min(tally.users, live.users) >= FEWEST_USERS:
        seen = value_difference(tally, live, limits.alpha)
        least = -limits.value_drop * abs(live.total_milli) / 1e3 / live.users
        if isinstance(seen, AnytimeLift) and seen.high < least:
            reason = f"reward a user {seen.difference:+.4g} against the live version, at most {seen.high:+.4g}"
            found.append(Breach(VALUE, f"{reason}: below {least:+.4g}"))
    return found


def is_more_often(count: int, n: int, share: float, alpha: float) -> bool:
    """Return whether events come more often than ``share`` of ``n`` trials, at any number of looks.

    The likelihood of the observed events, averaged over a Beta prior of mean ``share`` and one event's weight, against
    that under ``share``: a martingale starting at 1 if that is the truth, so it ever passes 1/alpha with a chance of at
    most alpha.
    """
    if not n or count <= n * share:
        return False
    a, b = 1.0, (1 - share) / share
    log_evidence = (
        _log_beta(a + count, b + n - count)
        - _log_beta(a, b)
        - count * math.log(share)
        - (n - count) * math.log1p(-share)
    )
    return log_evidence >= -math.log(alpha)


def _is_worse(tally: VersionTally, live: VersionTally, name: str, limits: Limits) -> bool:
    """Test whether the candidate's rate exceeds ``ratio`` times the live one's: at exactly that ratio, each event of
    either version is the candidate's with a known chance."""
    mine, theirs = getattr(tally, name), getattr(live, name)
    weight = limits.ratio * tally.decisions
    if not weight or not live.decisions:
        return False
    return is_more_often(mine, mine + theirs, weight / (weight + live.decisions), limits.alpha)


def value_difference(tally: VersionTally, live: VersionTally, alpha: float) -> AnytimeLift | NotYet:
    """Compare reward per user with the live version; the upper bound holds at every look, at level 1 - alpha."""
    groups = [GroupTally(one.users, one.total_milli, one.squares_milli2, one.absolute_milli) for one in (tally, live)]
    return anytime_lift(groups[0], groups[1], 1 - 2 * alpha, TUNED_FOR_USERS)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

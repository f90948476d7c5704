"""Make training rows from event histories: what was known of a user at a cutoff, and whether they came back after it.

Guarantees: a feature depends only on events before the cutoff, a label only on events in [cutoff, cutoff + horizon)
(tested with histories that are changed after it); a cutoff whose window has not ended makes no rows. The population's
own BG/NBD parameters are refitted at each cutoff, on what was known then. Leaves to others: which events there are, and
the features that live shards compute (:mod:`whisperer.profiles.features`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.churn.bgnbd_fit import NotFittedError, fit_bgnbd
from whisperer.profiles.bgnbd import CDNOW, expected_purchases, p_alive, p_purchase
from whisperer.vocabulary.units import DAY_MS

WEEK_DAYS = 7.0
WINDOWS_DAYS = (7, 30, 90, 180, 365)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """Hold events in order of user, then time.

    Attributes
    ----------
    ids : of the users, shape (n_users,), sorted
    user : place in ``ids``, int64, shape (n_events,)
    at_ms : event time, int64, shape (n_events,)
    value : money or amount of use, float64, shape (n_events,); a negative value is something taken back, which is no
        sign of return
    """

    ids: NDArray[Any]
    user: Ints
    at_ms: Ints
    value: Floats

    @classmethod
    def of(cls, user: ArrayLike, at_ms: ArrayLike, value: ArrayLike) -> Histories:
        """Sort a table's columns (numpy or Arrow arrays), each of shape (n_events,).

        Raises
        ------
        ValueError
            For columns of unequal length, or a value that is not finite.
        """
        at, amount = np.asarray(at_ms, np.int64), np.asarray(value, np.float64)
        ids, codes = np.unique(np.asarray(user), return_inverse=True)
        if not len(codes) == len(at) == len(amount):
            raise ValueError(f"{len(codes)} users, {len(at)} times and {len(amount)} values")
        if not np.isfinite(amount).all():
            raise ValueError(f"the value at index {int((~np.isfinite(amount)).argmax())} is not finite")
        order = np.lexsort((amount, at, codes))
        return cls(ids, codes[order].astype(np.int64), at[order], amount[order])

    def before(self, cutoff_ms: int) -> Histories:
        """Return what was known at a cutoff."""
        known = self.at_ms < cutoff_ms
        return Histories(self.ids, self.user[known], self.at_ms[known], self.value[known])


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Hold one row per user and cutoff before which they were active.

    Attributes
    ----------
    names : of the features
    x : float64, shape (n_rows, n_features); NaN where a history is too short for it
    returned : bool, shape (n_rows,), whether they came within the horizon; churn is the opposite
    user : place in ``Histories.ids``, int64, shape (n_rows,)
    cutoff_ms : int64, shape (n_rows,)
    """

    names: tuple[str, ...]
    x: Floats
    returned: NDArray[np.bool_]
    user: Ints
    cutoff_ms: Ints

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return features by name, each of shape (n_rows,)."""
        return {name: self.x[:, at] for at, name in enumerate(self.names)}

    def where(self, mask: NDArray[np.bool_]) -> Rows:
        """Return the rows that ``mask`` selects."""
        return Rows(self.names, self.x[mask], self.returned[mask], self.user[mask], self.cutoff_ms[mask])

    def blocks(self, n_blocks: int) -> Ints:
        """Assign each row a fold: neighbouring cutoffs together, so that held-out rows are from another time.

        At most one block per cutoff. A user may be in several: users who are scored were also trained on.
        """
        cutoffs, at = np.unique(self.cutoff_ms, return_inverse=True)
        n = min(n_blocks, len(cutoffs))
        return np.asarray(at * n // len(cutoffs), np.int64)


def rolling_rows(
    histories: Histories, cutoffs_ms: ArrayLike, horizon_ms: int, active_within_ms: int, end_ms: int
) -> Rows:
    """Make rows at each cutoff.

    Parameters
    ----------
    cutoffs_ms : shape (n_cutoffs,)
    horizon_ms : length of the window after a cutoff in which a return counts
    active_within_ms : only users who came within this time before the cutoff
    end_ms : when recording of events ended; cutoffs whose window ends later are left out

    Raises
    ------
    ValueError
        If no cutoff is left, or nobody was active before any.
    """
    ripe = [int(cutoff) for cutoff in np.asarray(cutoffs_ms, np.int64) if cutoff + horizon_ms <= end_ms]
    parts = [_rows_at(histories, cutoff, horizon_ms, active_within_ms) for cutoff in ripe]
    if sum(len(part.user) for part in parts) == 0:
        raise ValueError("no cutoff with an active user has a window that has ended")
    return Rows(
        parts[0].names,
        np.concatenate([part.x for part in parts]),
        np.concatenate([part.returned for part in parts]),
        np.concatenate([part.user for part in parts]),
        np.concatenate([part.cutoff_ms for part in parts]),
    )


def _rows_at(histories: Histories, cutoff_ms: int, horizon_ms: int, active_within_ms: int) -> Rows:
    came = histories.value >= 0
    ahead = came & (histories.at_ms >= cutoff_ms) & (histories.at_ms < cutoff_ms + horizon_ms)
    recent = came & (histories.at_ms >= cutoff_ms - active_within_ms) & (histories.at_ms < cutoff_ms)
    n = len(histories.ids)
    active = np.bincount(histories.user[recent], minlength=n) > 0
    features = features_at(histories.before(cutoff_ms), cutoff_ms, horizon_ms)
    return Rows(
        tuple(features),
        np.column_stack([column[active] for column in features.values()]),
        (np.bincount(histories.user[ahead], minlength=n) > 0)[active],
        np.flatnonzero(active),
        np.full(int(active.sum()), cutoff_ms, np.int64),
    )


def features_at(known: Histories, cutoff_ms: int, horizon_ms: int) -> dict[str, Floats]:
    """Compute features of every user, from events that all lie before the cutoff; name -> float64, shape (n_users,).

    Times are days. Several purchases on one day are one occasion. NaN marks a user without the history that a feature
    needs.
    """
    n = len(known.ids)
    came = known.value >= 0
    age = (cutoff_ms - known.at_ms) / DAY_MS

    def count(mask: NDArray[np.bool_], weight: Floats | None = None, user: Ints = known.user) -> Floats:
        weights = None if weight is None else weight[mask]
        return np.bincount(user[mask], weights, minlength=n).astype(np.float64)

    spent = count(came, known.value)
    made: dict[str, Floats] = {}
    # Occasions: the first event of each user and day.
    user, day, value = known.user[came], known.at_ms[came] // DAY_MS, known.value[came]
    fresh = np.ones(len(user), np.bool_)
    fresh[1:] = (user[1:] != user[:-1]) | (day[1:] != day[:-1])
    basket = np.bincount(np.cumsum(fresh) - 1, value) if len(user) else np.zeros(0)
    user, day = user[fresh], day[fresh]
    old = (cutoff_ms / DAY_MS) - day
    occasions = np.bincount(user, minlength=n).astype(np.float64)
    seen = occasions > 0
    last = np.cumsum(occasions).astype(np.int64) - 1
    first = last - occasions.astype(np.int64) + 1
    pick = np.where(seen, last, 0), np.where(seen, first, 0)

    def of(column: NDArray[Any], at: int) -> Floats:
        return np.where(seen, column[pick[at]].astype(np.float64), np.nan) if len(column) else np.full(n, np.nan)

    recency, tenure = of(old, 0), of(old, 1)
    same = np.zeros(len(user), np.bool_)
    same[1:] = user[1:] == user[:-1]
    gap = np.where(same, np.diff(day, prepend=0), 0).astype(np.float64)
    gaps = np.where(occasions > 1, occasions - 1, np.nan)
    gap_mean = count(same, gap, user) / gaps
    gap_sd = np.sqrt(np.maximum(count(same, gap**2, user) / gaps - gap_mean**2, 0))
    made["recency"] = recency
    made["tenure"] = tenure
    made["occasions"] = occasions
    made["events"] = count(came)
    made["per_year"] = (occasions - 1) / np.maximum(tenure, 1) * 365
    made["gap_mean"] = gap_mean
    made["gap_sd"] = gap_sd
    made["gap_last"] = np.where(occasions > 1, of(gap, 0), np.nan)
    made["gap_longest"] = _longest(user, gap, n)
    made["recency_over_gap"] = recency / gap_mean
    made["recency_over_longest"] = recency / made["gap_longest"]
    made["recency_share"] = recency / tenure
    for days in WINDOWS_DAYS:
        made[f"occasions_{days}d"] = np.bincount(user[old <= days], minlength=n).astype(np.float64)
    made["trend"] = np.log1p(made["occasions_90d"]) - np.log1p(made["occasions_180d"] - made["occasions_90d"])
    made["value"] = spent
    made["value_mean"] = spent / np.where(seen, occasions, np.nan)
    made["value_last"] = of(basket, 0)
    made["value_first"] = of(basket, 1)
    made["value_90d"] = count(came & (age <= 90), known.value)
    made["value_365d"] = count(came & (age <= 365), known.value)
    made["taken_back"] = count(~came)
    made["value_taken_back"] = -count(~came, known.value)
    made.update(_expectations(recency, tenure, occasions, horizon_ms / DAY_MS))
    return made


def _longest(user: Ints, gap: Floats, n: int) -> Floats:
    longest = np.zeros(n)
    np.maximum.at(longest, user, gap)
    return np.where(longest > 0, longest, np.nan)


def _expectations(recency: Floats, tenure: Floats, occasions: Floats, horizon_days: float) -> dict[str, Floats]:
    """Return BG/NBD's view of each user, in weeks, with the parameters of everybody known at the cutoff."""
    seen = occasions > 0
    x, T = occasions[seen] - 1, tenure[seen] / WEEK_DAYS  # noqa: N806
    t_x = np.where(x > 0, np.minimum(T, (tenure[seen] - recency[seen]) / WEEK_DAYS), 0.0)
    try:
        params = fit_bgnbd(x, t_x, T, penalty=1 / len(x))  # a handful of customers do not decide it alone
    except NotFittedError:
        params = CDNOW
    weeks = horizon_days / WEEK_DAYS
    made: dict[str, Floats] = {}
    for name, values in (
        ("p_alive", p_alive(params, x, t_x, T)),
        ("p_purchase", p_purchase(params, weeks, x, t_x, T)),
        ("expected_purchases", expected_purchases(params, weeks, x, t_x, T)),
    ):
        made[name] = np.full(len(occasions), np.nan)
        made[name][seen] = values
    return made

"""Hold logged decisions as off-policy evaluation reads them: which arm, how probable, for whom, and the reward.

Decides what a log must be before anything is computed from it. Guarantees: a :class:`Logged` is consistent, and a log
that is not is refused with a reason and the number of the first bad row; nothing is repaired, clipped or dropped.
Leaves to others: which decisions belong in it. Decisions of the holdout do not (no policy chose them), nor do those
whose reward is not final.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whisperer.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

EMPTY, SHAPE, BAD_ACTION, BAD_REWARD = "empty", "shape", "bad_action", "bad_reward"
BAD_PROPENSITY, BAD_CONTEXT, BAD_PROBABILITIES = "bad_propensity", "bad_context", "bad_probabilities"
BAD_TARGET, NO_OVERLAP, TOO_FEW_USERS, BAD_PREDICTION = "bad_target", "no_overlap", "too_few_users", "bad_prediction"

MOST_REWARD, LEAST_PROPENSITY = 1e15, 1e-12
"""Sums of fourth powers of a weighted reward stay far below what a float holds. A reward above all the money there is,
or a decision that comes once in 1e12 times, is a logging mistake."""

TOLERANCE = 1e-6
"""How far a vector's sum may be from 1, and its entry from the propensity: vectors are stored as float32."""


class InvalidLogError(InputError):
    """Raised for a log that cannot be evaluated.

    Attributes
    ----------
    reason : one of this module's constants
    detail : for people
    index : of the first bad row, None if no single row is to blame
    """

    def __init__(self, reason: str, detail: str, index: int | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if index is None else f"{reason} at row {index}: {detail}")
        self.reason, self.detail, self.index = reason, detail, index

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.detail, self.index)


@dataclass(frozen=True, slots=True, eq=False)
class Logged:
    """Decisions of one campaign under one or more logging policies, one row each.

    Attributes
    ----------
    action : int64, shape (n,)
        Number of the arm that was chosen, from 0.
    reward : float64, shape (n,)
        Credited to the decision when its attribution window closed, in the goal's unit, within ±``MOST_REWARD``.
    propensity : float64, shape (n,)
        p(a_i | x_i) when it was chosen, in (0, 1], at least ``LEAST_PROPENSITY``.
    user : int64, shape (n,)
        Numbers of users from 0; ids of any sortable kind are accepted. A user's decisions are not independent.
    context : float64, shape (n, d), optional
        What a reward model may use. Without it only arms differ.
    probabilities : float64, shape (n, n_arms), optional
        The whole logged vectors; 0 for an arm that was not eligible. Overlap is then known, not estimated.

    Raises
    ------
    InvalidLogError
        With the first bad row's number.

    Examples
    --------
    >>> Logged([0, 1], [0.0, 1.0], [0.5, 0.5], ["ada", "bob"]).n_users
    2
    >>> Logged([0, 1], [0.0, 1.0], [0.5, 0.0], ["ada", "bob"])
    Traceback (most recent call last):
    whisperer.evaluation.logged.InvalidLogError: bad_propensity at row 1: a propensity is in (0, 1], not 0.0
    """

    action: Ints
    reward: Floats
    propensity: Floats
    user: Ints
    context: Floats | None = None
    probabilities: Floats | None = None

    def __post_init__(self) -> None:
        arms = np.asarray(self.action)
        if arms.ndim != 1 or len(arms) == 0:
            raise InvalidLogError(SHAPE if arms.ndim != 1 else EMPTY, "actions are one row each, at least one")
        if arms.dtype.kind not in "iu":
            raise InvalidLogError(BAD_ACTION, f"an action is the number of an arm, not {arms.dtype}")
        n = len(arms)
        self._put("action", arms.astype(np.int64))
        for name in ("reward", "propensity"):
            self._put(name, _shaped(name, getattr(self, name), (n,)))
        ids = np.asarray(self.user)
        if ids.shape != (n,):
            raise InvalidLogError(SHAPE, f"user has shape {ids.shape}, not {(n,)}")
        self._put("user", np.unique(ids, return_inverse=True)[1].astype(np.int64))
        refuse(BAD_ACTION, "an arm's number is not negative", self.action < 0, self.action)
        refuse(BAD_REWARD, "a reward is a finite number", ~np.isfinite(self.reward), self.reward)
        large = np.abs(self.reward) > MOST_REWARD
        refuse(BAD_REWARD, f"a reward is within {MOST_REWARD:g} of 0", large, self.reward)
        # Written so that NaN, which compares false with everything, is bad.
        usable = (self.propensity > 0) & (self.propensity <= 1)
        refuse(BAD_PROPENSITY, "a propensity is in (0, 1]", ~usable, self.propensity)
        rare = self.propensity < LEAST_PROPENSITY
        refuse(BAD_PROPENSITY, f"a propensity is at least {LEAST_PROPENSITY:g}", rare, self.propensity)
        if self.context is not None:
            context = _shaped("context", self.context, (n, None))
            self._put("context", context)
            refuse(BAD_CONTEXT, "a context has finite coordinates", ~np.isfinite(context).all(axis=1))
        if self.probabilities is not None:
            vectors = checked_policy(self, self.probabilities, BAD_PROBABILITIES)
            self._put("probabilities", vectors)
            other = np.abs(vectors[np.arange(n), self.action] - self.propensity) > TOLERANCE
            refuse(BAD_PROBABILITIES, "the vector's entry is the propensity", other, self.propensity)

    def _put(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.action)

    @property
    def n_users(self) -> int:
        """Number of distinct users."""
        return int(self.user.max()) + 1


def checked_policy(logged: Logged, policy: ArrayLike, reason: str = BAD_TARGET) -> Floats:
    """Return a policy's probabilities at each row of a log, or raise the error that says what is wrong with them.

    Parameters
    ----------
    logged : the decisions
    policy : float64, shape (n, n_arms), or (n_arms,) for a policy that ignores the context
        pi(a | x_i): not negative, each row's sum 1.
    reason : of the error

    Returns
    -------
    float64, shape (n, n_arms)

    Raises
    ------
    InvalidLogError
        Also if an arm of the log has no column.
    """
    given = np.asarray(policy, np.float64)
    if given.ndim == 1:
        given = np.broadcast_to(given, (len(logged), len(given)))
    given = _shaped("policy", given, (len(logged), None))
    n_arms = given.shape[1]
    if logged.probabilities is not None and np.shape(logged.probabilities)[-1] != n_arms:
        raise InvalidLogError(SHAPE, f"the policy has {n_arms} arms, the log {np.shape(logged.probabilities)[-1]}")
    refuse(reason, f"there are {n_arms} arms", logged.action >= n_arms, logged.action)
    within = (given >= 0).all(axis=1) & (given <= 1 + TOLERANCE).all(axis=1)
    refuse(reason, "a probability is in [0, 1]", ~within)
    sums = given.sum(axis=1)
    refuse(reason, "probabilities sum to 1", np.abs(sums - 1) > TOLERANCE * max(n_arms, 1), sums)
    return given


def refuse(reason: str, detail: str, bad: Flags | np.bool_, values: NDArray[Any] | None = None) -> None:
    """Raise InvalidLogError for the first row of ``bad``, if any; ``values`` are what the message reports of it."""
    if np.any(bad):
        at = int(np.argmax(bad))
        raise InvalidLogError(reason, detail if values is None else f"{detail}, not {values[at].item()}", at)


def _shaped(name: str, values: ArrayLike, shape: tuple[int | None, ...]) -> Floats:
    """Return ``values`` as float64; ``None`` in ``shape`` stands for any length."""
    given = np.asarray(values, np.float64)
    if given.ndim != len(shape) or any(want not in (None, have) for want, have in zip(shape, given.shape, strict=True)):
        raise InvalidLogError(SHAPE, f"{name} has shape {given.shape}, not {shape}")
    return given

"""Hold randomised decisions as the uplift learners read them, and say in words what is wrong with them.

Decides what can be learned from: a missing arm, `no_send` above all, or a missing outcome is refused; columns that say
nothing, or seem to have been written after the fact, are reported, and a person decides. Guarantees: arrays of a
:class:`Trial` fit each other, every propensity is a probability, and no row is ever dropped or repaired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whisperer.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SHAPE, BAD_ACTION, BAD_REWARD, BAD_PROPENSITY = "shape", "bad_action", "bad_reward", "bad_propensity"
BAD_FEATURE, ABSENT_ARM, ABSENT_OUTCOME, TOO_FEW_USERS = "bad_feature", "absent_arm", "absent_outcome", "too_few_users"

FEWEST_OF_AN_ARM = 20
LEAKING = 0.985
"""AUC, or squared rank correlation, of one column with the reward: such a column usually reflects what came after."""

_TOLERANCE = 1e-6


class TrialError(InputError):
    """Raised for decisions that cannot be learned from.

    Attributes
    ----------
    reason : one of this module's constants
    index : of the first bad row or arm, None if no single one is to blame
    """

    def __init__(self, reason: str, detail: str, index: int | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if index is None else f"{reason} at {index}: {detail}")
        self.reason, self.detail, self.index = reason, detail, index

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.detail, self.index)


@dataclass(frozen=True, eq=False)
class Trial:
    """Decisions whose arm was drawn with known probabilities; arm 0 is `no_send`.

    Attributes
    ----------
    x : float64, shape (n, d), what was known before; NaN where a value is missing
    action : int64, shape (n,), arm chosen, in 0..n_arms-1
    reward : float64, shape (n,), the goal's unit, or 0 and 1
    propensity : float64, shape (n, n_arms), the logged vectors; one vector stands for all rows
    user : shape (n,), ids; a user's rows are never split between folds. Without it each row is one user
    arm_features : float64, shape (n_arms, m), what arms have in common; without it every arm is its own kind
    names : of the d columns

    Raises
    ------
    TrialError
        With the first bad row's number.

    Examples
    --------
    >>> Trial(np.zeros((2, 1)), [0, 1], [0.0, 1.0], [0.5, 0.5]).n_arms
    2
    """

    x: Floats
    action: Ints
    reward: Floats
    propensity: Floats
    user: NDArray[Any] | None = None
    arm_features: Floats | None = None
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        x, action = np.asarray(self.x, np.float64), np.asarray(self.action)
        if x.ndim != 2 or action.shape != (len(x),) or len(x) == 0:
            raise TrialError(SHAPE, f"x has shape {x.shape}, action {action.shape}")
        n = len(x)
        vectors = np.asarray(self.propensity, np.float64)
        vectors = np.broadcast_to(vectors, (n, vectors.shape[-1])) if vectors.ndim == 1 else vectors
        user = np.arange(n) if self.user is None else np.unique(np.asarray(self.user), return_inverse=True)[1]
        reward = np.asarray(self.reward, np.float64)
        k = vectors.shape[-1]
        arms = np.eye(k)[:, 1:] if self.arm_features is None else np.asarray(self.arm_features, np.float64)
        for name, got, wanted in (
            ("reward", reward.shape, (n,)),
            ("propensity", vectors.shape, (n, k)),
            ("user", user.shape, (n,)),
            ("arm_features", arms.shape, (k, arms.shape[-1])),
        ):
            if got != wanted:
                raise TrialError(SHAPE, f"{name} has shape {got}, not {wanted}")
        if self.names and len(self.names) != x.shape[1]:
            raise TrialError(SHAPE, f"{len(self.names)} names for {x.shape[1]} columns")
        _refuse(BAD_ACTION, f"an arm is a whole number in 0..{k - 1}", (action < 0) | (action >= k) | (action % 1 != 0))
        _refuse(BAD_REWARD, "a reward is a finite number", ~np.isfinite(reward))
        _refuse(BAD_FEATURE, "a feature is finite, or NaN for missing", np.isinf(x).any(axis=1))
        # Written so that NaN is bad; a chosen arm cannot have been impossible.
        chosen = vectors[np.arange(n), action.astype(np.int64)]
        usable = ((vectors >= 0) & (vectors <= 1)).all(axis=1) & (chosen > 0)
        _refuse(BAD_PROPENSITY, "a propensity is in [0, 1], of the chosen arm above 0", ~usable)
        _refuse(BAD_PROPENSITY, "propensities sum to 1", np.abs(vectors.sum(axis=1) - 1) > _TOLERANCE * k)
        given = {"x": x, "action": action.astype(np.int64), "reward": reward, "propensity": vectors}
        given |= {"user": user.astype(np.int64), "arm_features": arms}
        given["names"] = tuple(self.names) or tuple(f"x{column}" for column in range(x.shape[1]))  # type: ignore[assignment]
        for name, value in given.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.action)

    @property
    def n_arms(self) -> int:
        """Number of arms, `no_send` included."""
        return int(self.propensity.shape[1])

    @cached_property
    def is_binary(self) -> bool:
        """Whether every reward is 0 or 1."""
        return bool(np.isin(self.reward, (0.0, 1.0)).all())

    def at(self, rows: ArrayLike) -> Trial:
        """Return the chosen rows, by mask or number."""
        chosen = np.asarray(rows)
        assert self.user is not None
        return Trial(
            self.x[chosen],
            self.action[chosen],
            self.reward[chosen],
            self.propensity[chosen],
            self.user[chosen],
            self.arm_features,
            self.names,
        )

    def folds(self, n_folds: int, seed: int = 0) -> Ints:
        """Return a fold for each row, shape (n,), keeping a user's rows together.

        Raises
        ------
        TrialError
            ``too_few_users``
        """
        assert self.user is not None
        n_users = int(self.user.max()) + 1
        if not 2 <= n_folds <= n_users:
            raise TrialError(TOO_FEW_USERS, f"{n_users} users do not make {n_folds} folds of at least 2")
        return np.asarray((np.random.default_rng(seed).permutation(n_users) % n_folds)[self.user], np.int64)


@dataclass(frozen=True, slots=True)
class DataReport:
    """What was noticed about a trial.

    Attributes
    ----------
    n_rows, n_users : of the trial
    arm_rows : rows of each arm
    constant, missing : columns with one value, columns without any
    leaking : column -> AUC (binary reward) or squared rank correlation, if suspiciously close to 1
    """

    n_rows: int
    n_users: int
    arm_rows: tuple[int, ...]
    constant: tuple[str, ...]
    missing: tuple[str, ...]
    leaking: dict[str, float]

    def sentences(self) -> list[str]:
        """Describe what is wrong, for people; empty if nothing is."""
        said = [f"{name} has no value in any row" for name in self.missing]
        said += [f"{name} has the same value in every row" for name in self.constant]
        return said + [
            f"{name} alone tells the reward ({strength:.3f}): was it known before the decision?"
            for name, strength in self.leaking.items()
        ]


def examine(trial: Trial) -> DataReport:
    """Examine a trial before anything is trained on it.

    Raises
    ------
    TrialError
        ``absent_arm`` with fewer than 20 rows of an arm that was possible, ``absent_outcome`` if all rewards are equal:
        then there is no effect to learn.

    Examples
    --------
    >>> refunded = np.arange(80) % 4 // 2
    >>> trial = Trial(refunded[:, None], np.arange(80) % 2, refunded, [0.5, 0.5], names=["refunded"])
    >>> examine(trial).sentences()
    ['refunded alone tells the reward (1.000): was it known before the decision?']
    """
    arm_rows = np.bincount(trial.action, minlength=trial.n_arms)
    for arm, rows in enumerate(arm_rows.tolist()):
        if rows < FEWEST_OF_AN_ARM:
            raise TrialError(ABSENT_ARM, f"{rows} rows; an arm needs {FEWEST_OF_AN_ARM}", arm)
    if (trial.reward == trial.reward[0]).all():
        raise TrialError(ABSENT_OUTCOME, f"every reward is {trial.reward[0]:g}")
    constant, missing, leaking = [], [], {}
    for name, column in zip(trial.names, trial.x.T, strict=True):
        known = np.isfinite(column)
        if not known.any():
            missing.append(name)
        elif known.all() and (column == column[0]).all():
            constant.append(name)
        else:
            strength = _strength(np.where(known, column, column[known].min() - 1), trial.reward, trial.is_binary)
            if strength >= LEAKING:
                leaking[name] = round(strength, 4)
    assert trial.user is not None
    n_users = len(np.unique(trial.user))
    return DataReport(len(trial), n_users, tuple(arm_rows.tolist()), tuple(constant), tuple(missing), leaking)


def _strength(column: Floats, reward: Floats, binary: bool) -> float:
    """Return how well a column alone orders the rewards: AUC either way round, or Spearman's correlation squared."""
    ranks = _ranks(column)
    if not binary:
        return float(np.corrcoef(ranks, _ranks(reward))[0, 1] ** 2)
    n = reward.sum()
    auc = (ranks[reward == 1].sum() - n * (n + 1) / 2) / (n * (len(reward) - n))
    return float(max(auc, 1 - auc))


def _ranks(values: Floats) -> Floats:
    """Return ranks from 1, ties sharing their mean."""
    _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[at], np.float64)


def _refuse(reason: str, detail: str, bad: NDArray[np.bool_] | np.bool_) -> None:
    if bad.any():
        raise TrialError(reason, detail, int(bad.argmax()))

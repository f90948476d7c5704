"""Represent a fitted uplift model: what each arm adds over `no_send`, arm 0, and which features account for it.

The forms are a closed list, and a plain-data document says which are combined how. Training fits them
(`training.uplift`), serving reads and evaluates them: the code that scores is the same. Guarantees: a model read back
predicts like the one written, to the last bit; any other document is refused with the reason. Leaves to others: which
boosters to trust (:mod:`.loading`), units (:mod:`.value`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from whisperer.errors import InputError
from whisperer.models.regressions import Floats, Forest, Line, Regression

if TYPE_CHECKING:
    import xgboost

FORM = 1
DOCUMENT = "uplift.json"


class BadModelError(InputError):
    """Raised for a document that is no uplift model of this form, or is damaged."""


class Effects(Protocol):
    """What every form can compute."""

    def effects(self, x: Floats, /) -> Floats:
        """Return each arm's effect over `no_send`, shape (n, n_arms), the first column 0."""
        ...

    def contributions(self, x: Floats, arm: int, /) -> Floats:
        """Return what each column, and the arm itself, contribute to ``arm``'s effect: (n, d + 1); rows sum to it."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """Predict the same for everybody: no personalisation. ``level``: float64, shape (n_arms,)."""

    level: Floats

    def effects(self, x: Floats, /) -> Floats:
        return np.tile(self.level - self.level[0], (len(x), 1))

    def contributions(self, x: Floats, arm: int, /) -> Floats:
        return np.column_stack([np.zeros(x.shape), self.effects(x)[:, arm]])


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """Predict with one regression on (x, arm's features); ``arm_features``: float64, shape (n_arms, m)."""

    regression: Regression
    arm_features: Floats

    def effects(self, x: Floats, /) -> Floats:
        values = [self.regression.predict(self._beside(x, arm)) for arm in range(len(self.arm_features))]
        return np.stack(values, axis=1) - values[0][:, None]

    def contributions(self, x: Floats, arm: int, /) -> Floats:
        mine, without = (self.regression.contributions(self._beside(x, one)) for one in (arm, 0))
        apart, d = mine - without, x.shape[1]
        return np.column_stack([apart[:, :d], apart[:, d:].sum(axis=1)])

    def _beside(self, x: Floats, arm: int) -> Floats:
        return np.hstack([x, np.tile(self.arm_features[arm], (len(x), 1))])


@dataclass(frozen=True, slots=True, eq=False)
class ByArm:
    """Predict an arm's effect as the weighted sum of its own regressions.

    Attributes
    ----------
    terms : for each arm, pairs of a weight and a regression; without any, 0
    """

    terms: Sequence[Sequence[tuple[float, Regression]]]

    def effects(self, x: Floats, /) -> Floats:
        values = np.zeros((len(x), len(self.terms)))
        for arm, terms in enumerate(self.terms):
            for weight, regression in terms:
                values[:, arm] += weight * regression.predict(x)
        return values - values[:, :1]

    def contributions(self, x: Floats, arm: int, /) -> Floats:
        found = np.zeros((len(x), x.shape[1] + 1))
        for sign, terms in ((1, self.terms[arm]), (-1, self.terms[0])):
            for weight, regression in terms:
                found += sign * weight * regression.contributions(x)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Mix:
    """Combine members by weight; ``weights`` are not negative, and sum to below 1 if effects were seen overstated."""

    weights: tuple[float, ...]
    members: Sequence[Effects]

    def effects(self, x: Floats, /) -> Floats:
        """Return each arm's effect over `no_send`, shape (n, n_arms), in the reward's unit; the first column is 0."""
        if not self._used():
            return np.zeros_like(self.members[0].effects(x))
        return np.asarray(np.sum([w * member.effects(x) for w, member in self._used()], axis=0), np.float64)

    def contributions(self, x: Floats, arm: int, /) -> Floats:
        found = np.zeros((len(x), x.shape[1] + 1))
        for weight, member in self._used():
            found += weight * member.contributions(x, arm)
        return found

    def _used(self) -> list[tuple[float, Effects]]:
        return [(w, member) for w, member in zip(self.weights, self.members, strict=True) if w > 0]


def read(held: dict[str, Any], boosters: Sequence[xgboost.Booster]) -> Effects:
    """Build the model that a document describes. Raises BadModelError, KeyError, TypeError, ValueError."""
    match held["is"]:
        case "mix":
            members = [read(member, boosters) for member in held["members"]]
            weights = tuple(float(weight) for weight in held["weights"])
            if len(weights) != len(members) or not members:
                raise BadModelError(f"{len(weights)} weights for {len(members)} members")
            return Mix(weights, members)
        case "levels":
            return Levels(_array(held["level"], 1))
        case "shared":
            return Shared(_regression(held["regression"], boosters), _array(held["arm_features"], 2))
        case "by_arm":
            return ByArm([[(float(weight), _regression(r, boosters)) for weight, r in arm] for arm in held["terms"]])
    raise BadModelError(f"no model is a {held['is']!r}")


def _regression(held: dict[str, Any], boosters: Sequence[xgboost.Booster]) -> Regression:
    match held["is"]:
        case "line":
            centre, scale, slope = (_array(held[name], 1) for name in ("centre", "scale", "slope"))
            if not centre.shape == scale.shape == slope.shape:
                raise BadModelError("a line's arrays differ in length")
            return Line(centre, scale, slope, float(held["level"]), bool(held["is_logistic"]))
        case "forest":
            number = int(held["file"])
            if not 0 <= number < len(boosters):
                raise BadModelError(f"no booster has the number {number}")
            return Forest(boosters[number])
    raise BadModelError(f"no regression is a {held['is']!r}")


def _array(values: Any, ndim: int) -> Floats:
    array = np.asarray(values, np.float64)
    if array.ndim != ndim or not np.isfinite(array).all():
        raise BadModelError(f"an array of shape {array.shape} is not one of {ndim} dimensions and finite")
    return array

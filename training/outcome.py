"""Hold what a search leads to: the model that is shipped, and how it does on rows that nothing was chosen on.

Every figure and every picture of the report is made from these values; metrics go into the artifact's manifest. Leaves
to others: how each kind gets there (:mod:`training.labelled`, :mod:`training.effects`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Confusion:
    """Test rows by prediction and outcome; "leaves" is predicted if the probability reaches ``threshold``."""

    threshold: float
    caught: int
    missed: int
    alarmed: int
    left_alone: int

    @property
    def precision(self) -> float:
        """Of the users predicted to leave, the share who left."""
        return self.caught / max(1, self.caught + self.alarmed)

    @property
    def recall(self) -> float:
        """Of the users who left, the share predicted to."""
        return self.caught / max(1, self.caught + self.missed)


@dataclass(frozen=True, slots=True, eq=False)
class TestPredictions:
    """Predictions and outcomes of the test rows; float64, shape (n_test,) each."""

    predicted: Floats
    label: Floats


@dataclass(frozen=True, slots=True)
class Valued:
    """A policy's doubly robust value per decision on the test rows, and its difference from the best single arm's, with
    the interval of that difference (95 %, by user)."""

    name: str
    value: float
    gain: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """How the new policy compares with others on the test rows.

    Attributes
    ----------
    arms : names
    chosen, logged : test rows that the new policy gives each arm, and rows that had it in the log
    valued : policies, ours first
    share, gained, at_random : Qini: value per decision over leaving all alone, when the share of users with the highest
        promised effects gets the arm promised; and when as many get it by chance
    """

    arms: tuple[str, ...]
    chosen: tuple[int, ...]
    logged: tuple[int, ...]
    valued: tuple[Valued, ...]
    share: Floats
    gained: Floats
    at_random: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """SHAP values of some test rows, and the rows: shape (n, d) each; ``unit`` says what they add up to."""

    names: tuple[str, ...]
    values: Floats
    x: Floats
    unit: str


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """Everything the report and the manifest need.

    Attributes
    ----------
    kind : of the artifact
    headline : the result in a sentence
    remarks : what the reader should know about it
    metrics : on the test rows
    parameters : those it was made with
    """

    kind: str
    headline: str
    metrics: dict[str, float]
    parameters: dict[str, Any]
    attribution: Attribution
    remarks: tuple[str, ...] = ()
    scored: TestPredictions | None = None
    confusion: Confusion | None = None
    policy: Policy | None = None

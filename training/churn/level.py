"""How many will come back, as opposed to who: whose level a forecast takes, the model's own or BG/NBD's.

Labels of the next 90 days are 90 days late. Where a season moves faster than that, a model ranks users well and misses
their number; BG/NBD, fitted to all purchases up to now, knows nothing of labels and is not late. Guarantees: the order
of users is never changed; the choice rests on forecasts that have matured. Leaves to others: making these forecasts as
they would have been made at their time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.churn.mixing import log_loss, logit, sigmoid

Floats = NDArray[np.float64]

OWN, PRIOR = "own", "prior"

_WIDEST, _HALVINGS = 20.0, 50


def at_level(p: Floats, share: float) -> Floats:
    """Probabilities with all log-odds moved by one number, so that their mean is ``share``; shape (n_rows,).

    Raises
    ------
    ValueError
        For a share that is not in (0, 1).
    """
    if not 0 < share < 1:
        raise ValueError(f"a share is in (0, 1), not {share}")
    margin = logit(p)
    low, high = -_WIDEST, _WIDEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if sigmoid(margin + middle).mean() < share else (low, middle)
    return sigmoid(margin + (low + high) / 2)


@dataclass(slots=True)
class Levels:
    """Log-losses of matured forecasts at either level; the model's own until the other has been better.

    Examples
    --------
    >>> levels, label = Levels(), np.array([True] + [False] * 9)
    >>> levels.matured(np.full(10, 0.5), np.full(10, 0.2), label)
    >>> levels.better
    'prior'
    """

    losses: dict[str, list[float]] = field(default_factory=lambda: {OWN: [], PRIOR: []})

    def matured(self, p: Floats, prior: Floats, label: NDArray[np.bool_]) -> None:
        """Count a forecast ``p`` whose labels are known, and what the prior had said; all of shape (n_rows,)."""
        self.losses[OWN].append(log_loss(p, label))
        self.losses[PRIOR].append(log_loss(at_level(p, float(prior.mean())), label))

    @property
    def better(self) -> str:
        own, prior = (sum(self.losses[level]) for level in (OWN, PRIOR))
        return PRIOR if prior < own else OWN

    def of(self, p: Floats, prior: Floats) -> Floats:
        """A fresh forecast at the level that has been better."""
        return at_level(p, float(prior.mean())) if self.better == PRIOR else p

"""Adjust how many will come back, as opposed to who: a forecast's level, halfway between the model's own and BG/NBD's.

Labels of the next 90 days are 90 days late. Where a season moves faster than that, a model ranks users well and misses
their number; BG/NBD, fitted to all purchases up to now, does not use labels and is not late, but knows no season
either. A year of rolling cutoffs has too few independent periods to learn which of them to believe, and equal weights
need no learning. Guarantees: the order of users is never changed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.churn.mixing import logit, sigmoid

Floats = NDArray[np.float64]

_WIDEST, _HALVINGS = 20.0, 50


def at_level(p: Floats, share: float) -> Floats:
    """Shift all log-odds by one number so that the probabilities' mean is ``share``; shape (n_rows,).

    Raises
    ------
    ValueError
        For a share outside (0, 1).
    """
    if not 0 < share < 1:
        raise ValueError(f"a share is in (0, 1), not {share}")
    margin = logit(p)
    low, high = -_WIDEST, _WIDEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if sigmoid(margin + middle).mean() < share else (low, middle)
    return sigmoid(margin + (low + high) / 2)


def halfway(p: Floats, prior: Floats) -> Floats:
    """Move ``p`` to the level halfway, in log-odds, between its own mean and that of ``prior``; shape (n_rows,).

    References
    ----------
    Bates & Granger, Operational Research Quarterly 1969; Smith & Wallis, Oxford Bulletin of Economics and Statistics
    2009 (equal weights beat estimated ones where there are few forecasts to estimate them from).

    Examples
    --------
    >>> float(halfway(np.array([0.4, 0.6]), np.array([0.2, 0.2])).mean().round(3))
    0.333
    """
    return at_level(p, float(sigmoid(logit(np.array([p.mean(), prior.mean()])).mean(keepdims=True))[0]))

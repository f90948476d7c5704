"""Decide which arm to give, from noisy effects: the best single arm, unless another promises enough more.

The arm that scores highest is the one whose score was luckiest, the more so the more arms there are; a policy that
follows small differences loses to the best single arm. So another arm must promise a margin, as wide as past users
indicate. Guarantees: a margin is chosen on effects of users that the models had not seen, and deviating is allowed only
if the lower bound of what it gained there is above 0; otherwise everybody gets the best single arm. Leaves to others:
promotion of a whole policy (`whisperer.evaluation.gate`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from training.uplift.trial import Floats, Ints

SHARES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
"""Of the users whom another arm seems to suit better, the shares that may have it: those to whom most is promised."""


@dataclass(frozen=True, slots=True)
class Caution:
    """A rule for choosing arms.

    Attributes
    ----------
    arm : the best single one, possibly `no_send`
    margin : how much more another arm has to promise, in the reward's unit; infinite if nobody deviates
    gain, low : value per decision that deviating had out of fold over the best single arm, and its lower bound
    """

    arm: int
    margin: float
    gain: float
    low: float

    def choose(self, effects: Floats) -> Ints:
        """Return the arm for each row, shape (n,).

        Examples
        --------
        >>> Caution(arm=1, margin=0.5, gain=0.1, low=0.0).choose(np.array([[0.0, 1.0, 1.4], [0.0, 1.0, 1.6]]))
        array([1, 2])
        """
        preferred = effects.argmax(axis=1)
        promised = effects[np.arange(len(effects)), preferred] - effects[:, self.arm]
        return np.asarray(np.where(promised > self.margin, preferred, self.arm), np.int64)


def caution(effects: Floats, robust: Floats, user: NDArray[np.int64], level: float = 0.95) -> Caution:
    """Choose the margin whose gain over the best single arm has the highest lower bound.

    Bounds are one-sided, by user, and widened for the number of margins tried (Bonferroni).

    Parameters
    ----------
    effects : float64, shape (n, n_arms), of users that the models had not seen
    robust : float64, shape (n, n_arms), doubly robust scores of the same rows (:func:`learners.scores`)
    user : int64, shape (n,), numbers from 0
    level : of the bound, in (0, 1)

    References
    ----------
    Thomas, Theocharous & Ghavamzadeh, ICML 2015 (improve only on a high-confidence lower bound).
    """
    best = int(robust.mean(axis=0).argmax())
    rows = np.arange(len(effects))
    preferred = effects.argmax(axis=1)
    promised = effects[rows, preferred] - effects[:, best]
    gained = robust[rows, preferred] - robust[:, best]
    found = Caution(best, math.inf, 0.0, 0.0)
    if not (promised > 0).any():
        return found
    margins = [*np.quantile(promised[promised > 0], [1 - share for share in SHARES[:-1]]).tolist(), 0.0]
    quantile = NormalDist().inv_cdf(1 - (1 - level) / len(margins))
    for margin in margins:
        gains = np.where(promised > margin, gained, 0.0)
        by_user = np.bincount(user, gains - gains.mean())
        low = float(gains.mean() - quantile * math.sqrt(float(by_user @ by_user)) / len(gains))
        if low > found.low:
            found = Caution(best, float(margin), float(gains.mean()), low)
    return found

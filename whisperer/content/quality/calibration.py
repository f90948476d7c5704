"""Correct scores by what readers did with messages: a monotone curve per channel, with a prior that holds while little
is known.

The rubric says what good writing is; readers say what works. From both: messages are put into bins of their score, and
each bin has its rate of engagement (messages opened or clicked by a person, of those sent). The prior is a gentle line,
:func:`prior_rate`: a message of 5 engages three times as often as one of 0, and on average as many as the channel does.
It counts as :data:`PRIOR_MESSAGES` messages in every bin. Isotonic regression (pool adjacent violators; Ayer et al.
1955) over bins then keeps the curve from ever falling. A score is calibrated to the score at which the prior expects
the rate that the curve has there: without data, to itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from whisperer.content.quality.rubric import MOST

N_BINS = 10
PRIOR_MESSAGES = 200.0
"""Per bin: with as many messages of its own, a bin's rate is half its own and half the prior's."""
_AT_0, _AT_5 = 0.5, 1.5


@dataclass(frozen=True, slots=True)
class Observed:
    """What became of messages of about one score: how many were ``sent``, and how many ``engaged`` their reader."""

    score: float
    sent: int
    engaged: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """Hold one channel's curve.

    Attributes
    ----------
    base : the channel's rate of engagement, in (0, 1)
    rates : expected rate in each bin of the score, never falling
    n_sent : messages that it is made of
    """

    base: float
    rates: tuple[float, ...]
    n_sent: int

    def rate(self, score: float) -> float:
        """Return the expected rate of engagement at a score, a line between the bins' centres."""
        width = MOST / N_BINS
        place = min(max(score / width - 0.5, 0.0), N_BINS - 1.0)
        left = min(int(place), N_BINS - 2)
        part = place - left
        inside = self.rates[left] * (1 - part) + self.rates[left + 1] * part
        # Beyond the outermost centres, as the prior goes.
        outside = prior_rate(score, self.base) - prior_rate(min(max(score, width / 2), MOST - width / 2), self.base)
        return inside + outside

    def calibrated(self, score: float) -> float:
        """Return the score at which the prior expects what is expected here, in [0, 5]."""
        found = MOST * (self.rate(score) / self.base - _AT_0) / (_AT_5 - _AT_0)
        return min(MOST, max(0.0, found))


def prior_rate(score: float, base: float) -> float:
    """Return the rate of engagement that is expected at a score before anything is known, of a channel's rate."""
    return base * (_AT_0 + (_AT_5 - _AT_0) * score / MOST)


def fit(observed: Iterable[Observed], usual: float = 0.05) -> Calibration:
    """Return the curve of one channel; ``usual`` is its rate as long as nothing is known of it."""
    sent, engaged = [0.0] * N_BINS, [0.0] * N_BINS
    for one in observed:
        place = min(N_BINS - 1, max(0, int(one.score / MOST * N_BINS)))
        sent[place] += one.sent
        engaged[place] += min(one.engaged, one.sent)
    total = sum(sent)
    base = (sum(engaged) + usual * PRIOR_MESSAGES) / (total + PRIOR_MESSAGES)
    centres = [MOST * (place + 0.5) / N_BINS for place in range(N_BINS)]
    weights = [n + PRIOR_MESSAGES for n in sent]
    rates = [
        (k + prior_rate(centre, base) * PRIOR_MESSAGES) / weight
        for k, centre, weight in zip(engaged, centres, weights, strict=True)
    ]
    return Calibration(base, tuple(isotonic(rates, weights)), int(total))


def isotonic(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return the never falling values that are closest to ``values``, by weighted squares; float64, same length.

    >>> isotonic([1.0, 3.0, 2.0], [1.0, 1.0, 1.0])
    [1.0, 2.5, 2.5]
    """
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        blocks.append((value, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (v, w, n), (above, more, k) = blocks[-2], blocks[-1]
            blocks[-2:] = [((v * w + above * more) / (w + more), w + more, n + k)]
    return [value for value, _, n in blocks for _ in range(n)]

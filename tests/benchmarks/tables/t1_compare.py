"""Two sets of predictions of the same rows: AUC and log-loss of each, and the paired interval of their difference.

The unit that is drawn again is the customer, with all rows of his; each part (a fold, a cutoff) has an AUC and a log-loss
of its own, and parts count alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVEL = 0.95


@dataclass(frozen=True)
class Scored:
    """A model's predictions: ``score`` ranks, ``p`` is its probability (they are the same for most)."""

    score: Floats
    p: Floats


class Judge:
    """Attributes
    ----------
    label, part, customer : shape (n_rows,)
    """

    def __init__(
        self, label: NDArray[np.bool_], part: NDArray[np.int64], customer: NDArray[np.int64], n_boot: int = 1000
    ) -> None:
        self.label = label
        self.parts = [np.flatnonzero(part == k) for k in np.unique(part)]
        _, self.customer = np.unique(customer, return_inverse=True)
        self.n_boot = n_boot

    def table(self, ours: Scored, baselines: dict[str, Scored]) -> dict[str, object]:
        """Points of everybody, and for each baseline ours less it with the interval; log-loss below 0 is better."""
        drawn = {name: self._drawn(scored) for name, scored in {"ours": ours, **baselines}.items()}
        rows = {name: _points(d) for name, d in drawn.items()}
        against = {}
        for name in baselines:
            difference = drawn["ours"] - drawn[name]
            low, high = np.quantile(difference[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
            against[name] = {
                metric: {
                    "difference": round(float(difference[0, at]), 5),
                    "low": round(float(low[at]), 5),
                    "high": round(float(high[at]), 5),
                }
                for at, metric in enumerate(("auc", "log_loss"))
            }
        return {"rows": rows, "ours_less": against, "standing": standing(against)}

    def points(self, models: dict[str, Scored]) -> dict[str, dict[str, float]]:
        """AUC and log-loss of each, without intervals."""
        return {name: _points(self._drawn(scored, 0)) for name, scored in models.items()}

    def _drawn(self, scored: Scored, n_boot: int | None = None) -> Floats:
        """(1 + n_boot, 2): AUC and log-loss of the rows as they are, then of the same draws for every model."""
        rng = np.random.default_rng(0)
        n = int(self.customer.max()) + 1
        prepared = [_Ranked(scored.score[rows], self.label[rows]) for rows in self.parts]
        nats = -np.log(np.clip(np.where(self.label, scored.p, 1 - scored.p), 1e-12, 1))
        out = np.empty((1 + (self.n_boot if n_boot is None else n_boot), 2))
        for at in range(len(out)):
            times = rng.multinomial(n, np.full(n, 1 / n)) if at else np.ones(n)
            weight = times[self.customer].astype(np.float64)
            weights = [weight[rows] for rows in self.parts]
            out[at, 0] = np.mean([ranked.auc(w) for ranked, w in zip(prepared, weights, strict=True)])
            out[at, 1] = np.mean([w @ nats[rows] / w.sum() for rows, w in zip(self.parts, weights, strict=True)])
        return out


def _points(drawn: Floats) -> dict[str, float]:
    return {"auc": round(float(drawn[0, 0]), 5), "log_loss": round(float(drawn[0, 1]), 5)}


class _Ranked:
    """A part's rows in order of the score, for AUCs under many weights; ties count half."""

    def __init__(self, score: Floats, label: NDArray[np.bool_]) -> None:
        self.order = np.argsort(score, kind="stable")
        ordered = score[self.order]
        self.begin = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        self.label = label[self.order]

    def auc(self, weight: Floats) -> float:
        w = weight[self.order]
        positive = np.add.reduceat(np.where(self.label, w, 0.0), self.begin)
        negative = np.add.reduceat(np.where(self.label, 0.0, w), self.begin)
        below = np.cumsum(negative) - negative / 2
        return float(positive @ below / (positive.sum() * negative.sum()))


def standing(against: dict[str, dict[str, dict[str, float]]]) -> dict[str, str]:
    """Against all baselines: "ahead" when every interval excludes 0 on our side, "behind" when one does on theirs."""
    said = {}
    for metric, sign in (("auc", 1), ("log_loss", -1)):
        ends = [sorted((sign * a[metric]["low"], sign * a[metric]["high"])) for a in against.values()]
        if all(low > 0 for low, _ in ends):
            said[metric] = "ahead"
        elif any(high < 0 for _, high in ends):
            said[metric] = "behind"
        else:
            said[metric] = "level"
    return said

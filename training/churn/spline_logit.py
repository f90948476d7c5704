"""Fit a logistic regression on bent lines: each number enters as itself and as hinges at its quantiles.

Guarantees: the model is additive; fitting is a convex problem solved to convergence, without random numbers; scoring is
plain numpy; a missing number has an effect of its own. Leaves to others: interactions (trees) and which penalty is
right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

N_KNOTS = 5
MAX_STEPS = 50
_CONVERGED = 1e-8
_WIDEST = 5.0
"""Standard deviations beyond which a number counts for no more: otherwise tails would steer the lines."""


@dataclass(frozen=True, slots=True, eq=False)
class SplineLogit:
    """A fitted additive model.

    Attributes
    ----------
    centre, scale : of each column in training, shape (n_columns,)
    knots : hinges of each column, in standard deviations
    coefficients : intercept first, shape (1 + n_terms,)
    """

    centre: Floats
    scale: Floats
    knots: tuple[tuple[float, ...], ...]
    coefficients: Floats

    @classmethod
    def fit(cls, x: Floats, label: NDArray[np.bool_], prior: Floats, penalty: float) -> SplineLogit:
        """Fit by penalised likelihood.

        Parameters
        ----------
        x : float64, shape (n_rows, n_columns), NaN where missing
        label : bool, shape (n_rows,)
        prior : log-odds of the label to start from, shape (n_rows,); what is learned is the departure from it
        penalty : half of it times the squared coefficients is added to the negative log-likelihood; above 0

        References
        ----------
        Hastie & Tibshirani, Generalized Additive Models, 1990; Newton's method with halved steps.
        """
        known = np.isfinite(x)
        n = np.maximum(known.sum(axis=0), 1)
        centre = np.where(known, x, 0).sum(axis=0) / n
        spread = np.sqrt((np.where(known, x - centre, 0) ** 2).sum(axis=0) / n)
        scale = np.where(spread > 0, spread, 1.0)
        empty = cls(centre, scale, (), np.zeros(0))
        z = empty._standard(x)
        knots = tuple(_knots(z[known[:, at], at]) for at in range(x.shape[1]))
        shape = cls(centre, scale, knots, np.zeros(0))
        return cls(centre, scale, knots, _newton(shape._terms(x), label.astype(np.float64), prior, penalty))

    def margin(self, x: Floats, prior: Floats) -> Floats:
        """Return log-odds of the label, shape (n_rows,)."""
        return np.asarray(prior + self._terms(x) @ self.coefficients)

    def to_plain(self) -> dict[str, Any]:
        """Return the model as JSON values."""
        return {
            "centre": self.centre.tolist(),
            "scale": self.scale.tolist(),
            "knots": self.knots,
            "coefficients": self.coefficients.tolist(),
        }

    @classmethod
    def from_plain(cls, kept: Mapping[str, Any]) -> SplineLogit:
        """Restore a model from :meth:`to_plain`."""
        return cls(
            np.array(kept["centre"]),
            np.array(kept["scale"]),
            tuple(tuple(knots) for knots in kept["knots"]),
            np.array(kept["coefficients"]),
        )

    def _standard(self, x: Floats) -> Floats:
        return np.clip((x - self.centre) / self.scale, -_WIDEST, _WIDEST)

    def _terms(self, x: Floats) -> Floats:
        z = self._standard(x)
        missing = ~np.isfinite(z)
        z = np.where(missing, 0.0, z)
        made = [np.ones(len(z)), *z.T, *missing.astype(np.float64).T]
        for at, knots in enumerate(self.knots):
            made.extend(np.where(missing[:, at], 0.0, np.maximum(z[:, at] - knot, 0.0)) for knot in knots)
        return np.column_stack(made)


def _knots(z: Floats) -> tuple[float, ...]:
    """Return inner quantiles of a column with enough different values to bend at; none for flags and small codes."""
    if len(np.unique(z)) <= N_KNOTS:
        return ()
    inner = np.quantile(z, np.linspace(0, 1, N_KNOTS + 2)[1:-1])
    return tuple(float(knot) for knot in np.unique(inner) if z.min() < knot < z.max())


def _newton(terms: Floats, label: Floats, prior: Floats, penalty: float) -> Floats:
    ridge = np.full(terms.shape[1], penalty)
    ridge[0] = 1e-9
    beta = np.zeros(terms.shape[1])

    def loss(at: Floats) -> float:
        margin = prior + terms @ at
        return float(np.logaddexp(0.0, margin).sum() - label @ margin + 0.5 * (ridge * at) @ at)

    now = loss(beta)
    for _ in range(MAX_STEPS):
        p = 1 / (1 + np.exp(-np.clip(prior + terms @ beta, -30, 30)))
        gradient = terms.T @ (p - label) + ridge * beta
        weighted = terms * (p * (1 - p))[:, None]
        step = np.linalg.solve(weighted.T @ terms + np.diag(ridge), gradient)
        size = 1.0
        while (then := loss(beta - size * step)) > now and size > 1e-4:
            size /= 2
        beta = beta - size * step
        if now - then <= _CONVERGED * abs(now):
            break
        now = then
    return beta

"""Estimate from three numbers whether a customer is still one and how many purchases to expect: BG/NBD.

Customers buy at their own rate until they leave, which they may do after each purchase; rates and chances of leaving
differ between customers. Guarantees: vectorised over customers, finite for any history, the same figures for the same
input. Leaves to others: fitting the parameters (:mod:`training.churn.bgnbd_fit`) and counting purchases.

Throughout, for each customer: ``x`` repeat purchases (the first is not counted), ``t_x`` time of the last of them, and
``T`` the time now, both since the first purchase and in the parameters' unit of time (weeks for :data:`CDNOW`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whisperer.errors import InputError
from whisperer.events.kernels.intrinsics import kernel

Floats = NDArray[np.float64]

MAX_TERMS = 20_000
"""Terms of the hypergeometric series, reached only if the time ahead is a thousand times the time observed."""

_CLOSE = 1e-13
_APART = 1e-6
_CANCELS = -2.0


class HistoryError(InputError):
    """Report an impossible history; ``index`` is the first one's place in the arrays."""

    def __init__(self, reason: str, index: int) -> None:
        super().__init__(f"{reason} (at index {index})")
        self.reason, self.index = reason, index

    def __reduce__(self) -> tuple[type[HistoryError], tuple[str, int]]:
        return HistoryError, (self.reason, self.index)


@dataclass(frozen=True, slots=True)
class BgNbd:
    """Hold the parameters of the model.

    Attributes
    ----------
    r, alpha : shape, and rate in units of time, of the gamma distribution of purchase rates
    a, b : parameters of the beta distribution of the chances of leaving after a purchase

    Raises
    ------
    ValueError
        A parameter is not positive and finite.
    """

    r: float
    alpha: float
    a: float
    b: float

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is positive and finite, not {getattr(self, name)}")


CDNOW = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426)
"""The published sample's parameters, in weeks; a start until something has been fitted."""


def log_likelihood(params: BgNbd, x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> Floats:  # noqa: N803
    """Return the log likelihood of each customer's history, shape (n_customers,).

    Raises
    ------
    HistoryError
        A value is not finite, a count is negative or fractional, not 0 <= t_x <= T, or t_x > 0 without a purchase.

    References
    ----------
    Fader, Hardie & Lee, Marketing Science 24 (2005), equation 6.
    """
    x, t_x, T = _checked(x, t_x, T)  # noqa: N806
    r, alpha, a, b = params.r, params.alpha, params.a, params.b
    counts = x.astype(np.int64)
    purchased = _log_rising(r, counts) + r * math.log(alpha) - (r + x) * np.log(alpha + T)
    stayed = _log_rising(b, counts) - _log_rising(a + b, counts)
    return np.asarray(purchased + stayed + np.logaddexp(0.0, _log_odds_left(params, x, t_x, T)))


def p_alive(params: BgNbd, x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> Floats:  # noqa: N803
    """Return the probability that a customer has not left, shape (n_customers,), in [0, 1]; 1 if x is 0.

    Raises
    ------
    HistoryError

    References
    ----------
    Fader, Hardie & Lee, "Computing P(alive) using the BG/NBD model", 2008.

    Examples
    --------
    >>> p_alive(CDNOW, [0, 2, 2], [0, 30.43, 5], [38.86, 38.86, 38.86]).round(3).tolist()
    [1.0, 0.726, 0.089]
    """
    x, t_x, T = _checked(x, t_x, T)  # noqa: N806
    return np.asarray(np.exp(-np.logaddexp(0.0, _log_odds_left(params, x, t_x, T))))


def p_purchase(params: BgNbd, t: float, x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> Floats:  # noqa: N803
    """Return the probability of at least one purchase within ``t`` from now, shape (n_customers,), in [0, 1].

    Customers leave only after a purchase, so none who is present now can leave before buying.

    Raises
    ------
    HistoryError
    ValueError
        ``t`` is negative or not finite.
    """
    x, t_x, T = _checked(x, t_x, T)  # noqa: N806
    silent = np.exp((params.r + x) * (np.log(params.alpha + T) - np.log(params.alpha + T + _ahead(t))))
    return np.asarray(p_alive(params, x, t_x, T) * (1.0 - silent))


def expected_purchases(params: BgNbd, t: float, x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> Floats:  # noqa: N803
    """Return the purchases to expect within ``t`` from now, shape (n_customers,).

    The paper's 2F1(r + x, b + x; a + b + x - 1; z), with z = t / (alpha + T + t), overflows for busy customers. Euler's
    transformation takes out of it the power by which the paper multiplies it; what remains has small parameters and
    converges faster the more purchases there were. Only if r is well above a + b would its terms cancel each other;
    then the paper's form is used.

    Raises
    ------
    HistoryError
    ValueError
        ``t`` is negative or not finite.

    References
    ----------
    Fader, Hardie & Lee 2005, equation 10; Abramowitz & Stegun 15.3.3.

    Examples
    --------
    >>> expected_purchases(CDNOW, 39, [2], [30.43], [38.86]).round(3).tolist()
    [1.226]
    """
    x, t_x, T = _checked(x, t_x, T)  # noqa: N806
    alive = p_alive(params, x, t_x, T)
    a = params.a if abs(params.a - 1) > _APART else 1 + _APART  # the formula is 0/0 at 1, and smooth around it
    z = _ahead(t) / (params.alpha + T + t)
    b, r, c = params.b, params.r, a + params.b + x - 1
    if a + b - 1 - r >= _CANCELS:
        left = (1 - z) ** (a - 1) * _hypergeometric(a + b - 1 - r, a - 1, c, z)
    else:
        left = (1 - z) ** (r + x) * _hypergeometric(r + x, b + x, c, z)
    return np.asarray(np.maximum(alive * c / (a - 1) * (1 - left), 0.0))


def _checked(x: ArrayLike, t_x: ArrayLike, T: ArrayLike) -> tuple[Floats, Floats, Floats]:  # noqa: N803
    x, t_x, T = (np.atleast_1d(np.asarray(v, np.float64)) for v in (x, t_x, T))  # noqa: N806
    if not x.shape == t_x.shape == T.shape:
        x, t_x, T = np.broadcast_arrays(x, t_x, T)  # noqa: N806
    if _are_histories(np.ravel(x), np.ravel(t_x), np.ravel(T)):
        return x, t_x, T
    for wrong, reason in (
        (~(np.isfinite(x) & np.isfinite(t_x) & np.isfinite(T)), "a history is finite"),
        ((x < 0) | (x != np.floor(x)), "repeat purchases are counted"),
        ((t_x < 0) | (t_x > T), "the last purchase is between the first and now"),
        ((x == 0) & (t_x > 0), "who has not bought again has no time of it"),
    ):
        if wrong.any():
            raise HistoryError(reason, int(wrong.argmax()))
    raise AssertionError("a history is wrong for no reason")


@kernel
def _are_histories(x: Any, t_x: Any, T: Any) -> Any:  # noqa: N803
    """Check all histories in one pass, because a decision about a user waits for it."""
    for i in range(len(x)):
        if not (0 <= x[i] < np.inf and x[i] == np.floor(x[i]) and 0 <= t_x[i] <= T[i] < np.inf):
            return False
        if x[i] == 0 and t_x[i] > 0:
            return False
    return True


def _ahead(t: float) -> float:
    if not 0 <= t < math.inf:
        raise ValueError(f"a time ahead is not negative and finite, not {t}")
    return t


def _log_odds_left(params: BgNbd, x: Floats, t_x: Floats, T: Floats) -> Floats:  # noqa: N803
    """Return the logarithm of P(left) / P(alive); minus infinity without a repeat purchase."""
    waited = (params.r + x) * (np.log(params.alpha + T) - np.log(params.alpha + t_x))
    return np.where(x > 0, math.log(params.a) - np.log(params.b + np.maximum(x, 1) - 1) + waited, -np.inf)


def _log_rising(c: float, n: NDArray[np.int64]) -> Floats:
    """Return the log of c (c + 1) ... (c + n - 1), which is log gamma(c + n) - log gamma(c)."""
    return np.concatenate([[0.0], np.cumsum(np.log(c + np.arange(n.max(initial=0))))])[n]


def _hypergeometric(p: Floats | float, q: Floats | float, c: Floats, z: Floats) -> Floats:
    """Return 2F1(p, q; c; z) for z in [0, 1), by its series."""
    p, q = (np.ascontiguousarray(np.broadcast_to(v, z.shape), np.float64) for v in (p, q))
    total = np.empty_like(z)
    _series(p, q, np.ascontiguousarray(c), np.ascontiguousarray(z), total)
    return total


@kernel
def _series(p: Any, q: Any, c: Any, z: Any, total: Any) -> None:
    """Sum each customer's series to its own end, so that nobody's figure depends on who else is in the batch."""
    for i in range(len(z)):
        term = total[i] = 1.0
        for j in range(MAX_TERMS):
            term *= (p[i] + j) * (q[i] + j) * z[i] / ((c[i] + j) * (j + 1))
            total[i] += term
            if abs(term) <= _CLOSE * abs(total[i]) * (1 - z[i]):  # the tail is at most a geometric one
                break

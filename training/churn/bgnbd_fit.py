"""Fit BG/NBD's four parameters by maximum likelihood, from histories as (x, t_x, T).

Guarantees: the same histories, in any order, give the same parameters; a search that did not converge raises. Leaves to
others: what the parameters are used for (:mod:`whisperer.profiles.bgnbd`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize

from whisperer.errors import InputError
from whisperer.profiles.bgnbd import BgNbd, log_likelihood

_WIDEST = 7.0
"""Logarithm of the largest parameter tried: if customers do not differ, the likelihood rises without end."""


class NotFittedError(InputError):
    """Raised for histories that do not determine the parameters."""


def fit_bgnbd(x: ArrayLike, t_x: ArrayLike, T: ArrayLike, penalty: float = 0.0) -> BgNbd:  # noqa: N803
    """Find the parameters under which the histories are most likely.

    Parameters
    ----------
    x : repeat purchases, shape (n_customers,)
    t_x, T : time of the last of them, and of now, since the first purchase, in the unit wanted for the parameters
    penalty : on the squared logarithms of the parameters, per customer; keeps them away from 0 and infinity if there
        are few customers

    Raises
    ------
    HistoryError
        For impossible histories.
    NotFittedError
        If nobody bought again, or the search did not converge.

    References
    ----------
    Fader, Hardie & Lee, Marketing Science 24 (2005).
    """
    # Equal histories are computed once and weighted by their number: many have only the first purchase.
    histories = np.column_stack(np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (x, t_x, T))))
    histories, counts = np.unique(histories, axis=0, return_counts=True)
    if not (histories[:, 0] > 0).any():
        raise NotFittedError("nobody has bought again")
    scale = float(histories[:, 2].max()) / 52 or 1.0  # searched in units in which a year is about what was observed

    def loss(logarithms: np.ndarray) -> float:
        r, alpha, a, b = np.exp(logarithms)
        likely = log_likelihood(BgNbd(r, alpha * scale, a, b), *histories.T)
        return float(-(likely @ counts) / counts.sum() + penalty * (logarithms @ logarithms))

    found = minimize(loss, np.zeros(4), method="L-BFGS-B", bounds=[(-_WIDEST, _WIDEST)] * 4, options={"ftol": 1e-13})
    if not found.success and found.status != 2:  # 2: the line search cannot improve, as at a flat optimum
        raise NotFittedError(str(found.message))
    r, alpha, a, b = np.exp(found.x)
    return BgNbd(float(r), float(alpha * scale), float(a), float(b))

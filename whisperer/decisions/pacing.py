"""Spend a budget evenly: a price on spending, found per batch and held to the plan by a controller.

An arm is worth its expected reward minus ``price`` times its cost. Over the period, the price follows how far spending
is from the plan (PI control); a batch that would cost more than its allowance is decided at the lowest price at which
it does not (bisection). Guarantees: a price is never negative. Leaves to others: what may be spent (:mod:`.allotment`),
enforcing it (:mod:`.purse`), what arms are worth, and logging the price.

References
----------
Karande, Mehta & Srikant, WSDM 2013 (budget pacing); Balseiro & Gur, Management Science 2019 (the dual price is all that
needs to be adapted); Astrom & Hagglund 2006 (PI control, integrator bounded against windup).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STEPS = 60
HOURS = 24


@dataclass(frozen=True, slots=True)
class SpendingPlan:
    """How much may have been spent at each moment of a period.

    Attributes
    ----------
    budget : in the currency of costs, for the whole period; not negative
    begins, ends : ms UTC
    shares : of the budget for each hour of the period's first day, repeated daily, normalised to 1; equal by default
    """

    budget: float
    begins: int
    ends: int
    shares: tuple[float, ...] = (1.0,) * HOURS

    def __post_init__(self) -> None:
        if not (self.budget >= 0 and self.ends > self.begins):
            raise ValueError("a plan needs a budget that is not negative, and an end after its beginning")
        if len(self.shares) != HOURS or min(self.shares) < 0 or not sum(self.shares):
            raise ValueError(f"shares are {HOURS}, not negative, and not all 0")

    def released(self, now: int) -> float:
        """Return how much of the budget is released by ``now`` (ms UTC): 0 before the period, all of it after.

        >>> Plan(100.0, 0, 4 * 3_600_000).released(3_600_000)
        25.0
        """
        whole = self._weight(self.ends - self.begins)
        elapsed = min(max(now, self.begins), self.ends) - self.begins
        # A period whose hours all have a share of 0 is released at its end.
        return self.budget * (self._weight(elapsed) / whole if whole else float(now >= self.ends))

    def _weight(self, elapsed_ms: int) -> float:
        days, hours = divmod(elapsed_ms / 3_600_000, HOURS)
        full = int(hours)
        return days * sum(self.shares) + sum(self.shares[:full]) + (hours - full) * self.shares[full]


@dataclass(frozen=True, slots=True)
class PacingState:
    """Hold the controller's state.

    Attributes
    ----------
    price : reward that a unit of cost has to earn, not negative
    spent : total so far
    integral : of the relative error, within ``LIMIT`` of zero
    """

    price: float = 0.0
    spent: float = 0.0
    integral: float = 0.0


@dataclass(frozen=True, slots=True)
class Gains:
    """Configure the controller.

    ``scale`` is a price that matters, such as the mean reward per unit of cost; ``proportional`` and ``integral`` are
    fractions of it, for an error as large as all that a round was to spend.
    """

    scale: float
    proportional: float = 0.3
    integral: float = 0.1


LIMIT = 50.0
"""The most error that the integral remembers, in rounds."""


def lagrangian(values: Floats, costs: Floats, allowance: float, floor: float = 0.0) -> tuple[float, NDArray[np.int64]]:
    """Find the lowest price, from ``floor`` up, at which everybody's best arm costs at most ``allowance`` in all.

    Parameters
    ----------
    values : float64, shape (n, k), expected reward of each arm
    costs : float64, shape (k,), not negative; arm 0, `no_send`, costs nothing
    allowance : what the batch may spend; below 0 counts as 0

    Returns
    -------
    price : float
    arms : int64, shape (n,); the cheapest of equally good ones

    Raises
    ------
    ValueError
        For other shapes, values that are not finite, or costs that break the rules above.

    Examples
    --------
    >>> price, arms = lagrangian(np.array([[0.0, 3.0], [0.0, 1.0]]), np.array([0.0, 1.0]), allowance=1.0)
    >>> arms.tolist(), 1.0 <= price < 3.0
    ([1, 0], True)
    """
    if values.ndim != 2 or costs.shape != (values.shape[1],) or not np.isfinite(values).all():
        raise ValueError(f"finite values of shape (n, k) and k costs are needed, not {values.shape}, {costs.shape}")
    if not np.isfinite(costs).all() or (costs < 0).any() or costs[0] != 0:
        raise ValueError("costs are finite and not negative, and arm 0 costs nothing")
    order = np.argsort(costs, kind="stable")

    def at(price: float) -> NDArray[np.int64]:
        return np.asarray(order[np.argmax(values[:, order] - price * costs[order], axis=1)], np.int64)

    most = max(allowance, 0.0)
    arms = at(floor)
    if costs[arms].sum() <= most:
        return floor, arms
    low, high = floor, max(2 * floor, 1.0)
    dearest = np.finfo(float).max / (4 * max(1.0, costs.max()))
    while costs[at(high)].sum() > most and high < dearest:
        low, high = high, 2 * high
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if costs[at(middle)].sum() > most else (low, middle)
    arms = at(high)
    # Costs too small for any price to rule out are not spent either.
    return high, arms if costs[arms].sum() <= most else np.zeros(len(values), np.int64)


def paced(pace: PacingState, plan: SpendingPlan, gains: Gains, before: int, now: int) -> PacingState:
    """Return the controller after the time from ``before`` to ``now`` (ms UTC), given total spending so far.

    The error is what was spent beyond the plan, as a share of what the plan released in that time; if it released
    nothing, the price stays.
    """
    step = plan.released(now) - plan.released(before)
    if step <= 0:
        return pace
    error = float(np.clip((pace.spent - plan.released(now)) / step, -LIMIT, LIMIT))
    integral = float(np.clip(pace.integral + error, 0.0, LIMIT))
    price = gains.scale * (gains.proportional * error + gains.integral * integral)
    return replace(pace, price=max(price, 0.0), integral=integral)

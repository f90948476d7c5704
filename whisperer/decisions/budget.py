"""Define a campaign's budget, and what passes between replicas that decide and the keeper of the money.

A *window* is ``days`` whole UTC days, numbered from 1970; a decision belongs to the window in which its user was
considered. Money is whole micro-units of the goal's unit. A replica asks with totals since it began, and is answered
with totals: a message that is lost, repeated or late changes nothing. Leaves to others: how much is granted
(:mod:`.allotment`), and spending it (:mod:`.purse`).
"""

from __future__ import annotations

import msgspec

from whisperer.decisions.pacing import HOURS, SpendingPlan
from whisperer.ids import TenantId
from whisperer.vocabulary.units import DAY_MS


class Budget(msgspec.Struct, frozen=True):
    """A campaign's budget per window.

    Attributes
    ----------
    amount_micros : the most that the decisions of one window may cost
    days : length of a window
    hours : 24 shares of a day by UTC hour; () for equal hours
    """

    amount_micros: int
    days: int = 1
    hours: tuple[float, ...] = ()

    def window(self, at: int) -> int:
        """Return the number of the window that contains a moment (ms UTC)."""
        return at // (self.days * DAY_MS)

    def plan(self, window: int) -> SpendingPlan:
        """Return what may be spent by when, in micro-units.

        >>> Budget(24).plan(1).released(DAY_MS + 3_600_000)
        1.0
        """
        length = self.days * DAY_MS
        return SpendingPlan(
            float(self.amount_micros), window * length, (window + 1) * length, self.hours or (1.0,) * HOURS
        )


class Ask(msgspec.Struct, array_like=True, frozen=True):
    """A replica's report on one campaign's window; ``spent_micros`` and the rest are totals since the replica began.

    Attributes
    ----------
    version : of the campaign that ``budget`` belongs to
    need_micros : what the replica should have left now
    dearest_micros : cost of the dearest arm seen
    worth, n_worth : sum and number of what the best arm earns over `no_send`, per unit of its cost
    n_withheld : decisions for which too little was left
    """

    tenant: TenantId
    campaign: str
    version: int
    budget: Budget
    window: int
    need_micros: int
    dearest_micros: int = 0
    spent_micros: int = 0
    worth: float = 0.0
    n_worth: int = 0
    n_withheld: int = 0


class Lease(msgspec.Struct, array_like=True, frozen=True):
    """The answer: ``granted_micros`` to the replica in total, and the ``price`` for all replicas until the next."""

    tenant: TenantId
    campaign: str
    days: int
    window: int
    granted_micros: int
    price: float

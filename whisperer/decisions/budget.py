"""A campaign's budget, and what passes between who decides and who keeps the money.

A *window* is ``days`` whole UTC days, numbered from 1970 on; a decision belongs to the window in which its user was
considered. Money is whole micro-units of the goal's unit. Who decides asks with totals since it began, and is told
totals: a message that is lost, repeated or late changes nothing. Leaves to others: how much is granted
(:mod:`.allotment`), and spending it (:mod:`.purse`).
"""

from __future__ import annotations

import msgspec

from whisperer.decisions.pacing import HOURS, Plan

MICROS = 1_000_000
DAY_MS = 86_400_000


class Budget(msgspec.Struct, frozen=True):
    """Attributes
    ----------
    amount_micros : most that the decisions of one window may cost
    days : of a window
    hours : 24 shares of a day by the UTC hour, (): every hour alike
    """

    amount_micros: int
    days: int = 1
    hours: tuple[float, ...] = ()

    def window(self, at: int) -> int:
        """Number of the window that a moment (ms UTC) is in."""
        return at // (self.days * DAY_MS)

    def plan(self, window: int) -> Plan:
        """What may be spent by when, in micro-units.

        >>> Budget(24).plan(1).released(DAY_MS + 3_600_000)
        1.0
        """
        length = self.days * DAY_MS
        return Plan(float(self.amount_micros), window * length, (window + 1) * length, self.hours or (1.0,) * HOURS)


class Ask(msgspec.Struct, array_like=True, frozen=True):
    """What a replica says of one campaign's window; ``spent`` and what follows are totals since the replica began.

    Attributes
    ----------
    version : of the campaign that ``budget`` is of
    need_micros : what should be left to it now
    dearest_micros : cost of the dearest arm seen
    worth, n_worth : sum and number of what the best arm brings over `no_send`, for each unit that it costs
    n_withheld : decisions for which too little was left
    """

    tenant: str
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
    """``granted_micros``: to the replica in all; ``price`` is that of every replica until the next answer."""

    tenant: str
    campaign: str
    days: int
    window: int
    granted_micros: int
    price: float

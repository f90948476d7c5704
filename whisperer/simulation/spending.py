"""Spend a campaign's budget in a simulation: granted and priced by the live code, on the clock of the past.

A share of the users gets the same share of the budget. Guarantees: no window is overspent. Leaves to others: deciding
(:mod:`.policy`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from whisperer.decisions.allotment import Allotments, BudgetWindow
from whisperer.decisions.decision import Candidate, Choice
from whisperer.decisions.purse import Purse, Wallet
from whisperer.decisions.versions import parsed
from whisperer.simulation.replay import Choose
from whisperer.simulation.result import WindowResult

_HOLDER = "simulation"


class Spending:
    """Lend money to a simulation's choices, and keep account of it.

    Attributes
    ----------
    wallet : pays for choices
    price : mean price over choices that the policy made
    """

    def __init__(self, share: float = 1.0) -> None:
        self.wallet = Wallet()
        self._keeper = Allotments()
        self._share = share
        self._windows: dict[int, BudgetWindow] = {}
        self._priced = [0, 0.0]

    @property
    def price(self) -> float:
        """Mean price of choices that a policy's version made, 0 without any."""
        n, total = self._priced
        return total / n if n else 0.0

    def within(self, decide: Choose) -> Choose:
        """Wrap ``decide``, which pays from :attr:`wallet`: lend money before it and keep account after it."""

        def paid(candidates: Sequence[Candidate]) -> list[Choice]:
            asked = [one if one.budget is None else self._scaled(one) for one in candidates]
            if self.wallet.need(asked):
                self._lend(max(one.now for one in asked))
            choices = decide(asked)
            for choice in choices:
                decider = parsed(choice.policy_version)
                if decider is not None:
                    self._priced[0] += 1
                    self._priced[1] += decider.price
            if any(one.budget is not None for one in asked):
                self._lend(max(one.now for one in asked))
            return choices

        return paid

    def windows(self) -> list[WindowResult[int]]:
        """List windows, oldest first."""
        return [
            WindowResult(
                begins_at=window.begins_at,
                ends_at=window.ends_at,
                price=window.price,
                amount=window.amount / self._share,
                spent=window.spent / self._share,
                withheld=window.withheld / self._share,
            )
            for _, window in sorted(self._windows.items())
        ]

    def _lend(self, now: int) -> None:
        asks = self.wallet.asks()
        self.wallet.take(asks, self._keeper.answer(_HOLDER, asks, now))
        self._windows |= {window.begins_at: window for window in self._keeper.status()}

    def _scaled(self, candidate: Candidate) -> Candidate:
        assert candidate.budget is not None
        amount = math.floor(candidate.budget.amount_micros * self._share)
        budget = msgspec.structs.replace(candidate.budget, amount_micros=amount)
        return msgspec.structs.replace(candidate, budget=budget)


class AtPrice(Wallet):
    """Pay for everything, at one price: what a policy with a budget does while there is money."""

    def __init__(self, price: float) -> None:
        super().__init__()
        self._purse = Purse()
        self._purse.price, self._purse.granted_micros = price, 2**62

    def of(self, candidate: Candidate) -> Purse:
        """Return the one purse, for any candidate."""
        return self._purse

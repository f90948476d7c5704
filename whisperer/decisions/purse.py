"""Keep what one replica may spend of campaigns' budgets: the spending side.

Guarantees: the choices that a purse paid for never cost more than it was granted. Requests to the keeper of the money
carry totals, under a name that no other process has, so that whatever happens to a message or a process, money may be
left over but is never spent twice. A choice repeated because its answer was lost is paid for again: only one of the two
takes effect. Leaves to others: granting (:mod:`.allotment`), and which arm (:mod:`.thompson`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from whisperer.decisions.budget import Ask, Budget, Lease
from whisperer.decisions.decision import Candidate
from whisperer.decisions.pacing import lagrangian
from whisperer.ids import TenantId
from whisperer.vocabulary.groups import Group
from whisperer.vocabulary.units import MICROS

Floats = NDArray[np.float64]
Place = tuple[TenantId, str, int, int]
"""Tenant, campaign, days in a window, and the window's number."""


class Purse:
    """Hold the money of one campaign and window. ``price`` is the price of spending last reported by the keeper."""

    def __init__(self) -> None:
        self.price = 0.0
        self.granted_micros = self.spent_micros = 0
        self.worth, self.n_worth, self.n_withheld = 0.0, 0, 0
        self.dearest_micros = 0

    @property
    def left_micros(self) -> int:
        """Micro-units granted and not spent yet."""
        return self.granted_micros - self.spent_micros

    def priced(self, means: Floats, costs: NDArray[np.int64]) -> float:
        """Return the price for a batch: the reported one, or the lowest at which everybody's best arm is affordable.

        Parameters
        ----------
        means : float64, shape (k, n), expected reward of each arm, `no_send` first
        costs : int64, shape (k,), micro-units, 0 for `no_send`

        Returns
        -------
        price : rounded to four digits, so that it equals the one in a choice's label
        """
        unit, paid = costs / MICROS, costs > 0
        if not paid.any():
            return 0.0
        gains = ((means[paid] - means[0]) / unit[paid, None]).max(axis=0)
        self.worth += float(np.maximum(gains, 0.0).sum())
        self.n_worth += len(gains)
        price, _ = lagrangian(np.ascontiguousarray(means.T), unit, self.left_micros / MICROS, self.price)
        return float(f"{price:.4g}")

    def payable(self, costs: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which arms could be paid for now, for one decision."""
        return np.asarray(costs <= self.left_micros)

    def pay(self, micros: int) -> None:
        """Spend ``micros``, which must not exceed what is left."""
        assert micros <= self.left_micros or not micros, "more than was granted"
        self.spent_micros += micros


class Wallet:
    """Hold a replica's purses. Use from one thread.

    A purse takes about 0.5 KB and is kept forever: forgetting what was spent from it would mean spending it again.
    """

    def __init__(self) -> None:
        self._purses: dict[Place, Purse] = {}
        self._terms: dict[Place, tuple[int, Budget]] = {}
        self._needs: dict[Place, int] = {}
        self._told: dict[Place, tuple[int, int]] = {}

    def of(self, candidate: Candidate) -> Purse:
        """Return the purse for a candidate of a campaign with a budget; empty until something has been granted."""
        assert candidate.budget is not None
        return self._purses.setdefault(_place(candidate, candidate.budget), Purse())

    def need(self, candidates: Iterable[Candidate]) -> bool:
        """Note the most that a batch may cost; return whether any purse holds less."""
        most: dict[Place, int] = {}
        for one in candidates:
            if one.budget is None or one.group == Group.HOLDOUT:
                continue
            place, dearest = _place(one, one.budget), max(one.costs, default=0)
            purse = self.of(one)
            purse.dearest_micros = max(purse.dearest_micros, dearest)
            most[place] = most.get(place, 0) + dearest
            if place not in self._terms or one.campaign_version > self._terms[place][0]:
                self._terms[place] = one.campaign_version, one.budget
        short = {place: micros for place, micros in most.items() if micros > self._purses[place].left_micros}
        for place, micros in short.items():
            self._needs[place] = max(micros, self._needs.get(place, 0))
        return bool(short)

    def asks(self) -> list[Ask]:
        """Return requests for what is needed, with what was spent since the last report."""
        found = []
        for place, (version, budget) in self._terms.items():
            purse, need = self._purses[place], self._needs.get(place, 0)
            if need or self._told.get(place) != (purse.spent_micros, purse.n_withheld):
                ask = Ask(
                    *(place[0], place[1], version, budget, place[3], need, purse.dearest_micros),
                    spent_micros=purse.spent_micros,
                    worth=purse.worth,
                    n_worth=purse.n_worth,
                    n_withheld=purse.n_withheld,
                )
                found.append(ask)
        return found

    def take(self, asked: Sequence[Ask], leases: Iterable[Lease]) -> None:
        """Apply the answers to :meth:`asks`, which may come late, twice or in another order."""
        for ask in asked:
            place = ask.tenant, ask.campaign, ask.budget.days, ask.window
            self._told[place] = ask.spent_micros, ask.n_withheld
            self._needs.pop(place, None)
        for lease in leases:
            purse = self._purses[lease.tenant, lease.campaign, lease.days, lease.window]
            purse.granted_micros, purse.price = max(purse.granted_micros, lease.granted_micros), lease.price


def _place(candidate: Candidate, budget: Budget) -> Place:
    return candidate.tenant, candidate.campaign, budget.days, budget.window(candidate.now)

"""Decide who may spend how much of a campaign's budget, and at which price: the side that keeps the money.

Money is *granted*, and granted money counts as gone, whether it is spent or held by a replica that died. Guarantees:
the grants of a window never sum to more than its budget, nor to more than its plan will have released :data:`AHEAD_MS`
from now, whatever replicas ask, in whatever order, however often; a closed window grants nothing more. The price
follows what replicas report as spent (PI control, :mod:`.pacing`); it is the same for all of them. Leaves to others:
making grants durable before anyone learns of them (:mod:`actors.learner.budgets`), and staying within them
(:mod:`.purse`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import msgspec

from whisperer.decisions.budget import Ask, Budget, Lease
from whisperer.decisions.pacing import Gains, PacingState, paced
from whisperer.ids import TenantId
from whisperer.vocabulary.units import MICROS

AHEAD_MS = 3_600_000
"""The most that spending may run ahead of the plan: a schedule that considers everyone at nine may spend the share of
the hour from nine to ten at once."""
ROUNDS = 288
"""The most often that the price changes while a budget is spent."""
ROUND_COSTS = 4
"""A round of the price covers at least the cost of this many messages of the dearest arm: one message is no deviation
from the plan."""
AHEAD_SHARE = 4
"""Beyond what is needed at once, a grant is at most one part in this many of what is free: others need some too."""
WINDOWS = 2
"""How many of a campaign's newest windows are open."""


class Held(msgspec.Struct, array_like=True):
    """One replica's part; everything except ``granted_micros`` is as it reported."""

    granted_micros: int = 0
    spent_micros: int = 0
    worth: float = 0.0
    n_worth: int = 0
    n_withheld: int = 0


class Allotment(msgspec.Struct, array_like=True):
    """One window of one campaign. ``version``: the newest that asked, whose budget applies. ``paced_at``: ms UTC."""

    window: int
    version: int
    budget: Budget
    paced_at: int
    pace: PacingState = PacingState()
    holders: dict[str, Held] = {}

    @property
    def granted_micros(self) -> int:
        """Micro-units granted to all replicas."""
        return sum(held.granted_micros for held in self.holders.values())

    @property
    def spent_micros(self) -> int:
        """Micro-units that all replicas reported as spent."""
        return sum(held.spent_micros for held in self.holders.values())

    def answer(self, holder: str, ask: Ask, now: int) -> Lease:
        """Return what ``holder`` may spend in total, after granting as much of its need as there is."""
        if ask.version > self.version:
            self.version, self.budget = ask.version, ask.budget
        held = self.holders.setdefault(holder, Held())
        if ask.spent_micros >= held.spent_micros:  # else it is older than what was reported before
            held.spent_micros, held.n_withheld = ask.spent_micros, ask.n_withheld
            held.worth, held.n_worth = ask.worth, ask.n_worth
        self._set_price(now, ask.dearest_micros)
        lacking = ask.need_micros - (held.granted_micros - held.spent_micros)
        if lacking > 0:
            free = self._free(now)
            held.granted_micros += min(free, max(lacking, min(3 * ask.need_micros + lacking, free // AHEAD_SHARE)))
        return Lease(ask.tenant, ask.campaign, ask.budget.days, self.window, held.granted_micros, self.pace.price)

    def _free(self, now: int) -> int:
        released = self.budget.plan(self.window).released(now + AHEAD_MS)
        return max(0, min(math.floor(released), self.budget.amount_micros) - self.granted_micros)

    def _set_price(self, now: int, dearest_micros: int) -> None:
        plan = self.budget.plan(self.window)
        step = plan.released(now) - plan.released(self.paced_at)
        if step < max(self.budget.amount_micros / ROUNDS, ROUND_COSTS * dearest_micros, 1):
            return
        n = sum(held.n_worth for held in self.holders.values())
        scale = sum(held.worth for held in self.holders.values()) / n if n else 0.0
        pace = replace(self.pace, spent=float(self.spent_micros))
        self.pace, self.paced_at = paced(pace, plan, Gains(scale), self.paced_at, now), now


class BudgetWindow(msgspec.Struct, kw_only=True):
    """Show one window of a campaign's budget; money in the goal's unit, times in ms UTC.

    Attributes
    ----------
    granted, spent : replicas hold the difference
    price : what an effect must be worth per unit of money, now
    withheld : decisions for which too little was left
    """

    tenant: TenantId
    campaign: str
    begins_at: int
    ends_at: int
    amount: float
    granted: float
    spent: float
    price: float
    withheld: int


class Allotments:
    """Hold every campaign's open windows. Use from one thread.

    ``revision`` counts grants: a state stored at one revision contains all grants up to it.
    """

    def __init__(self, stored: bytes = b"") -> None:
        self._open: dict[tuple[TenantId, str, int], list[Allotment]] = {}
        """By tenant, campaign and days of a window, newest last."""
        self.revision = 0
        for tenant, campaign, days, windows in _decode(stored) if stored else ():
            self._open[tenant, campaign, days] = windows

    def answer(self, holder: str, asks: Iterable[Ask], now: int) -> list[Lease]:
        """Return one lease per request, none for a closed window. ``now`` (ms UTC) may jump: no bound depends on it."""
        leases = []
        for ask in asks:
            allotment = self._allotment(ask, now)
            if allotment is not None:
                before = allotment.granted_micros
                leases.append(allotment.answer(holder, ask, now))
                self.revision += allotment.granted_micros > before
        return leases

    def encoded(self) -> bytes:
        """Serialise the state, for the constructor."""
        return _encode([(*place, windows) for place, windows in self._open.items()])

    def status(self) -> list[BudgetWindow]:
        """List every open window, oldest first."""
        return [
            BudgetWindow(
                tenant=tenant,
                campaign=campaign,
                begins_at=int(one.budget.plan(one.window).begins),
                ends_at=int(one.budget.plan(one.window).ends),
                amount=one.budget.amount_micros / MICROS,
                granted=one.granted_micros / MICROS,
                spent=one.spent_micros / MICROS,
                price=one.pace.price,
                withheld=sum(held.n_withheld for held in one.holders.values()),
            )
            for (tenant, campaign, _), windows in self._open.items()
            for one in windows
        ]

    def _allotment(self, ask: Ask, now: int) -> Allotment | None:
        windows = self._open.setdefault((ask.tenant, ask.campaign, ask.budget.days), [])
        for one in windows:
            if one.window == ask.window:
                return one
        if len(windows) == WINDOWS and ask.window < windows[0].window:
            return None  # closed: what it granted is no longer known
        made = Allotment(ask.window, ask.version, ask.budget, now)
        windows.append(made)
        windows.sort(key=lambda one: one.window)
        if made is windows[-1] and len(windows) > 1:  # today starts from yesterday's price
            made.pace = replace(windows[-2].pace, spent=0.0)
        del windows[:-WINDOWS]
        return made


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[TenantId, str, int, list[Allotment]]]).decode

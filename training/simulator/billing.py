"""Play out what happens without a visit: ends of trials, renewals, refunds, answered tickets, plan changes, churn.

The product's server reports all of it (userId, no anonymousId) at the moment it is due.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whisperer.vocabulary.units import DAY_MS

from .people import Person
from .segment import Voice
from .state import NEVER, PRICE, LifeStage, State, Subscription
from .visits import Timeline, leave

MONTH_DAYS = 30
_CURRENCY = "USD"


def churn_hazard(state: State) -> NDArray[np.float64]:
    """Return the chance of leaving for good within a day, shape (n_users,): the quieter, the likelier; paying binds."""
    quiet = np.exp(-6.0 * state.activity / np.maximum(state.visits_per_day, 0.05))
    base = np.choose(np.clip(state.stage, 0, 4), [0.0, 0.04, 0.012, 0.014, 0.004])
    return np.asarray(
        np.where(state.stage == LifeStage.GONE, 0.0, base * (0.25 + 4.0 * quiet) / np.maximum(state.patience, 0.05))
    )


def trial_ended(state: State, slot: int, who: Person, draw: float, out: Timeline) -> None:
    """End a trial: it becomes a subscription, more likely after onboarding and with activity, or the free plan."""
    at_ms = int(state.trial_ends_at[slot])
    state.trial_ends_at[slot] = NEVER
    server, plan = Voice.server(who), Subscription(state.plan[slot])
    converts = draw < 0.15 + 0.1 * state.onboarding[slot] + 0.1 * min(1.0, state.activity[slot])
    out.append((at_ms, server.track(at_ms, "Trial Ended", plan=plan.label, converted=bool(converts))))
    if converts:
        state.stage[slot] = LifeStage.PAID
        _pay(state, slot, who, at_ms + 60, "Order Completed", out)
        if draw < 0.02:
            state.refund_at[slot] = at_ms + int((1 + 9 * draw * 50) * DAY_MS)
        return
    state.stage[slot], state.plan[slot] = LifeStage.FREE, Subscription.FREE
    out.append((at_ms + 60, server.identify(at_ms + 60, Subscription.FREE)))


def renewal_due(state: State, slot: int, who: Person, draw: float, out: Timeline) -> None:
    """Renew a subscription after a month, perhaps on another plan; now and then the card fails first."""
    at_ms = int(state.renews_at[slot])
    plan = Subscription(state.plan[slot])
    if draw < 0.03:
        out.append((at_ms, Voice.server(who).track(at_ms, "Payment Failed", plan=plan.label, attempt=1)))
        at_ms += 90_000
    elif draw > 0.93:
        _change_plan(state, slot, who, at_ms, up=draw > 0.96, out=out)
        at_ms += 30
    _pay(state, slot, who, at_ms, "Subscription Renewed", out)


def _change_plan(state: State, slot: int, who: Person, at_ms: int, *, up: bool, out: Timeline) -> None:
    before = Subscription(state.plan[slot])
    after = Subscription(min(Subscription.BUSINESS, before + 1) if up else max(Subscription.STARTER, before - 1))
    if after == before:
        return
    state.plan[slot] = after
    server = Voice.server(who)
    out.append((at_ms, server.track(at_ms, "Plan Changed", previous=before.label, plan=after.label)))
    out.append((at_ms + 10, server.identify(at_ms + 10, after)))


def _pay(state: State, slot: int, who: Person, at_ms: int, event: str, out: Timeline) -> None:
    plan = Subscription(state.plan[slot])
    paid = Voice.server(who).track(
        at_ms, event, order_id=f"{who.user_id}-{at_ms}", plan=plan.label, revenue=PRICE[plan], currency=_CURRENCY
    )
    out.append((at_ms, paid))
    state.renews_at[slot] = at_ms + MONTH_DAYS * DAY_MS


def refund_due(state: State, slot: int, who: Person, out: Timeline) -> None:
    """Refund the first payment; the account goes on without a plan. Revenue is negative, so that sums agree."""
    at_ms = int(state.refund_at[slot])
    plan = Subscription(state.plan[slot])
    refund = Voice.server(who).track(at_ms, "Order Refunded", plan=plan.label, revenue=-PRICE[plan], currency=_CURRENCY)
    out.append((at_ms, refund))
    state.refund_at[slot] = state.renews_at[slot] = NEVER
    state.stage[slot], state.plan[slot] = LifeStage.FREE, Subscription.FREE
    out.append((at_ms + 10, Voice.server(who).identify(at_ms + 10, Subscription.FREE)))


def ticket_answered(state: State, slot: int, who: Person, draw: float, out: Timeline) -> None:
    """Resolve the open ticket."""
    at_ms = int(state.ticket_due_at[slot])
    state.ticket_due_at[slot] = NEVER
    out.append((at_ms, Voice.server(who).track(at_ms, "Ticket Resolved", satisfied=draw < 0.8)))


def churned(state: State, slot: int, who: Person, at_ms: int, draw: float, out: Timeline) -> None:
    """End what is heard of a user: with a cancellation if there was something to cancel, otherwise in silence."""
    if state.stage[slot] == LifeStage.PAID:
        plan = Subscription(state.plan[slot])
        out.append((at_ms, Voice.server(who).track(at_ms, "Subscription Cancelled", plan=plan.label)))
    leave(state, slot, at_ms, draw)

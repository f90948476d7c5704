"""Carry a shard's effects to the applications, and report to callers who asked.

The shard actor passes effects in; what was open at a crash is taken up again from the recovered state.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from actors.calls.applications import Application
from actors.shard.loop.decider import Decider, Submit
from actors.shard.loop.deliverer import Deliverer, Recent, nothing_recent
from whisperer.content.message import Answer, RenderRequest
from whisperer.decisions.decision import Candidate, Choice, decision_id
from whisperer.delivery.dispatch import Dispatch, Receipt
from whisperer.feedback.outcome import Reward
from whisperer.ids import DecisionId, TenantId, UserKey
from whisperer.journeys.engagement import DecisionStatus
from whisperer.shard import inspection
from whisperer.shard.decision import candidacy
from whisperer.shard.decision.view import brief
from whisperer.shard.effects import Decide, Deliver, Effect, Settled
from whisperer.shard.machine import Shard
from whisperer.shard.records import Asked
from whisperer.shard.views.decision import UNKNOWN, DecisionBrief, LatestDecision

DECIDE_TIMEOUT_S, RENDER_TIMEOUT_S = 10.0, 20.0
DISPATCH_TIMEOUT_S = 800.0
"""Longer than any send may take (docs/delivery.md): only a bug reaches it."""
LATEST = 12


@dataclass(slots=True, eq=False)
class _Asker:
    """A caller who waits until none of these decisions is open."""

    open: set[DecisionId]
    done: asyncio.Future[None]

    def settle(self, decision: DecisionId) -> None:
        self.open.discard(decision)
        if not self.open and not self.done.done():
            self.done.set_result(None)


class EngagementLoop:
    """Connect a shard to its applications. Use from one event loop.

    ``submit`` journals a record and returns when it is applied; ``recent`` finds users' latest events.
    """

    def __init__(self, shard: Shard, submit: Submit, clock: Callable[[], int], recent: Recent = nothing_recent) -> None:
        self._decisions: Application[Candidate, Choice] = Application(
            "decisions", "Decisions", "decide", list[Choice], DECIDE_TIMEOUT_S, has_socket=True
        )
        content: Application[RenderRequest, Answer] = Application(
            "content", "Content", "render", list[Answer], RENDER_TIMEOUT_S
        )
        delivery: Application[Dispatch, Receipt] = Application(
            "delivery", "Delivery", "dispatch", list[Receipt], DISPATCH_TIMEOUT_S
        )
        self._shard = shard
        self._submit = submit
        self.decider = Decider(shard, self._decisions, submit)
        self.deliverer = Deliverer(shard, content, delivery, submit, clock, recent)
        self._askers: dict[DecisionId, list[_Asker]] = {}
        self._latest: dict[TenantId, deque[DecisionId]] = {}

    def carry_out(self, effect: Effect) -> None:
        """Start what an effect asks for; a `Settled` decision is reported to those who wait for it."""
        match effect:
            case Decide(candidate):
                self.decider.add(candidate)
            case Deliver(tenant, decision, channel):
                self.deliverer.add(tenant, decision, channel)
            case Settled(tenant, decision):
                self._latest.setdefault(tenant, deque(maxlen=LATEST)).appendleft(decision)
                for asker in self._askers.pop(decision, ()):
                    asker.settle(decision)

    def resume(self) -> None:
        """Take up again whatever is open."""
        for tenant in self._shard.tenants.values():
            for _, decision in list(tenant.loop.every_open()):
                for effect in candidacy.drive(tenant, decision):
                    self.carry_out(effect)

    async def ask(
        self, tenant: TenantId, campaign: str, users: list[tuple[UserKey, str]], timeout_s: float
    ) -> list[DecisionBrief]:
        """Make candidates of the named users, and wait at most ``timeout_s`` for the choices.

        Returns each decision as it is then; one that does not exist has the status `unknown`.
        """
        ids = [decision_id(tenant, key, campaign, occurrence) for key, occurrence in users]
        asker = _Asker(set(ids), asyncio.get_running_loop().create_future())
        for decision in asker.open:
            self._askers.setdefault(decision, []).append(asker)
        try:
            await self._submit(Asked(tenant, campaign, users))
            for decision in [d for d in asker.open if not self._is_deciding(tenant, d)]:
                self._forget(decision, asker)
            if asker.open:
                await asyncio.wait([asker.done], timeout=timeout_s)
        finally:
            for decision in list(asker.open):  # not answered in time
                self._forget(decision, asker)
        loop = self._shard.tenant(tenant).loop
        found = zip(ids, map(loop.find, ids), strict=True)
        return [DecisionBrief(id=d, status=UNKNOWN) if place is None else brief(place[1]) for d, place in found]

    def _forget(self, decision: DecisionId, asker: _Asker) -> None:
        """Stop one caller's wait for a decision; others may still wait."""
        others = [one for one in self._askers.pop(decision, ()) if one is not asker]
        if others:
            self._askers[decision] = others
        asker.settle(decision)

    def latest(self, tenant: TenantId) -> list[LatestDecision]:
        """Return a tenant's newest decisions since this incarnation began, newest first."""
        views = (inspection.decision(self._shard, tenant, decision) for decision in self._latest.get(tenant, ()))
        return [
            LatestDecision(
                view.id,
                view.user_key,
                view.campaign,
                view.arm,
                view.propensity,
                view.group,
                view.status,
                view.reason,
                view.at,
            )
            for view in views
            if view is not None
        ]

    def rewards(self, since: dict[TenantId, int], limit: int) -> list[tuple[TenantId, Reward]]:
        """Return the rewards from each tenant's number on, in order, for the learner."""
        found: list[tuple[TenantId, Reward]] = []
        for tenant in self._shard.tenants.values():
            taken = tenant.loop.rewards.since(since.get(tenant.id, 0), limit - len(found))
            found.extend((tenant.id, reward) for reward in taken)
        return found

    def send_again(self) -> None:
        """Take up the sends that a stop, since called off, kept from beginning."""
        self.deliverer.reopen()
        for tenant in self._shard.tenants.values():
            for _, decision in list(tenant.loop.every_open()):
                if decision.status == DecisionStatus.SENDING:
                    for effect in candidacy.drive(tenant, decision):
                        self.carry_out(effect)

    async def close(self, within_s: float) -> None:
        """Close the applications, after at most ``within_s`` for the receipts of what is under way."""
        await self.decider.close()
        await self.deliverer.close(within_s)
        self._decisions.close()

    def _is_deciding(self, tenant: TenantId, decision: DecisionId) -> bool:
        found = self._shard.tenant(tenant).loop.find(decision)
        return found is not None and found[1].status == DecisionStatus.DECIDING

"""Shares a channel's messages among its accounts, and turns to another where one surely did not take a message.

    what an account says                                    what follows
    it has the message, or will not have it                 that is the receipt
    it may have it (unknown, an endpoint's 500)             that is the receipt, and no other account is given it, ever
    trouble with the account, which has nothing of it       the next account, within `FAILOVER_WITHIN_S`
    its breaker is open                                     the next account
    it has had its rate, or no connection is free           the next account that has a weight; else the message waits
    this message is not taken now                           that is the receipt: another attempt, by the schedule

So an account without a weight, which only stands by, is never used for what its channel's others merely have to wait
for. Among those that have one the first follows from the send key (:mod:`whisperer.delivery.choice`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import msgspec

from serve_apps.delivery.account import LEAST_WAIT_S, Carrier, Shut
from serve_apps.delivery.admission import MayLeave
from serve_apps.delivery.attempts import Leave
from serve_apps.delivery.provider import MAX_DETAIL_CHARS, AccountTrouble, DoubtfulTrouble, as_kind, receipt, retry
from whisperer.delivery.addresses import usable_address
from whisperer.delivery.choice import in_order
from whisperer.delivery.dispatch import Dispatch, Receipt, Verdict
from whisperer.delivery.providers import PROVIDERS
from whisperer.vocabulary.channels import CHANNELS

FAILOVER_WITHIN_S = 30.0
"""No further account is turned to later than this after the dispatch came: what was checked then may have changed."""


class Spread:
    """A channel's accounts behind the interface of one provider. Use from one event loop."""

    def __init__(self, carriers: Sequence[Carrier]) -> None:
        self.carriers = list(carriers)
        self._by_name = {carrier.account.name: carrier for carrier in carriers}
        self._accounts = [carrier.account for carrier in carriers]

    def __repr__(self) -> str:
        return f"Spread({', '.join(self._by_name)})"

    async def send(self, dispatch: Dispatch, leave: Leave | None = None) -> Receipt:
        """Make one attempt, at as many accounts as it takes. Without ``leave`` it is noted nowhere."""
        order = self._order(dispatch)
        if not order:
            return receipt(dispatch, Verdict.UNKNOWN, "", detail="the account that may have it is not known any more")
        domain = _domain(dispatch)
        loop = asyncio.get_running_loop()
        until = loop.time() + FAILOVER_WITHIN_S
        troubles: list[Receipt] = []
        waiting: list[Receipt] = []
        for carrier in order:
            if (troubles or waiting) and loop.time() > until:
                break
            if dispatch.looked is not None and not PROVIDERS[carrier.account.provider].searches:
                return not_looked_for(dispatch, carrier.account.name)
            if carrier.account.weight == 0 and any(not isinstance(one, Shut) for one in waiting):
                break  # somebody who is well carries it, in a while
            answer = await carrier.send(dispatch, domain, self._may_leave(carrier, leave))
            if isinstance(answer, AccountTrouble):
                troubles.append(answer)
                continue
            if answer.status in (Verdict.WAITING, Verdict.LATER):
                waiting.append(answer)
                continue
            if troubles or any(isinstance(one, Shut) for one in waiting):
                carrier.count_takeover()
            if isinstance(answer, DoubtfulTrouble) and len(self.carriers) > 1:
                return msgspec.structs.replace(as_kind(Receipt, answer), status=Verdict.UNKNOWN, repeatable=True)
            return _after(answer, troubles) if troubles else answer
        if troubles:
            return _failed(dispatch, troubles)
        return _soonest(waiting)

    def _may_leave(self, carrier: Carrier, leave: Leave | None) -> MayLeave | None:
        """Return how an attempt at an account is noted; not at all, where repeating it there is all that can happen."""
        if leave is None or (len(self.carriers) == 1 and PROVIDERS[carrier.account.provider].takes_keys):
            return None
        return partial(leave, carrier.account.name)

    async def aclose(self) -> None:
        """Let the accounts go."""
        for carrier in self.carriers:
            await carrier.let_go()

    def _order(self, dispatch: Dispatch) -> list[Carrier]:
        """Return whom a message may be given to, in order; nobody, if it may be where it cannot be looked for."""
        if dispatch.may_be_at is None:
            return [self._by_name[account.name] for account in in_order(self._accounts, dispatch.send_key)]
        pinned = self._by_name.get(dispatch.may_be_at)
        if pinned is not None:
            return [pinned]
        return self.carriers if len(self.carriers) == 1 and not dispatch.may_be_at else []


def not_looked_for(dispatch: Dispatch, account: str) -> Receipt:
    """Return the receipt of what is to be looked for where nobody can be asked: it is not sent, and stays unknown."""
    return receipt(dispatch, Verdict.UNKNOWN, account, detail="the channel's provider cannot be asked for a message")


def _domain(dispatch: Dispatch) -> str:
    """Return the domain of an e-mail's recipient, "" for any other channel."""
    if CHANNELS[dispatch.channel].address.kind != "email":
        return ""
    return (usable_address(dispatch.channel, dispatch.address) or "").rpartition("@")[2].lower()


def _after(answer: Receipt, troubles: list[Receipt]) -> Receipt:
    """Add to a receipt which accounts were turned to before."""
    before = "; ".join(f"not {one.provider}: {one.detail}" for one in troubles)
    detail = f"{answer.detail}; {before}" if answer.detail else before
    return msgspec.structs.replace(answer, detail=detail[:MAX_DETAIL_CHARS])


def _soonest(waiting: list[Receipt]) -> Receipt:
    """Return when to ask again: at the first account's turn. It is about the channel only if all of them say so."""
    soonest = min(waiting, key=lambda one: one.retry_after_s or 0.0)
    if any(one.status == Verdict.LATER for one in waiting):
        wait_s = soonest.retry_after_s or LEAST_WAIT_S
        return msgspec.structs.replace(soonest, status=Verdict.LATER, retry_after_s=wait_s)
    return soonest


def _failed(dispatch: Dispatch, troubles: list[Receipt]) -> Receipt:
    if len(troubles) == 1:
        return troubles[0]
    waits = [one.retry_after_s for one in troubles]
    said = "; ".join(f"{one.provider}: {one.detail}" for one in troubles)
    wait_s = None if None in waits else min(wait for wait in waits if wait is not None)
    return retry(dispatch, troubles[-1].provider, said, wait_s)

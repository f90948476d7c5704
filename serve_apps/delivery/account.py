"""Gives one provider account the messages that its breaker and its rates let through.

An account is held by whoever routes to it; its connections are closed once nobody does. `send` answers with what the
provider's adapter says, under the account's name, or with `waiting` if it is not the message's turn, which holds
nothing of the provider's. At most `MAX_INSIDE` messages are in the adapter or wait for a moment of their own: a
provider that hangs holds so many and no more.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import msgspec

from actors.calls.provider_states import AccountState
from serve_apps.delivery.admission import Admitting, MayLeave
from serve_apps.delivery.attempts import Recalled
from serve_apps.delivery.provider import (
    AccountTrouble,
    DoubtfulTrouble,
    SearchAnswer,
    as_kind,
    held,
    receipt,
)
from whisperer.delivery.breaker import Breaker
from whisperer.delivery.dispatch import Dispatch, Receipt, Verdict
from whisperer.delivery.plan import Account
from whisperer.delivery.rates import Pacing

MAX_INSIDE = 128
PATIENCE_MS = 2_000.0
"""A message whose turn comes within this time waits here; any other is asked for again."""
LEAST_WAIT_S = 0.25
SPREAD = 0.5
"""What waits for a breaker is asked for again over this share of the time for which it is open, not all at once."""


class Shut(Receipt, array_like=True, frozen=True):
    """Receipt `waiting` of an account whose breaker lets nothing through."""


class Carrier:
    """One account and all that is remembered of it. Use from one event loop.

    Parameters
    ----------
    share : the part of its rates that this process may use
    clock : ms UTC that never go back
    keep_open : its connections are somebody else's to close
    pause : waits so many seconds
    """

    def __init__(
        self,
        account: Account,
        adapter: Admitting,
        share: float,
        clock: Callable[[], float],
        *,
        keep_open: bool = False,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.account = account
        self._adapter = adapter
        self._share = share
        self._clock = clock
        self._keep_open = keep_open
        self._pause = pause
        self._breaker = Breaker()
        self._pacing = Pacing(account.rates, account.warm_up, share)
        self._n_holders = 1
        self._n_inside = 0
        self._counted: Counter[str] = Counter()
        self._held: Counter[str] = Counter()
        self._searched: Counter[str] = Counter()
        self._last_trouble = ""
        self._n_taken_over = 0

    def __repr__(self) -> str:
        return f"Carrier({self.account.name})"

    def hold(self, account: Account) -> None:
        """Be held once more, for an account that differs in weight, rates and warm-up at most."""
        self._n_holders += 1
        if (account.rates, account.warm_up) != (self.account.rates, self.account.warm_up):
            self._pacing = Pacing(account.rates, account.warm_up, self._share)
        self.account = account

    async def let_go(self) -> None:
        """Be held once less; close connections once nobody holds it."""
        self._n_holders -= 1
        if self._n_holders == 0 and not self._keep_open:
            await self._adapter.aclose()

    async def send(self, dispatch: Dispatch, domain: str, may_leave: MayLeave | None = None) -> Receipt:
        """Make one attempt, if it may be made now or in a moment, and may leave then."""
        if self._n_inside >= MAX_INSIDE:
            self._held["busy"] += 1
            return receipt(dispatch, Verdict.WAITING, self.account.name, detail=f"{MAX_INSIDE} messages are before it")
        self._n_inside += 1
        try:
            return await self._in_turn(dispatch, domain, may_leave)
        finally:
            self._n_inside -= 1

    def count_takeover(self) -> None:
        """Count a message that it carried because another failed or was left alone."""
        self._n_taken_over += 1

    def state(self) -> AccountState:
        """Report on it."""
        now = self._clock()
        return AccountState(
            account=self.account.name,
            provider=self.account.provider,
            breaker=self._breaker.state(now),
            closed_for_ms=round(self._breaker.wait_ms(now)),
            times_opened=self._breaker.n_opened,
            under_way=self._n_inside,
            receipts=dict(self._counted),
            held=dict(self._held),
            searches=dict(self._searched),
            last_trouble=self._last_trouble,
            since=None if self._breaker.since is None else round(self._breaker.since),
            per_second=self._pacing.per_second(now),
            warmed=self._pacing.n_today(now),
            taken_over=self._n_taken_over,
        )

    async def _in_turn(self, dispatch: Dispatch, domain: str, may_leave: MayLeave | None) -> Receipt:
        now = self._clock()
        wait_ms = self._breaker.wait_ms(now)
        if wait_ms > 0:
            return self._shut(dispatch, wait_ms)
        turn = self._pacing.ask(domain, now, PATIENCE_MS)
        if turn.reason:
            self._held[turn.reason] += 1
            status = Verdict.LATER if turn.reason == "domain" else Verdict.WAITING
            return held(dispatch, self.account.name, _WHY[turn.reason], turn.wait_ms / 1000, status=status)
        if turn.wait_ms > 0:
            await self._pause(turn.wait_ms / 1000)
        permit = self._breaker.admit(self._clock())
        if permit is None:
            self._pacing.give_back(domain, self._clock())
            return self._shut(dispatch, self._breaker.wait_ms(self._clock()))
        is_well: bool | None = False
        is_asked = True
        pause_ms = 0.0
        try:
            answer = await self._adapter.send(dispatch, may_leave)
            is_well = _judged(answer)
            # When it is looked for says nothing about when the account may be asked.
            pause_ms = 0.0 if answer.looked is not None else 1000 * (answer.retry_after_s or 0.0)
            is_asked = is_well is not None or isinstance(answer, SearchAnswer)
        finally:
            if not is_asked:
                self._pacing.give_back(domain, self._clock())
            self._breaker.settle(permit, self._clock(), is_well, pause_ms)
        if isinstance(answer, Recalled):
            return answer
        if isinstance(answer, SearchAnswer):
            self._searched[_FINDINGS[answer.status]] += 1
        else:
            self._counted[answer.status] += 1
        if is_well is False:
            self._last_trouble = answer.detail
        if answer.provider and answer.provider != self.account.name:
            return msgspec.structs.replace(answer, provider=self.account.name)
        return answer

    def _shut(self, dispatch: Dispatch, wait_ms: float) -> Receipt:
        self._held["breaker"] += 1
        wait_s = max(LEAST_WAIT_S, wait_ms / 1000)
        wait_s *= 1 + SPREAD * (hash(dispatch.send_key) % 1_000) / 1_000
        return as_kind(
            Shut, held(dispatch, self.account.name, "the provider fails: it is left alone for a while", wait_s)
        )


_FINDINGS = {Verdict.ACCEPTED: "found", Verdict.RETRY: "not_there", Verdict.UNKNOWN: "unclear"}
"""What a look for a message came to, by its receipt."""
_WHY = {
    "rate": "the account has had its rate",
    "domain": "the recipient's domain has had its rate",
    "warm_up": "the sending domain warms up: it has had its part of the day",
}


def steady(clock: Callable[[], int]) -> Callable[[], float]:
    """Return a clock that agrees with ``clock`` now, and goes on whatever is done to the machine's."""
    began_ms, began = clock(), time.monotonic()
    return lambda: began_ms + 1000 * (time.monotonic() - began)


def _judged(answer: Receipt) -> bool | None:
    """Return whether an answer speaks for the account, against it, or (None) says nothing about it."""
    if isinstance(answer, Recalled | SearchAnswer) or answer.status in (
        Verdict.WAITING,
        Verdict.LATER,
        Verdict.REFUSED,
    ):
        return None
    return answer.status != Verdict.UNKNOWN and not isinstance(answer, AccountTrouble | DoubtfulTrouble)

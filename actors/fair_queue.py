"""Decide whose turn it is: tenants take turns, however much each of them asks for.

Guarantees: at most ``at_once`` turns are granted, at most ``tenant_at_once`` of them to one tenant; each other tenant
passes a waiting tenant at most once before its next turn. What exceeds a bound is refused at once, never set aside.
Leaves to others what a turn is used for. Has no clock and no loop of its own.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque

from whisperer.errors import OverloadError, TooManyError
from whisperer.ids import TenantId

RETRY_AFTER_S = 5.0


class Turn:
    """A place in the queue. Always :meth:`leave` it; leaving twice changes nothing."""

    def __init__(self, queue: FairQueue, tenant: TenantId) -> None:
        self.tenant = tenant
        self._queue = queue
        self._granted = asyncio.Event()

    @property
    def is_granted(self) -> bool:
        return self._granted.is_set()

    async def granted(self) -> None:
        """Wait until the turn is granted."""
        await self._granted.wait()

    def leave(self) -> None:
        """Give the place up, whether granted or still waiting."""
        self._queue._leave(self)


class FairQueue:
    """Grant turns to tenants.

    Parameters
    ----------
    at_once, tenant_at_once : turns granted, in total and to one tenant
    open_, tenant_open : turns granted or waited for, in total and by one tenant
    what, code : names what the turns are for, in refusals, and the code of a tenant's own excess
    """

    def __init__(
        self,
        at_once: int,
        tenant_at_once: int,
        open_: int,
        tenant_open: int,
        *,
        what: str = "jobs of this kind",
        code: str = "too_many_jobs",
    ) -> None:
        self._what, self._code = what, code
        self._at_once, self._tenant_at_once = at_once, tenant_at_once
        self._most_open, self._tenant_open = open_, tenant_open
        self._waiting: OrderedDict[TenantId, deque[Turn]] = OrderedDict()
        """In the order in which tenants are served next; no queue is empty."""
        self._granted: set[Turn] = set()
        self._granted_of: Counter[TenantId] = Counter()
        self._open: Counter[TenantId] = Counter()

    @property
    def n_granted(self) -> int:
        return len(self._granted)

    @property
    def n_waiting(self) -> int:
        return self._open.total() - len(self._granted)

    def join(self, tenant: TenantId) -> Turn:
        """Return a turn, granted at once if possible. Raises TooManyError (429) and OverloadError (503)."""
        if self._open[tenant] >= self._tenant_open:
            raise TooManyError(
                f"{self._tenant_open} {self._what} are open for you already: ask again when one of them is done",
                code=self._code,
                retry_after_s=RETRY_AFTER_S,
            )
        if self._open.total() >= self._most_open:
            raise OverloadError(
                f"{self._most_open} {self._what} are open already, of all tenants: ask again later",
                retry_after_s=RETRY_AFTER_S,
            )
        turn = Turn(self, tenant)
        self._open[tenant] += 1
        self._waiting.setdefault(tenant, deque()).append(turn)
        self._grant()
        return turn

    def _leave(self, turn: Turn) -> None:
        tenant = turn.tenant
        waiting = self._waiting.get(tenant, ())
        if turn in self._granted:
            self._granted.discard(turn)
            _less(self._granted_of, tenant)
        elif turn in waiting:
            self._waiting[tenant].remove(turn)
            if not self._waiting[tenant]:
                del self._waiting[tenant]
        else:
            return
        _less(self._open, tenant)
        self._grant()

    def _grant(self) -> None:
        while len(self._granted) < self._at_once:
            tenant = next((t for t in self._waiting if self._granted_of[t] < self._tenant_at_once), None)
            if tenant is None:
                return
            turn = self._waiting[tenant].popleft()
            self._waiting.move_to_end(tenant)
            if not self._waiting[tenant]:
                del self._waiting[tenant]
            self._granted.add(turn)
            self._granted_of[tenant] += 1
            turn._granted.set()


def _less(counts: Counter[TenantId], tenant: TenantId) -> None:
    counts[tenant] -= 1
    if not counts[tenant]:
        del counts[tenant]

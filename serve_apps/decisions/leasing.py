"""Leases parts of campaigns' budgets for a replica: requests them before batches that may need them, and reports
spending.

A batch waits at most :data:`WAIT_S` for an answer and is then decided with what is left here; while the learner is
away, or has nothing to give, no batch waits. Batches of campaigns without a budget never wait. Leaves to others: what
is granted (:mod:`actors.learner.budgets`), and spending it (:mod:`whisperer.decisions.purse`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from whisperer.decisions.budget import Lease
from whisperer.decisions.decision import Candidate
from whisperer.decisions.purse import Wallet
from whisperer.errors import UnavailableError
from whisperer.ids import new_id

EVERY_S = 2.0
"""Interval between reports of spending; prices come with the answers."""
WAIT_S = 0.25
PAUSE_S = 1.0
"""Pause after an insufficient answer, or none: until it ends batches are decided with what is here."""

Lend = Callable[[str, bytes], Awaitable[bytes]]
"""The learner's ``lease``. Raises UnavailableError while it is away."""

_log = logging.getLogger(__name__)
_decode = msgspec.msgpack.Decoder(list[Lease]).decode
_encode = msgspec.msgpack.Encoder().encode


async def nobody(_holder: str, _asks: bytes) -> bytes:
    """Lend nothing: stands in where there is no learner. Raises UnavailableError."""
    raise UnavailableError("nobody lends here", retry_after_s=1.0)


class Leasing:
    """A replica's leases. Use from one event loop. ``clock``: seconds, monotonic."""

    def __init__(self, lend: Lend, clock: Callable[[], float] = time.monotonic) -> None:
        self.wallet = Wallet()
        self.holder = new_id("pur")
        """No earlier process had it, so what was granted to a dead process is never handed to another."""
        self._lend = lend
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._rounds: set[asyncio.Task[None]] = set()
        self._ask_again_at = -float("inf")

    async def ready(self, candidates: Sequence[Candidate]) -> None:
        """Make sure that purses hold what a batch may cost, if that can be had soon."""
        if not self.wallet.need(candidates) or self._clock() < self._ask_again_at:
            return
        round_ = asyncio.ensure_future(self._top_up(candidates))
        self._rounds.add(round_)
        round_.add_done_callback(self._rounds.discard)
        await asyncio.wait({round_}, timeout=WAIT_S)  # a slower round continues: its answer is as useful later

    async def round(self, candidates: Sequence[Candidate] = ()) -> None:
        """Request leases and report spending once. Raises UnavailableError, and any error of the learner's."""
        async with self._one_at_a_time:
            self.wallet.need(candidates)  # again, because the previous round cleared the needs noted before it
            asks = self.wallet.asks()
            if asks:
                self.wallet.take(asks, _decode(await self._lend(self.holder, _encode(asks))))

    async def forever(self) -> None:
        while True:
            await self._try()
            await asyncio.sleep(EVERY_S)

    async def _top_up(self, candidates: Sequence[Candidate]) -> None:
        await self._try(candidates)
        if self.wallet.need(candidates):
            self._ask_again_at = self._clock() + PAUSE_S

    async def _try(self, candidates: Sequence[Candidate] = ()) -> None:
        try:
            await self.round(candidates)
        except UnavailableError:
            pass
        except Exception:
            _log.exception("the learner could not be asked for money; trying again")

"""Grant the money of campaigns' budgets, in the learner: a grant is durable before anybody learns of it.

Guarantees: killed at any moment, no money is granted twice: what was reported to a replica is in the blob, and what is
in the blob and was reported to nobody stays unspent until the replica asks again. Grants that wait together are stored
together. A store that fails grants nothing. Leaves to others: how much (:mod:`whisperer.decisions.allotment`), and
spending it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec

from actors.files.blobs import BlobFolder, seal, unseal
from whisperer.decisions.allotment import Allotments, BudgetWindow
from whisperer.decisions.budget import Ask, Lease

BLOB = "budgets"

_decode = msgspec.msgpack.Decoder(list[Ask]).decode
_encode = msgspec.msgpack.Encoder().encode


class Treasury:
    """Grant money from budgets. Use from one event loop.

    Parameters
    ----------
    folder : where the one blob lives
    clock : ms UTC
    """

    def __init__(self, folder: BlobFolder, clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._folder = folder
        self._clock = clock
        self._storing = asyncio.Lock()
        self._stored = 0
        try:
            self._allotments = Allotments(unseal(folder.get(BLOB)))
        except FileNotFoundError:
            self._allotments = Allotments()

    async def lease(self, holder: str, asks: bytes) -> bytes:
        """Answer a list[Ask] with a list[Lease], both in msgpack. Raises OSError where grants cannot be stored."""
        leases: list[Lease] = self._allotments.answer(holder, _decode(asks), self._clock())
        granted = self._allotments.revision
        async with self._storing:
            if self._stored < granted:
                revision, blob = self._allotments.revision, seal(self._allotments.encoded())
                await asyncio.to_thread(self._folder.put, BLOB, blob)
                self._stored = revision
        return _encode(leases)

    def status(self) -> list[BudgetWindow]:
        """See :meth:`Allotments.status`."""
        return self._allotments.status()

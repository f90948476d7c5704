"""The money of campaigns' budgets, in the learner: grants that are durable before anybody hears of them.

Guarantees: killed at any moment, no money is granted twice: what a replica was told is in the blob, and what is in the
blob and nobody was told stays unspent until the replica asks again. Grants that wait together are stored together. A
store that fails grants nothing. Leaves to others: how much (:mod:`whisperer.decisions.allotment`), and spending it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec

from actors.blobs import BlobFolder, seal, unseal
from whisperer.decisions.allotment import Allotments
from whisperer.decisions.budget import Ask, Lease

BLOB = "budgets"

_decode = msgspec.msgpack.Decoder(list[Ask]).decode
_encode = msgspec.msgpack.Encoder().encode


class Treasury:
    """Use from one event loop.

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
        """msgpack of list[Ask] -> msgpack of list[Lease]. Raises OSError where grants cannot be stored."""
        leases: list[Lease] = self._allotments.answer(holder, _decode(asks), self._clock())
        granted = self._allotments.revision
        async with self._storing:
            if self._stored < granted:
                revision, blob = self._allotments.revision, seal(self._allotments.encoded())
                await asyncio.to_thread(self._folder.put, BLOB, blob)
                self._stored = revision
        return _encode(leases)

    def status(self, tenant: str | None = None, campaign: str | None = None) -> list[dict[str, Any]]:
        """See :meth:`Allotments.status`; of one campaign where one is named."""
        named = {"tenant": tenant, "campaign": campaign}
        wanted = {name: value for name, value in named.items() if value is not None}
        return [one for one in self._allotments.status() if wanted.items() <= one.items()]

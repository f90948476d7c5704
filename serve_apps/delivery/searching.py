"""Looks for messages whose attempt's outcome is unknown, at providers that can be asked.

An unknown attempt comes back to the shard with how far its search has come; the shard keeps that, waits, and hands the
message in again to be looked for (`Dispatch.looked`). So a search outlives whatever is killed, and holds nothing in
between. What is handed in to be looked for is never sent here:

    what the look comes to                         receipt
    exactly one message can be the one             accepted, with its id
    surely none (:mod:`whisperer.delivery.search`) retry, which `settles` what was unknown
    anything else                                  unknown: looked for again, or left as it is after the last look

At most `MAX_LOOKS` looks are under way, over connections of their own: a search that hangs takes nothing from sends.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable

import msgspec

from actors.telemetry.logs import Seldom
from serve_apps.delivery.admission import Admitting, MayLeave
from serve_apps.delivery.attempts import Recalled
from serve_apps.delivery.provider import Finder, SearchAnswer, as_kind, held, receipt
from whisperer.delivery.dispatch import Dispatch, Looked, Receipt, Verdict
from whisperer.delivery.search import CannotSay, Finding, Found, after, is_gone, wait_s

MAX_LOOKS = 2
LOOK_S = 60.0
"""Longest look, all its pages together."""
LEAST_TURN_S = 0.1
USUAL_LOOK_S = 1.0
"""Taken to be how long a look lasts while none has ended."""

_seldom = Seldom(logging.getLogger(__name__))


class Searching:
    """A provider that can be asked for a message. Use from one event loop; ``clock`` gives ms UTC."""

    def __init__(
        self, provider: Admitting, finder: Finder, name: str, clock: Callable[[], int], *, look_s: float = LOOK_S
    ) -> None:
        self._provider = provider
        self._finder = finder
        self._name = name
        self._clock = clock
        self._look_s = look_s
        self._where = hashlib.blake2b(finder.where.encode(), digest_size=8, person=b"search").hexdigest()
        self._n_looking = 0
        self._took_s = USUAL_LOOK_S
        """How long the latest look took."""
        self._last_turn = 0.0
        """When the last of those that wait has its turn, on the event loop's clock."""

    def __repr__(self) -> str:
        return f"Searching({self._provider!r})"

    async def send(self, dispatch: Dispatch, may_leave: MayLeave | None = None) -> Receipt:
        if dispatch.looked is not None:
            return await self._look(dispatch, dispatch.looked)
        answer = await self._provider.send(dispatch, may_leave)
        if answer.status != Verdict.UNKNOWN or answer.looked is not None:  # the latter was noted with its receipt
            return answer
        # What a process that is gone had under way may have gone to the account as it was configured then.
        looked = Looked(self._clock(), self._where, only_finds=isinstance(answer, Recalled))
        return msgspec.structs.replace(answer, looked=looked, retry_after_s=wait_s(looked))

    async def aclose(self) -> None:
        await self._provider.aclose()

    async def _look(self, dispatch: Dispatch, looked: Looked) -> Receipt:
        if looked.where != self._where:
            return self._unclear(dispatch, "the channel has another account than the one that may have it")
        if self._n_looking >= MAX_LOOKS:
            return held(dispatch, self._name, "others are looked for", self._turn_s(), status=Verdict.LATER)
        began = asyncio.get_running_loop().time()
        self._n_looking += 1
        try:
            finding = await self._found(dispatch)
        finally:
            self._n_looking -= 1
            self._took_s = asyncio.get_running_loop().time() - began
        now = self._clock()
        if isinstance(finding, Found):
            found = receipt(dispatch, Verdict.ACCEPTED, self._name, provider_id=finding.provider_id)
            return as_kind(SearchAnswer, found)
        looked = after(looked, finding, now)
        if is_gone(looked, now):
            gone = receipt(dispatch, Verdict.RETRY, self._name, detail="looked for: the provider does not have it")
            return as_kind(SearchAnswer, msgspec.structs.replace(gone, settles=True))
        why = finding.why if isinstance(finding, CannotSay) else "not there, or not there yet"
        next_s = wait_s(looked, finding.retry_after_s if isinstance(finding, CannotSay) else None)
        answer = self._unclear(dispatch, why)
        return answer if next_s is None else msgspec.structs.replace(answer, looked=looked, retry_after_s=next_s)

    def _turn_s(self) -> float:
        """Return when a look that finds no place has its turn: each has one of its own, as asking renders the
        message."""
        now = asyncio.get_running_loop().time()
        self._last_turn = max(self._last_turn, now) + max(self._took_s / MAX_LOOKS, LEAST_TURN_S)
        return self._last_turn - now

    async def _found(self, dispatch: Dispatch) -> Finding:
        try:
            async with asyncio.timeout(self._look_s):
                return await self._finder.find(dispatch)
        except TimeoutError:
            return CannotSay(f"no whole answer within {self._look_s:g} s")
        except Exception as error:
            # Only the type: a message or traceback may quote the configuration, which holds secrets.
            _seldom.log(logging.ERROR, "find", "a search at %s failed: %s", self._name, type(error).__name__)
            return CannotSay("the search failed; the delivery application's log says why")

    def _unclear(self, dispatch: Dispatch, why: str) -> Receipt:
        return as_kind(SearchAnswer, receipt(dispatch, Verdict.UNKNOWN, self._name, detail=f"looked for: {why}"))

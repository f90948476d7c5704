"""Turns dispatches into receipts, each as soon as it is known, whatever their providers do.

Guarantees: one receipt per dispatch; a dispatch that fails, hangs or is misconfigured affects no other; an attempt once
begun runs to its end even if its caller is gone, and is begun only once: whoever asks for it again, while it is under
way or after it was answered, gets the same receipt. So a lost answer costs nothing. That memory covers the newest
`REMEMBERED` attempts; those at providers that take no send keys are noted on disk besides
(:mod:`serve_apps.delivery.attempts`), so that they are begun once by all processes together, whichever is killed.

What goes wrong on our side before a provider received anything is `retry`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import msgspec

from serve_apps.delivery.attempts import Attempt, Attempts, Leave, attempt_of
from serve_apps.delivery.provider import no_address, receipt, retry
from serve_apps.delivery.routing import Routing
from whisperer.delivery.addresses import usable_address
from whisperer.delivery.channels import is_repeatable
from whisperer.delivery.dispatch import Dispatch, Receipt, Verdict

MAX_SEND_S = 765.0
"""More than a provider's own limits add up to, and the time in which another may be turned to: only a bug reaches
it."""
ROUTE_S = 15.0
"""Longest wait for the control plane to say which provider serves a channel."""
TOGETHER_S = 0.005
"""Receipts that arrive this close together are sent together."""
REMEMBERED = 20_000
"""About 10 MB."""

_decode = msgspec.msgpack.Decoder(list[Dispatch]).decode
_encode = msgspec.msgpack.Encoder().encode

_log = logging.getLogger(__name__)


class Deliveries:
    """Attempts under way and their receipts. Use from one event loop."""

    def __init__(self, routing: Routing, attempts: Attempts, *, max_send_s: float = MAX_SEND_S) -> None:
        self._routing = routing
        self._attempts = attempts
        self._max_send_s = max_send_s
        self._under_way: dict[Attempt, asyncio.Task[Receipt]] = {}
        self._answered: OrderedDict[Attempt, Receipt] = OrderedDict()
        self._noting: set[asyncio.Task[None]] = set()
        """Receipts on their way to the disk. Nobody waits for them: without its note, an attempt is unknown to a
        successor, which is no second message."""

    async def dispatch_encoded(self, batch: bytes) -> AsyncIterator[bytes]:
        """Do the same as :meth:`dispatch`, from and to msgpack. It is here because Serve pickles an application's class
        with everything it names."""
        async for receipts in self.dispatch(_decode(batch)):
            yield _encode(receipts)

    async def dispatch(self, dispatches: list[Dispatch]) -> AsyncIterator[list[Receipt]]:
        """Yield receipts in the order in which they become known."""
        known: asyncio.Queue[Receipt] = asyncio.Queue()
        for dispatch in dispatches:
            self._begin(dispatch).add_done_callback(lambda task: known.put_nowait(task.result()))
        n_left = len(dispatches)
        while n_left:
            receipts = [await known.get()]
            if n_left > 1:
                await asyncio.sleep(TOGETHER_S)
            while not known.empty():
                receipts.append(known.get_nowait())
            n_left -= len(receipts)
            yield receipts

    def _begin(self, dispatch: Dispatch) -> asyncio.Task[Receipt]:
        """Return the attempt's task, which may have begun earlier. It does not belong to the caller and is not
        cancelled with them."""
        attempt = attempt_of(dispatch)
        task = self._under_way.get(attempt)
        if task is None:
            task = self._under_way[attempt] = asyncio.ensure_future(self._send(dispatch, attempt))
        return task

    async def _send(self, dispatch: Dispatch, attempt: Attempt) -> Receipt:
        try:
            answer = self._answered.get(attempt)
            if answer is None:
                leave = Leave(self._attempts, dispatch)
                answer = await self._ask(dispatch, leave)
                if leave.needs_end:
                    self._noting.add(ending := asyncio.ensure_future(leave.end(answer)))
                    ending.add_done_callback(self._noting.discard)
            begun = answer.status not in (Verdict.WAITING, Verdict.LATER)
            if begun and answer.kept is None:  # nothing left us yet: asking again is free
                self._answered[attempt] = answer
                if len(self._answered) > REMEMBERED:
                    self._answered.popitem(last=False)
            return answer
        finally:
            del self._under_way[attempt]

    async def _ask(self, dispatch: Dispatch, leave: Leave) -> Receipt:
        if usable_address(dispatch.channel, dispatch.address) is None:
            return no_address(dispatch, "")
        is_handed_over = False
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(ROUTE_S):
                    routed = self._routing.provider(dispatch.tenant, dispatch.channel)
                    provider = await stack.enter_async_context(routed)
                is_handed_over = True
                async with asyncio.timeout(self._max_send_s):
                    answer = await provider.send(dispatch, leave)
                if answer.send_key != dispatch.send_key:
                    raise RuntimeError("a provider answered another dispatch than it was given")
                return answer
        except TimeoutError:
            _log.error("channel %s of tenant %s did not answer in time", dispatch.channel, dispatch.tenant)
            if is_handed_over:
                answer = receipt(dispatch, Verdict.UNKNOWN, "", detail="the provider's adapter did not end in time")
                return msgspec.structs.replace(answer, repeatable=is_repeatable(dispatch.channel))
        except Exception as error:
            # Only the type: a message or traceback may quote the configuration, which holds secrets.
            name = type(error).__name__
            _log.error("channel %s of tenant %s failed: %s", dispatch.channel, dispatch.tenant, name)
        return retry(
            dispatch, dispatch.may_be_at or "", "the delivery application could not hand it over; its log says why"
        )

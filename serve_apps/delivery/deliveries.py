"""A batch of dispatches becomes a batch of receipts, whatever its providers do.

Guarantees: one receipt a dispatch, in the same order; tenants and channels of a batch are served at the same time; one
that fails, hangs or is misconfigured fails for itself alone. What went wrong on our side is `retry`: nothing is known
to have been sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict

import msgspec

from serve_apps.delivery.provider import Provider, no_address, retry
from serve_apps.delivery.routing import Routing
from whisperer.delivery.addresses import usable_address
from whisperer.delivery.dispatch import Dispatch, Receipt

MAX_SEND_S = 90.0
"""Over the longest timeout that a provider sets for itself: reached by a bug only."""

_decode = msgspec.msgpack.Decoder(list[Dispatch]).decode
_encode = msgspec.msgpack.Encoder().encode

_log = logging.getLogger(__name__)


class Deliveries:
    def __init__(self, routing: Routing, *, max_send_s: float = MAX_SEND_S) -> None:
        self._routing = routing
        self._max_send_s = max_send_s

    async def dispatch_encoded(self, batch: bytes) -> bytes:
        """The same from and to msgpack. Here, because Serve pickles an application's class with all it names."""
        return _encode(await self.dispatch(_decode(batch)))

    async def dispatch(self, dispatches: list[Dispatch]) -> list[Receipt]:
        groups: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        receipts: list[Receipt] = [_unanswered(dispatch) for dispatch in dispatches]
        for index, dispatch in enumerate(dispatches):
            if usable_address(dispatch.channel, dispatch.address) is None:
                receipts[index] = no_address(dispatch, "")
            else:
                groups[dispatch.tenant, dispatch.channel].append(index)

        async def send(key: tuple[str, str], indices: list[int]) -> None:
            answers = await self._send(*key, [dispatches[index] for index in indices])
            for index, answer in zip(indices, answers, strict=True):
                receipts[index] = answer

        await asyncio.gather(*(send(key, indices) for key, indices in groups.items()))
        return receipts

    async def _send(self, tenant: str, channel: str, dispatches: list[Dispatch]) -> list[Receipt]:
        try:
            async with asyncio.timeout(self._max_send_s), self._routing.provider(tenant, channel) as provider:
                return await _send_all(provider, dispatches)
        except TimeoutError:
            _log.error("channel %s of tenant %s did not answer within %g s", channel, tenant, self._max_send_s)
        except Exception as error:
            # The type alone: a message or a traceback may quote the configuration, which holds secrets.
            _log.error("channel %s of tenant %s failed: %s", channel, tenant, type(error).__name__)
        return [_unanswered(dispatch) for dispatch in dispatches]


async def _send_all(provider: Provider, dispatches: list[Dispatch]) -> list[Receipt]:
    answers = await provider.send(dispatches)
    if [answer.send_key for answer in answers] != [dispatch.send_key for dispatch in dispatches]:
        raise RuntimeError("a provider answered other dispatches than it was given")
    return answers


def _unanswered(dispatch: Dispatch) -> Receipt:
    return retry(dispatch, "", "the delivery application could not hand it over; its log says why")

"""Sends the messages of decisions: prepare, render, a last look, dispatch, confirm.

Each (tenant, channel) has a lane of its own, so that a dead provider holds up nobody else. What a crash interrupts is
prepared anew from the shard's state and dispatched under the same send key; a decision whose receipt is journaled is
never dispatched again. The one window that remains lies between a provider's acceptance and the journaled receipt, and
only for providers that take no idempotency key.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from actors.applications import Application
from actors.company import Company
from actors.deciding import FIRST_PAUSE_S, LONGEST_PAUSE_S, Submit
from whisperer.content.message import NotRendered, Rendered, RenderRequest
from whisperer.delivery.dispatch import BOUNCED, REFUSED, Dispatch, Receipt
from whisperer.eligibility.suppression import address_hash
from whisperer.errors import OverloadError, UnavailableError
from whisperer.journeys.engagement import Decision
from whisperer.shard import sending
from whisperer.shard.machine import Shard
from whisperer.shard.records import Receipts

MAX_BATCH = 64
MAX_BATCHES = 4
"""Of one lane, under way at a time."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Lane:
    tenant: str
    company: Company
    waiting: deque[str] = field(default_factory=deque)
    n_batches: int = 0


class Deliverer:
    """Use from one event loop."""

    def __init__(
        self,
        shard: Shard,
        content: Application[RenderRequest, Rendered | NotRendered],
        delivery: Application[Dispatch, Receipt],
        submit: Submit,
        clock: Callable[[], int],
    ) -> None:
        self._shard = shard
        self._content = content
        self._delivery = delivery
        self._submit = submit
        self._clock = clock
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._partitions: dict[str, tuple[str, int]] = {}
        """Decision waiting or under way -> (tenant, partition)."""
        self._under_way: set[str] = set()
        self._stopped: set[tuple[str, int]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._quiet = asyncio.Event()
        """An attempt has ended."""

    @property
    def n_waiting(self) -> int:
        return len(self._partitions)

    def add(self, tenant: str, decision_id: str, channel: str) -> None:
        """Have a decision's message sent; one that is waiting or under way already is not taken twice."""
        found = self._shard.tenant(tenant).loop.find(decision_id)
        if found is None or decision_id in self._partitions:
            return
        place = tenant, int(self._shard.tenant(tenant).people.table["partition"][found[0]])
        if place in self._stopped or self._closing:
            return  # driven again where the partition goes, or at the next start
        self._partitions[decision_id] = place
        lane = self._lanes.get((tenant, channel))
        if lane is None:
            lane = self._lanes[tenant, channel] = _Lane(tenant, Company(lambda: self._start(lane)))
        lane.waiting.append(decision_id)
        if lane.n_batches < MAX_BATCHES:
            asyncio.get_running_loop().call_soon(self._start, lane)

    async def stop(self, tenant: str, partition: int) -> None:
        """Send nothing more of a partition, and wait until what is under way has its receipt."""
        self._stopped.add((tenant, partition))
        while any(self._partitions.get(d) == (tenant, partition) for d in self._under_way):
            self._quiet.clear()
            await self._quiet.wait()

    def resume(self, tenant: str, partition: int) -> None:
        """The partition is here (again)."""
        self._stopped.discard((tenant, partition))

    async def close(self, timeout_s: float) -> None:
        """Begin nothing more; give what is under way a little time to get its receipt."""
        self._closing = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, lane: _Lane) -> None:
        while lane.waiting and lane.n_batches < MAX_BATCHES and not self._closing:
            if not lane.company.may_go(lane.n_batches, len(lane.waiting) >= MAX_BATCH):
                return
            batch = [lane.waiting.popleft() for _ in range(min(MAX_BATCH, len(lane.waiting)))]
            lane.n_batches += 1
            task = asyncio.ensure_future(self._deliver(lane, batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, lane: _Lane, batch: list[str]) -> None:
        pause_s = FIRST_PAUSE_S
        left = batch
        try:
            while left := self._staying(left):
                try:
                    await self._attempt(lane.tenant, left)
                    return
                except (UnavailableError, OverloadError):
                    pass
                except Exception:
                    _log.exception("%d messages of %s could not be sent; trying again", len(left), lane.tenant)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        finally:
            for decision in left:
                del self._partitions[decision]
            lane.n_batches -= 1
            self._start(lane)

    def _staying(self, batch: list[str]) -> list[str]:
        """Those still to be sent from here. The others are let go: they are driven again, maybe here, maybe soon."""
        staying = []
        for decision in batch:
            if self._closing or self._partitions[decision] in self._stopped:
                del self._partitions[decision]
            else:
                staying.append(decision)
        return staying

    async def _attempt(self, tenant_id: str, batch: list[str]) -> None:
        """One attempt at every message of a batch. Raises UnavailableError and OverloadError: nothing was confirmed."""
        self._under_way.update(batch)
        try:
            receipts: list[tuple[str, Receipt]] = []
            requests = self._prepare(tenant_id, batch, receipts)
            rendered = await self._content.call([request for _, request in requests]) if requests else []
            dispatches = self._last_look(tenant_id, requests, rendered, receipts)
            if dispatches:
                answered = await self._delivery.call([dispatch for _, dispatch in dispatches])
                receipts.extend(
                    (decision, _completed(dispatch, receipt))
                    for (decision, dispatch), receipt in zip(dispatches, answered, strict=True)
                )
            if receipts:
                await self._confirm(tenant_id, receipts)
        finally:
            self._under_way.difference_update(batch)
            self._quiet.set()

    def _prepare(
        self, tenant_id: str, batch: list[str], receipts: list[tuple[str, Receipt]]
    ) -> list[tuple[str, RenderRequest]]:
        tenant, now = self._shard.tenant(tenant_id), self._clock()
        requests = []
        for decision in batch:
            prepared = sending.prepare(tenant, decision, now)
            if isinstance(prepared, Receipt):
                receipts.append((decision, prepared))
            elif prepared is not None:
                requests.append((decision, prepared))
        return requests

    def _last_look(
        self,
        tenant_id: str,
        requests: list[tuple[str, RenderRequest]],
        rendered: list[Rendered | NotRendered],
        receipts: list[tuple[str, Receipt]],
    ) -> list[tuple[str, Dispatch]]:
        """What may go out, as of this moment."""
        tenant, now = self._shard.tenant(tenant_id), self._clock()
        dispatches = []
        for (decision, request), message in zip(requests, rendered, strict=True):
            if isinstance(message, NotRendered):
                _log.info("%s: %s", decision, message.detail)
                receipts.append((decision, Receipt(request.send_key, REFUSED, detail=message.reason)))
                continue
            refusal = sending.last_look(tenant, decision, now)
            if refusal is not None:
                receipts.append((decision, refusal))
                continue
            found = tenant.loop.find(decision)
            assert found is not None, "the last look found it"
            dispatches.append((decision, _dispatch(request, message, found[1])))
        return dispatches

    async def _confirm(self, tenant_id: str, receipts: list[tuple[str, Receipt]]) -> None:
        """Journal receipts, however long that takes: what a provider accepted must not be forgotten."""
        while True:
            try:
                await self._submit(Receipts(tenant_id, receipts))
                return
            except OverloadError:
                await asyncio.sleep(FIRST_PAUSE_S)


def _completed(dispatch: Dispatch, receipt: Receipt) -> Receipt:
    """What bounced is the address that was used, whatever the profile says by then."""
    if receipt.status != BOUNCED:
        return receipt
    used = address_hash(dispatch.channel, dispatch.address)
    return msgspec.structs.replace(receipt, address_hash=used)


def _dispatch(request: RenderRequest, message: Rendered, decision: Decision) -> Dispatch:
    return Dispatch(
        send_key=request.send_key,
        decision_id=request.decision_id,
        tenant=request.tenant,
        user_key=request.user_key,
        campaign=request.campaign,
        channel=request.channel,
        address=request.address,
        parts=message.parts,
        headers=message.headers,
        locale=message.locale,
        content_hash=message.content_hash,
        attempt=decision.send.attempts if decision.send else 0,
        decided_at=decision.chosen_at,
    )

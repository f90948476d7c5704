"""Send the messages of decisions: prepare, render, check a last time, dispatch, confirm.

Each (tenant, channel) has a lane of its own, so that a dead provider holds up nobody else. A message that finds no free
connection to its provider comes back and waits here, so that its last check is never older than the wait for a
connection. One whose turn is later, by a rate or a breaker, waits here, too, and holds up no other; what was held as
long as the channel's whole schedule lasts is refused as expired. Receipts are journaled as they come: a slow message
holds up no other's. What a crash interrupts is prepared anew from the shard's state and sent again under the same send
key, which the delivery application joins to a send that is still under way; a decision whose receipt is journaled is
never dispatched again, and an attempt that a killed delivery application had begun is not begun anew.

A planned stop begins nothing more and waits for what is under way, up to a bound; what has no answer by then is
journaled as unknown, and never sent again where that could make a second message.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

import msgspec

from actors.calls.applications import Application
from actors.calls.retry import Pauses, retry
from actors.shard.loop.decider import PAUSES, Submit
from actors.shard.loop.lane import MAX_BATCH, Lane, Unsent
from whisperer.content.message import Answer, NotRendered, Rendered, RenderRequest, Wanting
from whisperer.content.recent import RecentEvent
from whisperer.delivery.channels import is_repeatable
from whisperer.delivery.dispatch import Dispatch, Receipt, Verdict
from whisperer.delivery.schedule import longest_wait_ms
from whisperer.delivery.senders import Sender
from whisperer.eligibility.suppression import address_hash
from whisperer.errors import OverloadError, UnavailableError
from whisperer.ids import DecisionId, Partition, TenantId
from whisperer.journeys.engagement import Decision
from whisperer.shard.decision import sending
from whisperer.shard.machine import Shard
from whisperer.shard.records import Receipts
from whisperer.shard.state.shard import Place
from whisperer.vocabulary.reasons import Reason

MAX_BATCHES = 16
"""Per lane, under way at a time. A batch lasts as long as its slowest message, and a channel has at most this many
connections: all of them have to hang before a lane is held up.
"""

MAX_KNOWN_TEMPLATES = 10_000

Recent = Callable[[TenantId, int], list[RecentEvent]]
"""Returns the latest events of a user, given by row."""


def nothing_recent(tenant: TenantId, row: int) -> list[RecentEvent]:
    """Return that nothing is known of a user's latest events."""
    return []


_log = logging.getLogger(__name__)


class Deliverer:
    """Send the messages that decisions ask for. Use from one event loop."""

    def __init__(
        self,
        shard: Shard,
        content: Application[RenderRequest, Answer],
        delivery: Application[Dispatch, Receipt],
        submit: Submit,
        clock: Callable[[], int],
        recent: Recent = nothing_recent,
    ) -> None:
        self._shard = shard
        self._content = content
        self._delivery = delivery
        self._submit = submit
        self._clock = clock
        self._recent = recent
        self._showing_recent: set[tuple[TenantId, str, int]] = set()
        """Templates that show users' latest events, as far as is known: their messages are asked for with them."""
        self._lanes: dict[tuple[TenantId, str], Lane] = {}
        self._partitions: dict[DecisionId, Place] = {}
        """Decision, waiting or under way -> (tenant, partition)."""
        self._dispatched: dict[DecisionId, Dispatch] = {}
        """Decisions that a provider may have, and whose receipt is not journaled."""
        self._held_since: dict[DecisionId, int] = {}
        """Decision -> ms UTC since when its attempt is held."""
        self._stopped: set[Place] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._quiet = asyncio.Event()
        """Set when an attempt has ended."""

    @property
    def n_waiting(self) -> int:
        """Messages that are waiting or under way."""
        return len(self._partitions)

    @property
    def n_under_way(self) -> int:
        """Messages handed to the delivery application that have no receipt yet."""
        return len(self._dispatched)

    def add(self, tenant: TenantId, decision_id: DecisionId, channel: str) -> None:
        """Have a decision's message sent; one that is already waiting or under way is not taken twice."""
        found = self._shard.tenant(tenant).loop.find(decision_id)
        if found is None or decision_id in self._partitions:
            return
        place = tenant, self._shard.tenant(tenant).people.partition(found[0])
        if place in self._stopped or self._closing:
            return  # taken up again at the partition's new home, or at the next start
        self._partitions[decision_id] = place
        lane = self._lanes.get((tenant, channel))
        if lane is None:
            lane = self._lanes[tenant, channel] = Lane(tenant, self._start)
        lane.add(decision_id)
        if lane.n_batches < MAX_BATCHES:
            asyncio.get_running_loop().call_soon(self._start, lane)

    async def stop(self, tenant: TenantId, partition: Partition, within_s: float) -> None:
        """Send nothing more from a partition, and wait until what is under way has its receipt or is given up."""
        place = tenant, partition
        self._stopped.add(place)
        await self._end(lambda decision: self._partitions.get(decision) == place, within_s)

    def resume(self, tenant: TenantId, partition: Partition) -> None:
        """Send from a partition that is here (again)."""
        self._stopped.discard((tenant, partition))

    async def finish(self, within_s: float) -> int:
        """Begin nothing more, wait for the receipts of what is under way, and return how many were given up.

        :meth:`reopen` undoes it.
        """
        self._closing = True
        for lane in self._lanes.values():
            self._start(lane)  # which forgets what was not begun
        return await self._end(lambda _: True, within_s)

    def reopen(self) -> None:
        """Resume sending; what was not begun meanwhile has to be added again."""
        self._closing = False
        for lane in self._lanes.values():
            self._start(lane)

    async def close(self, within_s: float) -> None:
        """Do :meth:`finish`, for good."""
        await self.finish(within_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _end(self, concerns: Callable[[DecisionId], bool], within_s: float) -> int:
        """Wait for the receipts of what is dispatched; return how many are journaled as unknown at the bound."""

        def left() -> list[DecisionId]:
            return [decision for decision in self._dispatched if concerns(decision)]

        try:
            async with asyncio.timeout(within_s):
                while left():
                    self._quiet.clear()
                    await self._quiet.wait()
        except TimeoutError:
            given_up = [(decision, self._dispatched[decision]) for decision in left()]
            _log.warning("%d messages had no answer within %g s: they count as unknown", len(given_up), within_s)
            for tenant in {dispatch.tenant for _, dispatch in given_up}:
                receipts = [(d, _unanswered(dispatch)) for d, dispatch in given_up if dispatch.tenant == tenant]
                await self._confirm(tenant, receipts)
            return len(given_up)
        return 0

    def _start(self, lane: Lane) -> None:
        while lane.n_ready and lane.n_batches < MAX_BATCHES and lane.room > 0 and not self._closing:
            if not lane.pacing.may_go(lane.n_batches, lane.n_ready >= MAX_BATCH):
                return  # called again when it may
            batch = lane.take()
            lane.n_batches += 1
            lane.n_under_way += len(batch)
            task = asyncio.ensure_future(self._deliver(lane, batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._closing:
            for decision in lane.clear():
                self._forget(decision)

    async def _deliver(self, lane: Lane, batch: list[DecisionId]) -> None:
        """Attempt a batch until each message has its receipt, is turned away, or may no longer be sent from here."""
        left = dict.fromkeys(batch)
        is_taken = True

        def over(decisions: list[DecisionId]) -> None:
            for decision in decisions:
                if decision in left:
                    del left[decision]
                    self._forget(decision)
                    lane.n_under_way -= 1
            self._start(lane)

        def back(unsent: Unsent) -> None:
            nonlocal is_taken
            is_taken = is_taken and not unsent.turned_away
            for decision in lane.take_back(unsent):
                del left[decision]
                lane.n_under_way -= 1

        try:
            for pause_s in PAUSES.each():
                over([decision for decision in left if self._is_stopped(decision)])
                if not left:
                    return
                try:
                    await self._attempt(lane.tenant, list(left), over, back)
                except (UnavailableError, OverloadError):
                    pass
                except Exception:
                    _log.exception("%d messages of %s could not be sent; trying again", len(left), lane.tenant)
                else:
                    lane.ended(is_taken=is_taken)
                    return
                await asyncio.sleep(pause_s)
        finally:
            over(list(left))
            lane.n_batches -= 1
            self._start(lane)

    def _forget(self, decision: DecisionId) -> None:
        self._partitions.pop(decision, None)
        self._held_since.pop(decision, None)

    async def _attempt(
        self,
        tenant_id: TenantId,
        batch: list[DecisionId],
        over: Callable[[list[DecisionId]], None],
        back: Callable[[Unsent], None],
    ) -> None:
        """Attempt every message of a batch once. ``over`` is called with those that are done, ``back`` with those that
        were not begun, as soon as that is known.

        Raises UnavailableError and OverloadError: what is not over has no receipt.
        """
        receipts: list[tuple[DecisionId, Receipt]] = []
        requests = self._prepare(tenant_id, batch, receipts)
        asked = {decision for decision, _ in requests} | {decision for decision, _ in receipts}
        over([decision for decision in batch if decision not in asked])
        rendered = await self._rendered(tenant_id, requests) if requests else []
        dispatches = self._last_look(tenant_id, requests, rendered, receipts)
        if receipts:
            await self._confirm(tenant_id, receipts)
            over([decision for decision, _ in receipts])
        going = [(decision, dispatch) for decision, dispatch in dispatches if not self._is_stopped(decision)]
        if going:
            await self._dispatch(tenant_id, going, over, back)

    async def _rendered(
        self, tenant_id: TenantId, requests: list[tuple[DecisionId, RenderRequest]]
    ) -> list[Rendered | NotRendered]:
        """Have messages made; those that show the user's latest events are asked for again, with these."""
        asked = [
            self._with_recent(tenant_id, *pair) if _template(pair[1]) in self._showing_recent else pair[1]
            for pair in requests
        ]
        answers = await self._content.call(asked)
        wanting = [n for n, answer in enumerate(answers) if isinstance(answer, Wanting)]
        if wanting:
            if len(self._showing_recent) >= MAX_KNOWN_TEMPLATES:
                self._showing_recent.clear()
            self._showing_recent |= {_template(asked[n]) for n in wanting}
            again = await self._content.call([self._with_recent(tenant_id, *requests[n]) for n in wanting])
            for n, answer in zip(wanting, again, strict=True):
                answers[n] = answer
        found = [answer for answer in answers if not isinstance(answer, Wanting)]
        if len(found) < len(answers):
            raise UnavailableError("the content application wants what it was given", retry_after_s=1.0)
        return found

    def _with_recent(self, tenant_id: TenantId, decision: DecisionId, request: RenderRequest) -> RenderRequest:
        found = self._shard.tenant(tenant_id).loop.find(decision)
        recent = [] if found is None else self._recent(tenant_id, found[0])
        return msgspec.structs.replace(request, recent=recent)

    def _is_stopped(self, decision: DecisionId) -> bool:
        return self._closing or self._partitions[decision] in self._stopped

    async def _dispatch(
        self,
        tenant_id: TenantId,
        dispatches: list[tuple[DecisionId, Dispatch]],
        over: Callable[[list[DecisionId]], None],
        back: Callable[[Unsent], None],
    ) -> None:
        by_key = {dispatch.send_key: (decision, dispatch) for decision, dispatch in dispatches}
        self._dispatched.update(dispatches)
        try:
            async for answered in self._delivery.stream([dispatch for _, dispatch in dispatches]):
                receipts, unsent = [], Unsent()
                for receipt in answered:
                    decision, dispatch = by_key.pop(receipt.send_key, (DecisionId(""), None))
                    if dispatch is None or self._dispatched.get(decision) is not dispatch:
                        continue  # given up meanwhile
                    if receipt.status not in (Verdict.WAITING, Verdict.LATER):
                        receipts.append((decision, _completed(dispatch, receipt)))
                    elif self._is_overdue(decision, dispatch, receipt):
                        receipts.append((decision, _expired(receipt)))
                    else:
                        unsent.add(decision, receipt)
                        self._ended([decision])
                back(unsent)
                if receipts:
                    await self._confirm(tenant_id, receipts)
                    over([decision for decision, _ in receipts])
            if by_key:
                raise UnavailableError("the delivery application left messages unanswered", retry_after_s=1.0)
        finally:
            self._ended([decision for decision, dispatch in dispatches if self._dispatched.get(decision) is dispatch])

    def _is_overdue(self, decision: DecisionId, dispatch: Dispatch, receipt: Receipt) -> bool:
        """Return whether a message that is held now has been held as long as one may be."""
        if receipt.retry_after_s is None:
            return False
        now = self._clock()
        return now - self._held_since.setdefault(decision, now) >= longest_wait_ms(dispatch.channel)

    def _ended(self, decisions: list[DecisionId]) -> None:
        for decision in decisions:
            self._dispatched.pop(decision, None)
        self._quiet.set()

    def _prepare(
        self, tenant_id: TenantId, batch: list[DecisionId], receipts: list[tuple[DecisionId, Receipt]]
    ) -> list[tuple[DecisionId, RenderRequest]]:
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
        tenant_id: TenantId,
        requests: list[tuple[DecisionId, RenderRequest]],
        rendered: Sequence[Rendered | NotRendered],
        receipts: list[tuple[DecisionId, Receipt]],
    ) -> list[tuple[DecisionId, Dispatch]]:
        """Return what may go out, as of this moment."""
        tenant, now = self._shard.tenant(tenant_id), self._clock()
        dispatches = []
        for (decision, request), message in zip(requests, rendered, strict=True):
            if isinstance(message, NotRendered):
                _log.info("%s: %s", decision, message.detail)
                receipts.append((decision, Receipt(request.send_key, Verdict.REFUSED, detail=message.reason)))
                continue
            found = sending.last_look(tenant, decision, now)
            if isinstance(found, Receipt):
                receipts.append((decision, found))
            else:
                dispatches.append((decision, _dispatch(request, message, found, sending.sender_of(tenant, found))))
        return dispatches

    async def _confirm(self, tenant_id: TenantId, receipts: list[tuple[DecisionId, Receipt]]) -> None:
        """Journal receipts, however long that takes: what a provider accepted must not be forgotten."""
        await retry(
            lambda: self._submit(Receipts(tenant_id, receipts)), Pauses(PAUSES.first_s), failures=(OverloadError,)
        )
        self._ended([decision for decision, _ in receipts])


def _template(request: RenderRequest) -> tuple[TenantId, str, int]:
    return request.tenant, request.template, request.template_version


def _unanswered(dispatch: Dispatch) -> Receipt:
    """Return the receipt of a message given up at a planned stop. Its channel's provider is not known here. One that
    was looked for goes on being looked for after the stop."""
    return Receipt(
        dispatch.send_key,
        Verdict.UNKNOWN,
        provider="" if dispatch.looked is None else dispatch.may_be_at or "",
        detail="no answer when the shard was stopped",
        content_hash=dispatch.content_hash,
        locale=dispatch.locale,
        repeatable=is_repeatable(dispatch.channel),
        provenance=dispatch.provenance,
        looked=dispatch.looked,
    )


def _expired(receipt: Receipt) -> Receipt:
    """Return the receipt of a message whose turn did not come in time."""
    expired = msgspec.structs.replace(receipt, status=Verdict.REFUSED, detail=Reason.DELIVERY_EXPIRED)
    return msgspec.structs.replace(expired, retry_after_s=None)


def _completed(dispatch: Dispatch, receipt: Receipt) -> Receipt:
    """Add to a bounce the address that was used, whatever the profile says by then."""
    if receipt.status != Verdict.BOUNCED:
        return receipt
    used = address_hash(dispatch.channel, dispatch.address)
    return msgspec.structs.replace(receipt, address_hash=used)


def _dispatch(request: RenderRequest, message: Rendered, decision: Decision, sender: Sender) -> Dispatch:
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
        reference=message.reference,
        may_be_at=decision.send.provider if decision.send and decision.send.unknown else None,
        provenance=message.provenance,
        looked=decision.send.looked if decision.send else None,
        from_name=sender.name,
        reply_to=sender.reply_to,
    )

"""How long a message to a healthy provider takes, alone and beside providers that accept connections and never answer.

The delivery application's own code in one process (Deliveries, Routing, accounts, adapters, guards), without Ray;
mail servers and endpoints in another, over loopback. Messages to the healthy mail server are due at a fixed rate, and
their time counts from then. Beside it, channels of another tenant and of the same one are at providers that hang,
each offered the backlogs of two shards, by the shards' own lanes. Three states take turns, as what is measured differs by less
than a busy machine does from minute to minute: alone; while the others hang, their breakers still closed; and once
their breakers are open.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from actors.shard.loop.deliverer import MAX_BATCHES
from actors.shard.loop.lane import MAX_BATCH, Lane, Unsent
from cluster.settings import networks
from serve_apps.delivery.adapters import maker
from serve_apps.delivery.deliveries import Deliveries
from serve_apps.delivery.provider import receipt
from serve_apps.delivery.routing import Routing
from tests.benchmarks import report
from tests.benchmarks.screen import say, table
from tests.support.faulty_receivers import Taken, by_mail, by_webhook, mail_server
from whisperer.decisions.decision import send_key
from whisperer.delivery.channels import parse_channel
from whisperer.delivery.dispatch import Dispatch, Receipt, Verdict
from whisperer.delivery.plan import ALONE, Plan
from whisperer.ids import DecisionId, TenantId

SHARDS, BACKLOG = 2, 5_000
STATES = ("alone", "beside hanging", "beside open breakers")
HANG_S = 15.0
"""The adapters' own time limit: by then each account's first messages have failed, and its breaker opens."""
OURS, THEIRS = "tn_ours", "tn_theirs"
HANGING = ((OURS, "webhook"), (THEIRS, "email"), (THEIRS, "webhook"))
PARTS = {
    "email": {"subject": "Hello Ada", "text": "Hello,\nAda", "html": "<p>Hello, Ada</p>" * 100},
    "webhook": {"body": '{"hello": "Ada"}'},
}


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of each state")
    parser.add_argument("--seconds", type=float, default=10.0, help="a state in a round, below 15")
    parser.add_argument("--rate", type=float, default=50.0, help="messages a second to the healthy mail server")
    options = parser.parse_args()
    with others() as (mail_port, hanging_port):
        found = asyncio.run(_rounds(options.rounds, options.seconds, options.rate, mail_port, hanging_port))
    rows = [_row(state, found) for state in STATES]
    print(table(tuple(rows[0]), [tuple(row.values()) for row in rows]))
    figures = {"states": rows, "rounds": [msgspec.to_builtins(one) for one in found]}
    setting = {"rounds": options.rounds, "seconds": options.seconds, "rate": options.rate, "shards": SHARDS}
    report.publish("hanging_provider", figures, options.json, **setting, durability="none")


class Round(msgspec.Struct):
    """One state in one round: milliseconds from when a message was due to its receipt, and what hung meanwhile."""

    state: str
    n: int
    p50_ms: float
    p99_ms: float
    cpu: float
    """Of one core, by the application and its load together."""
    not_accepted: int
    offered: dict[str, int]
    """Receipts of the hanging channels, by status."""


def _row(state: str, found: list[Round]) -> dict[str, Any]:
    mine = [one for one in found if one.state == state]
    p99 = statistics.median(one.p99_ms for one in mine)
    floor = statistics.median(one.p99_ms for one in found if one.state == STATES[0])
    return {
        "state": state,
        "messages": sum(one.n for one in mine),
        "p50, ms": round(statistics.median(one.p50_ms for one in mine), 1),
        "p99, ms": round(p99, 1),
        "p99 of rounds": f"{min(one.p99_ms for one in mine):.1f} to {max(one.p99_ms for one in mine):.1f}",
        "p99 / alone": round(p99 / floor, 2),
        "CPU, %": round(100 * statistics.median(one.cpu for one in mine)),
        "not accepted": sum(one.not_accepted for one in mine),
    }


async def _rounds(n: int, seconds: float, rate: float, mail_port: int, hanging_port: int) -> list[Round]:
    found = []
    for number in range(n):
        for state in STATES:
            found.append(await _measured(state, seconds, rate, mail_port, hanging_port))
            say(f"round {number + 1}, {state}: p99 {found[-1].p99_ms:.1f} ms, offered {found[-1].offered}")
    return found


async def _measured(state: str, seconds: float, rate: float, mail_port: int, hanging_port: int) -> Round:
    """Measure one state with an application of its own, whose breakers are all closed at first."""
    plane = Plane()
    plane.set(OURS, "email", by_mail(mail_port))
    for tenant, channel in HANGING:
        plane.set(tenant, channel, (by_mail if channel == "email" else by_webhook)(hanging_port))
    routing = Routing(plane, Nothing(), maker(_now_ms, networks("127.0.0.0/8")))
    deliveries = Deliveries(routing)
    offered: Counter[str] = Counter()
    offerings: list[Offering] = []
    try:
        await _healthy(deliveries, 1.0, rate)  # connections are made, code is warm
        if state != STATES[0]:
            for tenant, channel in HANGING:
                for _ in range(SHARDS):
                    offerings.append(Offering(deliveries, tenant, channel, offered))
            await asyncio.sleep(HANG_S + 2.0 if state == STATES[2] else 1.0)
        spent = time.process_time()
        times, n_failed = await _healthy(deliveries, seconds, rate)
        spent = time.process_time() - spent
    finally:
        # What is cut off tells its caller, who is gone.
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        for offering in offerings:
            await offering.close()
        for task in list(deliveries._under_way.values()):
            task.cancel()
        await asyncio.gather(*deliveries._under_way.values(), return_exceptions=True)
        await routing.aclose()
        await asyncio.sleep(0)
        asyncio.get_running_loop().set_exception_handler(None)
    cuts = statistics.quantiles(times, n=100)
    told = {str(status): n for status, n in offered.items()}
    return Round(state, len(times), cuts[49], cuts[98], spent / seconds, n_failed, told)


async def _healthy(deliveries: Deliveries, seconds: float, rate: float) -> tuple[list[float], int]:
    """Send at a fixed rate; return how long each took from when it was due, in ms, and how many were not accepted."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    times: list[float] = []
    statuses: Counter[str] = Counter()

    async def one(due: float) -> None:
        async for receipts in deliveries.dispatch([_dispatch(OURS, "email")]):
            times.append(1000 * (loop.time() - due))
            statuses.update(answer.status for answer in receipts)

    tasks = []
    for number in range(int(seconds * rate)):
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - loop.time()))
        tasks.append(asyncio.ensure_future(one(due)))
    await asyncio.gather(*tasks)
    return times, statuses.total() - statuses[Verdict.ACCEPTED]


class Offering:
    """Offers messages as a shard does: by a lane of its own, which never runs empty."""

    def __init__(self, deliveries: Deliveries, tenant: str, channel: str, offered: Counter[str]) -> None:
        self._deliveries = deliveries
        self._tenant, self._channel = tenant, channel
        self._offered = offered
        self._tasks: set[asyncio.Task[None]] = set()
        self._lane = Lane(TenantId(tenant), self._start)
        for number in range(BACKLOG):
            self._lane.add(DecisionId(f"{number}"))
        self._start(self._lane)

    def _start(self, lane: Lane) -> None:
        while lane.n_ready and lane.n_batches < MAX_BATCHES and lane.room > 0:
            if not lane.pacing.may_go(lane.n_batches, lane.n_ready >= MAX_BATCH):
                return
            batch = lane.take()
            lane.n_batches += 1
            lane.n_under_way += len(batch)
            task = asyncio.ensure_future(self._batch(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _batch(self, batch: list[DecisionId]) -> None:
        lane = self._lane
        dispatches = {one.send_key: one for one in (_dispatch(self._tenant, self._channel) for _ in batch)}
        by_key = dict(zip(dispatches, batch, strict=True))
        is_taken = True
        async for receipts in self._deliveries.dispatch(list(dispatches.values())):
            unsent = Unsent()
            for answer in receipts:
                self._offered[answer.status] += 1
                if answer.status in (Verdict.WAITING, Verdict.LATER):
                    unsent.add(by_key[answer.send_key], answer)
                else:
                    lane.add(by_key[answer.send_key])  # another message, so that it never runs empty
            is_taken = is_taken and not unsent.turned_away
            lane.take_back(unsent)
            lane.n_under_way -= len(receipts)
            self._start(lane)
        lane.ended(is_taken=is_taken)
        lane.n_batches -= 1
        self._start(lane)

    async def close(self) -> None:
        self._lane.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


_numbers = iter(range(1 << 62))


def _dispatch(tenant: str, channel: str) -> Dispatch:
    number = next(_numbers)
    return Dispatch(
        send_key=send_key(f"dec_{number}"),
        decision_id=f"dec_{number}",
        tenant=tenant,
        user_key="u:ada",
        campaign="welcome",
        channel=channel,
        address=f"ada{number % 997}@example.com" if channel == "email" else "u:ada",
        parts=PARTS[channel],
        headers={},
        locale="en",
        content_hash="c0ffee",
        attempt=0,
        decided_at=_now_ms(),
    )


@dataclass
class Channel:
    provider: str
    config: dict[str, Any]
    plan: Plan = ALONE


@dataclass
class Plane:
    """A control plane whose channels never change."""

    channels: dict[tuple[str, str], Channel] = field(default_factory=dict)

    def set(self, tenant: str, channel: str, body: dict[str, Any]) -> None:
        config = parse_channel(channel, body["provider"], body["config"])
        self.channels[tenant, channel] = Channel(body["provider"], config)

    def version(self) -> int:
        return 1

    def channel(self, tenant_id: str, channel: str) -> Channel | None:
        return self.channels.get((tenant_id, channel))


class Nothing:
    """Stands for the sink, to which nothing goes here."""

    async def send(self, dispatch: Dispatch) -> Receipt:
        return receipt(dispatch, Verdict.ACCEPTED, "sink")

    async def aclose(self) -> None: ...


@contextmanager
def others() -> Iterator[tuple[int, int]]:
    """The ports of a mail server, and of a server that accepts connections and never says a word; in a process."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        process.join(10)


def _serve(told: Connection) -> None:
    hanging = socket.create_server(("127.0.0.1", 0), backlog=4_096)
    threading.Thread(target=_accept_forever, args=(hanging,), daemon=True).start()
    with mail_server(Taken()) as port:
        told.send((port, hanging.getsockname()[1]))
        told.recv()


def _accept_forever(hanging: socket.socket) -> None:
    held = []
    while True:
        held.append(hanging.accept()[0])
        if len(held) > 10_000:
            held.pop(0).close()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    main()

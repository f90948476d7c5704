"""Live traffic of the Starbucks campaign, and kill -9 of the processes that work on it.

A wave's triggers go out in batches that are resent with the same messageIds until they are told yes, as SDKs do. Each
victim dies while decisions and messages of acknowledged triggers are under way, and more triggers are acknowledged
before anything has recovered; then everything acknowledged has to come to its end before the next victim's turn.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
import psutil

from tests.support.stand import Stand, Tenant, until
from tests.support.starbucks_people import Purchase, Trigger

CHUNK = 500
"""Events of a request: of those sent while something is to be killed, and of all others."""
RETRIED = (429, 500, 502, 503, 504)
GIVE_UP_S = 120.0

TITLES = {
    "decisions": "ray::ServeReplica:decisions:",
    "content": "ray::ServeReplica:content:",
    "delivery": "ray::ServeReplica:delivery:",
    "learner": "ray::Learner",
}
"""How Ray names the processes; Serve's replicas and actors add the method they are in."""

VICTIMS = ("shard-0", "decisions", "content", "delivery", "learner", "shard-1")

Item = TypeVar("Item")


@dataclass(frozen=True)
class Kill:
    """``pending``: candidates without an end right after, and after more were sent that found the process gone.
    ``seconds`` until none of those acknowledged was left.
    """

    victim: str
    pid: int
    pending: int
    seconds: float


@dataclass
class Traffic:
    """What was acknowledged: every trigger, and every purchase with the time (ms UTC) it was dated at."""

    tenant: Tenant
    triggers: list[Trigger] = field(default_factory=list)
    purchases: list[tuple[Purchase, int]] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    n_resent: int = 0

    def wave(self, triggers: Sequence[Trigger], victims: Sequence[str]) -> None:
        """Send a wave's triggers, kill the victims one after another on the way; returns when nothing is pending."""
        if not victims:
            self._send_triggers(triggers)
            self._settle()
        for number, victim in enumerate(victims):
            self._strike(victim, triggers[number :: len(victims)])

    def _strike(self, victim: str, triggers: Sequence[Trigger]) -> None:
        """Send half of these, kill a process the moment they are acknowledged, go on sending, and wait."""
        stand, half = self.tenant.stand, len(triggers) // 2
        process = until(lambda: processes_of(stand, victim), f"a process of {victim}", GIVE_UP_S)[0]
        self._send_triggers(triggers[:half])
        process.kill()
        began = time.monotonic()
        self._send_triggers(triggers[half:])
        pending = self._counts()["pending"]
        self._settle()
        self.kills.append(Kill(victim, process.pid, pending, round(time.monotonic() - began, 2)))
        until(lambda: set(processes_of(stand, victim)) - {process}, f"another process of {victim}", GIVE_UP_S)

    def spend(self, purchases: Sequence[Purchase]) -> None:
        for chunk in _chunks(purchases, CHUNK):
            now = datetime.now(UTC)
            now = now.replace(microsecond=now.microsecond // 1000 * 1000)
            stamp = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            self.send([purchase.event(stamp) for purchase in chunk])
            self.purchases.extend((purchase, round(now.timestamp() * 1000)) for purchase in chunk)

    def send(self, events: list[dict[str, Any]]) -> None:
        """Until told yes for all of them."""
        deadline = time.monotonic() + GIVE_UP_S
        while True:
            try:
                answer = self.tenant.post("batch", {"batch": events})
                if answer.status_code == 200:
                    assert "rejected" not in answer.json(), answer.text
                    return
                assert answer.status_code in RETRIED, answer.text
                story = answer.text
            except httpx.TransportError as error:
                story = repr(error)
            assert time.monotonic() < deadline, f"not acknowledged within {GIVE_UP_S} s: {story}"
            self.n_resent += len(events)
            time.sleep(0.1)

    def _send_triggers(self, triggers: Sequence[Trigger]) -> None:
        for chunk in _chunks(triggers, CHUNK):
            self.send([trigger.event() for trigger in chunk])
            self.triggers.extend(chunk)

    def _settle(self) -> None:
        """Wait until every acknowledged trigger is a candidate that has come to its end."""

        def all_ended() -> bool:
            counts = self._counts()
            return counts["candidates"] >= len(self.triggers) and not counts["pending"]

        until(all_ended, f"the end of all {len(self.triggers)} acknowledged triggers", GIVE_UP_S)

    def _counts(self) -> dict[str, Any]:
        counts: dict[str, Any] = self.tenant.stand.status()["tenants"][self.tenant.name]
        return counts


def processes_of(stand: Stand, victim: str) -> list[psutil.Process]:
    """Those of this installation that do the victim's work now."""
    if victim in TITLES:
        return stand.processes(TITLES[victim])
    shard = next(shard for shard in stand.status()["shards"] if shard["name"] == victim)
    return [process for process in stand.processes("ray::ShardActor") if process.pid == shard.get("pid")]


def _chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[at : at + size] for at in range(0, len(items), size))

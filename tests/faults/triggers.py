"""A stream of events that trigger a campaign, and the account of what became of every one that was told yes."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections import Counter
from typing import Any

import httpx

from tests.support.campaigning import counts, messages, track
from tests.support.stand import Tenant, until

BATCH = 10


class Triggers:
    """One client in a thread; it resends what failed with the same messageIds, as SDKs do, until it is told yes."""

    def __init__(self, tenant: Tenant, event: str, users: list[str], per_s: float = 50.0) -> None:
        self._tenant = tenant
        self._event = event
        self._users = itertools.cycle(users)
        self._pause_s = BATCH / per_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.n_acknowledged = 0
        """Events told yes, each messageId once."""
        self.n_failed_requests = 0

    def __enter__(self) -> Triggers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        number, mark = 0, secrets.token_hex(3)  # two streams into one tenant must not take each other for repeats
        with httpx.Client(base_url=self._tenant.stand.url, headers=self._tenant.http.headers, timeout=30) as http:
            while not self._stop.wait(self._pause_s):
                batch = [
                    {
                        "type": "track",
                        "event": self._event,
                        "userId": next(self._users),
                        "messageId": f"{mark}-{number + i}",
                    }
                    for i in range(BATCH)
                ]
                number += BATCH
                self.n_failed_requests += insist(http, batch)
                self.n_acknowledged += BATCH


def insist(http: httpx.Client, batch: list[dict[str, Any]]) -> int:
    """Send until it is told yes, also after a test is over, so that nothing is left half told; how often it failed."""
    n_failed = 0
    while True:
        try:
            answer = http.post("/v1/batch", json={"batch": batch})
            if answer.status_code == 200:
                return n_failed
            assert answer.status_code in (429, 500, 502, 503), answer.text
        except httpx.TransportError:
            pass
        n_failed += 1
        time.sleep(0.1)


def reaches(tenant: Tenant, campaign: str, event: str, users: list[str], timeout_s: float = 120.0) -> tuple[float, int]:
    """Trigger for people who have no decision open until a message of theirs is at the sink: the loop goes round.

    Seconds that took, and how many triggers it needed.
    """
    before = messages(tenant, campaign=campaign)
    newest = before[0]["serial"] if before else 0
    began = time.monotonic()
    asked = 0
    while True:
        track(tenant, event, *users)
        asked += len(users)
        try:
            until(lambda: messages(tenant, campaign=campaign, after=newest), "a message", 5.0)
        except AssertionError:
            if time.monotonic() - began > timeout_s:
                raise
        else:
            return time.monotonic() - began, asked


def account(tenant: Tenant, campaign: str, n_triggers: int, timeout_s: float = 180.0) -> dict[str, Any]:
    """What is wrong once nothing is pending any more: ``lost``, ``doubled``, ``unsent`` and ``unexplained`` must be 0.

    A message is doubled if a decision has two at the sink; ``repeats`` are send keys that were presented again, which a
    provider that takes idempotency keys absorbs.
    """
    tenant.stand.settled()
    counted = until(lambda: None if (found := counts(tenant, campaign))["pending"] else found, "no pending", timeout_s)
    by_decision: Counter[str] = Counter()
    n_presented, after = 0, 0
    while page := messages(tenant, campaign=campaign, after=after):
        by_decision.update(message["decision_id"] for message in page)
        n_presented += sum(message["n_received"] for message in page)
        after = page[-1]["serial"]
    n_messages = by_decision.total()
    return {
        "candidates": counted["candidates"],
        "sent": counted["sent"],
        "no_send": counted["no_send"],
        "refused": counted["refused"],
        "lost": max(0, n_triggers - counted["candidates"]),
        "unexplained": max(0, counted["candidates"] - n_triggers),
        "unsent": counted["sent"] - len(by_decision),
        "doubled": n_messages - len(by_decision),
        "repeats": n_presented - n_messages,
    }

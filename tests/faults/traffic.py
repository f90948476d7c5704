"""Traffic whose every acknowledgement is remembered: what was told yes must be there, once."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

import httpx

from tests.support.stand import Tenant

BATCH = 50


class Traffic:
    """Clients in threads; each resends what failed with the same messageIds, as SDKs do, and repeats a tenth anyway."""

    def __init__(self, tenant: Tenant, clients: int = 4, users: int = 200, seed: int = 1) -> None:
        self._tenant = tenant
        self._users = users
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.acknowledged: Counter[str] = Counter()
        """Events told yes, by user; each messageId once."""
        self.n_events = 0
        self.n_failed_requests = 0
        self._threads = [
            threading.Thread(target=self._run, args=(client, random.Random(seed + client))) for client in range(clients)
        ]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, client: int, random_: random.Random) -> None:
        number = 0
        with httpx.Client(base_url=self._tenant.stand.url, headers=self._tenant.http.headers, timeout=30) as http:
            while not self._stop.is_set():
                users = [f"user-{random_.randrange(self._users)}" for _ in range(BATCH)]
                batch = [
                    {"type": "track", "event": "Clicked", "userId": user, "messageId": f"{client}-{number}-{i}",
                     "properties": {"revenue": 1}}
                    for i, user in enumerate(users)
                ]  # fmt: skip
                number += 1
                self._send(http, batch)
                if random_.random() < 0.1:
                    self._send(http, batch)
                with self._lock:
                    self.acknowledged.update(users)
                    self.n_events += BATCH

    def _send(self, http: httpx.Client, batch: list[dict[str, object]]) -> None:
        """Until it is told yes: also after the test is over, so that nothing is left half told."""
        while True:
            try:
                answer = http.post("/v1/batch", json={"batch": batch})
                if answer.status_code == 200:
                    return
                assert answer.status_code in (429, 500, 502, 503), answer.text
            except httpx.TransportError:
                pass
            with self._lock:
                self.n_failed_requests += 1
            time.sleep(0.1)


def differences(tenant: Tenant, acknowledged: Counter[str]) -> dict[str, tuple[int, int]]:
    """User -> (acknowledged, counted) wherever the two differ; counts and revenue both looked at."""
    found = {}
    for user, count in acknowledged.items():
        profile = tenant.user(user)
        counted = 0 if profile is None else profile["event_counts"]["Clicked"]
        revenue = 0 if profile is None else profile["features"]["revenue_micros"] // 1_000_000
        if not count == counted == revenue:
            found[user] = (count, counted)
    return found

"""A paced load that remembers every acknowledgement, and when requests were answered late or not at all.

Clients behave as SDKs do: a request that fails or is refused (429, 5xx) is sent again with the same bytes after a growing
pause, or after Retry-After. On purpose a tenth of what was acknowledged is sent again, and one batch in twenty waits
until after the next. Pacing is per client: one whose request hangs does not make up for it afterwards.

Leaves to others: what was stored (:mod:`tests.faults.judging`), and saturation (:mod:`tests.benchmarks.load`).
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.stand import Tenant

SLOW_S = 1.0
"""A request that took longer was disturbed: at this pace an answer takes tens of milliseconds."""
QUIET_S = 2.0
"""Without any disturbed request for so long the installation serves again."""
IMPATIENT_S = 0.005
GIVE_UP_AFTER_S = 240.0
"""After the end of the run what is not acknowledged by then is left open, and said to be."""


@dataclass(frozen=True, slots=True)
class Pace:
    batches_per_s: float = 20.0
    batch: int = 100
    singles_per_s: float = 20.0
    users: int = 300
    clients: int = 8
    timeout_s: float = 30.0
    """A client gives up waiting for an answer, and sends again, after so long; a gateway holds a request for 20 s."""
    repeated: float = 0.1
    reordered: float = 0.05
    impatient: float = 0.0
    """Share of requests whose client gives up after :data:`IMPATIENT_S`, while the server works on it, and sends again."""


@dataclass(slots=True)
class Attempt:
    """One try of one request, by ``time.monotonic``. ``said`` is the status, or the error's name."""

    began: float
    ended: float | None = None
    said: int | str = ""
    is_impatient: bool = False

    def disturbed_until(self, now: float) -> float | None:
        """When the disturbance it met was over (``now`` while it lasts), None if it met none."""
        if self.is_impatient:
            return None
        if self.ended is None:
            return now if now - self.began > SLOW_S else None
        return self.ended if self.said != 200 or self.ended - self.began > SLOW_S else None


@dataclass(frozen=True, slots=True)
class Request:
    path: str
    body: bytes
    users: tuple[str, ...]
    ids: tuple[str, ...]


@dataclass(slots=True)
class Told:
    """What clients know. ``open`` are requests of which nobody knows whether they were stored."""

    acknowledged: Counter[str] = field(default_factory=Counter)
    """Events told yes, by user; each messageId once."""
    ids: set[str] = field(default_factory=set)
    open: list[Request] = field(default_factory=list)
    others: set[str] = field(default_factory=set)
    """Acknowledged too, of other users and kinds: looked for in the warehouse only."""

    @property
    def n_events(self) -> int:
        return len(self.ids)


class CountedLoad:
    """Runs inside its block. After it every request is acknowledged, or in ``told.open``."""

    def __init__(self, tenant: Tenant, pace: Pace, seed: int = 1) -> None:
        self.told = Told()
        self.attempts: list[Attempt] = []
        self._tenant = tenant
        self._pace = pace
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._give_up_at = float("inf")
        self._said: Counter[str] = Counter()
        self._n_repeats = 0
        self._n_given_up = 0
        self._n_reordered = 0
        each = pace.batches_per_s / pace.clients, pace.singles_per_s / pace.clients
        self._threads = [
            threading.Thread(target=self._client, args=(n, random.Random(seed * 1000 + n), *each), daemon=True)
            for n in range(pace.clients)
        ]

    def __enter__(self) -> CountedLoad:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._give_up_at = time.monotonic() + GIVE_UP_AFTER_S
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_until_quiet(
        self,
        since: float,
        *,
        at_least_s: float = QUIET_S,
        is_over: Callable[[], bool] = lambda: True,
        timeout_s: float = 180.0,
    ) -> float:
        """Wait until requests are answered undisturbed; seconds from ``since`` until the last disturbance was over.

        0.0 where none was met. Raises AssertionError with the latest answers when it does not come.
        """
        deadline = time.monotonic() + timeout_s
        over = is_over()
        while True:
            now = time.monotonic()
            disturbed = self.disturbed_until(since, now)
            over = over or is_over()
            if over and now - max(disturbed, since) >= max(at_least_s, QUIET_S) and self._answered_since(now - QUIET_S):
                return disturbed - since if disturbed > since else 0.0
            if now > deadline:
                latest = Counter(str(attempt.said) for attempt in self.attempts[-50:])
                raise AssertionError(f"not serving again within {timeout_s:g} s (over: {over}); answers: {latest}")
            time.sleep(0.05)

    def disturbed_until(self, since: float, now: float) -> float:
        """When the last disturbance met since a moment was over; the moment itself if there was none."""
        last = since
        for attempt in reversed(self.attempts):
            until = attempt.disturbed_until(now)
            if until is not None and until > last:
                last = until
            if attempt.began < since - self._pace.timeout_s:
                break
        return last

    def expect_others(self, ids: set[str]) -> None:
        """Events that somebody else sent for the tenant, and was told yes for."""
        self.told.others |= ids

    def figures(self) -> dict[str, Any]:
        return {
            "requests": len(self.attempts),
            "answers": dict(self._said),
            "sent_again_on_purpose": self._n_repeats,
            "given_up_early": self._n_given_up,
            "sent_out_of_order": self._n_reordered,
        }

    def _answered_since(self, since: float) -> bool:
        return any(a.said == 200 and a.began >= since for a in self.attempts[-200:])

    # -- one client ------------------------------------------------------------------------------------------------

    def _client(self, number: int, random_: random.Random, batches_per_s: float, singles_per_s: float) -> None:
        n_made = 0
        held: Request | None = None
        per_s = batches_per_s + singles_per_s
        due = time.monotonic() + random_.random() / per_s
        with httpx.Client(
            base_url=self._tenant.stand.url,
            headers=self._tenant.http.headers,
            timeout=self._pace.timeout_s,
            trust_env=False,
        ) as http:
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                due = max(due + 1 / per_s, time.monotonic())
                size = self._pace.batch if random_.random() < batches_per_s / per_s else 1
                request = self._request(f"{number}-{n_made}", random_, size)
                n_made += 1
                if held is None and random_.random() < self._pace.reordered:
                    held = request
                    continue
                if random_.random() < self._pace.impatient:
                    self._give_up_early(http, request)
                self._tell(http, request)
                if held is not None:
                    self._tell(http, held)
                    self._n_reordered += 1
                    held = None
                if random_.random() < self._pace.repeated:
                    self._n_repeats += 1
                    self._send(http, request)
            if held is not None:
                self._tell(http, held)

    def _request(self, prefix: str, random_: random.Random, size: int) -> Request:
        users = tuple(f"user-{random_.randrange(self._pace.users)}" for _ in range(size))
        ids = tuple(f"{prefix}-{i}" for i in range(size))
        events = [
            {"type": "track", "event": "Clicked", "userId": user, "messageId": id_, "properties": {"revenue": 1}}
            for user, id_ in zip(users, ids, strict=True)
        ]
        if size == 1:
            return Request("/v1/track", json.dumps(events[0]).encode(), users, ids)
        return Request("/v1/batch", json.dumps({"batch": events}).encode(), users, ids)

    def _tell(self, http: httpx.Client, request: Request) -> None:
        acknowledged = self._send(http, request)
        with self._lock:
            if acknowledged:
                self.told.acknowledged.update(request.users)
                self.told.ids.update(request.ids)
            else:
                self.told.open.append(request)

    def _give_up_early(self, http: httpx.Client, request: Request) -> None:
        attempt = Attempt(time.monotonic(), is_impatient=True)
        self.attempts.append(attempt)
        try:
            attempt.said = http.post(request.path, content=request.body, timeout=IMPATIENT_S).status_code
        except httpx.TransportError as error:
            attempt.said = type(error).__name__
        attempt.ended = time.monotonic()
        with self._lock:
            self._said[str(attempt.said)] += 1
            self._n_given_up += attempt.said != 200

    def _send(self, http: httpx.Client, request: Request) -> bool:
        """Until it is told yes, also after the end of the run, so that little is left half told."""
        pause = 0.1
        while True:
            attempt = Attempt(time.monotonic())
            self.attempts.append(attempt)
            retry_after = None
            try:
                answer = http.post(request.path, content=request.body)
                said: int | str = answer.status_code
                retry_after = answer.headers.get("retry-after")
                assert said == 200 or said == 429 or said >= 500 or said == 404, answer.text
            except httpx.TransportError as error:
                said = type(error).__name__
            attempt.ended, attempt.said = time.monotonic(), said
            with self._lock:
                self._said[str(said)] += 1
            if said == 200:
                return True
            if time.monotonic() > self._give_up_at:
                return False
            time.sleep(min(float(retry_after), 2.0) if retry_after else pause)
            pause = min(pause * 2, 1.0)

"""Send a simulation over HTTP to a gateway's `/v1/batch`, at its pace, until it is stopped.

Decides batching, retries (honouring Retry-After) and the times of events: simulated ones as they are, or *live* ones,
spread over the moments since the last batch, so that a demo happens now. One request at a time: order is kept.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from cluster.importing.retry_after import retry_after_s
from whisperer.errors import RequestError

from .cursor import Cursor, CursorStore
from .segment import Event, iso
from .stream import Life, Pacing

MAX_BATCH = 500
_MAX_BACKOFF_S = 60.0
_LIVE_SPREAD_MS = 5_000
_RETRIED = frozenset({408, 410, 429, 460})

Timed = tuple[int, Event]


class SendError(RequestError):
    """Raised if the gateway refuses this simulation for good (its key, or its address)."""


@dataclass(slots=True)
class Sums:
    """Totals since the start of this run. ``trouble`` is empty while all is well."""

    n_accepted: int = 0
    n_rejected: int = 0
    n_retries: int = 0
    simulated_ms: int = 0
    trouble: str = ""


class Sender:
    """Send a life from its cursor on. ``life`` stands at or before the cursor's place; what lies between was sent
    before and is skipped.

    ``observe(place, events)`` is called for each accepted batch, possibly twice after a crash. ``wait(seconds)`` pauses
    and returns True when it is time to stop; ``wall_ms`` is the clock of live times.
    """

    def __init__(
        self,
        life: Life,
        cursor: Cursor,
        *,
        http: httpx.Client,
        pace: Pacing,
        live: bool,
        wait: Callable[[float], bool],
        store: CursorStore | None = None,
        compress: bool = False,
        interval_s: float = 0.25,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        report: Callable[[Sums], None] = lambda sums: None,
    ) -> None:
        self._life = life
        self._cursor = cursor
        self._http = http
        self._pace = pace
        self._live = live
        self._wait = wait
        self._store = store
        self._compress = compress
        self._interval_s = interval_s
        self._wall_ms = wall_ms
        self._report = report
        self.observe: Callable[[int, list[Timed]], None] = lambda place, batch: None
        self._ahead: Timed | None = None
        self._kept_place = -1
        self.sums = Sums()

    def run(self, n_events: int | None = None) -> Sums:
        """Send until stopped, or ``n_events`` in this run. Raises SendError."""
        while self._life.place < self._cursor.place:
            next(self._life)
        left = n_events
        stopped = self._cursor.n_out > 0 and not self._send_again()
        while not stopped and left != 0:
            batch = self._due(MAX_BATCH if left is None else min(MAX_BATCH, left))
            if batch:
                left = None if left is None else left - len(batch)
                self._announce(batch)
                stopped = not self._deliver(batch)
            self._report(self.sums)
            if not stopped and left != 0:
                pause_s = self._pace.wait_s(self._peek()[0])
                stopped = self._wait(max(self._interval_s, pause_s) if pause_s > 0 else 0.0)
        return self.sums

    def _peek(self) -> Timed:
        if self._ahead is None:
            self._ahead = next(self._life)
        return self._ahead

    def _due(self, most: int) -> list[Timed]:
        batch: list[Timed] = []
        while len(batch) < most and self._pace.wait_s(self._peek()[0]) <= 0:
            at_ms, event = self._peek()
            self._ahead = None
            self._pace.took(at_ms)
            batch.append((at_ms, event))
        return batch

    def _announce(self, batch: list[Timed]) -> None:
        """Record what is about to be sent, so that after a crash it is sent again with the same times."""
        cursor, now = self._cursor, self._wall_ms()
        cursor.n_out = len(batch)
        cursor.from_ms = min(now, max(cursor.to_ms, now - _LIVE_SPREAD_MS))
        cursor.to_ms = now
        self._save()

    def _send_again(self) -> bool:
        return self._deliver([next(self._life) for _ in range(self._cursor.n_out)])

    def _deliver(self, batch: list[Timed]) -> bool:
        """Send until answered; False if stopped before that."""
        cursor = self._cursor
        events = [event for _, event in batch]
        if self._live:
            span = cursor.to_ms - cursor.from_ms
            for place, event in enumerate(events, 1):
                event["timestamp"] = iso(cursor.from_ms + span * place // len(events))
        if not self._post(events):
            return False
        self.observe(cursor.place, batch)  # before the cursor moves: after a crash it is reported again, never lost
        cursor.place += cursor.n_out
        cursor.n_out = 0
        self.sums.simulated_ms = batch[-1][0]
        self._save()
        kept = self._life.kept
        if self._store is not None and kept is not None and self._kept_place < kept.place <= cursor.place:
            self._store.save_population(cursor, kept)
            self._kept_place = kept.place
        return True

    def _save(self) -> None:
        if self._store is not None:
            self._store.save(self._cursor)

    def _post(self, events: list[Event]) -> bool:
        attempt = 0
        while True:
            body = {"batch": events, "sentAt": iso(self._wall_ms())}
            content = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
            headers = {"Content-Type": "application/json", "X-Retry-Count": str(attempt)}
            if self._compress:
                content = gzip.compress(content, 1)
                headers["Content-Encoding"] = "gzip"
            wait_s: float | None = None
            try:
                response = self._http.post("/v1/batch", content=content, headers=headers)
            except httpx.TransportError as error:
                self.sums.trouble = type(error).__name__
            else:
                if self._understood(response, len(events)):
                    return True
                self.sums.trouble = f"HTTP {response.status_code}"
                wait_s = retry_after_s(response.headers.get("Retry-After"))
            attempt += 1
            self.sums.n_retries += 1
            self._report(self.sums)
            if self._wait(min(_MAX_BACKOFF_S, 0.5 * 2 ** min(attempt - 1, 10)) if wait_s is None else wait_s):
                return False

    def _understood(self, response: httpx.Response, n_events: int) -> bool:
        """Return whether the batch is settled; False to retry. Raises SendError."""
        status = response.status_code
        if status in _RETRIED or (status >= 500 and status not in (501, 505)):
            return False
        try:
            answer: Any = response.json()
        except ValueError:
            answer = None
        if status == 401:
            raise SendError("the gateway refuses the write key (HTTP 401)")
        if not isinstance(answer, dict) or not (answer.get("success") is True or status in (400, 413)):
            raise SendError(f"{response.url} does not answer like a gateway (HTTP {status})")
        rejected = n_events if status != 200 else len(answer.get("rejected") or ())
        self.sums.n_rejected += rejected
        self.sums.n_accepted += n_events - rejected
        self.sums.trouble = f"{rejected} rejected" if rejected else ""
        return True

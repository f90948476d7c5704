"""Decide whether a provider account is worth another message, by what became of those before.

A breaker is closed while all is well. It opens after `IN_A_ROW` attempts in a row that failed for the account's sake,
or once `SHARE` of at least `AT_LEAST` within `WINDOW_MS` did. While it is open nothing goes through. After a while that
doubles each time, from `FIRST_OPEN_MS` to `LONGEST_OPEN_MS`, it is half open: it lets one message through as a probe,
and another each `PROBE_PATIENCE_MS` while none is answered. A probe that goes well closes it, any other opens it again.

Guarantees: between opening and closing at most one attempt per such period goes through; what was under way when it
opened changes nothing. Time is an argument, in ms; it never goes back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from whisperer.vocabulary.named import Named

IN_A_ROW = 5
WINDOW_MS = 30_000.0
AT_LEAST, SHARE = 20, 0.5
FIRST_OPEN_MS, LONGEST_OPEN_MS = 5_000.0, 300_000.0
PROBE_PATIENCE_MS = 60_000.0
MAX_REMEMBERED = 1_000


class BreakerState(Named):
    """Name the states of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Permit:
    """Lets one attempt through; it goes back with what became of it."""

    period: int
    is_probe: bool


class Breaker:
    """The breaker of one account."""

    def __init__(self) -> None:
        self._period = 0
        """Counts up whenever it opens or closes."""
        self._opens_until: float | None = None
        """None while it is closed."""
        self._open_ms = FIRST_OPEN_MS
        self._probe_at: float | None = None
        """When the newest probe was let through that is not answered."""
        self._n_in_a_row = 0
        self._recent: deque[tuple[float, bool]] = deque(maxlen=MAX_REMEMBERED)
        self.n_opened = 0
        self.since: float | None = None
        """When it left off being closed, or was closed again; None if it never opened."""

    def state(self, now: float) -> BreakerState:
        """Return what it is now."""
        if self._opens_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._opens_until else BreakerState.HALF_OPEN

    def wait_ms(self, now: float) -> float:
        """Return how long it lets nothing through, 0 if an attempt may be made."""
        if self._opens_until is None:
            return 0.0
        free_at = self._opens_until if self._probe_at is None else self._probe_at + PROBE_PATIENCE_MS
        return max(0.0, free_at - now)

    def admit(self, now: float) -> Permit | None:
        """Let an attempt through, or None."""
        if self._opens_until is None:
            return Permit(self._period, False)
        if self.wait_ms(now) > 0:
            return None
        self._probe_at = now
        return Permit(self._period, True)

    def settle(self, permit: Permit, now: float, is_well: bool | None, pause_ms: float = 0.0) -> None:
        """Say what became of an attempt: it went well or not as far as the account is concerned, or (None) nothing was
        tried. ``pause_ms``: how long the account asked to be left alone."""
        if permit.period != self._period:
            return
        if permit.is_probe:
            self._probe_at = None
            if is_well is not None:
                self._close(now) if is_well else self._open(now, pause_ms)
            return
        if is_well is None:
            return
        self._n_in_a_row = 0 if is_well else self._n_in_a_row + 1
        self._recent.append((now, is_well))
        while self._recent[0][0] < now - WINDOW_MS:
            self._recent.popleft()
        if not is_well and (self._n_in_a_row >= IN_A_ROW or self._fails_often()):
            self._open(now, pause_ms)

    def _fails_often(self) -> bool:
        n = len(self._recent)
        return n >= AT_LEAST and sum(not well for _, well in self._recent) >= SHARE * n

    def _open(self, now: float, pause_ms: float) -> None:
        if self._opens_until is None:
            self.since = now
        else:
            self._open_ms = min(2 * self._open_ms, LONGEST_OPEN_MS)
        self._opens_until = now + max(self._open_ms, min(pause_ms, LONGEST_OPEN_MS))
        self._begin()
        self.n_opened += 1

    def _close(self, now: float) -> None:
        self._opens_until, self._open_ms, self.since = None, FIRST_OPEN_MS, now
        self._begin()

    def _begin(self) -> None:
        self._period += 1
        self._probe_at = None
        self._n_in_a_row = 0
        self._recent.clear()

"""Pace the messages of one provider account: so many per second, per recipient domain, and per day while it warms up.

Guarantees: of a bucket, in any stretch of time at most `burst + rate * time` messages are let through, in whatever
order their times were booked; who finds no room is given a time at which it is their turn, so that nobody has to ask
over and over. What a domain has used is forgotten only once that makes no difference. Time is an argument, in ms; it
never goes back. Leaves to its caller what a message does while it waits.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from whisperer.delivery.plan import Rates, WarmUp

MAX_DOMAINS = 10_000
"""Recipient domains of one account that are told apart; beyond them, those that are new share one bucket."""
LONGEST_TURN_MS = 3_600_000.0
"""Nobody is told to come back later than this: rates may have been changed by then."""
OTHERS: Final = ""
LATELY_S = 10
"""Seconds over which the rate in use is told."""


class Bucket:
    """One rate: the generic cell rate algorithm (ITU-T I.371), whose state is the time by which everything let through
    would have arrived at the rate.

    ``rate`` is per second; ``burst``, at least 1, is what may go at once after a rest.
    """

    __slots__ = ("_arrival", "_burst", "_last_turn", "interval_ms")

    def __init__(self, rate: float, burst: float = 1.0) -> None:
        self.interval_ms = 1_000.0 / rate
        self._burst = max(1.0, burst)
        self._arrival = 0.0
        self._last_turn = 0.0

    def change(self, rate: float, burst: float) -> None:
        """Go on at another rate; what was let through stays counted."""
        self.interval_ms, self._burst = 1_000.0 / rate, max(1.0, burst)

    def wait_ms(self, now: float) -> float:
        """Return how long until a message may go, 0 if at once."""
        return max(0.0, self._arrival - (self._burst - 1.0) * self.interval_ms - now)

    def book(self, at: float) -> None:
        """Let a message go at a time that is at least `wait_ms` away."""
        self._arrival = max(self._arrival, at) + self.interval_ms

    def give_back(self) -> None:
        """Take back a message that was let through and did not go."""
        self._arrival -= self.interval_ms

    def is_full(self, now: float) -> bool:
        """Return whether it is as good as new."""
        return self._arrival <= now

    def turn_ms(self, now: float) -> float:
        """Return in how long one that finds no room is to come back: behind all who were told so before."""
        turn = max(self._last_turn, now + self.wait_ms(now))
        if turn - now > LONGEST_TURN_MS:
            return LONGEST_TURN_MS
        self._last_turn = turn + self.interval_ms
        return turn - now


class Lately:
    """Count what was let through in the last `LATELY_S` seconds."""

    __slots__ = ("_by_second",)

    def __init__(self) -> None:
        self._by_second: deque[tuple[int, int]] = deque()

    def add(self, now: float, n: int) -> None:
        """Count ``n`` more, or with a number below 0 fewer."""
        second = int(now // 1_000)
        if self._by_second and self._by_second[-1][0] == second:
            n += self._by_second.pop()[1]
        self._by_second.append((second, n))
        self._forget(now)

    def per_second(self, now: float) -> float:
        """Return the mean rate."""
        self._forget(now)
        return max(0, sum(n for _, n in self._by_second)) / LATELY_S

    def _forget(self, now: float) -> None:
        while self._by_second and self._by_second[0][0] <= now // 1_000 - LATELY_S:
            self._by_second.popleft()


@dataclass(frozen=True, slots=True)
class Turn:
    """When a message may go: in ``wait_ms``, which is booked; or, with a reason, it has to come back then.

    ``reason`` is "" or what held it: "rate", "domain" or "warm_up".
    """

    wait_ms: float = 0.0
    reason: str = ""


class Pacing:
    """The rates of one account. ``share`` is the part of each that this process may use, such as half of two."""

    def __init__(self, rates: Rates | None, warm_up: WarmUp | None, share: float = 1.0) -> None:
        self._share = share
        self._account = None
        self._domain_rate: float | None = None
        if rates is not None and rates.per_second is not None:
            self._account = Bucket(rates.per_second * share, (rates.burst or rates.per_second) * share)
        if rates is not None and rates.per_domain_per_second is not None:
            self._domain_rate = rates.per_domain_per_second * share
        self._domains: dict[str, Bucket] = {}
        self._warm_up = warm_up
        self._day = -1
        self._warming: Bucket | None = None
        self._n_today = 0
        self._lately = Lately()

    def ask(self, domain: str, now: float, patience_ms: float) -> Turn:
        """Book a message to a recipient's domain ("" if it has none), if it may go within ``patience_ms``."""
        buckets = self._of(domain, now)
        wait_ms, reason, slowest = 0.0, "", None
        for name, bucket in buckets.items():
            if bucket.wait_ms(now) > wait_ms:
                wait_ms, reason, slowest = bucket.wait_ms(now), name, bucket
        if slowest is not None and wait_ms > patience_ms:
            return Turn(max(wait_ms, slowest.turn_ms(now)), reason)
        for bucket in buckets.values():
            bucket.book(now + wait_ms)
        self._count(now, 1)
        return Turn(wait_ms)

    def give_back(self, domain: str, now: float) -> None:
        """Take back a message that was booked and did not go."""
        for bucket in self._of(domain, now).values():
            bucket.give_back()
        self._count(now, -1)

    def per_second(self, now: float) -> float:
        """Return at what rate messages were let through in the last `LATELY_S` seconds."""
        return self._lately.per_second(now)

    def n_today(self, now: float) -> int:
        """Return how many were let through on this day of the warm-up, 0 without one."""
        self._of_today(now)
        return self._n_today

    def _count(self, now: float, n: int) -> None:
        self._lately.add(now, n)
        if self._warm_up is not None:
            self._n_today = max(0, self._n_today + n)

    def _of(self, domain: str, now: float) -> dict[str, Bucket]:
        found: dict[str, Bucket | None] = {
            "rate": self._account,
            "domain": self._of_domain(domain, now) if self._domain_rate is not None and domain else None,
            "warm_up": self._of_today(now),
        }
        return {reason: bucket for reason, bucket in found.items() if bucket is not None}

    def _of_domain(self, domain: str, now: float) -> Bucket:
        assert self._domain_rate is not None
        if domain not in self._domains and len(self._domains) >= MAX_DOMAINS:
            self._domains = {name: one for name, one in self._domains.items() if not one.is_full(now)}
            if len(self._domains) >= MAX_DOMAINS:
                domain = OTHERS
        if domain not in self._domains:
            self._domains[domain] = Bucket(self._domain_rate, self._domain_rate)
        return self._domains[domain]

    def _of_today(self, now: float) -> Bucket | None:
        """Return the bucket of the warm-up's day, None if there is none or it is over."""
        if self._warm_up is None:
            return None
        day = self._warm_up.day(now)
        if day != self._day:
            self._day, self._n_today = day, 0
            limit = self._warm_up.per_day_on(day)
            if limit is None:
                self._warming = None
            else:
                per_second, burst = spread_over_a_day(limit)
                if self._warming is None:
                    self._warming = Bucket(per_second * self._share, burst * self._share)
                else:
                    self._warming.change(per_second * self._share, burst * self._share)
        return self._warming


def spread_over_a_day(limit: int) -> tuple[float, float]:
    """Return the rate per second and the burst, an hour's worth, which together let ``limit`` through in a day.

    >>> spread_over_a_day(2_400)[1]
    100.0
    """
    burst = max(1.0, limit / 24)
    return (limit - burst) / 86_400.0, burst

"""When a message that a provider did not take is tried again.

The schedule is data: the wait before each attempt, in seconds, counted from the failure before it. Guarantees: the same
send key and number of attempts always wait equally long, so a replay schedules what was scheduled; no attempt comes
before its wait is over; after the last entry there is none. Which failures are worth another attempt is decided by the
provider's adapter.
"""

from __future__ import annotations

import hashlib
import math

from whisperer.content.message import WEBHOOK

DELAYS_S: tuple[int, ...] = (0, 5, 30, 120, 600, 1_800, 7_200, 21_600, 50_400)
"""Any provider: 9 attempts within about a day."""

WEBHOOK_DELAYS_S: tuple[int, ...] = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Standard Webhooks' recommendation: 10 attempts within about three days."""

JITTER = 0.2
"""A wait is lengthened by up to this share of itself, so that what failed together does not come back together."""

MAX_RETRY_AFTER_S = 86_400.0
"""A provider may ask for a longer wait than the schedule's, up to this much."""


def delays_s(channel: str) -> tuple[int, ...]:
    return WEBHOOK_DELAYS_S if channel == WEBHOOK else DELAYS_S


def next_attempt_at(send_key: str, attempts: int, now: int, retry_after_s: float | None, channel: str) -> int | None:
    """When to try again, in ms UTC; None once the schedule is exhausted.

    Parameters
    ----------
    attempts : made so far, at least 0
    now : ms UTC when the last one failed
    retry_after_s : what the provider asked for; a value that is no wait (negative, NaN) is ignored

    Examples
    --------
    >>> next_attempt_at("snd_1", 0, 1_000, None, "email")
    1000
    >>> 6_000 <= next_attempt_at("snd_1", 1, 1_000, None, "email") <= 7_000
    True
    >>> next_attempt_at("snd_1", 9, 1_000, None, "email") is None
    True
    """
    delays = delays_s(channel)
    if attempts >= len(delays):
        return None
    wait_s = float(delays[max(attempts, 0)])
    if retry_after_s is not None and not math.isnan(retry_after_s):
        wait_s = max(wait_s, min(retry_after_s, MAX_RETRY_AFTER_S))
    return now + int(wait_s * 1000 * (1 + JITTER * _share(send_key, attempts)))


def _share(send_key: str, attempts: int) -> float:
    """In [0, 1), from the key and the attempt alone."""
    text = f"{send_key}\x1f{attempts}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=8, person=b"retry").digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)

"""Decide when a message that a provider did not accept is tried again.

The schedule is data: that of the channel (:mod:`whisperer.vocabulary.channels`). Guarantees: the same
send key and number of attempts always wait equally long, so a replay gives the same schedule; no attempt is made before
its wait is over, and none after the last entry. Leaves which failures are worth another attempt to the provider's
adapter.
"""

from __future__ import annotations

import hashlib
import math

from whisperer.ids import SendKey
from whisperer.vocabulary.channels import CHANNELS, WITHIN_A_DAY_S

JITTER = 0.2
"""A wait is lengthened by up to this share of itself, so that what failed together is not retried together."""

MAX_RETRY_AFTER_S = 86_400.0
"""A provider may ask for a longer wait than the schedule's, up to this one."""


def next_attempt_at(
    send_key: SendKey, attempts: int, now: int, retry_after_s: float | None, channel: str
) -> int | None:
    """Return when to try again, in ms UTC; None once the schedule is exhausted.

    Parameters
    ----------
    attempts : number of attempts made so far, at least 0
    now : ms UTC when the last one failed
    retry_after_s : the wait the provider asked for; a value that is not a wait (negative, NaN) is ignored

    Examples
    --------
    >>> next_attempt_at("snd_1", 0, 1_000, None, "email")
    1000
    >>> 6_000 <= next_attempt_at("snd_1", 1, 1_000, None, "email") <= 7_000
    True
    >>> next_attempt_at("snd_1", 9, 1_000, None, "email") is None
    True
    """
    delays = _delays_s(channel)
    if attempts >= len(delays):
        return None
    wait_s = float(delays[max(attempts, 0)])
    if retry_after_s is not None and not math.isnan(retry_after_s):
        wait_s = max(wait_s, min(retry_after_s, MAX_RETRY_AFTER_S))
    return now + int(wait_s * 1000 * (1 + JITTER * _share(send_key, attempts)))


def longest_wait_ms(channel: str) -> int:
    """Return how long a message may wait for its turn before an attempt: as long as all its waits together.

    >>> longest_wait_ms("email") // 3_600_000
    22
    """
    return sum(_delays_s(channel)) * 1_000


def _delays_s(channel: str) -> tuple[int, ...]:
    known = CHANNELS.get(channel)  # None: written by a newer release that has been stepped back from
    return WITHIN_A_DAY_S if known is None else known.retry_delays_s


def _share(send_key: SendKey, attempts: int) -> float:
    """Return a share in [0, 1) that depends only on the key and the attempt."""
    text = f"{send_key}\x1f{attempts}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=8, person=b"retry").digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)

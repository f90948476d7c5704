"""Decide how long a message whose attempt's outcome is unknown is looked for, and what not finding it means.

The schedule is data. A provider's list of messages may lag behind what it took, so that one look that finds nothing
proves nothing. It surely did not take the message once looks in a row, `ABSENT_FOR_MS` or more from the first to the
last, each found nothing in a complete answer, and the first was not sooner than `SOONEST_ABSENT_MS` after the attempt.
Anything else a look comes to begins that anew. After the last look the outcome stays unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from whisperer.delivery.dispatch import Looked

LOOKS_S = (10.0, 60.0, 600.0, 3_600.0)
"""Waits before each look, counted from the one before."""
SOONEST_ABSENT_MS = 60_000
ABSENT_FOR_MS = 1_800_000
"""Far more than the seconds by which lists are known to lag."""
MAX_WAIT_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Found:
    """The provider has exactly one message that can be the one."""

    provider_id: str


@dataclass(frozen=True, slots=True)
class NotThere:
    """The provider answered in full, and has no message that could be the one."""


@dataclass(frozen=True, slots=True)
class CannotSay:
    """Nothing follows: the search failed or is not to be had, or several messages can be the one."""

    why: str
    retry_after_s: float | None = None


Finding = Found | NotThere | CannotSay


def after(looked: Looked, finding: Finding, now: int) -> Looked:
    """Return how far the search has come after one more look. ``now``: ms UTC."""
    absent_at = -1
    if isinstance(finding, NotThere) and not looked.only_finds and now - looked.since >= SOONEST_ABSENT_MS:
        absent_at = now if looked.absent_at < 0 else looked.absent_at
    return msgspec.structs.replace(looked, n=looked.n + 1, absent_at=absent_at)


def is_gone(looked: Looked, now: int) -> bool:
    """Return whether the provider surely did not take the message.

    >>> is_gone(Looked(0, "", 4, absent_at=60_000), 1_860_000), is_gone(Looked(0, "", 4, absent_at=60_000), 1_859_999)
    (True, False)
    """
    return looked.absent_at >= 0 and now - looked.absent_at >= ABSENT_FOR_MS


def wait_s(looked: Looked, asked_s: float | None = None) -> float | None:
    """Return how long to wait before the next look, None if there is none. ``asked_s``: what the provider asked for.

    >>> wait_s(Looked(0, "")), wait_s(Looked(0, "", n=1), 90.0), wait_s(Looked(0, "", n=4))
    (10.0, 90.0, None)
    """
    if looked.n >= len(LOOKS_S):
        return None
    return max(LOOKS_S[looked.n], min(asked_s or 0.0, MAX_WAIT_S))

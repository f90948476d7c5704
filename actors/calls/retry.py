"""Repeat what failed for want of a peer or of room, with pauses that are data.

Only idempotent work is repeated here: whether a failed attempt had an effect is not known.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from whisperer.errors import OverloadError, UnavailableError, WhispererError

T = TypeVar("T")

AWAY_OR_FULL = (UnavailableError, OverloadError)


@dataclass(frozen=True, slots=True)
class Pauses:
    """Describe the pauses between attempts: the first, then each twice the one before, up to ``longest_s`` seconds."""

    first_s: float
    longest_s: float = 0.0
    """0: all are as long as the first."""

    def each(self) -> Iterator[float]:
        """Yield the pauses, in seconds, without end."""
        pause_s = self.first_s
        while True:
            yield pause_s
            pause_s = min(2 * pause_s, max(self.longest_s, self.first_s))


async def _nothing() -> None: ...


def _anything(_answer: object) -> bool:
    return True


async def retry(
    attempt: Callable[[], Awaitable[T]],
    pauses: Pauses,
    *,
    timeout_s: float = math.inf,
    is_done: Callable[[T], bool] = _anything,
    failures: tuple[type[WhispererError], ...] = AWAY_OR_FULL,
    between: Callable[[], Awaitable[object]] = _nothing,
) -> T:
    """Return the first answer of ``attempt`` for which ``is_done`` holds.

    ``between`` runs after each pause, for instance to fetch the partition map; it may fail in the same ways.

    Raises
    ------
    UnavailableError, OverloadError
        ``timeout_s`` would have passed before the next attempt: the last failure, which must be one of ``failures``.
    """
    deadline = time.monotonic() + timeout_s
    for pause_s in pauses.each():
        failure: WhispererError
        try:
            answer = await attempt()
            if is_done(answer):
                return answer
            failure = UnavailableError("a partition is moving", retry_after_s=1.0)
        except failures as error:
            failure = error
        if time.monotonic() + pause_s > deadline:
            raise failure
        await asyncio.sleep(pause_s)
        try:
            await between()
        except failures:
            continue
    raise AssertionError("pauses have no end")

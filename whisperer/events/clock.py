"""When an event happened: reading timestamps, correcting a client's wrong clock.

Times are int milliseconds UTC. Read are ISO 8601 as :meth:`datetime.datetime.fromisoformat` takes it (with Z or an
offset, with any fraction, date only; without a zone it is UTC) and, beyond Segment's contract, numbers: milliseconds
since 1970, or seconds where below 1e11 (in milliseconds that is March 1973). Fractions of a millisecond are cut off.
"""

from __future__ import annotations

from datetime import UTC, datetime

from whisperer.events.wire import Scalar

MAX_CLOCK_SKEW_MS = 5_000  # a smaller difference between sentAt and receivedAt is the network's
_SECONDS_BELOW = 100_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_from_iso = datetime.fromisoformat


def instant(stamp: str | int | float) -> int | None:
    """A timestamp in ms UTC, of any sign and size; None if it is not one."""
    if isinstance(stamp, str):
        try:
            moment = _from_iso(stamp)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        since = moment - _EPOCH
        return since.days * 86_400_000 + since.seconds * 1_000 + since.microseconds // 1_000
    return int(stamp * 1_000) if abs(stamp) < _SECONDS_BELOW else int(stamp)


def skew(received_at: int, sent_at: Scalar) -> int | None:
    """Milliseconds to add to the client's times: receivedAt - sentAt where over 5 s, else 0; None if unparsable.

    Adding it gives receivedAt - (sentAt - originalTimestamp), the time as our clock would have shown it.
    """
    if sent_at is None:
        return 0
    sent = instant(sent_at)
    if sent is None:
        return None
    behind = received_at - sent
    return behind if abs(behind) > MAX_CLOCK_SKEW_MS else 0

"""Decide when an event happened: read timestamps, correct a client's wrong clock.

Times are int milliseconds UTC. Accepted are ISO 8601 as :meth:`datetime.datetime.fromisoformat` reads it (with Z or an
offset, any fraction, or a date only; UTC if there is no zone) and, beyond Segment's contract, numbers: milliseconds
since 1970, or seconds if below 1e11 (as milliseconds, that is March 1973). Fractions of a millisecond are cut off.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from whisperer.events.outcome import Notice
from whisperer.events.wire import Scalar, WireEvent

MAX_CLOCK_SKEW_MS = 5_000  # a smaller gap between sentAt and receivedAt is put down to the network
_SECONDS_BELOW = 100_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_from_iso = datetime.fromisoformat


def instant(stamp: str | int | float) -> int | None:
    """Return a timestamp in ms UTC, of any sign and size; None if it is not a timestamp."""
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
    """Return the ms to add to the client's times: receivedAt - sentAt if over 5 s, else 0; None if unparsable.

    Adding it gives receivedAt - (sentAt - originalTimestamp), the time as our clock would have shown it.
    """
    if sent_at is None:
        return 0
    sent = instant(sent_at)
    if sent is None:
        return None
    behind = received_at - sent
    return behind if abs(behind) > MAX_CLOCK_SKEW_MS else 0


def counted_skew(received_at: int, sent_at: Scalar, notices: Counter[Notice]) -> int:
    """Return the skew; an unparsable sentAt is counted in ``notices`` and gives 0."""
    correction = skew(received_at, sent_at)
    if correction is None:
        notices[Notice.UNPARSABLE_SENT_AT] += 1
        return 0
    return correction


def event_time(
    event: WireEvent, skew_of_batch: int, received_at: int, notices: Counter[Notice], *, corrects: bool
) -> int:
    """Return when an event happened, ms UTC, in [0, received_at].

    This is the client's ``timestamp``, else its ``originalTimestamp``, corrected by the clock skew that the event's own
    ``sentAt`` shows, or else the batch's. It is receivedAt if there is no time, if it is unparsable or before 1970
    (both counted), or if it lies in the future.
    """
    stamp = event.originalTimestamp if event.timestamp is None else event.timestamp
    if stamp is None:
        return received_at
    given = instant(stamp)
    if given is None:
        notices[Notice.UNPARSABLE_TIMESTAMP] += 1
        return received_at
    if corrects:
        has_own = event.sentAt is not None
        given += counted_skew(received_at, event.sentAt, notices) if has_own else skew_of_batch
    if given < 0:
        notices[Notice.TIMESTAMP_BEFORE_1970] += 1
        return received_at
    return min(given, received_at)

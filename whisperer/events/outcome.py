"""Record what became of a request's events: how many were kept, which were not, what was odd about the kept ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from whisperer.events.parts import BlockPart
from whisperer.events.refusals import Code, Refusal, Rejected


class Notice(StrEnum):
    """Name the oddities that are counted while the event is kept."""

    UNPARSABLE_TIMESTAMP = "unparsable_timestamp"  # receivedAt used
    TIMESTAMP_BEFORE_1970 = "timestamp_before_1970"  # receivedAt used
    UNPARSABLE_SENT_AT = "unparsable_sent_at"  # clock skew not corrected
    UNKNOWN_TIME_ZONE = "unknown_time_zone"  # ignored
    UNKNOWN_LOCALE = "unknown_locale"  # ignored
    INVALID_REVENUE = "invalid_revenue"  # counted as 0
    PLACEHOLDER_ID = "placeholder_id"  # kept, joined to nothing


@dataclass(slots=True)
class Admission:
    """Hold the result of :func:`whisperer.events.admit.admit`.

    n_accepted + len(rejected) is the number of events in the request. ``notices`` counts oddities by
    :class:`Notice`, for accepted events only, and once for a batch's own ``sentAt``. ``parts`` holds the accepted
    events by shard.
    """

    is_batch: bool
    n_accepted: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    notices: Counter[Notice] = field(default_factory=Counter)
    parts: dict[int, BlockPart] = field(default_factory=dict)

    @property
    def refusal(self) -> Refusal | None:
        """The refusal to return if the single event, or every event of a batch, was rejected; otherwise None."""
        if self.n_accepted or not self.rejected:
            return None
        if self.is_batch:
            return Refusal(Code.ALL_EVENTS_REJECTED, f"none of the {len(self.rejected)} events could be accepted")
        only = self.rejected[0]
        return Refusal(only.code, only.message, only.pointer)

"""Define what questions are answered with. Bounded by :mod:`.limits`, whatever was asked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from whisperer.analytics import limits
from whisperer.analytics.questions import Period


class Span(Struct):
    """The period that was asked about: ISO 8601, the end not included."""

    since: str
    until: str
    time_zone: str


class Line(Struct, kw_only=True):
    """One value of a breakdown, or all events: a number for each bucket, and one for the whole period.

    ``value`` is the property's or the trait's; null for events without one, and with ``is_other`` for all other values.
    """

    value: Any = None
    is_other: bool = False
    total: float | int | None
    values: list[float | int | None]


class SeriesAnswer(Struct, kw_only=True):
    """One series; ``lines`` are one a value of the breakdown, those with most events first, the others' last."""

    event: str | None
    measure: str
    property: str | None
    lines: list[Line]


class TrendsBefore(Struct, kw_only=True):
    """The same series over the period before."""

    period: Span
    buckets: list[str]
    series: list[SeriesAnswer]


class TrendsAnswer(Struct, kw_only=True):
    """Trends: ``buckets`` are the beginnings of hours, days, weeks or months; ``previous`` is of the period before."""

    kind: str = "trends"
    as_of: str
    period: Span
    interval: str
    buckets: list[str]
    series: list[SeriesAnswer]
    previous: TrendsBefore | None = None


class StepAnswer(Struct, kw_only=True):
    """Users who reached a step, as shares of the first and of the step before; seconds that it took from the first."""

    event: str | None
    users: int
    of_first: float | None
    of_previous: float | None
    median_s: float | None
    p90_s: float | None


class FunnelLine(Struct, kw_only=True):
    """One value of a breakdown; each user is in one of them."""

    value: Any = None
    is_other: bool = False
    steps: list[StepAnswer]


class FunnelAnswer(Struct, kw_only=True):
    """A funnel; ``lines`` is empty without a breakdown."""

    kind: str = "funnel"
    as_of: str
    period: Span
    order: str
    window_s: int
    steps: list[StepAnswer]
    lines: list[FunnelLine]


class Cohort(Struct, kw_only=True):
    """Users who began in one period, and how many of them returned in it and in each later one; null: not yet."""

    start: str
    users: int
    returned: list[int | None]


class RetentionTotal(Struct, kw_only=True):
    """All cohorts together: of those old enough for a period, the users, how many returned, and the share."""

    users: list[int]
    returned: list[int]
    shares: list[float | None]


class RetentionAnswer(Struct, kw_only=True):
    """Retention by cohort, the oldest first."""

    kind: str = "retention"
    as_of: str
    period: Span
    type: str
    interval: str
    cohorts: list[Cohort]
    total: RetentionTotal


class LifecycleBucket(Struct, kw_only=True):
    """Users of a day, week or month: new ones, those of the one before, those from earlier, and those who stayed away.

    ``dormant`` did something in the one before and nothing in this; they are not among the others.
    """

    start: str
    new: int
    returning: int
    resurrecting: int
    dormant: int


class LifecycleAnswer(Struct, kw_only=True):
    """The lifecycle, the oldest bucket first."""

    kind: str = "lifecycle"
    as_of: str
    period: Span
    interval: str
    buckets: list[LifecycleBucket]


class ActiveUsers(Struct, kw_only=True):
    """Users active on a day, in the 7 and in the 30 days that end with it; the first as a share of the last."""

    day: str
    daily: int
    weekly: int
    monthly: int
    stickiness: float | None


class StickinessAnswer(Struct, kw_only=True):
    """Stickiness: how many users were active in exactly one of the buckets, in two, ...; and active users by day."""

    kind: str = "stickiness"
    as_of: str
    period: Span
    interval: str
    users_by_count: list[int]
    active: list[ActiveUsers]


Answer: TypeAlias = TrendsAnswer | FunnelAnswer | RetentionAnswer | LifecycleAnswer | StickinessAnswer


def span_of(period: Period) -> Span:
    """Return a period as it is shown."""
    return Span(iso(period.since), iso(period.until), period.zone)


def iso(ms: int) -> str:
    """Return a moment in ms UTC as ISO 8601."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def shown(label: str | None) -> Any:
    """Return the value of which this is the JSON text, cut where it is long."""
    if label is None:
        return None
    value = msgspec.json.decode(label)
    if isinstance(value, str):
        return value[: limits.MAX_LABEL]
    return value if isinstance(value, int | float | bool) else label[: limits.MAX_LABEL]

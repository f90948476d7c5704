"""Define the questions as values whose fields are the keys of their JSON, and check what their types do not say.

msgspec's decoder checks types and simple bounds; :func:`check` finds everything else that is wrong at once, each with a
JSON Pointer. What passes can be planned. Times are ISO 8601; a date alone is its midnight in the question's time zone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct, field

from whisperer.analytics import limits
from whisperer.analytics.calendar import SHORTEST_MS, Calendar, Interval, local_date, midnight
from whisperer.errors import Problem, ProblemsError
from whisperer.events.place import KNOWN_ZONES
from whisperer.segments.dates import instant_ns
from whisperer.segments.errors import PredicateError
from whisperer.segments.parse import parse_condition
from whisperer.segments.paths import split_path
from whisperer.vocabulary.units import DAY_MS

USUAL_DAYS = 30

Measure = Literal["count", "users", "per_user", "sum", "average", "min", "max", "p50", "p90", "p95", "p99"]
NUMERIC = ("sum", "average", "min", "max", "p50", "p90", "p95", "p99")
"""Measures of a numeric property."""

Condition: TypeAlias = Annotated[
    dict[str, Any],
    Meta(
        description="A condition on the event and whoever did it: docs/segments.md, with `property` for `trait`.",
        extra_json_schema={"examples": [{"property": "plan", "op": "eq", "value": "pro"}]},
    ),
]
_Name = Annotated[str, Meta(min_length=1, max_length=limits.MAX_NAME)]
_Moment = Annotated[
    str, Meta(min_length=1, max_length=40, description="ISO 8601; a date alone is its midnight in the time zone.")
]


class QuestionError(ProblemsError):
    """A question cannot be answered as it is."""

    code = "invalid_question"
    subject = "question"


class Selection(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Select events: of one name, or of any, under a condition."""

    event: _Name | None = None
    where: Condition | None = None


class Series(Selection, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Measure selected events. ``property`` is what a numeric measure is of."""

    measure: Measure = "count"
    property: _Name | None = None


class Exclusion(Selection, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Exclude who did this after one step and before a later one; steps count from 1."""

    after: Annotated[int, Meta(ge=1, le=limits.MAX_STEPS)] = 1
    before: Annotated[int, Meta(ge=2, le=limits.MAX_STEPS)] | None = None


class Breakdown(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Divide by an event's property, a user's trait as of now, or the event's name. Exactly one of the three."""

    property: _Name | None = None
    trait: _Name | None = None
    event: bool = False
    limit: Annotated[int, Meta(ge=1, le=limits.MAX_VALUES)] = limits.USUAL_VALUES


class Asked(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """What every question has: a period, a time zone and a condition on all events."""

    since: _Moment | None = None
    until: _Moment | None = None
    last_days: Annotated[int, Meta(ge=1, le=limits.MAX_DAYS)] | None = None
    time_zone: Annotated[str, Meta(max_length=64)] = "UTC"
    where: Condition | None = None


class Trends(
    Asked, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, tag="trends", tag_field="kind"
):
    """How much of something there was, by hour, day, week or month."""

    series: Annotated[list[Series], Meta(min_length=1, max_length=limits.MAX_SERIES)]
    interval: Interval = "day"
    breakdown: Breakdown | None = None
    compare: Annotated[bool, Meta(description="also the period of the same length before")] = False


class Funnel(
    Asked, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, tag="funnel", tag_field="kind"
):
    """How many users went from step to step within a window."""

    steps: Annotated[list[Selection], Meta(min_length=2, max_length=limits.MAX_STEPS)]
    order: Literal["ordered", "strict", "any"] = "ordered"
    window_s: Annotated[int, Meta(ge=1, le=limits.MAX_WINDOW_S)] = 14 * 86_400
    exclude: Annotated[list[Exclusion], Meta(max_length=limits.MAX_EXCLUSIONS)] = []
    breakdown: Breakdown | None = None


class Retention(
    Asked, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, tag="retention", tag_field="kind"
):
    """How many users came back, by the time since they began."""

    start: Selection = Selection()
    return_: Selection = field(default=Selection(), name="return")
    type: Literal["first_time", "recurring", "rolling"] = "first_time"
    interval: Literal["day", "week", "month"] = "week"
    periods: Annotated[int, Meta(ge=1, le=limits.MAX_PERIODS)] = 8


class Lifecycle(Asked, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="lifecycle", tag_field="kind"):
    """How many users are new, stay, come back and leave."""

    of: Selection = Selection()
    interval: Literal["day", "week", "month"] = "week"


class Stickiness(Asked, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="stickiness", tag_field="kind"):
    """How often users are active, and how many are in a day, a week and a month."""

    of: Selection = Selection()
    interval: Literal["day", "week", "month"] = "day"


Question: TypeAlias = Trends | Funnel | Retention | Lifecycle | Stickiness


@dataclass(frozen=True, slots=True)
class Period:
    """The time that a question is about: [since, until), ms UTC, in a time zone."""

    since: int
    until: int
    zone: str

    def before(self) -> Period:
        """Return the period before, of the same length; of whole local days, where it begins at midnight."""
        days = local_date(self.since, self.zone)
        if midnight(days, self.zone) == self.since:
            length = -((self.since - self.until) // DAY_MS)
            return Period(midnight(days - timedelta(days=length), self.zone), self.since, self.zone)
        return Period(self.since - (self.until - self.since), self.since, self.zone)

    def calendar(self) -> Calendar:
        """Return the calendar of the period."""
        return Calendar(self.zone, self.since, self.until)


def period_of(asked: Asked, now: int) -> Period:
    """Return the period that a question that passed :func:`check` means at a moment."""
    zone = asked.time_zone
    until = now + 1 if asked.until is None else _moment(asked.until, zone)
    assert until is not None
    if asked.since is not None:
        since = _moment(asked.since, zone)
        assert since is not None
        return Period(since, until, zone)
    last = local_date(until - 1, zone)
    return Period(midnight(last - timedelta(days=(asked.last_days or USUAL_DAYS) - 1), zone), until, zone)


def check(question: Question, now: int) -> None:
    """Raise QuestionError with everything that is wrong with a question."""
    problems = list(_problems(question, now))
    if problems:
        raise QuestionError(problems)


def _problems(question: Question, now: int) -> Iterator[Problem]:
    period_problems = list(_of_period(question, now))
    yield from period_problems
    yield from _of_condition(question.where, "/where")
    match question:
        case Trends():
            for at, series in enumerate(question.series):
                place = f"/series/{at}"
                yield from _of_selection(series, place)
                if (series.measure in NUMERIC) != (series.property is not None):
                    said = "needs a property" if series.property is None else "is of no property; leave it out"
                    yield Problem(
                        pointer=f"{place}/property", code="not_applicable", message=f"{series.measure} {said}"
                    )
                yield from _of_path(series.property, f"{place}/property")
            yield from _of_breakdown(question.breakdown)
            yield from _of_buckets(question, "/interval", now, bool(period_problems))
        case Funnel():
            for at, step in enumerate(question.steps):
                yield from _of_selection(step, f"/steps/{at}")
                if step.event is None and step.where is None:
                    yield Problem(pointer=f"/steps/{at}", code="missing_field", message="name an event, or a condition")
            yield from _of_exclusions(question)
            yield from _of_breakdown(question.breakdown)
        case Lifecycle() | Stickiness():
            yield from _of_selection(question.of, "/of")
            yield from _of_buckets(question, "/interval", now, bool(period_problems))
        case Retention():
            yield from _of_selection(question.start, "/start")
            yield from _of_selection(question.return_, "/return")
            yield from _of_buckets(question, "/interval", now, bool(period_problems))


def _of_period(asked: Asked, now: int) -> Iterator[Problem]:
    if asked.time_zone not in KNOWN_ZONES:
        message = "this is no time zone that is known; write an IANA name such as Europe/Berlin"
        yield Problem(pointer="/time_zone", code="unknown_time_zone", message=message)
        return
    if asked.since is not None and asked.last_days is not None:
        yield Problem(pointer="/last_days", code="not_applicable", message="write since or last_days, not both")
        return
    is_readable = True
    for name, text in (("since", asked.since), ("until", asked.until)):
        if text is not None and _moment(text, asked.time_zone) is None:
            message = "write an ISO 8601 time such as 2026-01-31 or 2026-01-31T09:00:00Z"
            yield Problem(pointer=f"/{name}", code="invalid_date", message=message)
            is_readable = False
    if not is_readable:
        return
    period = period_of(asked, now)
    if period.since >= period.until:
        yield Problem(pointer="/since", code="out_of_range", message="the period ends before it begins")
    elif period.until - period.since > (limits.MAX_DAYS + 1) * DAY_MS:
        message = f"a period has {limits.MAX_DAYS:,} days at most"
        yield Problem(pointer="/since", code="out_of_range", message=message)
    elif period.since < limits.OLDEST_MS:
        yield Problem(pointer="/since", code="out_of_range", message="a period begins in 1971 or later")


def _of_buckets(
    asked: Trends | Retention | Lifecycle | Stickiness, at: str, now: int, is_hopeless: bool
) -> Iterator[Problem]:
    if is_hopeless:
        return
    period = period_of(asked, now)
    n_buckets = (period.until - period.since) // SHORTEST_MS[asked.interval] + 2
    if n_buckets > limits.MAX_BUCKETS:
        message = f"this period has more than {limits.MAX_BUCKETS:,} of these; take a longer interval or fewer days"
        yield Problem(pointer=at, code="too_many", message=message)
    elif isinstance(asked, Trends):
        n_values = 1 if asked.breakdown is None else asked.breakdown.limit + 1
        if n_buckets * n_values * len(asked.series) > limits.MAX_CELLS:
            message = f"this answer would have more than {limits.MAX_CELLS:,} numbers; take a longer interval or fewer"
            yield Problem(pointer=at, code="too_many", message=message)


def _of_selection(selection: Selection, at: str) -> Iterator[Problem]:
    if selection.event is not None:
        yield from _of_text(selection.event, f"{at}/event")
    yield from _of_condition(selection.where, f"{at}/where")


def _of_condition(condition: dict[str, Any] | None, at: str) -> Iterator[Problem]:
    if condition is None:
        return
    try:
        parse_condition(condition)
    except PredicateError as error:
        for problem in error.errors:
            yield Problem(pointer=at + problem["pointer"], code=problem["code"], message=problem["message"])


def _of_exclusions(question: Funnel) -> Iterator[Problem]:
    n_steps = len(question.steps)
    for at, exclusion in enumerate(question.exclude):
        place = f"/exclude/{at}"
        yield from _of_selection(exclusion, place)
        before = n_steps if exclusion.before is None else exclusion.before
        if not exclusion.after < before <= n_steps:
            message = f"an exclusion is after one step and before a later one, of {n_steps}"
            yield Problem(pointer=f"{place}/after", code="out_of_range", message=message)
    if question.exclude and question.order != "ordered":
        message = f"a funnel in the order {question.order!r} excludes nothing"
        yield Problem(pointer="/exclude", code="not_applicable", message=message)
    most = limits.MAX_STEPS if question.breakdown is None else limits.MAX_STEPS_BROKEN_DOWN
    if n_steps + len(question.exclude) > most:
        message = f"a funnel has {limits.MAX_STEPS} steps and exclusions at most, with a breakdown {most}"
        yield Problem(pointer="/steps", code="too_many", message=message)


def _of_breakdown(breakdown: Breakdown | None) -> Iterator[Problem]:
    if breakdown is None:
        return
    if (breakdown.property is not None) + (breakdown.trait is not None) + breakdown.event != 1:
        message = "write exactly one of property, trait and event"
        yield Problem(pointer="/breakdown", code="ambiguous_node", message=message)
    yield from _of_path(breakdown.property, "/breakdown/property")
    yield from _of_path(breakdown.trait, "/breakdown/trait")


def _of_path(path: str | None, at: str) -> Iterator[Problem]:
    if path is None:
        return
    yield from _of_text(path, at)
    if split_path(path) is None:
        message = "after a leading / this is a JSON Pointer, where ~ is written ~0 and / inside a name ~1"
        yield Problem(pointer=at, code="invalid_path", message=message)


def _of_text(text: str, at: str) -> Iterator[Problem]:
    if any("\ud800" <= char <= "\udfff" for char in text):
        yield Problem(pointer=at, code="invalid_text", message="a lone surrogate is no Unicode text; take it out")


def _moment(text: str, zone: str) -> int | None:
    found = instant_ns(text)
    if found is None or not "1000" <= text[:4] < "9000":  # beyond, some zone's clock shows a year that there is not
        return None
    if len(text) == 10:
        return midnight(date.fromisoformat(text), zone)
    return found // 1_000_000

"""Prints the answers of analytics as tables with a small picture."""

from __future__ import annotations

from typing import Any

import msgspec

from cluster.cli import output
from whisperer.analytics.answers import (
    FunnelAnswer,
    LifecycleAnswer,
    Line,
    RetentionAnswer,
    StepAnswer,
    StickinessAnswer,
    TrendsAnswer,
)

BAR = 20
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def print_trends(found: TrendsAnswer) -> None:
    """Print a line a bucket, or with a breakdown a line a value."""
    for at, series in enumerate(found.series):
        title = " of ".join(filter(None, (series.measure, series.property))) + f": {series.event or 'any event'}"
        lines = series.lines
        if len(lines) == 1 and lines[0].value is None and not lines[0].is_other:
            before = None if found.previous is None else found.previous.series[at].lines[0]
            _print_line(title, found, lines[0], before)
            continue
        most = max((line.total or 0 for line in lines), default=0)
        rows = [(_value(line.value, line.is_other), _number(line.total), bar(line.total, most)) for line in lines]
        output.print_table((title, "total", ""), rows, f"{title}: nothing in this period.")


def _print_line(title: str, found: TrendsAnswer, line: Line, before: Line | None) -> None:
    most = max((value or 0 for value in line.values), default=0)
    rows: list[tuple[object, ...]] = [
        (bucket, _number(value), bar(value, most)) for bucket, value in zip(found.buckets, line.values, strict=True)
    ]
    rows.append(("total", _number(line.total), ""))
    if before is not None:
        rows.append(("the period before", _number(before.total), ""))
    output.print_table((title, found.interval, ""), rows, "")


def print_funnel(found: FunnelAnswer) -> None:
    """Print a line a step, and one a value of a breakdown."""
    columns = ("step", "users", "of first", "of step before", "median", "90 %", "")
    output.print_table(columns, [_step(step, found.steps[0].users) for step in found.steps], "")
    if found.lines:
        heads = [step.event or f"step {at}" for at, step in enumerate(found.steps, 1)]
        rows = [
            (
                _value(line.value, line.is_other),
                *(step.users for step in line.steps),
                _share(line.steps[-1].of_first),
                bar(line.steps[-1].of_first, 1),
            )
            for line in found.lines
        ]
        output.print_table(("value", *heads, "of first", ""), rows, "")


def _step(step: StepAnswer, first: int) -> tuple[object, ...]:
    shares = _share(step.of_first), _share(step.of_previous)
    return step.event or "", step.users, *shares, _span(step.median_s), _span(step.p90_s), bar(step.users, first)


def print_retention(found: RetentionAnswer) -> None:
    """Print a line a cohort, and one for all of them."""
    n = len(found.total.users)
    rows: list[tuple[object, ...]] = [
        (cohort.start, cohort.users, *(_back(back, cohort.users) for back in cohort.returned))
        for cohort in found.cohorts
        if cohort.users
    ]
    if rows:
        rows.append(("all", found.total.users[0], *map(_share, found.total.shares)))
    columns = (found.interval, "users", *(str(period) for period in range(n)))
    output.print_table(columns, rows, "Nobody began in this period.")


def print_lifecycle(found: LifecycleAnswer) -> None:
    """Print a line a bucket."""
    most = max((one.new + one.returning + one.resurrecting for one in found.buckets), default=0)
    rows = [
        (
            *(one.start, one.new, one.returning, one.resurrecting, one.dormant),
            bar(one.new + one.returning + one.resurrecting, most),
        )
        for one in found.buckets
    ]
    output.print_table((found.interval, "new", "returning", "resurrecting", "dormant", "active"), rows, "")


def print_stickiness(found: StickinessAnswer) -> None:
    """Print users by how often they were active, and a line a day."""
    most = max(found.users_by_count, default=0)
    counted = [(n, users, bar(users, most)) for n, users in enumerate(found.users_by_count, 1) if users]
    output.print_table((f"{found.interval}s active", "users", ""), counted, "Nobody was active in this period.")
    rows = [(one.day, one.daily, one.weekly, one.monthly, _share(one.stickiness)) for one in found.active]
    output.print_table(("day", "that day", "7 days", "30 days", "stickiness"), rows, "")


def bar(part: float | None, whole: float) -> str:
    """Return a bar as long as a part of a whole is large."""
    if part is None or whole <= 0 or part <= 0:
        return ""
    eighths = min(BAR * 8, round(part / whole * BAR * 8))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _back(back: int | None, users: int) -> str:
    return "" if back is None or not users else _share(back / users)


def _value(value: Any, is_other: bool) -> str:
    if is_other:
        return "(others)"
    return "(none)" if value is None else value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _number(value: float | int | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _span(seconds: float | None) -> str:
    if seconds is None:
        return ""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"

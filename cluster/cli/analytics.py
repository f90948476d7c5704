"""`whisperer analytics`: trends, funnels and retention of a tenant's events, as tables with a small picture."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from cluster.cli import answers, output
from cluster.cli.durations import span_ms
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption
from cluster.operator_client import Operator
from whisperer.analytics.answers import (
    FunnelAnswer,
    LifecycleAnswer,
    Line,
    RetentionAnswer,
    StepAnswer,
    StickinessAnswer,
    TrendsAnswer,
)
from whisperer.errors import RequestError

BAR = 20
_EIGHTHS = " ▏▎▍▌▋▊▉█"

app = typer.Typer(
    name="analytics",
    no_args_is_help=True,
    help="Analytics: how much there was, who went from step to step, who came back. Exact, up to this moment.",
)


class Measure(StrEnum):
    COUNT = "count"
    USERS = "users"
    PER_USER = "per_user"
    SUM = "sum"
    AVERAGE = "average"
    MIN = "min"
    MAX = "max"
    P50 = "p50"
    P90 = "p90"
    P95 = "p95"
    P99 = "p99"


class Interval(StrEnum):
    hour = "hour"
    day = "day"
    week = "week"
    month = "month"


class Order(StrEnum):
    ordered = "ordered"
    strict = "strict"
    any = "any"


class Kind(StrEnum):
    first_time = "first_time"
    recurring = "recurring"
    rolling = "rolling"


Days = Annotated[int | None, typer.Option(metavar="N", help="The last N days, today included.", min=1)]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="From this time on, instead: 2026-01-31.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Before this time; else up to now.")]
Zone = Annotated[str | None, typer.Option("--zone", metavar="ZONE", help="Whose days: Europe/Berlin. Default: UTC.")]
Where = Annotated[
    str | None,
    typer.Option(metavar="JSON", help='Only events for which this holds: {"property": "plan", "op": "eq", "value": …}'),
]
By = Annotated[str | None, typer.Option("--by", metavar="PROPERTY", help="Divide by a property of the event.")]
ByTrait = Annotated[str | None, typer.Option("--by-trait", metavar="TRAIT", help="Divide by a trait of the user.")]
Top = Annotated[int | None, typer.Option(metavar="N", help="Values of these to show; the rest is one.", min=1)]
File = Annotated[
    Path | None,
    typer.Option("--file", "-f", metavar="FILE", help="The question as JSON, - for stdin; options are added to it."),
]


@app.command()
def trends(
    tenant: TenantOption,
    events: Annotated[list[str] | None, typer.Argument(metavar="[EVENT]...", help="None: all events.")] = None,
    measure: Annotated[Measure, typer.Option(help="What to count or compute.")] = Measure.COUNT,
    of: Annotated[str | None, typer.Option("--of", metavar="PROPERTY", help="What numeric measures are of.")] = None,
    interval: Annotated[Interval | None, typer.Option(help="How time is divided.")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Also the period before.")] = False,
    days: Days = None,
    since: Since = None,
    until: Until = None,
    zone: Zone = None,
    where: Where = None,
    by: By = None,
    by_trait: ByTrait = None,
    top: Top = None,
    file: File = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Show how much there was of events, by hour, day, week or month.

    Examples:

        whisperer analytics trends "Order Completed" --tenant acme --measure users --days 14 --zone Europe/Berlin
        whisperer analytics trends "Order Completed" --tenant acme --measure sum --of price --by plan --interval week
        whisperer analytics trends --tenant acme --file question.json --json
    """
    question = _question(file, days, since, until, zone, where, by, by_trait, top)
    series = {"measure": measure.value} | ({} if of is None else {"property": of})
    if events:
        question["series"] = [series | {"event": event} for event in events]
    question.setdefault("series", [series])
    question |= {} if interval is None else {"interval": interval.value}
    question |= {"compare": True} if compare else {}
    document = _asked(data_dir, tenant, "trends", question)
    if json:
        output.print_json(document)
    else:
        _print_trends(answers.read(document, TrendsAnswer))


@app.command()
def funnel(
    tenant: TenantOption,
    steps: Annotated[list[str] | None, typer.Argument(metavar="[EVENT]...", help="The steps, two or more.")] = None,
    order: Annotated[Order | None, typer.Option(help="Of the steps; strict: nothing else in between.")] = None,
    window: Annotated[str | None, typer.Option(metavar="SPAN", help="For all of it: 14d, 24h, 30m.")] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="EVENT", help="Who does this on the way is out; repeat it for more.")
    ] = None,
    days: Days = None,
    since: Since = None,
    until: Until = None,
    zone: Zone = None,
    where: Where = None,
    by: By = None,
    by_trait: ByTrait = None,
    top: Top = None,
    file: File = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Show how many users went from step to step, and how long it took them.

    Examples:

        whisperer analytics funnel "Product Viewed" "Product Added" "Order Completed" --tenant acme --window 7d
        whisperer analytics funnel "Signed Up" "Order Completed" --tenant acme --by plan --exclude "Account Closed"
    """
    question = _question(file, days, since, until, zone, where, by, by_trait, top)
    question |= {"steps": [{"event": step} for step in steps]} if steps else {}
    question |= {} if order is None else {"order": order.value}
    question |= {} if window is None else {"window_s": span_ms(window) // 1000}
    question |= {"exclude": [{"event": event} for event in exclude]} if exclude else {}
    document = _asked(data_dir, tenant, "funnels", question)
    if json:
        output.print_json(document)
    else:
        _print_funnel(answers.read(document, FunnelAnswer))


@app.command()
def retention(
    tenant: TenantOption,
    start: Annotated[
        str | None, typer.Option(metavar="EVENT", help="With which a user begins; any by default.")
    ] = None,
    return_: Annotated[
        str | None, typer.Option("--return", metavar="EVENT", help="With which they come back; any by default.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option("--type", help="rolling: in a period or any later one.")] = None,
    interval: Annotated[Interval | None, typer.Option(help="Of the cohorts: day, week or month.")] = None,
    periods: Annotated[int | None, typer.Option(metavar="N", help="How many to show.", min=1)] = None,
    days: Days = None,
    since: Since = None,
    until: Until = None,
    zone: Zone = None,
    where: Where = None,
    file: File = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Show how many users came back, by the time since they began.

    Examples:

        whisperer analytics retention --tenant acme --start "Signed Up" --return "Order Completed" --days 84
        whisperer analytics retention --tenant acme --interval day --periods 7 --type rolling
    """
    question = _question(file, days, since, until, zone, where, None, None, None)
    question |= {} if start is None else {"start": {"event": start}}
    question |= {} if return_ is None else {"return": {"event": return_}}
    question |= {} if kind is None else {"type": kind.value}
    question |= {} if interval is None else {"interval": interval.value}
    question |= {} if periods is None else {"periods": periods}
    document = _asked(data_dir, tenant, "retention", question)
    if json:
        output.print_json(document)
    else:
        _print_retention(answers.read(document, RetentionAnswer))


@app.command()
def lifecycle(
    tenant: TenantOption,
    event: Annotated[str | None, typer.Argument(metavar="[EVENT]", help="By doing what; any if left out.")] = None,
    interval: Annotated[Interval | None, typer.Option(help="day, week or month.")] = None,
    days: Days = None,
    since: Since = None,
    until: Until = None,
    zone: Zone = None,
    where: Where = None,
    file: File = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Show how many users are new, stay, come back and leave.

    Example:

        whisperer analytics lifecycle --tenant acme --interval week --days 84
    """
    question = _question(file, days, since, until, zone, where, None, None, None)
    question |= {} if event is None else {"of": {"event": event}}
    question |= {} if interval is None else {"interval": interval.value}
    document = _asked(data_dir, tenant, "lifecycle", question)
    if json:
        output.print_json(document)
        return
    found = answers.read(document, LifecycleAnswer)
    most = max((one.new + one.returning + one.resurrecting for one in found.buckets), default=0)
    rows = [
        (
            *(one.start, one.new, one.returning, one.resurrecting, one.dormant),
            bar(one.new + one.returning + one.resurrecting, most),
        )
        for one in found.buckets
    ]
    output.print_table((found.interval, "new", "returning", "resurrecting", "dormant", "active"), rows, "")


@app.command()
def stickiness(
    tenant: TenantOption,
    event: Annotated[str | None, typer.Argument(metavar="[EVENT]", help="By doing what; any if left out.")] = None,
    interval: Annotated[Interval | None, typer.Option(help="Counted are days, weeks or months.")] = None,
    days: Days = None,
    since: Since = None,
    until: Until = None,
    zone: Zone = None,
    where: Where = None,
    file: File = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Show how often users are active, and how many are in a day, a week and a month.

    Example:

        whisperer analytics stickiness "Order Completed" --tenant acme --days 28
    """
    question = _question(file, days, since, until, zone, where, None, None, None)
    question |= {} if event is None else {"of": {"event": event}}
    question |= {} if interval is None else {"interval": interval.value}
    document = _asked(data_dir, tenant, "stickiness", question)
    if json:
        output.print_json(document)
        return
    found = answers.read(document, StickinessAnswer)
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


def _question(
    file: Path | None,
    days: int | None,
    since: str | None,
    until: str | None,
    zone: str | None,
    where: str | None,
    by: str | None,
    by_trait: str | None,
    top: int | None,
) -> dict[str, Any]:
    question: dict[str, Any] = {} if file is None else _object(_text(file), str(file))
    asked = {"last_days": days, "since": since, "until": until, "time_zone": zone}
    question |= {name: value for name, value in asked.items() if value is not None}
    if where is not None:
        question["where"] = _object(where, "--where")
    breakdown = {"property": by, "trait": by_trait, "limit": top}
    given = {name: value for name, value in breakdown.items() if value is not None}
    if given:
        question["breakdown"] = question.get("breakdown", {}) | given
    return question


def _text(file: Path) -> str:
    if str(file) == "-":
        return sys.stdin.read()
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise RequestError(f"{file} cannot be read: {error.strerror}") from None


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError) as error:
        raise RequestError(f"{where} is not a JSON object: {error}") from None


def _asked(data_dir: Path, tenant: str, kind: str, question: dict[str, Any]) -> Any:
    with Operator(data_dir) as operator:
        return operator.post("tenants", tenant, "analytics", kind, body=question)


def _print_trends(found: TrendsAnswer) -> None:
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


def _print_funnel(found: FunnelAnswer) -> None:
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


def _print_retention(found: RetentionAnswer) -> None:
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

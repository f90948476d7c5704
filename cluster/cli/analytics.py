"""`whisperer analytics`: trends, funnels and retention of a tenant's events, as tables with a small picture."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from cluster.cli import output
from cluster.cli.analytics_tables import (
    print_funnel,
    print_lifecycle,
    print_retention,
    print_stickiness,
    print_trends,
)
from cluster.cli.answers.reading import read
from cluster.cli.durations import span_ms
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption
from cluster.operator_client import Operator
from whisperer.analytics.answers import (
    FunnelAnswer,
    LifecycleAnswer,
    RetentionAnswer,
    StickinessAnswer,
    TrendsAnswer,
)
from whisperer.errors import RequestError

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
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Order(StrEnum):
    ORDERED = "ordered"
    STRICT = "strict"
    ANY = "any"


class Kind(StrEnum):
    FIRST_TIME = "first_time"
    RECURRING = "recurring"
    ROLLING = "rolling"


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
        print_trends(read(document, TrendsAnswer))


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
        print_funnel(read(document, FunnelAnswer))


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
        print_retention(read(document, RetentionAnswer))


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
    else:
        print_lifecycle(read(document, LifecycleAnswer))


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
    else:
        print_stickiness(read(document, StickinessAnswer))


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

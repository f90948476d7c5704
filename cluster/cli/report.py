"""`whisperer report`: what a campaign did with every candidate, and what that was worth; and reports kept under a name.

`whisperer report CAMPAIGN` is `whisperer report show CAMPAIGN`: whatever is no command of the group is a campaign.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cluster.cli import output
from cluster.cli.answers.campaigns import CampaignQuality, Day, Days, Lift, Look, Report, ReportAnswer, SavedReport
from cluster.cli.answers.reading import read
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption
from cluster.cli.resources import all_pages
from cluster.operator_client import Operator

SHOW = "show"


class OrACampaign(TyperGroup):
    """Take a first argument that is no command for the campaign to show."""

    otherwise = SHOW

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as Typer's group does."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [self.otherwise, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="report",
    cls=OrACampaign,
    no_args_is_help=True,
    help="""Show a campaign's accounting and its lift over the holdout, like `whisperer campaign report`.

    Reports about several campaigns can be saved and run again.

    Examples:

        whisperer report trial-welcome --tenant acme
        whisperer report save weekly --campaign trial-welcome --metric lift_by_day --days 7 --tenant acme
        whisperer report run weekly --tenant acme
    """,
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the saved report.")]


class Metric(StrEnum):
    accounting = "accounting"
    lift = "lift"
    lift_by_day = "lift_by_day"


@app.command(SHOW)
def report(
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN")],
    tenant: TenantOption,
    days: Annotated[
        bool, typer.Option("--days", help="Day by day, with intervals that may be looked at daily.")
    ] = False,
    quality: Annotated[
        bool, typer.Option("--quality", help="How good its messages were, by arm and language.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Show a campaign's accounting and its lift over the holdout; `show` can be left out.

    Examples:

        whisperer report show trial-welcome --tenant acme
        whisperer report trial-welcome --tenant acme --days
        whisperer report trial-welcome --tenant acme --quality
    """
    if days and quality:
        raise typer.BadParameter("--days and --quality are two reports; ask for one")
    if not (days or quality):
        show_report(campaign, tenant, data_dir, json)
        return
    with Operator(data_dir) as operator:
        kind = "quality" if quality else "days"
        document = operator.get("tenants", tenant, "campaigns", campaign, "report", kind)
    if json:
        output.print_json(document)
    elif quality:
        print_quality(read(document, CampaignQuality))
    else:
        print_days(read(document, Days))


@app.command()
def save(
    name: Name,
    tenant: TenantOption,
    campaign: Annotated[list[str], typer.Option(metavar="NAME", help="A campaign; repeat for more.")],
    metric: Annotated[Metric, typer.Option(help="What to report of each.")] = Metric.accounting,
    days: Annotated[int | None, typer.Option(metavar="N", help="Of lift_by_day: the last N days.", min=1)] = None,
    first: Annotated[str | None, typer.Option("--from", metavar="DAY", help="Of lift_by_day: 2026-01-01.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Of lift_by_day: this day included.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Save a report under a name, or replace it.

    Examples:

        whisperer report save weekly --campaign trial-welcome --metric lift_by_day --days 7 --tenant acme
        whisperer report save all --campaign trial-welcome --campaign win-back --metric lift --tenant acme
    """
    asked = {"last_days": days, "from": first, "to": last}
    period = {key: value for key, value in asked.items() if value is not None}
    definition: dict[str, Any] = {"campaigns": campaign, "metric": metric.value}
    with Operator(data_dir) as operator:
        document = operator.put(
            "tenants",
            tenant,
            "reports",
            name,
            body={"definition": definition | ({"period": period} if period else {})},
        )
    if json:
        output.print_json(document)
    else:
        output.say(f"Saved {name}: `whisperer report run {name} --tenant {tenant}`.")


@app.command("list")
def list_(tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """List the saved reports.

    Example:

        whisperer report list --tenant acme
    """
    with Operator(data_dir) as operator:
        found = all_pages(operator, "tenants", tenant, "reports")
    if json:
        output.print_json(found)
        return
    rows = [
        (one.name, one.definition.metric, " ".join(one.definition.campaigns), one.changed_at)
        for one in read(found, list[SavedReport])
    ]
    empty = "No saved reports: `whisperer report save NAME --campaign NAME --tenant NAME`."
    output.print_table(("name", "metric", "campaigns", "changed"), rows, empty)


@app.command()
def run(name: Name, tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Answer a saved report with what is known now.

    Example:

        whisperer report run weekly --tenant acme --json
    """
    with Operator(data_dir, timeout_s=600.0) as operator:
        document = operator.get("tenants", tenant, "reports", name, "result")
    if json:
        output.print_json(document)
    else:
        print_answer(read(document, ReportAnswer))


@app.command()
def delete(name: Name, tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Delete a saved report.

    Example:

        whisperer report delete weekly --tenant acme
    """
    with Operator(data_dir) as operator:
        operator.delete("tenants", tenant, "reports", name)
    output.say(f"Deleted {name}.")


def print_answer(answer: ReportAnswer) -> None:
    """Print a saved report's answer for people."""
    output.say(f"{answer.name} as of {answer.as_of}")
    if answer.metric == Metric.accounting:
        rows = [
            (one.campaign, one.candidates, one.sent, one.no_send, sum(one.refused.values()), one.pending)
            for one in answer.data
        ]
        output.print_table(("campaign", "candidates", "sent", "no_send", "refused", "pending"), rows, "Nothing.")
        return
    for one in answer.data:
        output.say(f"{one.campaign}:")
        if answer.metric == Metric.lift_by_day:
            print_day_rows(one.days)
            continue
        for name, lift in (("policy", one.lift), ("uniform", one.uniform_lift)):
            output.say(f"  {name} over holdout: {_lift(lift)}")


def show_report(name: str, tenant: str, data_dir: Path, json: bool) -> None:
    """Print a campaign's report, for people or as JSON."""
    with Operator(data_dir) as operator:
        document = operator.get("tenants", tenant, "campaigns", name, "report")
    if json:
        output.print_json(document)
    else:
        print_report(read(document, Report))


def print_days(days: Days) -> None:
    """Print the report by day for people."""
    print_day_rows(days.data)
    output.say("A user joins when the goal's window has closed; * marks a difference, whenever it is first seen.")
    if days.data and days.data[-1].sample_ratio.suspicious:
        p = days.data[-1].sample_ratio.p_value
        output.say(f"The groups are not as large as their shares (p = {p:.2g} at all looks): do not believe the lift.")


def print_quality(found: CampaignQuality) -> None:
    """Print how good a campaign's messages were, for people."""
    rows = [
        (
            one.arm,
            one.channel,
            one.locale or "-",
            one.scored,
            f"{one.mean:.2f}",
            f"{one.calibrated:.2f}",
            ", ".join(f"{mark.criterion} {mark.mark:.2f}" for mark in one.lowest),
        )
        for one in found.arms
    ]
    heads = ("arm", "channel", "locale", "scored", "mean", "calibrated", "what costs most")
    output.print_table(heads, rows, f"No scored message was sent in {found.days} days.")
    if found.mean is not None and found.calibrated is not None:
        output.say(f"Mean {found.mean:.2f} of 5, calibrated {found.calibrated:.2f}, of {found.scored} scored messages")


def print_day_rows(days: list[Day]) -> None:
    """Print days with their lifts for people."""
    output.print_table(
        ("until", "users", "policy over holdout", "uniform over holdout", "policy over uniform"),
        [
            (
                day.day,
                sum(group.users for group in day.groups),
                *map(_look, (day.lift, day.uniform_lift, day.over_uniform)),
            )
            for day in days
        ],
        "No user's window has closed yet.",
    )


def _look(lift: Look) -> str:
    if lift.not_yet is not None:
        return "not yet"
    return f"{lift.difference:+.4f} ({lift.low:+.4f} to {lift.high:+.4f}){' *' if lift.decided else ''}"


def print_report(report: Report) -> None:
    """Print the report for people."""
    output.say(f"{report.name} version {report.version}, {report.status}, since {report.since}")
    output.say(report.description)
    refused = sorted(report.refused.items(), key=lambda entry: (-entry[1], entry[0]))
    rows = [
        ("sent", report.sent),
        *((("  of these unknown", report.unknown),) if report.unknown else ()),
        ("no_send", report.no_send),
        *((f"refused: {reason}", count) for reason, count in refused),
        ("pending", report.pending),
        ("candidates", report.candidates),
    ]
    output.print_table(("what became of candidates", "users"), rows, "No candidates yet.")
    output.print_table(
        ("group", "users", "goal per user"),
        [(group.group, group.users, _number(group.mean)) for group in report.groups],
        "No groups yet.",
    )
    output.print_table(
        ("group", "arm", "decisions", "sent", "converted", "reward"),
        [(arm.group, arm.arm, arm.decisions, arm.sent, arm.converted, _number(arm.reward)) for arm in report.arms],
        "No decision's window has closed yet.",
    )
    if report.budget is not None:
        output.print_table(
            ("budget from", "until", "amount", "spent", "granted", "price", "withheld"),
            [
                (
                    one.begins_at,
                    one.ends_at,
                    *map(_number, (one.amount, one.spent, one.granted, one.price)),
                    one.withheld,
                )
                for one in report.budget
            ],
            "Nothing of the budget was asked for yet, or the learner is away.",
        )
    for name, lift in (("policy", report.lift), ("uniform", report.uniform_lift)):
        output.say(f"{name} over holdout: {_lift(lift)}")
    if report.sample_ratio.suspicious:
        output.say(
            f"The groups are not as large as their shares (p = {report.sample_ratio.p_value:.2g}): "
            "do not believe the lift unless the shares were changed meanwhile."
        )


def _lift(lift: Lift) -> str:
    if lift.not_yet is not None:
        return f"not yet: {lift.not_yet}"
    relative = f" (no relative lift: {lift.relative_reason})"
    if lift.relative is not None:
        relative = f" ({lift.relative:+.1%})"
    interval = f"{lift.level:.0%} interval {lift.low:+.4f} to {lift.high:+.4f}"
    users = f"{lift.users:,} users against {lift.holdout_users:,}"
    return f"{lift.difference:+.4f} per user{relative}, {interval}, {users}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.4f}"

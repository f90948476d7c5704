"""`whisperer report`: what a campaign did with every candidate, and what that was worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cluster.cli import answers, output
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption
from cluster.operator_client import Operator

app = typer.Typer()


@app.command()
def report(
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN")],
    tenant: TenantOption,
    days: Annotated[
        bool, typer.Option("--days", help="Day by day, with intervals that may be looked at daily.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Show a campaign's accounting and its lift over the holdout, like `whisperer campaign report`.

    Examples:

        whisperer report trial-welcome --tenant acme
        whisperer report trial-welcome --tenant acme --days
    """
    if not days:
        show_report(campaign, tenant, data_dir, json)
        return
    with Operator(data_dir) as operator:
        document = operator.get("tenants", tenant, "campaigns", campaign, "report", "days")
    if json:
        output.print_json(document)
    else:
        print_days(answers.read(document, answers.Days))


def show_report(name: str, tenant: str, data_dir: Path, json: bool) -> None:
    """Print a campaign's report, for people or as JSON."""
    with Operator(data_dir) as operator:
        document = operator.get("tenants", tenant, "campaigns", name, "report")
    if json:
        output.print_json(document)
    else:
        print_report(answers.read(document, answers.Report))


def print_days(days: answers.Days) -> None:
    """Print the report by day for people."""
    output.print_table(
        ("until", "users", "policy over holdout", "uniform over holdout", "policy over uniform"),
        [
            (
                day.day,
                sum(group.users for group in day.groups),
                *map(_look, (day.lift, day.uniform_lift, day.over_uniform)),
            )
            for day in days.data
        ],
        "No user's window has closed yet.",
    )
    output.say("A user joins when the goal's window has closed; * marks a difference, whenever it is first seen.")
    if days.data and days.data[-1].sample_ratio.suspicious:
        p = days.data[-1].sample_ratio.p_value
        output.say(f"The groups are not as large as their shares (p = {p:.2g} at all looks): do not believe the lift.")


def _look(lift: answers.Look) -> str:
    if lift.not_yet is not None:
        return "not yet"
    return f"{lift.difference:+.4f} ({lift.low:+.4f} to {lift.high:+.4f}){' *' if lift.decided else ''}"


def print_report(report: answers.Report) -> None:
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


def _lift(lift: answers.Lift) -> str:
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

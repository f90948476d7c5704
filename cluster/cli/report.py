"""`whisperer report`: what a campaign did with every candidate, and what that was worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cluster.cli import output
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
        document: dict[str, Any] = operator.get("tenants", tenant, "campaigns", campaign, "report", "days")
    if json:
        output.print_json(document)
    else:
        print_days(document)


def show_report(name: str, tenant: str, data_dir: Path, json: bool) -> None:
    """Print a campaign's report, for people or as JSON."""
    with Operator(data_dir) as operator:
        document: dict[str, Any] = operator.get("tenants", tenant, "campaigns", name, "report")
    if json:
        output.print_json(document)
    else:
        print_report(document)


def print_days(document: dict[str, Any]) -> None:
    """Print the report by day for people."""
    output.print_table(
        ("until", "users", "policy over holdout", "uniform over holdout", "policy over uniform"),
        [
            (
                day["day"],
                sum(group["users"] for group in day["groups"]),
                *(_look(day[name]) for name in ("lift", "uniform_lift", "over_uniform")),
            )
            for day in document["data"]
        ],
        "No user's window has closed yet.",
    )
    output.say("A user joins when the goal's window has closed; * marks a difference, whenever it is first seen.")
    if document["data"] and document["data"][-1]["sample_ratio"]["suspicious"]:
        p = document["data"][-1]["sample_ratio"]["p_value"]
        output.say(f"The groups are not as large as their shares (p = {p:.2g} at all looks): do not believe the lift.")


def _look(lift: dict[str, Any]) -> str:
    if "not_yet" in lift:
        return "not yet"
    return f"{lift['difference']:+.4f} ({lift['low']:+.4f} to {lift['high']:+.4f}){' *' if lift['decided'] else ''}"


def print_report(document: dict[str, Any]) -> None:
    """Print the report for people."""
    output.say(f"{document['name']} version {document['version']}, {document['status']}, since {document['since']}")
    output.say(document["description"])
    refused = sorted(document["refused"].items(), key=lambda entry: (-entry[1], entry[0]))
    rows = [
        ("sent", document["sent"]),
        *((("  of these unknown", document["unknown"]),) if document["unknown"] else ()),
        ("no_send", document["no_send"]),
        *((f"refused: {reason}", count) for reason, count in refused),
        ("pending", document["pending"]),
        ("candidates", document["candidates"]),
    ]
    output.print_table(("what became of candidates", "users"), rows, "No candidates yet.")
    output.print_table(
        ("group", "users", "goal per user"),
        [(g["group"], g["users"], _number(g["mean"])) for g in document["groups"]],
        "No groups yet.",
    )
    output.print_table(
        ("group", "arm", "decisions", "sent", "converted", "reward"),
        [
            (*(arm[name] for name in ("group", "arm", "decisions", "sent", "converted")), _number(arm["reward"]))
            for arm in document["arms"]
        ],
        "No decision's window has closed yet.",
    )
    if document["budget"] is not None:
        names = ("amount", "spent", "granted", "price")
        output.print_table(
            ("budget from", "until", *names, "withheld"),
            [
                (one["begins_at"], one["ends_at"], *(_number(one[name]) for name in names), one["withheld"])
                for one in document["budget"]
            ],
            "Nothing of the budget was asked for yet, or the learner is away.",
        )
    for name, lift in (("policy", document["lift"]), ("uniform", document["uniform_lift"])):
        output.say(f"{name} over holdout: {_lift(lift)}")
    if document["sample_ratio"]["suspicious"]:
        output.say(
            f"The groups are not as large as their shares (p = {document['sample_ratio']['p_value']:.2g}): "
            "do not believe the lift unless the shares were changed meanwhile."
        )


def _lift(lift: dict[str, Any]) -> str:
    if "not_yet" in lift:
        return f"not yet: {lift['not_yet']}"
    relative = f" (no relative lift: {lift.get('relative_reason')})"
    if lift["relative"] is not None:
        relative = f" ({lift['relative']:+.1%})"
    interval = f"{lift['level']:.0%} interval {lift['low']:+.4f} to {lift['high']:+.4f}"
    users = f"{lift['users']:,} users against {lift['holdout_users']:,}"
    return f"{lift['difference']:+.4f} per user{relative}, {interval}, {users}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.4f}"

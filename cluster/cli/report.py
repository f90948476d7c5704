"""`whisperer report`: what a campaign did with every candidate, and what that was worth."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cluster.cli import output
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption


def register(app: typer.Typer) -> None:
    app.command()(report)


def report(
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN")],
    tenant: TenantOption,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Show a campaign's accounting and its lift over the holdout; the same as `whisperer campaign report`.

    Example:

        whisperer report trial-welcome --tenant acme
    """
    from cluster.cli.campaign import show_report

    show_report(campaign, tenant, data_dir, json)


def print_report(document: dict[str, Any]) -> None:
    """For people."""
    output.say(f"{document['name']} version {document['version']}, {document['status']}, since {document['since']}")
    output.say(document["description"])
    refused = sorted(document["refused"].items(), key=lambda entry: (-entry[1], entry[0]))
    rows = [
        ("sent", document["sent"]),
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
    relative = "" if lift["relative"] is None else f" ({lift['relative']:+.1%})"
    interval = f"{lift['level']:.0%} interval {lift['low']:+.4f} to {lift['high']:+.4f}"
    users = f"{lift['users']:,} users against {lift['holdout_users']:,}"
    return f"{lift['difference']:+.4f} per user{relative}, {interval}, {users}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.4f}"

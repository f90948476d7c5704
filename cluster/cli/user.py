"""`whisperer user`: show, export or erase what is known about one user, and record consent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cluster.cli import answers, output
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption
from cluster.launch.installation import write_private
from cluster.operator_client import Operator
from whisperer.vocabulary.channels import CHANNELS

app = typer.Typer(
    name="user", help="Users: show, export or erase what is held on one; record consent.", no_args_is_help=True
)

UserId = Annotated[str, typer.Argument(metavar="USER_ID", help="The client's userId.")]


@app.command()
def show(user_id: UserId, tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Show a user's current state: traits, features, segments, recent events, and campaign decisions.

    Example:

        whisperer user show u-17 --tenant acme --json
    """
    with Operator(data_dir) as operator:
        document = operator.get("tenants", tenant, "users", user_id)
    if json:
        output.print_json(document)
        return
    found = answers.read(document, answers.Profile)
    output.say(f"{found.user_id}, first seen {found.first_seen}, last {found.last_seen}")
    output.say(f"segments: {', '.join(found.segments) or 'none'}")
    output.print_table(("trait", "value"), sorted(found.traits.items()), "No traits.")
    output.print_table(("feature", "value"), sorted(found.features.items()), "No features.")
    rows = [(entry.timestamp, entry.event, entry.type) for entry in found.timeline]
    output.print_table(("time", "event", "type"), rows, "No events.")
    considered = [
        (one.at, one.campaign, one.arm or "", one.status, one.reason or "", one.id) for one in found.candidacies
    ]
    columns = ("considered", "campaign", "arm", "status", "reason", "decision")
    output.print_table(columns, considered, "No campaign has considered this user.")


@app.command()
def export(
    user_id: UserId,
    tenant: TenantOption,
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="Write here instead of to stdout.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Export everything held on a user as one JSON document, to answer a subject access request.

    Example:

        whisperer user export u-17 --tenant acme --to u-17.json
    """

    with Operator(data_dir, timeout_s=600.0) as operator:
        document = operator.get("tenants", tenant, "users", user_id, "export")
    if to is None:
        output.print_json(document)
    else:
        write_private(to, json.dumps(document, indent=2, ensure_ascii=False).encode())
        output.say(f"Written to {to}, readable by you only.")


@app.command()
def erase(
    user_id: UserId,
    tenant: TenantOption,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Erase a user: their state at once, files within the retention. Late events do not bring the user back.

    Example:

        whisperer user erase u-17 --tenant acme --yes
    """
    if not yes:
        typer.confirm(f"Erase user {user_id} of {tenant} for good?", abort=True, err=True)
    with Operator(data_dir) as operator:
        answer = operator.delete("tenants", tenant, "users", user_id)
    if json:
        output.print_json(answer if answer is not None else {"user_id": user_id, "erased": True})
    else:
        output.say(f"Erased {user_id}.")


@app.command()
def consent(
    user_id: UserId,
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help=f"{', '.join(CHANNELS)}, or * for all.")],
    tenant: TenantOption,
    granted: Annotated[bool, typer.Option("--granted/--withdrawn", help="Whether the user agrees.")],
    purpose: Annotated[str, typer.Option(help="What for; * for everything.")] = "marketing",
    source: Annotated[str, typer.Option(help="Where the user said so.")] = "operator",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Record that a user agreed to messages on a channel, or withdrew consent.

    Examples:

        whisperer user consent u-17 email --withdrawn --tenant acme
        whisperer user consent u-17 sms --granted --source "phone call" --tenant acme
    """
    body = {"channel": channel, "purpose": purpose, "granted": granted, "source": source}
    with Operator(data_dir) as operator:
        answer = operator.post("tenants", tenant, "users", user_id, "consent", body=body)
    if json:
        output.print_json(answer)
    else:
        said = "agreed to" if granted else "withdrew from"
        output.say(f"{user_id} {said} {purpose} by {channel}.")

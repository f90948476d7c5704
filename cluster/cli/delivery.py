"""`whisperer delivery`: what became of messages, and dead letters sent again."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import typer

from cluster.cli import output
from cluster.cli.answers.channels import Delivery
from cluster.cli.answers.reading import read
from cluster.cli.exit_codes import FAILED
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption
from cluster.operator_client import Operator
from whisperer.errors import RequestError

app = typer.Typer(
    name="delivery", help="Deliveries: what became of each message, dead letters among them.", no_args_is_help=True
)

MOST = 500

Channel = Annotated[str | None, typer.Option(help="email, sms, push, webhook ...")]
CampaignOption = Annotated[str | None, typer.Option("--campaign", help="Of this campaign only.")]
ProviderOption = Annotated[str | None, typer.Option("--provider", help="Whose latest attempt was with this provider.")]
Since = Annotated[str | None, typer.Option(help="ISO 8601; 30 days ago if nothing is said.")]
Until = Annotated[str | None, typer.Option(help="ISO 8601; now if nothing is said.")]


@app.command("list")
def list_(
    tenant: TenantOption,
    status: Annotated[
        str | None, typer.Option(help="accepted, retrying, unknown, bounced, refused or dead (the dead letters).")
    ] = None,
    channel: Channel = None,
    campaign: CampaignOption = None,
    provider: ProviderOption = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="How many, the newest first.")] = 100,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """List deliveries by their latest attempt, newest first; they appear a moment after it.

    Examples:

        whisperer delivery list --tenant acme --status dead
        whisperer delivery list --tenant acme --channel email --since 2026-01-31T00:00:00Z --json
    """
    asked: dict[str, Any] = {
        "status": status,
        "channel": channel,
        "filter[campaign]": campaign,
        "filter[provider]": provider,
        "filter[since]": since,
        "filter[until]": until,
    }
    with Operator(data_dir) as operator:
        given = {name: value for name, value in asked.items() if value is not None}
        found = operator.get("tenants", tenant, "deliveries", limit=str(limit), **given)["data"]
    if json:
        output.print_json(found)
        return
    rows = [
        (
            one.at,
            one.status,
            one.channel,
            one.user_id or one.user_key,
            one.campaign,
            one.attempts,
            _why(one),
            one.decision_id,
        )
        for one in read(found, list[Delivery])
    ]
    columns = ("latest attempt", "status", "channel", "user", "campaign", "attempts", "why", "decision")
    output.print_table(columns, rows, "No such deliveries.")


@app.command()
def replay(
    tenant: TenantOption,
    deliveries: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="snd_…, from `list`.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All dead letters that the other options name.")] = False,
    channel: Channel = None,
    campaign: CampaignOption = None,
    provider: ProviderOption = None,
    since: Since = None,
    until: Until = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Send dead letters again: what a provider would not take, or whose every attempt failed.

    Each keeps its key, and all retries of its channel. Consent, caps and quiet hours hold as for any send.

    Examples:

        whisperer delivery replay snd_0f6jkq2w1m9r4v7x3s8c5b2n0d --tenant acme
        whisperer delivery replay --all --channel email --since 2026-01-31T00:00:00Z --tenant acme
    """
    if bool(deliveries) == every:
        raise typer.BadParameter("say which: ids, or --all")
    n_replayed, refused = 0, Counter[str]()
    with Operator(data_dir) as operator:
        for one in deliveries or ():
            try:
                operator.post("tenants", tenant, "deliveries", one, "replay")
                n_replayed += 1
            except RequestError as error:
                refused[error.code] += 1
                output.say(f"{one}: {error.message}")
        asked = {"channel": channel, "campaign": campaign, "provider": provider, "since": since, "until": until}
        body = {name: value for name, value in asked.items() if value is not None}
        goes_on = every
        while goes_on:
            made = operator.post("tenants", tenant, "deliveries", "replay", body=body)
            n_replayed += made["n_replayed"]
            refused.update(made["refused"])
            body["cursor"] = made["next_cursor"]
            goes_on = made["next_cursor"] is not None
            if goes_on:
                output.say(f"{n_replayed:,} so far")
    if json:
        output.print_json({"n_replayed": n_replayed, "refused": dict(refused)})
    else:
        why = "".join(f"; {n:,} not ({reason})" for reason, n in sorted(refused.items()))
        output.say(f"{n_replayed:,} are sent again{why}.")
    if refused and not every:
        raise typer.Exit(FAILED)


def _why(one: Delivery) -> str:
    return ": ".join(text for text in (one.reason_text, one.detail) if text)

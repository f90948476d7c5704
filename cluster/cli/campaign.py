"""`whisperer campaign`: write, publish, pause, resume, end and judge a tenant's campaigns."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cluster.cli import bulk, output
from cluster.cli.answers.campaigns import Campaign, Counts
from cluster.cli.answers.reading import read
from cluster.cli.drafting import Drafted, add_commands
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption
from cluster.cli.report import show_report
from cluster.cli.resources import all_pages, flagged, named, read_object, through

app = typer.Typer(
    name="campaign",
    help="Campaigns: who is considered when, what may be sent, what it was worth.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="NAME")]

add_commands(app, Drafted("campaign", "campaigns", "trial-welcome"))
bulk.add_command(app, "campaigns", "campaign")


@app.command("list")
def list_(tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """List a tenant's campaigns, with their counts if the installation is running.

    Example:

        whisperer campaign list --tenant acme
    """
    found = through(
        data_dir,
        lambda operator: all_pages(operator, "tenants", tenant, "campaigns"),
        lambda plane, documents: [documents.campaign_document(row) for row in plane.list_campaigns(tenant)],
    )
    if json:
        output.print_json(found)
        return
    rows = [
        (c.name, c.version, c.status, c.draft_version, *_counts(c.counts), c.description)
        for c in read(found, list[Campaign])
    ]
    columns = ("name", "version", "status", "draft", "candidates", "sent", "no_send", "refused", "description")
    output.print_table(columns, rows, "No campaigns yet: `whisperer campaign create FILE --tenant NAME`.")


@app.command()
def show(
    name: Name,
    tenant: TenantOption,
    version: Annotated[int | None, typer.Option(min=1, help="Of the versions; default: the one in force.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Show a campaign: a description in words, and its definition.

    Example:

        whisperer campaign show trial-welcome --tenant acme --json | jq .definition > trial-welcome.json
    """
    query = {} if version is None else {"version": version}
    document = through(
        data_dir,
        lambda operator: operator.get("tenants", tenant, "campaigns", name, **query),
        lambda plane, documents: documents.campaign_document(plane.get_campaign(tenant, name, version)),
    )
    if json:
        output.print_json(document)
        return
    output.print_json(_say(document).definition)


@app.command()
def create(
    file: Annotated[typer.FileText, typer.Argument(metavar="FILE", help="Campaign as JSON; - reads stdin.")],
    tenant: TenantOption,
    name: Annotated[str | None, typer.Option(help='Its name. [default: "name" in the file]')] = None,
    publish: Annotated[bool, typer.Option("--publish", help="Go live at once.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Where it exists, write its next draft.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Create a campaign as a draft. All problems in the file are reported at once; docs/campaigns.md lists every field.

    Examples:

        whisperer campaign create trial-welcome.json --tenant acme
        whisperer campaign create trial-welcome.json --tenant acme --replace --publish
    """
    definition = read_object(file.read(), "the campaign")
    called = named(definition, name, "the file")
    publish = flagged(definition, "publish") or publish
    body = {**definition, "name": called, "publish": publish}
    if replace:
        document = through(
            data_dir,
            lambda operator: operator.put("tenants", tenant, "campaigns", called, body=body),
            lambda plane, documents: documents.campaign_document(
                plane.put_campaign(tenant, called, definition, publish=publish)
            ),
        )
    else:
        document = through(
            data_dir,
            lambda operator: operator.post("tenants", tenant, "campaigns", body=body),
            lambda plane, documents: documents.campaign_document(
                plane.create_campaign(tenant, called, definition, publish=publish)
            ),
        )
    _told(document, json)


@app.command()
def publish(name: Name, tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Put a draft into force, live, with the newest version of each template it names.

    Example:

        whisperer campaign publish trial-welcome --tenant acme
    """
    _told(_turned(data_dir, tenant, name, "publish"), json)


@app.command()
def pause(name: Name, tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Stop considering users, and stop sends not yet given to a provider (refused as campaign_not_live).

    Example:

        whisperer campaign pause trial-welcome --tenant acme
    """
    _told(_turned(data_dir, tenant, name, "pause"), json)


@app.command()
def resume(name: Name, tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Consider users again after a pause.

    Example:

        whisperer campaign resume trial-welcome --tenant acme
    """
    _told(_turned(data_dir, tenant, name, "resume"), json)


@app.command()
def end(name: Name, tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """End a campaign. Versions, counts and decisions are kept; edit and publish it again to revive it.

    Example:

        whisperer campaign end trial-welcome --tenant acme
    """
    _told(_turned(data_dir, tenant, name, "end"), json)


@app.command()
def report(name: Name, tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Show what a campaign did with every candidate, and its lift over the holdout with an interval.

    Example:

        whisperer campaign report trial-welcome --tenant acme
    """
    show_report(name, tenant, data_dir, json)


def _turned(data_dir: Path, tenant: str, name: str, action: str) -> Any:
    return through(
        data_dir,
        lambda operator: operator.post("tenants", tenant, "campaigns", name, action),
        lambda plane, documents: documents.campaign_document(getattr(plane, f"{action}_campaign")(tenant, name)),
    )


def _told(document: Any, json: bool) -> None:
    if json:
        output.print_json(document)
    else:
        _say(document)


def _say(document: Any) -> Campaign:
    campaign = read(document, Campaign)
    output.say(f"{campaign.name} version {campaign.version}, {campaign.status}: {campaign.description}")
    if campaign.draft_version:
        output.say(f"A draft, version {campaign.draft_version}, waits to be published.")
    return campaign


def _counts(counts: Counts | None) -> tuple[int | None, ...]:
    if counts is None:
        return None, None, None, None
    return counts.candidates, counts.sent, counts.no_send, sum(counts.refused.values())

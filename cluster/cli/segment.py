"""`whisperer segment`: publish, inspect and archive a tenant's segments."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from cluster.cli import bulk, drafting, output
from cluster.cli.answers.reading import read
from cluster.cli.answers.segments import PublishedSegment, Segment
from cluster.cli.control import open_control_plane
from cluster.cli.exit_codes import NOT_FOUND
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption
from cluster.cli.resources import running_operator, through
from cluster.operator_client import Operator
from whisperer.segments import describe, parse_json, parse_predicate, to_json

app = typer.Typer(
    name="segment", help="Segments: groups of users by a predicate, kept up to date.", no_args_is_help=True
)

_POLL_S = 0.25

_OF = drafting.Drafted("segment", "segments", "regulars", lambda predicate: {"predicate": predicate})
drafting.add_commands(app, _OF)
bulk.add_command(app, "segments", "segment")


@app.command("list")
def list_(
    tenant: TenantOption,
    archived: Annotated[bool, typer.Option("--archived", help="Archived ones too.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """List a tenant's segments.

    Example:

        whisperer segment list --tenant acme
    """

    with open_control_plane(data_dir) as plane:
        found = plane.list_segments(tenant, include_archived=archived)
    if json:
        output.print_json([asdict(segment) for segment in found])
        return
    rows = [
        (s.name, s.version, output.when(s.published_at), output.when(s.archived_at), _described(s.predicate))
        for s in found
    ]
    columns = ("name", "version", "published", "archived", "predicate")
    output.print_table(columns, rows, "No segments yet: `whisperer segment publish NAME FILE --tenant NAME`.")


@app.command()
def publish(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    tenant: TenantOption,
    file: Annotated[
        typer.FileText | None,
        typer.Argument(metavar="FILE", help="Predicate as JSON; - reads stdin. [default: the draft]"),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait until every present user has been looked at.")] = True,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Publish a predicate, or the draft, as a segment's next version; docs/segments.md describes the language.

    While the installation runs, existing users are evaluated now, with progress; otherwise at the next start.

    Examples:

        whisperer segment publish regulars regulars.json --tenant acme
        echo '{"event": "Order Completed", "count": 3, "days": 30}' |
          whisperer segment publish regulars - --tenant acme
        whisperer segment publish regulars --tenant acme
    """
    if file is None:
        _publish_draft(data_dir, tenant, name, wait, json)
        return
    predicate = to_json(parse_json(file.read()))
    version = _publish(data_dir, tenant, name, predicate, wait)
    if json:
        output.print_json({"name": name, "version": version, "predicate": predicate})
    else:
        output.say(f"Published {name} version {version}: {_described(predicate)}")


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    tenant: TenantOption,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Show a segment: its predicate and versions and, while the installation runs, how many users are in it.

    Example:

        whisperer segment show regulars --tenant acme --json
    """

    with open_control_plane(data_dir) as plane:
        versions = plane.list_segments(tenant, include_archived=True, all_versions=True)
    versions = [segment for segment in versions if segment.name == name]
    if not versions:
        output.fail(f"tenant {tenant} has no segment {name}; `whisperer segment list --tenant {tenant}`", NOT_FOUND)
    document = asdict(versions[-1]) | {"versions": [asdict(segment) for segment in versions]}
    document["live"] = None
    if operator := running_operator(data_dir):
        with operator:
            document["live"] = operator.get("tenants", tenant, "segments", name)
    if json:
        output.print_json(document)
        return
    output.say(f"{name} version {document['version']}: {_described(document['predicate'])}")
    output.say(f"published {output.when(document['published_at'])}")
    if document["archived_at"]:
        output.say(f"archived {output.when(document['archived_at'])}")
    if document["live"]:
        live = read(document["live"], Segment)
        output.say(f"{live.members:,} members; {live.done:,} of {live.total:,} users looked at")
    output.print_json(document["predicate"])


@app.command()
def archive(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    tenant: TenantOption,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Archive a segment: its members leave it and its versions are kept. Publishing the name again revives it.

    Example:

        whisperer segment archive regulars --tenant acme
    """
    through(
        data_dir,
        lambda operator: operator.delete("tenants", tenant, "segments", name),
        lambda plane, _: plane.archive_segment(tenant, name),
    )
    output.say(f"Archived {name}.")


def _publish(data_dir: Path, tenant: str, name: str, predicate: dict[str, Any], wait: bool) -> int:
    def online(operator: Operator) -> int:
        answer = operator.put("tenants", tenant, "segments", name, body={"predicate": predicate})
        if wait:
            _watch(operator, tenant, name)
        return read(answer, PublishedSegment).version

    version: int = through(data_dir, online, lambda plane, _: plane.publish_segment(tenant, name, predicate))
    return version


def _publish_draft(data_dir: Path, tenant: str, name: str, wait: bool, json: bool) -> None:
    document = drafting.publish(data_dir, tenant, _OF, name)
    if wait and (operator := running_operator(data_dir)):
        with operator:
            _watch(operator, tenant, name)
    if json:
        output.print_json(document)
    else:
        output.say(f"Published {name} version {read(document, PublishedSegment).version}.")


def _watch(operator: Operator, tenant: str, name: str) -> None:

    columns = (
        TextColumn("looking at users"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[members]} in"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, members=0)
        while True:
            live = read(operator.get("tenants", tenant, "segments", name), Segment)
            bar.update(task, completed=live.done, total=live.total, members=live.members)
            if live.done >= live.total:
                return
            time.sleep(_POLL_S)


def _described(predicate: dict[str, Any]) -> str:
    return describe(parse_predicate(predicate))

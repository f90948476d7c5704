"""`whisperer import`: import a file of events into a tenant, over the same route as every other event."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cluster.cli import output
from cluster.cli.control import open_control_plane
from cluster.cli.exit_codes import FAILED
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption
from cluster.importing.command import import_file
from cluster.operator_client import Operator


class Format(StrEnum):
    csv = "csv"
    jsonl = "jsonl"
    parquet = "parquet"


app = typer.Typer()


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True)],
    tenant: TenantOption,
    format: Annotated[Format, typer.Option("--format", help="What the file is.")],
    map_path: Annotated[
        Path | None,
        typer.Option("--map", metavar="MAP.json", exists=True, dir_okay=False, help="Which columns mean what."),
    ] = None,
    segment: Annotated[bool, typer.Option("--segment", help="Rows are Segment events already.")] = False,
    url: Annotated[str | None, typer.Option(help="Gateway. [default: the one of --data-dir]")] = None,
    key: Annotated[str | None, typer.Option(help="Write key. [default: one made for this import]")] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Begin again instead of going on.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Import a file of events. If interrupted, run it again to resume; running it twice changes nothing.

    Examples:

        whisperer import orders.csv --tenant acme --format csv --map orders.map.json
        whisperer import events.jsonl --tenant acme --format jsonl --segment
    """
    if (map_path is None) != segment:
        raise typer.BadParameter("say what the rows are: either --map MAP.json or --segment")
    if url is None:
        with Operator(data_dir) as operator:
            url = operator.installation.local_url
    made = None
    if key is None:
        with open_control_plane(data_dir) as plane:
            made = plane.create_key(tenant, "write", label=f"import of {file.name}")
            key = made.key
    try:
        report = import_file(
            file,
            url=url,
            write_key=key,
            tenant=tenant,
            format=format.value,
            map_path=map_path,
            segment=segment,
            data_dir=data_dir,
            restart=restart,
            progress=not json,
        )
    finally:
        if made is not None:
            with open_control_plane(data_dir) as plane:
                plane.revoke_key(made.id)
    if json:
        output.print_json(asdict(report))
    if not report.finished:
        raise typer.Exit(FAILED)

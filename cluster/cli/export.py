"""`whisperer export`: a tenant's data as files: begin, watch, download, delete."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn

from cluster.cli import output
from cluster.cli.answers.exports import Export
from cluster.cli.answers.reading import read
from cluster.cli.exit_codes import FAILED
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption
from cluster.cli.resources import all_pages
from cluster.operator_client import Operator
from whisperer.errors import DamagedError, RequestError
from whisperer.vocabulary.exports import OPEN, ExportFormat, ExportKind, ExportState

LOOK_S = 0.5
PIECE_BYTES = 256 << 10

app = typer.Typer(
    name="export",
    help="Exports: a tenant's data as NDJSON, CSV or Parquet, made in the background.",
    no_args_is_help=True,
)

ExportId = Annotated[str, typer.Argument(metavar="EXPORT", help="Its id: exp_…")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", dir_okay=False, help="Save the file there, whole or not at all."),
]


@app.command()
def create(
    of: Annotated[ExportKind, typer.Argument(metavar="WHAT", help="See below.")],
    tenant: TenantOption,
    format: Annotated[ExportFormat, typer.Option("--format", help="Of the file.")] = ExportFormat.NDJSON,
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", "-f", metavar="NAME=VALUE", help="Narrow it down, below; repeat it for more."),
    ] = None,
    to: Output = None,
    background: Annotated[bool, typer.Option("--background", help="Do not wait until it is done.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Export a tenant's data, wait until that is done, and save the file with --output.

    WHAT is one of:

        users        everybody, as they are now
        events       as clients sent them
        decisions    who was considered, and what was chosen
        deliveries   attempts to send
        outcomes     what users did about it
        rewards      what each decision earned
        audit        the audit log

    Filters are written as NAME=VALUE:

        since=2026-01-01T00:00:00Z   from this time on (not for users)
        until=2026-02-01T00:00:00Z   before this time (not for users)
        event="Order Completed"      of events; also type
        campaign=welcome             of decisions, deliveries, outcomes, rewards
        actor=ada@example.com        of audit; also resource, resource_id, verb
        traits.plan=pro              of users, as in `whisperer user list --help`

    Examples:

        whisperer export create events --tenant acme --format parquet --output events.parquet
        whisperer export create users --tenant acme --format csv -f traits.plan=pro -f "score[gte]=0.7" -o pros.csv
        whisperer export create audit --tenant acme -f since=2026-01-01T00:00:00Z --background
    """
    body = {"of": of.value, "format": format.value, "filter": _filter(filters or [])}
    if background and to is not None:
        raise typer.BadParameter("--output needs the end of the export: leave --background out")
    with Operator(data_dir) as operator:
        document = operator.post("tenants", tenant, "exports", body=body)
        if not background:
            document = _awaited(operator, tenant, document, quiet=json)
        found = read(document, Export)
        if to is not None and found.state == ExportState.DONE:
            _save(operator, found, to, quiet=json)
    _print(document, found, to, json=json)
    if found.state not in (*OPEN, ExportState.DONE):
        output.fail(f"the export {found.id} {found.state}{': ' if found.error else ''}{found.error or ''}", FAILED)


@app.command("list")
def list_(
    tenant: TenantOption,
    state: Annotated[ExportState | None, typer.Option(help="Only those that stand so.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """List a tenant's exports, newest first.

    Examples:

        whisperer export list --tenant acme
        whisperer export list --tenant acme --state done --json
    """
    query = {} if state is None else {"filter[state]": state.value}
    with Operator(data_dir) as operator:
        documents = all_pages(operator, "tenants", tenant, "exports", **query)
    if json:
        output.print_json(documents)
        return
    rows = [
        (one.id, one.of, one.format, one.state, one.progress.rows, output.size(one.size_bytes))
        for one in (read(document, Export) for document in documents)
    ]
    columns = ("export", "of", "format", "state", "rows", "size")
    output.print_table(columns, rows, "Nothing has been exported.")


@app.command()
def show(id: ExportId, tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Show how far an export is; once it is done, with a link that is good for an hour and needs no key.

    Examples:

        whisperer export show exp_01kb9v2m4y7q0w8e6r5t3z --tenant acme
        curl -OJ "$(whisperer export show exp_01kb9v2m4y7q0w8e6r5t3z --tenant acme --json | jq -r .download_url)"
    """
    with Operator(data_dir) as operator:
        document = operator.get("tenants", tenant, "exports", id)
    _print(document, read(document, Export), None, json=json)


@app.command()
def download(
    id: ExportId,
    tenant: TenantOption,
    to: Output = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Save the file of an export, waiting for its end. What arrives is compared with its SHA-256.

    Examples:

        whisperer export download exp_01kb9v2m4y7q0w8e6r5t3z --tenant acme
        whisperer export download exp_01kb9v2m4y7q0w8e6r5t3z --tenant acme --output events.csv
    """
    with Operator(data_dir) as operator:
        document = _awaited(operator, tenant, operator.get("tenants", tenant, "exports", id), quiet=json)
        found = read(document, Export)
        if found.state != ExportState.DONE:
            output.fail(f"the export {found.id} has no file: {found.error or found.state}", FAILED)
        to = to or Path(f"{found.of}-{found.id}.{found.format}")
        _save(operator, found, to, quiet=json)
    _print(document, found, to, json=json)


@app.command()
def delete(id: ExportId, tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Cancel an export that is not done yet; delete one that is, with its file.

    Example:

        whisperer export delete exp_01kb9v2m4y7q0w8e6r5t3z --tenant acme
    """
    with Operator(data_dir) as operator:
        document = operator.delete("tenants", tenant, "exports", id)
    if json:
        output.print_json(document)
    else:
        ended = read(document, Export)
        output.say(f"{id} was {'cancelled' if ended.state == ExportState.CANCELLED else 'deleted'}.")


def _filter(written: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in written:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise RequestError(f"a filter is NAME=VALUE, such as since=2026-01-31T00:00:00Z, not {one[:80]!r}")
        outer, bracket, operator = name.removesuffix("]").rpartition("[")
        if bracket and name.endswith("]"):
            inner = found.setdefault(outer, {})
            if not isinstance(inner, dict):
                raise RequestError(f"{outer[:80]} is given twice")
            inner[operator] = value
        else:
            found[name] = value
    return found


def _awaited(operator: Operator, tenant: str, document: Any, *, quiet: bool) -> Any:
    """Wait for the export's end and return its document with a link, showing its progress on stderr."""
    found = read(document, Export)
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as progress:
        bar = progress.add_task(found.state, total=None)
        while found.state in OPEN:
            time.sleep(LOOK_S)
            document = operator.get("tenants", tenant, "exports", found.id)
            found = read(document, Export)
            share = found.progress.share
            description = f"{found.state}, {found.progress.rows:,} rows"
            progress.update(bar, description=description, completed=share or 0.0, total=None if share is None else 1.0)
    return document


def _save(operator: Operator, found: Export, to: Path, *, quiet: bool) -> None:
    """Save the file under another name next to its place, compare it, and rename it. Raises DamagedError."""
    link = urlsplit(found.download_url or "")
    beside = to.with_name(f".{to.name}.{os.getpid()}")
    digest = hashlib.sha256()
    columns = TextColumn("downloading"), BarColumn(), DownloadColumn()
    try:
        with (
            operator.streaming(f"{link.path}?{link.query}") as answer,
            open(os.open(beside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file,
            Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as progress,
        ):
            bar = progress.add_task("", total=found.size_bytes)
            for piece in answer.iter_bytes(PIECE_BYTES):
                file.write(piece)
                digest.update(piece)
                progress.advance(bar, len(piece))
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != found.sha256:
            raise DamagedError(f"what arrived is not the file: its SHA-256 is {digest.hexdigest()}, not {found.sha256}")
        beside.replace(to)
    finally:
        beside.unlink(missing_ok=True)


def _print(document: Any, found: Export, to: Path | None, *, json: bool) -> None:
    if json:
        output.print_json(document)
        return
    share = found.progress.share
    told = [("of", found.of), ("format", found.format), ("begun", f"{found.created_at} by {found.created_by}")]
    told += [
        ("state", found.state),
        ("rows", f"{found.progress.rows:,}"),
        ("done", "" if share is None else f"{share:.0%}"),
    ]
    if found.state == ExportState.DONE:
        told += [("size", output.size(found.size_bytes)), ("sha256", found.sha256 or "")]
        told += [("kept until", found.expires_at or "")]
    if found.error:
        told.append(("why", found.error))
    output.print_table(("export", found.id), told, "")
    if to is not None and found.state == ExportState.DONE:
        output.say(f"Saved as {to}.")
    elif found.download_url:
        output.say(f"For an hour, without a key: {found.download_url}")

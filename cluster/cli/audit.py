"""`whisperer audit`: who changed what, who looked at whom, and whether the log is whole."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cluster.cli import output
from cluster.cli.control import open_control_plane
from cluster.cli.exit_codes import FAILED
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from cluster.times import iso
from whisperer.errors import RequestError
from whisperer.events.clock import instant
from whisperer.ids import TenantId

if TYPE_CHECKING:
    from cluster.control_plane import AuditEntry, AuditQuery, ControlPlane

app = typer.Typer(
    name="audit",
    help="The audit log: who changed what, who looked at whom, verified and exported.",
    no_args_is_help=True,
)

OfTenant = Annotated[
    str | None,
    typer.Option("--tenant", "-t", metavar="NAME", help="This tenant's log; without it, what concerns no tenant."),
]
OneTenant = Annotated[str | None, typer.Option("--tenant", "-t", metavar="NAME", help="Only this tenant's log.")]
Actor = Annotated[str | None, typer.Option(help="Only what this person, key or job did: id or name.")]
Resource = Annotated[str | None, typer.Option(help="Only this kind of thing: campaigns, api_keys, memberships…")]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="From this time on: 2026-01-31T00:00:00Z.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Before this time.")]


@app.command("list")
def list_(
    tenant: OfTenant = None,
    actor: Actor = None,
    resource: Resource = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Newest entries to show.")] = 50,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """List entries, newest first.

    Examples:

        whisperer audit list --tenant acme
        whisperer audit list --tenant acme --actor ada@example.com --since 2026-01-31T00:00:00Z
    """
    with open_control_plane(data_dir) as plane:
        found = plane.audit_entries(tenant or "", _query(actor, resource, since, until), limit=limit)
    if json:
        output.print_json([document(entry) for entry in found])
        return
    rows = [
        (
            entry.serial,
            output.when(entry.at),
            entry.actor_name or entry.actor_id or entry.actor_kind,
            entry.verb,
            f"{entry.resource} {entry.resource_id}".strip(),
            ", ".join(entry.after or entry.before or {}),
        )
        for entry in found
    ]
    output.print_table(("serial", "at", "who", "did", "what", "columns"), rows, "Nothing has been entered yet.")


@app.command()
def verify(
    tenant: OneTenant = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", exists=True, dir_okay=False, help="An earlier export: the log must contain it."),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Check that no entry was altered, removed or put in between.

    All logs, or one tenant's. Compares with what this machine noted outside the database, and with an earlier export if
    one is named. The exit code is 1 if a log is not whole.

    Examples:

        whisperer audit verify
        whisperer audit verify --tenant acme --against audit-2026-01.jsonl
    """
    # SQLAlchemy takes 0.6 s of CPU, which help does without.
    from cluster.control_plane.audit.chain import Head

    earlier = [] if against is None else _exported(against)
    known = [Head(TenantId(one.tenant_id), one.serial, one.hash) for one in earlier]
    with open_control_plane(data_dir) as plane:
        names: dict[str, str] = {one.id: one.name for one in plane.list_tenants()}
        found = [plane.verify_audit(log, known) for log in _logs(plane, tenant)]
    documents = [
        {
            "tenant": names.get(one.tenant_id),
            "tenant_id": one.tenant_id,
            "n_entries": one.n_entries,
            "hash": one.hash,
            "n_witnessed": one.n_witnessed,
            "is_whole": one.broken is None,
            "broken": None if one.broken is None else {"serial": one.broken.serial, "reason": one.broken.reason},
        }
        for one in found
    ]
    if json:
        output.print_json(documents)
    else:
        rows = [
            (
                names.get(one.tenant_id, "(installation)"),
                one.n_entries,
                one.n_witnessed,
                "whole" if one.broken is None else one.broken.reason,
            )
            for one in found
        ]
        output.print_table(("log", "entries", "witnessed", "result"), rows, "Nothing has been entered yet.")
    if any(one.broken for one in found):
        raise typer.Exit(FAILED)


@app.command()
def export(
    tenant: OneTenant = None,
    actor: Actor = None,
    resource: Resource = None,
    since: Since = None,
    until: Until = None,
    to: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write there instead of to the terminal.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Write entries as JSON, one a line, oldest first.

    All logs, or one tenant's. Keep exports elsewhere: `whisperer audit verify --against FILE` then finds what was
    altered since, by whomever.

    Examples:

        whisperer audit export --output audit.jsonl
        whisperer audit export --tenant acme --since 2026-01-01T00:00:00Z | jq .
    """
    query = _query(actor, resource, since, until)
    with open_control_plane(data_dir) as plane:
        file = sys.stdout.buffer if to is None else to.open("wb")
        n_written = 0
        for log in _logs(plane, tenant):
            for entry in plane.audit_export(log, query):
                file.write(msgspec.json.encode(document(entry)) + b"\n")
                n_written += 1
        file.flush()
        if to is not None:
            file.close()
            output.say(f"Wrote {n_written} entries to {to}.")


def document(entry: AuditEntry) -> dict[str, object]:
    """Return an entry as lists and exports have it."""
    return {"tenant_id": entry.tenant_id, **entry.row(), "at": iso(entry.at)}


class _Exported(msgspec.Struct):
    """What is read of a line of an export."""

    tenant_id: str
    serial: int
    hash: str


def _exported(file: Path) -> list[_Exported]:
    with file.open("rb") as lines:
        try:
            return [msgspec.json.decode(line, type=_Exported) for line in lines if line.strip()]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RequestError(f"{file} is not an export of `whisperer audit export`: {error}") from None


def _logs(plane: ControlPlane, tenant: str | None) -> list[TenantId]:
    return plane.audit_logs() if tenant is None else [plane.get_tenant(tenant).id]


def _query(actor: str | None, resource: str | None, since: str | None, until: str | None) -> AuditQuery:
    # SQLAlchemy takes 0.6 s of CPU, which help does without.
    from cluster.control_plane import AuditQuery

    return AuditQuery(actor, resource, since=_moment("--since", since), until=_moment("--until", until))


def _moment(option: str, text: str | None) -> int | None:
    found = None if text is None else instant(text)
    if text is not None and found is None:
        raise RequestError(f"{option} is an ISO 8601 time such as 2026-01-31T00:00:00Z, not {text[:80]!r}")
    return found

"""`whisperer key`: manage the keys that programs use to act for a tenant."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer

from cluster.cli import output
from cluster.cli.control import open_control_plane
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption

app = typer.Typer(
    name="key", help="API keys: write keys send events, secret keys read and change.", no_args_is_help=True
)


class Kind(StrEnum):
    write = "write"
    secret = "secret"  # noqa: S105  the name of a kind


@app.command()
def create(
    tenant: TenantOption,
    kind: Annotated[Kind, typer.Option(help="write: send events, safe in a browser. secret: read and change.")],
    label: Annotated[str, typer.Option(help="A note to tell keys apart by.")] = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Create a key. It is shown once and never again: only its hash is kept.

    Examples:

        whisperer key create --tenant acme --kind write --label website
        KEY=$(whisperer key create --tenant acme --kind secret --json | jq -r .key)
    """
    with open_control_plane(data_dir) as plane:
        made = plane.create_key(tenant, kind.value, label)
    if json:
        output.print_json({"key": made.key, "id": made.id, "kind": made.kind, "tenant_id": made.tenant_id})
    else:
        print(made.key)
        output.say("Keep it: it cannot be shown again.")


@app.command("list")
def list_(
    tenant: Annotated[str | None, typer.Option("--tenant", "-t", metavar="NAME", help="Only this tenant's.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """List keys, showing only the parts that are safe to show.

    Example:

        whisperer key list --tenant acme
    """

    with open_control_plane(data_dir) as plane:
        found = plane.list_keys(tenant)
    if json:
        output.print_json([asdict(key) for key in found])
        return
    rows = [
        (k.id, k.tenant_name, k.kind, k.shown, k.label, output.when(k.created_at), output.when(k.revoked_at))
        for k in found
    ]
    columns = ("id", "tenant", "kind", "key", "label", "created", "revoked")
    output.print_table(columns, rows, "No keys yet: `whisperer key create --tenant NAME --kind write`.")


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The whole key, or its id from `key list`.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Revoke a key. Gateways refuse it within half a second.

    Examples:

        whisperer key revoke key_01kdq3m5v7
        whisperer key revoke -- wk_...
    """

    with open_control_plane(data_dir) as plane:
        revoked = plane.revoke_key(key)
    if json:
        output.print_json(asdict(revoked))
    else:
        output.say(f"Revoked {revoked.shown} of {revoked.tenant_name}.")

"""`whisperer key`: manage the keys that programs use to act for a tenant."""

from __future__ import annotations

import time
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli import output
from cluster.cli.control import open_control_plane
from cluster.cli.durations import moment_ms, span_ms
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption

if TYPE_CHECKING:
    from cluster.control_plane import KeyInfo, NewKey

app = typer.Typer(
    name="key", help="API keys: write keys send events, secret keys read and change.", no_args_is_help=True
)

KeyId = Annotated[str, typer.Argument(metavar="KEY", help="The whole key, or its id from `key list`.")]
Until = Annotated[
    str, typer.Option("--expires", metavar="WHEN", help="An ISO 8601 time, or how long from now: 90d, 12h, 30m.")
]


class Kind(StrEnum):
    write = "write"
    secret = "secret"  # noqa: S105  the name of a kind


class State(StrEnum):
    active = "active"
    expired = "expired"
    revoked = "revoked"


@app.command()
def create(
    tenant: TenantOption,
    kind: Annotated[Kind, typer.Option(help="write: send events, safe in a browser. secret: read and change.")],
    label: Annotated[str, typer.Option(help="A note to tell keys apart by.")] = "",
    scope: Annotated[
        list[str] | None,
        typer.Option(metavar="PERMISSION", help="What a secret key may do, such as users:read or campaigns:*; repeat."),
    ] = None,
    expires: Until = "",
    address: Annotated[
        list[str] | None, typer.Option(metavar="NETWORK", help="Where it may be used from, in CIDR; repeat.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Create a key. It is shown once and never again: only its hash is kept.

    Examples:

        whisperer key create --tenant acme --kind write --label website
        KEY=$(whisperer key create --tenant acme --kind secret --json | jq -r .key)
        whisperer key create --tenant acme --kind secret --scope users:read --scope "campaigns:*" \\
            --expires 90d --address 198.51.100.0/24
    """
    with open_control_plane(data_dir) as plane:
        made = plane.create_key(
            tenant,
            kind.value,
            label,
            scopes=scope or None,
            expires_at=moment_ms(expires, time.time_ns() // 10**6) if expires else None,
            addresses=address or None,
        )
    _show(made, json)


@app.command("list")
def list_(
    tenant: Annotated[str | None, typer.Option("--tenant", "-t", metavar="NAME", help="Only this tenant's.")] = None,
    kind: Annotated[Kind | None, typer.Option(help="Only of this kind.")] = None,
    state: Annotated[State | None, typer.Option(help="Only in this state.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """List keys, showing only the parts that are safe to show.

    Examples:

        whisperer key list --tenant acme
        whisperer key list --tenant acme --state active --json
    """
    now = time.time_ns() // 10**6
    with open_control_plane(data_dir) as plane:
        found = [
            key
            for key in plane.list_keys(tenant)
            if (kind is None or key.kind == kind.value) and (state is None or key.state(now).value == state.value)
        ]
    if json:
        output.print_json([_document(key, now) for key in found])
        return
    rows = [(k.id, k.tenant_name, k.kind, k.shown, k.label, str(k.state(now)), _may(k), *_times(k)) for k in found]
    columns = ("id", "tenant", "kind", "key", "label", "state", "scopes", "created", "last used", "ends")
    output.print_table(columns, rows, "No keys: `whisperer key create --tenant NAME --kind write`.")


@app.command()
def rotate(
    key: KeyId,
    overlap: Annotated[
        str, typer.Option(metavar="HOW_LONG", help="How long the old key still works: 24h, 7d, 0.")
    ] = "24h",
    expires: Until = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Create the key that takes another one's place. It may do the same; the old one works on for a while, then ends.

    Examples:

        whisperer key rotate key_01kdq3m5v7
        whisperer key rotate key_01kdq3m5v7 --overlap 0      # the old one is in wrong hands
    """
    with open_control_plane(data_dir) as plane:
        ends = moment_ms(expires, time.time_ns() // 10**6) if expires else None
        made = plane.rotate_key(key, span_ms(overlap), expires_at=ends)
    _show(made, json)


@app.command()
def revoke(
    key: KeyId,
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


def _show(made: NewKey, json: bool) -> None:
    if json:
        output.print_json({"key": made.key, "id": made.id, "kind": made.kind, "tenant_id": made.tenant_id})
    else:
        print(made.key)
        output.say("Keep it: it cannot be shown again.")


def _document(key: KeyInfo, now: int) -> dict[str, Any]:
    return asdict(key) | {"state": str(key.state(now))}


def _may(key: KeyInfo) -> str:
    return "" if key.scopes is None else " ".join(key.scopes)


def _times(key: KeyInfo) -> tuple[str, str, str]:
    ends = key.revoked_at if key.revoked_at is not None else key.expires_at
    return output.when(key.created_at), output.when(key.last_used_at), output.when(ends)

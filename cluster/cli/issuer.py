"""`whisperer issuer`: OpenID Connect issuers whose tokens and people a tenant trusts."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cluster.cli import output
from cluster.cli.control import open_control_plane, settings_in_force
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption

app = typer.Typer(
    name="issuer", help="Issuers: sign in with OpenID Connect, and take another service's tokens.", no_args_is_help=True
)


@app.command()
def add(
    issuer: Annotated[str, typer.Argument(metavar="URL", help="Its address, as its tokens name it (iss).")],
    tenant: TenantOption,
    client_id: Annotated[str, typer.Option(metavar="ID", help="As which this installation is registered there.")],
    client_secret: Annotated[
        str | None, typer.Option(metavar="SECRET", envvar="WHISPERER_CLIENT_SECRET", help="Its secret there, if any.")
    ] = None,
    audience: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of its tokens. [default: the client's id]")
    ] = None,
    role_claim: Annotated[str, typer.Option(metavar="CLAIM", help="The claim whose values give roles.")] = "roles",
    role: Annotated[
        list[str] | None,
        typer.Option(metavar="VALUE=ROLE", help="What a value gives, first match wins; *=ROLE for all others."),
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Trust an issuer for a tenant: for the tokens that it signs, and for people to sign in with.

    Example:

        whisperer issuer add https://login.example.com --tenant acme --client-id whisperer \\
            --role growth=marketer --role "*=viewer"
    """
    roles: dict[str, str] = {}
    for pair in role or []:
        value, equals, name = pair.rpartition("=")
        if not equals:
            raise typer.BadParameter(f"{pair!r} is not VALUE=ROLE", param_hint="--role")
        roles[value] = name
    with open_control_plane(data_dir) as plane:
        made = plane.add_issuer(
            tenant,
            issuer,
            client_id=client_id,
            client_secret=client_secret,
            audience=audience,
            role_claim=role_claim,
            roles=roles,
        )
    base = public_url(data_dir)
    if json:
        output.print_json(_shown(made) | {"login_url": f"{base}/auth/login/{made.id}"})
        return
    output.say(f"Trusted: {made.id}. Register there as redirect URI  {base}/auth/callback")
    output.say(f"People sign in at  {base}/auth/login/{made.id}")


@app.command("list")
def list_(
    tenant: Annotated[str | None, typer.Option("--tenant", "-t", metavar="NAME", help="Only this tenant's.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """List the issuers, without secrets.

    Example:

        whisperer issuer list --tenant acme
    """
    with open_control_plane(data_dir) as plane:
        found = plane.list_issuers(tenant)
        names = {one.id: one.name for one in plane.list_tenants()}
    if json:
        output.print_json([_shown(one) for one in found])
        return
    rows = [
        (
            one.id,
            names.get(one.tenant_id, ""),
            one.issuer,
            one.audience,
            ", ".join(f"{value}={role}" for value, role in one.roles.items()),
        )
        for one in found
    ]
    output.print_table(("id", "tenant", "issuer", "audience", "roles"), rows, "No issuers yet: `whisperer issuer add`.")


@app.command()
def remove(
    issuer: Annotated[str, typer.Argument(metavar="ID", help="Its id from `issuer list`.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Trust an issuer no more. Gateways refuse its tokens within half a second; sessions that it began go on.

    Example:

        whisperer issuer remove iss_01kdq3m5v7
    """
    with open_control_plane(data_dir) as plane:
        removed = plane.remove_issuer(issuer)
    if json:
        output.print_json(_shown(removed))
    else:
        output.say(f"Removed {removed.issuer}.")


def public_url(data_dir: Path) -> str:
    """Return where people reach an installation, without a slash at its end."""
    server = settings_in_force(data_dir).server
    return server.public_url.rstrip("/") or f"http://{server.host}:{server.port}"


def _shown(one: Any) -> dict[str, Any]:
    document = asdict(one)
    document["has_client_secret"] = document.pop("client_secret") is not None
    return document

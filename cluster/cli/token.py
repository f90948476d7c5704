"""`whisperer token`: tokens that act for a tenant with a role, and the keys that sign them."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from typing import Annotated

import typer

from cluster.cli import output
from cluster.cli.control import open_control_plane, settings_in_force
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption

app = typer.Typer(
    name="token", help="Tokens: act for a tenant with a role, for a while; who is signed in.", no_args_is_help=True
)


@app.command()
def create(
    tenant: TenantOption,
    role: Annotated[str, typer.Option(metavar="ROLE", help="owner, admin, marketer, analyst, viewer, ingest or own.")],
    label: Annotated[str, typer.Option(help="A note to tell tokens apart by.")] = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Make an access token, good for 15 minutes, and a refresh token for the next ones.

    Examples:

        whisperer token create --tenant acme --role analyst
        TOKEN=$(whisperer token create --tenant acme --role admin --json | jq -r .access_token)
        curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8000/v1/campaigns
    """
    # It takes 0.6 s of CPU, which help and completion do without.
    from cluster.control_plane.identity.grants import issuer_of

    with open_control_plane(data_dir) as plane:
        issuer = issuer_of(settings_in_force(data_dir).server)
        made = plane.grant_to_operator(tenant, role, label or f"whisperer token, by {getpass.getuser()}", issuer)
    if json:
        output.print_json(
            {
                "access_token": made.access_token,
                "refresh_token": made.refresh_token,
                "expires_in": made.expires_in,
            }
        )
    else:
        print(made.access_token)
        output.say(f"Good for {made.expires_in // 60} minutes. For the next one, once (POST /v1/auth/token):")
        output.say(f"  {made.refresh_token}")


@app.command("list")
def list_(
    tenant: Annotated[str | None, typer.Option("--tenant", "-t", metavar="NAME", help="Only this tenant's.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """List who and what is signed in, or was within 30 days: tokens, refresh tokens and sessions in browsers.

    Example:

        whisperer token list --tenant acme
    """
    with open_control_plane(data_dir) as plane:
        found = plane.list_families(tenant)
        names = {one.id: one.name for one in plane.list_tenants()}
    if json:
        output.print_json([asdict(one) for one in found])
        return
    rows = [
        (
            one.id,
            names.get(one.tenant_id, ""),
            one.kind,
            one.email or one.role,
            one.client[:40],
            output.when(one.used_at),
            output.when(one.expires_at),
            one.revoked_for or "",
        )
        for one in found
    ]
    columns = ("id", "tenant", "kind", "who", "client", "used", "ends", "revoked")
    output.print_table(columns, rows, "No sign-ins yet: `whisperer token create --tenant NAME --role ROLE`.")


@app.command()
def revoke(
    sign_in: Annotated[str, typer.Argument(metavar="ID", help="Its id from `token list`, or a refresh token.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """End a sign-in: its refresh token is refused at once, its access tokens within half a second.

    Example:

        whisperer token revoke fam_01kdq3m5v7
    """
    with open_control_plane(data_dir) as plane:
        revoked = plane.revoke_family(sign_in.removeprefix("rt_").partition("~")[0])
    if json:
        output.print_json(asdict(revoked))
    else:
        output.say(f"Ended {revoked.id} of {revoked.email or revoked.role}.")


@app.command("rotate-key")
def rotate_key(
    algorithm: Annotated[str, typer.Option(metavar="NAME", help="RS256 or EdDSA.")] = "RS256",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Sign with a new key from now on. Tokens that the old one has signed stay good until they end.

    Example:

        whisperer token rotate-key --algorithm EdDSA
    """
    with open_control_plane(data_dir) as plane:
        made = plane.rotate_signing_key(algorithm)
    if json:
        output.print_json(asdict(made))
    else:
        output.say(f"Tokens are signed with {made.id} ({made.algorithm}) from now on.")

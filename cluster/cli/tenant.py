"""`whisperer tenant`: create and list the isolated customers of this installation."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cluster.cli import output, tenant_environment, tenant_generator, tenant_settings
from cluster.cli.control import open_control_plane
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir

app = typer.Typer(name="tenant", help="Tenants: isolated customers of this installation.", no_args_is_help=True)
app.add_typer(tenant_environment.app, name="environment")
app.add_typer(tenant_settings.app, name="settings")
app.add_typer(tenant_generator.app, name="generator")


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, '-', '_' and '.'; unique.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Create a tenant, whether or not the installation is running.

    Examples:

        whisperer tenant create acme
        whisperer tenant create acme --json
    """

    with open_control_plane(data_dir, create=True) as plane:
        tenant = plane.create_tenant(name)
    if json:
        output.print_json(asdict(tenant))
    else:
        output.say(f"Created tenant {tenant.name} ({tenant.id}).")
        output.say(f"Next, a key to send events with: whisperer key create --tenant {tenant.name} --kind write")


@app.command("list")
def list_(data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """List the tenants and their environments.

    Example:

        whisperer tenant list --json
    """

    with open_control_plane(data_dir) as plane:
        tenants = plane.list_tenants()
    if json:
        output.print_json([asdict(tenant) for tenant in tenants])
    else:
        rows = [(tenant.name, tenant.id, output.when(tenant.created_at)) for tenant in tenants]
        output.print_table(("name", "id", "created"), rows, "No tenants yet: `whisperer tenant create NAME`.")

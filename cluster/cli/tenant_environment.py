"""`whisperer tenant environment`: further places of a tenant, such as one for tests."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cluster.cli import output
from cluster.cli.control import open_control_plane
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir

app = typer.Typer(
    help="Environments: further places of a tenant, with data, keys and channels of their own.", no_args_is_help=True
)

TenantArgument = Annotated[str, typer.Argument(metavar="TENANT", help="Name or id.")]


@app.command()
def create(
    tenant: TenantArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as test; the whole name is TENANT.NAME.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Create an environment of a tenant. It is there for good.

    Example:

        whisperer tenant environment create acme test
    """
    with open_control_plane(data_dir) as plane:
        made = plane.create_environment(tenant, name)
    if json:
        output.print_json(asdict(made))
    else:
        output.say(f"Created {made.name} ({made.id}).")
        output.say(f"Next, a key to send events with: whisperer key create --tenant {made.name} --kind write")


@app.command("list")
def list_(tenant: TenantArgument, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """List the environments of a tenant; live is the tenant itself.

    Example:

        whisperer tenant environment list acme
    """
    with open_control_plane(data_dir) as plane:
        found = plane.list_environments(tenant)
    if json:
        output.print_json([asdict(one) for one in found])
    else:
        rows = [(one.environment, one.name, one.id, output.when(one.created_at)) for one in found]
        output.print_table(("environment", "tenant", "id", "created"), rows, "None.")

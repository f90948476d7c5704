"""`whisperer role`: the built-in roles, and a tenant's own."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cluster.cli import output
from cluster.cli.control import open_control_plane
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption

app = typer.Typer(
    name="role", help="Roles: what members may do; built-in ones, and a tenant's own.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="NAME")]


@app.command("list")
def list_(tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """List the roles of a tenant: the built-in ones, then its own.

    Example:

        whisperer role list --tenant acme
    """
    with open_control_plane(data_dir) as plane:
        found = plane.list_roles(tenant)
    if json:
        output.print_json([asdict(role) for role in found])
        return
    rows = [(r.name, "built-in" if r.built_in else "own", len(r.permissions), output.when(r.changed_at)) for r in found]
    output.print_table(("name", "", "permissions", "changed"), rows, "No roles.")


@app.command()
def show(name: Name, tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Show what a role may do.

    Example:

        whisperer role show marketer --tenant acme
    """
    with open_control_plane(data_dir) as plane:
        found = plane.get_role(tenant, name)
    if json:
        output.print_json(asdict(found))
    else:
        output.print_table(("permission",), [(one,) for one in found.permissions], "Nothing.")


@app.command()
def create(
    name: Name,
    tenant: TenantOption,
    permission: Annotated[
        list[str], typer.Option(metavar="PERMISSION", help="Such as templates:write or campaigns:*; repeat.")
    ],
    replace: Annotated[bool, typer.Option("--replace", help="Change the role if it is there.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Define a role of a tenant's own, as a set of permissions.

    Examples:

        whisperer role create copywriter --tenant acme --permission "templates:*" --permission campaigns:read
        whisperer role create copywriter --tenant acme --permission templates:read --replace
    """
    with open_control_plane(data_dir) as plane:
        is_there = replace and any(role.name == name for role in plane.list_roles(tenant))
        made = (plane.change_role if is_there else plane.create_role)(tenant, name, permission)
    if json:
        output.print_json(asdict(made))
    else:
        output.say(f"{made.name} may do {len(made.permissions)} things: {', '.join(made.permissions)}.")


@app.command()
def delete(name: Name, tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Delete a role of a tenant's own that nobody has.

    Example:

        whisperer role delete copywriter --tenant acme
    """
    with open_control_plane(data_dir) as plane:
        plane.delete_role(tenant, name)
    output.say(f"Deleted {name}.")

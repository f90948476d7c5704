"""`whisperer coupons`: pools of codes, of which a message takes one for its user."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cluster.cli import output
from cluster.cli.catalogue import read_file
from cluster.cli.control import open_control_plane
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption

app = typer.Typer(
    name="coupons", help="Coupon pools: codes, of which a message takes one for its user.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="NAME")]
MAX_FILE_BYTES = 80 << 20
"""More than a full pool of the longest codes."""


@app.command("list")
def list_(tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """List a tenant's coupon pools, with what is left in each.

    Example:

        whisperer coupons list --tenant acme
    """
    from cluster.control_plane.supply_documents import pool_document  # 0.6 s of CPU, which help does without

    with open_control_plane(data_dir) as plane:
        found = [pool_document(one) for one in plane.list_pools(tenant)]
    if json:
        output.print_json(msgspec.to_builtins(found))
        return
    rows = [(one.name, one.n_codes, one.n_given, one.n_left, one.description) for one in found]
    empty = "No coupon pools yet: `whisperer coupons put NAME --tenant NAME`."
    output.print_table(("name", "codes", "given", "left", "for"), rows, empty)


@app.command()
def put(
    name: Name,
    tenant: TenantOption,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Make a coupon pool, or describe one otherwise.

    Example:

        whisperer coupons put spring --tenant acme --description "10 % off"
    """
    from cluster.control_plane.supply_documents import pool_document

    with open_control_plane(data_dir) as plane:
        made = plane.put_pool(tenant, name, description)
    if json:
        output.print_json(msgspec.to_builtins(pool_document(made)))
    else:
        output.say(f"Coupon pool {name}: {made.n_left:,} codes are left.")


@app.command()
def upload(
    name: Name,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A code a line, CSV, or JSON; - reads stdin.")],
    tenant: TenantOption,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Add the codes of a file to a pool; those that it has already stay as they are, and are counted.

    A large file is added in several steps. If that is interrupted, repeat it.

    Example:

        whisperer coupons upload spring codes.txt --tenant acme
    """
    from cluster.control_plane.code_upload import read_codes
    from cluster.control_plane.coupons import MAX_CODES, MAX_UPLOADED

    codes = [code for _, code in read_codes(read_file(file, MAX_FILE_BYTES), "", MAX_CODES)]
    n_repeated = 0
    with open_control_plane(data_dir) as plane:
        for start in range(0, len(codes), MAX_UPLOADED):
            n_repeated += len(plane.add_codes(tenant, name, codes[start : start + MAX_UPLOADED]))
        n_left = plane.get_pool(tenant, name).n_left
    found = {"n_added": len(codes) - n_repeated, "n_repeated": n_repeated, "n_left": n_left}
    if json:
        output.print_json(found)
    else:
        output.say(f"{len(codes) - n_repeated:,} added, {n_repeated:,} were there already; {n_left:,} are left.")


@app.command()
def given(
    name: Name,
    tenant: TenantOption,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="Most shown.")] = 20,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Show who got which code of a pool, newest first.

    Example:

        whisperer coupons given spring --tenant acme
    """
    from cluster.control_plane.listing import Place
    from cluster.control_plane.supply_documents import given_document

    with open_control_plane(data_dir) as plane:
        part = plane.page_of_given(tenant, name, Place(limit, descends=True, sort="given_at"))
        found = [given_document(one) for one in part.items]
    if json:
        output.print_json(msgspec.to_builtins(found))
        return
    rows = [(one.code, one.user_id or "(erased)", one.campaign, one.given_at) for one in found]
    output.print_table(("code", "user", "campaign", "given"), rows, "None was given yet.")


@app.command()
def delete(name: Name, tenant: TenantOption, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Delete a coupon pool with its codes, and with who got which.

    Example:

        whisperer coupons delete spring --tenant acme
    """
    with open_control_plane(data_dir) as plane:
        plane.delete_pool(tenant, name)
    output.say(f"Deleted {name}.")

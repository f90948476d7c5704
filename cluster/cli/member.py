"""`whisperer member`: who belongs to a tenant, in which role, and who was invited."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Annotated

import typer

from cluster.cli import output
from cluster.cli.control import open_control_plane
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, TenantOption

app = typer.Typer(
    name="member", help="Members: people of a tenant, their roles, and invitations.", no_args_is_help=True
)

RoleOption = Annotated[str, typer.Option("--role", "-r", metavar="ROLE", help="A role of `whisperer role list`.")]
MemberArgument = Annotated[str, typer.Argument(metavar="MEMBER", help="E-mail address, or the person's id.")]


@app.command()
def invite(
    email: Annotated[str, typer.Argument(metavar="EMAIL")],
    tenant: TenantOption,
    role: RoleOption,
    days: Annotated[int, typer.Option(metavar="N", help="For how many days it is good.", min=1, max=30)] = 7,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Invite a person. The token is shown once: pass it on; nothing is mailed.

    Example:

        whisperer member invite ada@example.com --tenant acme --role marketer
    """
    with open_control_plane(data_dir) as plane:
        made = plane.invite(tenant, email, role, by="operator", good_for_ms=days * 86_400_000)
    if json:
        output.print_json(asdict(made))
    else:
        print(made.token)
        output.say(f"For {made.email} as {made.role}, until {output.when(made.expires_at)}. It cannot be shown again.")


@app.command("list")
def list_(
    tenant: TenantOption,
    role: Annotated[str | None, typer.Option("--role", "-r", metavar="ROLE", help="Only with this role.")] = None,
    invited: Annotated[bool, typer.Option("--invited", help="Invitations instead of members.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """List the members of a tenant, or who was invited.

    Examples:

        whisperer member list --tenant acme
        whisperer member list --tenant acme --invited
    """
    if invited:
        _list_invitations(tenant, data_dir, json)
        return
    # SQLAlchemy takes 0.6 s of CPU, which help does without.
    from cluster.control_plane.listing import Place

    with open_control_plane(data_dir) as plane:
        found = plane.page_of_members(tenant, Place(), role=role).items
    if json:
        output.print_json([asdict(member) for member in found])
        return
    rows = [
        (m.email, m.name, m.role, "yes" if m.second_factor else "no", output.when(m.created_at), m.id) for m in found
    ]
    columns = ("e-mail", "name", "role", "second factor", "joined", "id")
    output.print_table(columns, rows, "No members: `whisperer member invite EMAIL --tenant NAME --role owner`.")


@app.command()
def change(
    member: MemberArgument,
    tenant: TenantOption,
    role: RoleOption,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Give a member another role. The last owner stays one.

    Example:

        whisperer member change ada@example.com --tenant acme --role admin
    """
    with open_control_plane(data_dir) as plane:
        changed = plane.change_member(tenant, member, role)
    if json:
        output.print_json(asdict(changed))
    else:
        output.say(f"{changed.email} is {changed.role} of {tenant}.")


@app.command()
def remove(
    member: Annotated[
        str, typer.Argument(metavar="MEMBER", help="E-mail address, person's id, or an invitation's id.")
    ],
    tenant: TenantOption,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Remove a member, or revoke an invitation (ivt_...). The last owner cannot be removed.

    Examples:

        whisperer member remove ada@example.com --tenant acme
        whisperer member remove ivt_01kdq3m5v7 --tenant acme
    """
    with open_control_plane(data_dir) as plane:
        if member.startswith("ivt_"):
            revoked = plane.revoke_invitation(tenant, member)
            document, told = asdict(revoked), f"The invitation of {revoked.email} is revoked."
        else:
            removed = plane.remove_member(tenant, member)
            document, told = asdict(removed), f"{removed.email} is no member of {tenant} any more."
    if json:
        output.print_json(document)
    else:
        output.say(told)


def _list_invitations(tenant: str, data_dir: DataDir, json: bool) -> None:
    from cluster.control_plane.listing import Place

    now = time.time_ns() // 10**6
    with open_control_plane(data_dir) as plane:
        found = plane.page_of_invitations(tenant, Place(descends=True)).items
    if json:
        output.print_json([asdict(one) | {"state": str(one.state(now))} for one in found])
        return
    rows = [
        (one.id, one.email, one.role, str(one.state(now)), one.invited_by, output.when(one.expires_at)) for one in found
    ]
    output.print_table(("id", "e-mail", "role", "state", "invited by", "until"), rows, "Nobody was invited.")

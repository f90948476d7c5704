"""`whisperer person`: people who sign in; what only the operator may do for them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cluster.cli import output
from cluster.cli.control import open_control_plane, settings_in_force
from cluster.cli.issuer import public_url
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir

app = typer.Typer(
    name="person", help="People who sign in: new passwords, second factors, keeping somebody out.", no_args_is_help=True
)
Who = Annotated[str, typer.Argument(metavar="EMAIL", help="Their address, or their id.")]


@app.command("list")
def list_(data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """List everybody who may sign in, whichever tenants they are a member of.

    Example:

        whisperer person list
    """
    with open_control_plane(data_dir) as plane:
        found = plane.list_people()
    if json:
        output.print_json([asdict(one) for one in found])
        return
    rows = [
        (
            one.id,
            one.email,
            one.name,
            "password" if one.has_password else "issuer",
            "yes" if one.has_second_factor else "",
            output.when(one.disabled_at),
        )
        for one in found
    ]
    output.print_table(("id", "e-mail", "name", "signs in by", "second factor", "disabled"), rows, "Nobody yet.")


@app.command()
def reset(who: Who, data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Make a link by which somebody sets a new password, once, within a day. The second factor stays.

    Example:

        whisperer person reset ada@example.com
    """
    # It takes 0.6 s of CPU, which help and completion do without.
    from cluster.control_plane.identity.grants import issuer_of
    from cluster.control_plane.identity.jwts import Use
    from cluster.control_plane.identity.signing_keys import LONGEST_TOKEN_MS

    life_s = LONGEST_TOKEN_MS // 1000
    with open_control_plane(data_dir) as plane:
        person = plane.find_person(who)
        claims = {"sub": person.id, "mark": plane.reset_mark_of(person.id)}
        issuer = issuer_of(settings_in_force(data_dir).server)
        token = plane.sign(Use.RESET, claims, issuer=issuer, life_s=life_s)
    url = f"{public_url(data_dir)}/auth/reset?token={token}"
    if json:
        output.print_json({"url": url, "expires_in": life_s})
    else:
        print(url)


@app.command()
def totp(
    who: Who,
    remove: Annotated[bool, typer.Option("--remove", help="Remove it: for somebody who lost their device.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Set up a second factor in the terminal: shows a QR code, asks for a first code, prints the recovery codes.

    Examples:

        whisperer person totp ada@example.com
        whisperer person totp ada@example.com --remove
    """
    with open_control_plane(data_dir) as plane:
        person = plane.find_person(who)
        if remove:
            plane.remove_second_factor(person.id)
            output.say(f"{person.email} signs in without a second factor now.")
            return
        import segno  # only here

        made = plane.begin_second_factor(person.id)
        segno.make(made.uri, error="m").terminal(compact=True)
        output.say(f"Or write this into the authenticator: {made.secret}")
        codes = plane.confirm_second_factor(person.id, typer.prompt("The code that it shows", err=True))
    output.say("In force. Each of these stands in for it once; they are not shown again:")
    print()  # the prompt's line
    print("\n".join(codes))


@app.command()
def disable(
    who: Who,
    undo: Annotated[bool, typer.Option("--undo", help="Let them sign in again.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: AsJson = False,
) -> None:
    """Keep somebody from signing in anywhere; everything that they are signed in with ends within half a second.

    Example:

        whisperer person disable ada@example.com
    """
    with open_control_plane(data_dir) as plane:
        changed = plane.disable_person(plane.find_person(who).id, disabled=not undo)
    if json:
        output.print_json(asdict(changed))
    else:
        output.say(f"{changed.email} {'may sign in again' if undo else 'cannot sign in any more'}.")

"""`whisperer secrets`: the keys that seal what the control plane's database must keep in full."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer

from cluster.cli import output
from cluster.cli.control import open_control_plane, settings_in_force
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir

app = typer.Typer(
    name="secrets",
    help="""Secrets at rest: the keys that seal passwords and signing keys.

    They are sealed (AES-256-GCM) with the first key of control_plane.key_file, by default <data-dir>/control.key. Back
    that file up, apart from the database: without it they cannot be read.
    """,
    no_args_is_help=True,
)


@app.command()
def status(data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Show the keys, and how many secrets each has sealed.

    Examples:

        whisperer secrets status
        whisperer secrets status --json
    """
    with open_control_plane(data_dir) as plane:
        counts, ids = plane.sealed_by(), plane.key_ids
    keys = [{"id": id, "seals": id == ids[0], "present": True, "n_secrets": counts.pop(id, 0)} for id in ids]
    keys += [{"id": id, "seals": False, "present": False, "n_secrets": n} for id, n in sorted(counts.items())]
    if json:
        output.print_json({"key_file": settings_in_force(data_dir).control_plane.key_file, "keys": keys})
        return
    output.print_table(
        ["key", "use", "secrets"], [[key["id"] or "(none)", _use(key), key["n_secrets"]] for key in keys], empty=""
    )


@app.command()
def rotate(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    forget_old: Annotated[
        bool, typer.Option("--forget-old", help="Remove the older keys: backups made with them cannot be read then.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Make a new key, and seal every secret with it; nothing stops meanwhile.

    Older keys stay in the file, because backups of the database need them, until --forget-old.

    Examples:

        whisperer secrets rotate
        whisperer secrets rotate --forget-old
    """
    # What seals takes 0.1 s of CPU, which help and completion do without.
    from cluster.control_plane.keyring import KEY_BYTES, MAX_KEYS, key_id, parse_keys, write_key_file

    file = Path(settings_in_force(data_dir).control_plane.key_file)
    with open_control_plane(data_dir) as plane:
        new, old = secrets.token_bytes(KEY_BYTES), parse_keys(file.read_text("ascii"), str(file))
        write_key_file(file, [new, *old[: MAX_KEYS - 1]])
        n_sealed = plane.seal_again()
    if forget_old:
        write_key_file(file, [new])
    if json:
        output.print_json({"key": key_id(new), "n_sealed": n_sealed, "n_old_keys": 0 if forget_old else len(old)})
        return
    output.say(f"{n_sealed} secrets are sealed with the new key {key_id(new)}. Back up {file}.")


@app.command()
def seal(data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Seal every secret with the first key of the file, after you have written one there yourself.

    That is how the key is replaced where several machines have the file: everywhere as its last line first, so that all
    of them can open what one seals, then everywhere as its first, then this.

    Examples:

        whisperer secrets seal
    """
    with open_control_plane(data_dir) as plane:
        n_sealed, id = plane.seal_again(), plane.key_ids[0]
    if json:
        output.print_json({"key": id, "n_sealed": n_sealed})
        return
    output.say(f"{n_sealed} secrets were sealed anew; all are sealed with the key {id}.")


@app.command()
def forget(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: AsJson = False,
) -> None:
    """Remove the secrets whose key is lost, so that the installation starts again.

    Who had a second factor signs in without it; tokens that a lost key signed end; a channel keeps its provider, and
    sends again once its password is set anew.

    Examples:

        whisperer secrets forget
    """
    with open_control_plane(data_dir) as plane:
        if not yes and not typer.confirm("Remove all secrets that no key here opens?"):
            raise typer.Abort
        forgotten = plane.forget_unreadable()
    if json:
        output.print_json({"forgotten": forgotten})
        return
    output.say(f"{len(forgotten)} secrets removed." if forgotten else "Every secret can be read; nothing was removed.")
    for where in forgotten:
        output.say(f"  {where}")


def _use(key: dict[str, object]) -> str:
    if key["seals"]:
        return "seals"
    return "opens" if key["present"] else "missing" if key["id"] else "not sealed yet"

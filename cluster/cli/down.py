"""`whisperer down`: stop an installation."""

from __future__ import annotations

from pathlib import Path

import typer

from cluster.cli import output
from cluster.cli.options import DEFAULT_DATA_DIR, DataDir
from cluster.cli.up_display import UpDisplay

app = typer.Typer()


@app.command()
def down(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Stop everything: let sends under way finish, snapshot the shards, then end exactly this installation's processes.

    Events are accepted until the sends have finished (at most delivery.stop_timeout_s, 60 s).

    Examples:

        whisperer down
        whisperer down --data-dir /srv/whisperer
    """
    stop(data_dir)


def stop(data_dir: Path) -> None:
    """Stop the installation in a data folder, and report what was done."""
    # It takes 0.6 s of CPU, which help and completion do without.
    from cluster.launch import launcher

    with UpDisplay() as display:
        n_ended = launcher.down(data_dir, progress=display.progress)
    output.say(f"Down ({n_ended} processes ended). State is kept in {data_dir}." if n_ended else "Already down.")

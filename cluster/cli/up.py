"""`whisperer up`: start an installation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli import output
from cluster.cli.down import stop
from cluster.cli.exit_codes import NOT_RUNNING
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from cluster.cli.up_display import UpDisplay
from cluster.launch import gcs, installation
from cluster.launch.foreground import StopRequested, stop_requests
from cluster.launch.installation import Installation
from cluster.launch.log_view import LogView

if TYPE_CHECKING:
    from cluster.launch.launcher import Report

app = typer.Typer()


@app.command()
def up(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    port: Annotated[int | None, typer.Option(help="Port of the HTTP server; remembered. [default: 8000]")] = None,
    shards: Annotated[int | None, typer.Option(help="Shard actors; remembered. [default: 2]")] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Also run a simulated product that sends events.")] = False,
    foreground: Annotated[
        bool, typer.Option("--foreground", "-f", help="Stay until Ctrl-C, then stop everything cleanly.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Start everything and return when it is ready; do nothing if it is already running.

    Examples:

        whisperer up
        whisperer up --port 9000 --data-dir /srv/whisperer --shards 4
        whisperer up --foreground --demo

    After a crash or kill -9 the same command clears what is left of this installation, and of no other, and goes on
    with the state kept in the data folder.
    """
    # It takes 0.6 s of CPU, which help and completion do without.
    from cluster.launch import launcher

    options: dict[str, Any] = {"server.port": port, "cluster.shards": shards}
    options = {name: value for name, value in options.items() if value is not None}

    with stop_requests() as stopping:
        try:
            with UpDisplay() as display:
                report = launcher.up(data_dir, options=options, with_demo=demo, progress=display.progress)
        except StopRequested:
            output.say("Stopped before it was up; nothing is left running.")
            raise typer.Exit(130) from None
        _announce(report, json)
        if not foreground:
            return
        output.say(f"Ctrl-C stops it. Warnings and errors follow here; every line is in {report.installation.logs}.")
        view = LogView(report.installation.logs)

        def running() -> bool:
            for line in "\n".join(view.new()).splitlines():
                output.say(line)
            return report.installation.running or gcs.revive(report.installation)

        ended_by_itself = stopping.wait(running)
    if ended_by_itself and not _is_down(data_dir):
        launcher.down(data_dir)
        output.fail("Ray's servers ended by themselves; what was left has been stopped", NOT_RUNNING)
    if not ended_by_itself:
        stop(data_dir)


def _is_down(data_dir: Path) -> bool:
    """Return whether another `whisperer down` has stopped the installation cleanly."""
    return not installation.load(data_dir).head


def _announce(report: Report, json: bool) -> None:
    record = report.installation
    steps = ", ".join(f"{step} {seconds:.1f}" for step, seconds in report.step_s.items() if seconds >= 0.05)
    total_s = sum(report.step_s.values())
    if json:
        output.print_json(_up_document(record, report))
        return
    if report.n_orphans:
        output.say(f"Cleared {report.n_orphans} processes of an earlier run.")
    output.say("It runs already." if report.already_running else f"Ready in {total_s:.1f} s ({steps}).")
    output.say(f"  User Whisperer   {record.url}")
    output.say(f"  Ray dashboard    {record.dashboard_url}  (token in {record.ray_token_path})")


def _up_document(record: Installation, report: Report) -> dict[str, object]:
    return {
        "url": record.url,
        "dashboard_url": record.dashboard_url,
        "data_dir": record.data_dir,
        "already_running": report.already_running,
        "n_orphans": report.n_orphans,
        "step_s": {step: round(seconds, 3) for step, seconds in report.step_s.items()},
    }

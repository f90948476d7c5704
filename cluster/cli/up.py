"""`whisperer up`: start an installation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli import output
from cluster.cli.down import stop
from cluster.cli.exit_codes import NOT_RUNNING
from cluster.cli.hidden_arguments import hide_argument
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
    tls_certificate: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help='Certificate with its issuers, PEM: serve TLS 1.3 only; remembered. "" serves HTTP again.',
        ),
    ] = None,
    tls_key: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The certificate's private key, PEM, without a passphrase; remembered."),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Database of the control plane, as postgresql://user:password@host/name; remembered. "
            "[default: <data-dir>/control.db]",
        ),
    ] = None,
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
        whisperer up --tls-certificate fullchain.pem --tls-key privkey.pem
        whisperer up --database postgresql://whisperer:password@db.example.com/whisperer

    After a crash or kill -9 the same command clears what is left of this installation, and of no other, and goes on
    with the state kept in the data folder. A password in --database is hidden from lists of processes at once;
    WHISPERER_CONTROL_PLANE_URL, settings.toml and ~/.pgpass never show it.
    """
    if database is not None:
        from cluster.settings import without_password

        hide_argument(database, without_password(database))
    # It takes 0.6 s of CPU, which help and completion do without.
    from cluster.launch import launcher

    options: dict[str, Any] = {
        "server.port": port,
        "cluster.shards": shards,
        "control_plane.url": database,
        "server.tls_certificate": _absolute(tls_certificate),
        "server.tls_key": "" if tls_certificate == "" and tls_key is None else _absolute(tls_key),
    }
    options = {name: value for name, value in options.items() if value is not None}

    with stop_requests() as stopping:
        try:
            with UpDisplay() as display:
                report = launcher.up(data_dir, options=options, with_demo=demo, progress=display.progress)
        except StopRequested:
            output.say("Stopped before it was up; nothing is left running.")
            raise typer.Exit(130) from None
        _announce(report, json)
        _invite_first_owner(report.installation)
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


def _absolute(path: str | None) -> str | None:
    """Return the path as later starts find it, whatever folder they run in; "" and None stay what they are."""
    return str(Path(path).resolve()) if path else path


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
    if is_open(record):
        output.say("                   open to whoever uses this machine: nobody has to sign in at this address")
    output.say(f"  Ray dashboard    {record.dashboard_url}  (token in {record.ray_token_path})")


def is_open(record: Installation) -> bool:
    """Return whether the pages are shown without signing in: the server listens on this machine alone."""
    return record.settings is not None and record.settings.server.host in ("127.0.0.1", "localhost", "::1")


def _invite_first_owner(record: Installation) -> None:
    """Print an invitation for the first owner, once, where others than users of this machine reach the server."""
    if is_open(record) or record.settings is None:
        return
    # It takes 0.6 s of CPU, which other starts do without.
    from cluster.control_plane import ControlPlane

    with ControlPlane(record.settings.control_plane.url, record.witness_path, record.keyring()) as plane:
        invited = plane.invite_first_owner()
    if invited is None:
        return
    token, tenant = invited
    base = record.settings.server.public_url.rstrip("/") or record.url
    output.say(f"Nobody can sign in yet. Whoever opens this first owns the tenant {tenant}; it is shown once:")
    output.say(f"  {base}/auth/invitation?token={token}")


def _up_document(record: Installation, report: Report) -> dict[str, object]:
    return {
        "url": record.url,
        "dashboard_url": record.dashboard_url,
        "data_dir": record.data_dir,
        "already_running": report.already_running,
        "n_orphans": report.n_orphans,
        "step_s": {step: round(seconds, 3) for step, seconds in report.step_s.items()},
    }

"""`whisperer up`, `down` and `status`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.cli import output
from cluster.cli.exit_codes import NOT_READY, NOT_RUNNING
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir

if TYPE_CHECKING:
    from cluster.launch.installation import Installation
    from cluster.launch.launcher import Report


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(down)
    app.command()(status)


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
    from cluster.cli.up_display import UpDisplay
    from cluster.launch import gcs
    from cluster.launch.foreground import StopRequested, stop_requests
    from cluster.launch.log_view import LogView

    options: dict[str, Any] = {"server.port": port, "cluster.shards": shards}
    options = {name: value for name, value in options.items() if value is not None}
    from cluster.launch import launcher

    with stop_requests() as stop:
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

        ended_by_itself = stop.wait(running)
    if ended_by_itself and not _is_down(data_dir):
        launcher.down(data_dir)
        output.fail("Ray's servers ended by themselves; what was left has been stopped", NOT_RUNNING)
    if not ended_by_itself:
        _stop(data_dir)


def down(data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Stop everything: let sends under way finish, snapshot the shards, then end exactly this installation's processes.

    Events are accepted until the sends have finished (at most delivery.stop_timeout_s, 60 s).

    Examples:

        whisperer down
        whisperer down --data-dir /srv/whisperer
    """
    _stop(data_dir)


def status(data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Show what is running: tenants with their counts, shards with their positions, memory.

    For scripts: the exit code is 3 when nothing is running and 6 when it is running but not ready.

    Examples:

        whisperer status
        whisperer status --json | jq '.tenants.acme.events_accepted'
    """
    from cluster.launch import installation, pids, readiness

    record = installation.load(data_dir)
    if not record.running:
        if json:
            output.print_json({"running": False, "ready": False, "tenants": {}, "shards": []})
        else:
            output.say(f"Down. Start it with `whisperer up --data-dir {data_dir}`.")
        raise typer.Exit(NOT_RUNNING)
    ready, why = readiness.probe(record.url)
    own = pids.find(record.id, Path(record.temp_dir), record.pids)
    document: dict[str, Any] = {
        "running": True,
        "ready": ready,
        "reason": why,
        "url": record.url,
        "dashboard_url": record.dashboard_url,
        "n_processes": len(own),
        "rss_bytes": pids.rss_bytes(own),
        "tenants": {},
        "shards": [],
    }
    if ready:
        from cluster.operator_client import Operator
        from whisperer.errors import WhispererError

        try:
            with Operator(data_dir) as operator:
                document |= operator.get("status")
        except WhispererError as error:
            document |= {"ready": False, "reason": f"/internal/status: {error}"}
    if json:
        output.print_json(document)
    else:
        _show_status(document)
    if not document["ready"]:
        raise typer.Exit(NOT_READY)


def _stop(data_dir: Path) -> None:
    from cluster.cli.up_display import UpDisplay
    from cluster.launch import launcher

    with UpDisplay() as display:
        n_ended = launcher.down(data_dir, progress=display.progress)
    output.say(f"Down ({n_ended} processes ended). State is kept in {data_dir}." if n_ended else "Already down.")


def _is_down(data_dir: Path) -> bool:
    """Return whether another `whisperer down` has stopped the installation cleanly."""
    from cluster.launch import installation

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


def _up_document(record: Installation, report: Report) -> dict[str, Any]:
    return {
        "url": record.url,
        "dashboard_url": record.dashboard_url,
        "data_dir": record.data_dir,
        "already_running": report.already_running,
        "n_orphans": report.n_orphans,
        "step_s": {step: round(seconds, 3) for step, seconds in report.step_s.items()},
    }


def _show_status(document: dict[str, Any]) -> None:
    state = "Up" if document["ready"] else f"Up, not ready: {document['reason']}"
    output.say(f"{state}, at {document['url']}")
    output.say(f"{document['n_processes']} processes, {output.size(document['rss_bytes'])} resident")
    output.print_table(
        ("tenant", "users", "accepted", "duplicate", "rejected"),
        [
            (
                name,
                tenant.get("users"),
                tenant.get("events_accepted"),
                tenant.get("events_duplicate"),
                sum(tenant.get("events_rejected", {}).values()),
            )
            for name, tenant in document["tenants"].items()
        ],
        "No tenants yet: `whisperer tenant create NAME`.",
    )
    output.print_table(
        ("tenant", "candidates", "sent", "unknown", "no_send", "refused", "pending", "conversions"),
        [
            (
                name,
                tenant["candidates"],
                tenant["sent"],
                tenant.get("unknown", 0),
                tenant["no_send"],
                sum(tenant["refused"].values()),
                tenant["pending"],
                tenant["conversions"],
            )
            for name, tenant in document["tenants"].items()
            if tenant.get("candidates")
        ],
        "No campaign has considered anybody yet: `whisperer campaign --help`.",
    )
    output.print_table(
        ("shard", "pid", "epoch", "sequence", "users", "memory"),
        [
            (
                shard.get("shard", i),
                str(shard.get("pid")),
                shard.get("epoch"),
                shard.get("sequence"),
                shard.get("users"),
                output.size(shard.get("rss_bytes")),
            )
            for i, shard in enumerate(document["shards"])
        ],
        "No shards answer.",
    )

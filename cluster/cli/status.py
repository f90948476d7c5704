"""`whisperer status`: what is running."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from cluster.cli import output
from cluster.cli.answers.installation import Status
from cluster.cli.answers.reading import read
from cluster.cli.exit_codes import NOT_READY, NOT_RUNNING
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from cluster.launch import installation, pids, readiness
from cluster.operator_client import Operator
from whisperer.errors import WhispererError

app = typer.Typer()


@app.command()
def status(data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """Show what is running: tenants with their counts, shards with their positions, memory.

    For scripts: the exit code is 3 when nothing is running and 6 when it is running but not ready.

    Examples:

        whisperer status
        whisperer status --json | jq '.tenants.acme.events_accepted'
    """
    record = installation.load(data_dir)
    if not record.running:
        if json:
            output.print_json({"running": False, "ready": False, "tenants": {}, "shards": []})
        else:
            output.say(f"Down. Start it with `whisperer up --data-dir {data_dir}`.")
        raise typer.Exit(NOT_RUNNING)
    ready, why = readiness.probe(record.local_url)
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
        try:
            with Operator(data_dir) as operator:
                document |= operator.get("status")
        except WhispererError as error:
            document |= {"ready": False, "reason": f"/internal/status: {error}"}
    if json:
        output.print_json(document)
    else:
        _show_status(read(document, Status))
    if not document["ready"]:
        raise typer.Exit(NOT_READY)


def _show_status(found: Status) -> None:
    state = "Up" if found.ready else f"Up, not ready: {found.reason}"
    output.say(f"{state}, at {found.url}")
    output.say(f"{found.n_processes} processes, {output.size(found.rss_bytes)} resident")
    output.print_table(
        ("tenant", "users", "accepted", "duplicate", "rejected"),
        [
            (
                name,
                tenant.users,
                tenant.events_accepted,
                tenant.events_duplicate,
                sum(tenant.events_rejected.values()),
            )
            for name, tenant in found.tenants.items()
        ],
        "No tenants yet: `whisperer tenant create NAME`.",
    )
    output.print_table(
        ("tenant", "candidates", "sent", "unknown", "no_send", "refused", "pending", "conversions"),
        [
            (
                name,
                tenant.candidates,
                tenant.sent,
                tenant.unknown,
                tenant.no_send,
                sum(tenant.refused.values()),
                tenant.pending,
                tenant.conversions,
            )
            for name, tenant in found.tenants.items()
            if tenant.candidates
        ],
        "No campaign has considered anybody yet: `whisperer campaign --help`.",
    )
    output.print_table(
        ("shard", "pid", "epoch", "sequence", "users", "memory"),
        [
            (i, str(shard.pid), shard.epoch, shard.sequence, shard.users, output.size(shard.rss_bytes))
            for i, shard in enumerate(found.shards)
        ],
        "No shards answer.",
    )

"""`whisperer node`: add machines to an installation and remove them."""

from __future__ import annotations

import os
import socket
from typing import Annotated

import typer

from cluster.cli import output
from cluster.cli.exit_codes import NOT_RUNNING
from cluster.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir
from cluster.launch import worker_node
from cluster.launch.foreground import stop_requests

app = typer.Typer(
    name="node",
    help="""Nodes: further machines that an installation's shards and replicas may live on.

    Needs a journal in Redis, and a data folder that every machine has under the same path; see docs/operations.md,
    several nodes.
    """,
    no_args_is_help=True,
)

Name = Annotated[str, typer.Option(help="Name of this node. [default: the machine's]")]


@app.command()
def join(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    name: Name = "",
    address: Annotated[str, typer.Option(help="Address of this machine that the head reaches.")] = "127.0.0.1",
    num_cpus: Annotated[int, typer.Option(help="CPUs that Ray may hand out here; 0 means all.", min=0)] = 0,
    foreground: Annotated[
        bool, typer.Option("--foreground", "-f", help="Stay until Ctrl-C or until the node ends, then end it.")
    ] = False,
) -> None:
    """Make this machine a node of the installation in the data folder.

    Examples:

        whisperer node join --data-dir /shared/whisperer --address 10.0.0.7
        whisperer node join --data-dir /shared/whisperer --address 10.0.0.7 --foreground
    """

    name = name or socket.gethostname().partition(".")[0]
    with stop_requests() as stop:
        node = worker_node.join(data_dir, name, address=address, num_cpus=num_cpus or os.cpu_count() or 1)
        output.say(f"{node.name} has joined.")
        if not foreground:
            return
        output.say("Ctrl-C ends it.")
        ended_by_itself = stop.wait(lambda: node.running)
    worker_node.leave(data_dir, name)
    if ended_by_itself:
        output.fail(f"{name} has ended by itself", NOT_RUNNING)


@app.command()
def leave(
    name: Annotated[str, typer.Argument(help="Name of a node of this machine.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Stop a node of this machine; shards that lived on it continue elsewhere.

    Example:

        whisperer node leave worker-1 --data-dir /shared/whisperer
    """
    n_ended = worker_node.leave(data_dir, name)
    output.say(f"{name} has left ({n_ended} processes ended).")


@app.command("list")
def list_(data_dir: DataDir = DEFAULT_DATA_DIR, json: AsJson = False) -> None:
    """List the nodes that have joined.

    Example:

        whisperer node list
    """
    found = worker_node.nodes(data_dir)
    states = {node.name: ("up" if node.running else "down") if node.is_here else "elsewhere" for node in found}
    if json:
        output.print_json(
            [{"name": n.name, "machine": n.machine, "address": n.address, "state": states[n.name]} for n in found]
        )
        return
    rows = [(n.name, n.machine, n.address, states[n.name]) for n in found]
    output.print_table(("node", "machine", "address", "state"), rows, "No nodes but the head: `whisperer node join`.")

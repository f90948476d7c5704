"""Manages further nodes of an installation: Ray's servers on other machines, or more of them on this one.

A node joins the head that the installation's record names, with ports and a temporary folder of its own, and is
recorded in ``<data-dir>/nodes/<name>``. The data folder must be the same on all machines, under the same path: every
process reads the record in it. Does not decide what lives where: Ray places shards and replicas by itself.
"""

from __future__ import annotations

import json
import shutil
import socket
import sys
from pathlib import Path

import msgspec

from cluster.errors import InstallationError, StartError
from cluster.launch import pids, ports, ray_head
from cluster.launch.installation import RECORD_FILE, Installation, load, temp_root
from cluster.launch.pids import Pid
from cluster.launch.ports import Ports
from cluster.private_files import write_private

_GRACE_S = 5.0


class Node(msgspec.Struct, kw_only=True):
    """A node that joined. Its record is named like an installation's, because a claim on ports refers to that name."""

    name: str
    machine: str
    address: str
    temp_dir: str
    ports: Ports
    raylet: Pid | None = None

    @property
    def running(self) -> bool:
        """Whether the node belongs to this machine and its raylet is alive."""
        return self.is_here and self.raylet is not None and self.raylet.alive()

    @property
    def is_here(self) -> bool:
        """Whether it is a node of this machine: other machines' nodes can be neither inspected nor ended from here."""
        return self.machine == socket.gethostname()


def join(data_dir: Path, name: str, *, address: str, num_cpus: int, timeout_s: float = 60.0) -> Node:
    """Start a node and wait until it has joined. Raises InstallationError, NoFreePortsError and StartError."""
    installation = load(data_dir)
    _, settings = installation.configured()
    if not name or not name.replace("-", "").replace("_", "").isalnum():
        raise InstallationError(f"{name!r} cannot be a node's name: use letters, digits, - and _")
    loopback = installation.ray_address.startswith("127.")
    if loopback != address.startswith("127."):
        raise InstallationError(
            f"the head is at {installation.ray_address}, this node would be at {address}: set cluster.node_address to "
            "an address of the head that other machines reach, then `whisperer down` and `up`"
            if loopback
            else f"a node at {address} cannot be reached by the head at {installation.ray_address}: give --address"
        )
    folder = _folder(installation, name)
    found = _read(folder)
    if found is not None and not found.is_here:
        raise InstallationError(f"{name} is a node of {found.machine}: give this one another --name")
    if found is not None and found.running:
        raise InstallationError(f"{name} runs already: `whisperer node leave {name}` first")
    if found is not None:
        end(found)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    claimed, temp_dir = ports.claim(folder, settings.server.port, temp_root(), Path(found.temp_dir) if found else None)
    node = Node(name=name, machine=socket.gethostname(), address=address, temp_dir=str(temp_dir), ports=claimed)
    _save(folder, node)
    command = _start_command(installation, node, num_cpus)
    environment = ray_head.environment(installation)
    try:
        ray_head.run_logged(command, environment, installation.logs / f"node-{name}.log", timeout_s)
    except StartError:
        end(node)
        raise
    raylets = pids.named(_processes(node), ["raylet"])
    node.raylet = raylets[0] if raylets else None
    _save(folder, node)
    return node


def leave(data_dir: Path, name: str) -> int:
    """Stop a node of this machine and everything on it; return the number of processes. Raises InstallationError."""
    installation = load(data_dir)
    folder = _folder(installation, name)
    node = _read(folder)
    if node is None:
        known = ", ".join(n.name for n in nodes(data_dir)) or "none"
        raise InstallationError(f"no node {name} has joined; known: {known}")
    if not node.is_here:
        raise InstallationError(f"{name} is a node of {node.machine}: leave there")
    n_ended = end(node)
    ports.release(Path(node.temp_dir))
    shutil.rmtree(folder)
    return n_ended


def nodes(data_dir: Path) -> list[Node]:
    """Return every recorded node, by name."""
    installation = load(data_dir)
    folders = sorted((Path(installation.data_dir) / "nodes").glob("*"))
    return [node for folder in folders if (node := _read(folder)) is not None]


def end(node: Node) -> int:
    """End only a node's processes; return how many there were."""
    n_ended = 0
    for _ in range(3):  # a dying process may start another
        found = _processes(node)
        if not found:
            break
        n_ended += len(found)
        pids.end(found, _GRACE_S)
    return n_ended


def _processes(node: Node) -> set[Pid]:
    return pids.find(f"{node.name}: none", Path(node.temp_dir), [node.raylet] if node.raylet else [])


def _start_command(installation: Installation, node: Node, num_cpus: int) -> list[str]:
    _, settings = installation.configured()
    options: dict[str, object] = {
        "address": installation.ray_address,
        "node-ip-address": node.address,
        "node-name": node.name,
        "object-manager-port": node.ports.object_manager,
        "node-manager-port": node.ports.node_manager,
        "dashboard-agent-listen-port": node.ports.dashboard_agent_http,
        "dashboard-agent-grpc-port": node.ports.dashboard_agent_grpc,
        "runtime-env-agent-port": node.ports.runtime_env_agent,
        "metrics-export-port": node.ports.metrics_export,
        "min-worker-port": node.ports.workers[0],
        "max-worker-port": node.ports.workers[1],
        "num-cpus": num_cpus,
        "resources": json.dumps({ray_head.WORKER: 1000}),
        "object-store-memory": settings.cluster.object_store_mib << 20,
        "temp-dir": Path(node.temp_dir) / ray_head.RAY_FOLDER,
        "include-log-monitor": "false",
        "log-style": "record",
        "log-color": "false",
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "cluster.launch.ray_cli", "start", "--disable-usage-stats", *words]


def _folder(installation: Installation, name: str) -> Path:
    return Path(installation.data_dir) / "nodes" / name


def _read(folder: Path) -> Node | None:
    try:
        return msgspec.json.decode((folder / RECORD_FILE).read_bytes(), type=Node)
    except FileNotFoundError:
        return None


def _save(folder: Path, node: Node) -> None:
    write_private(folder / RECORD_FILE, msgspec.json.format(msgspec.json.encode(node), indent=2))

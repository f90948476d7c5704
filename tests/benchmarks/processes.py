"""CPU seconds and memory of an installation by kind of process, for a price by the event."""

from __future__ import annotations

import json
from collections.abc import Mapping

import psutil

from cluster.launch.pids import INSTALLATION_ENV
from tests.support.stand import Stand

_KINDS = {
    "servereplica:gateway": "gateway",
    "shardactor": "shards",
    "servereplica:noop": "noop",
    "haproxy": "proxy",
    "raylet": "raylet",
    "gcs_server": "gcs",
}
REST = "rest"
"""Everything else of the installation: the Serve controller, agents, other applications, idle workers."""


def cpu_seconds(stand: Stand) -> dict[str, float]:
    """CPU seconds so far by kind."""
    spent: dict[str, float] = {}
    for kind, cpu_s, _ in _mine(stand):
        spent[kind] = spent.get(kind, 0.0) + cpu_s
    return spent


def resident_bytes(stand: Stand) -> dict[str, int]:
    """Resident memory by kind. What processes share is counted in each of them."""
    held: dict[str, int] = {}
    for kind, _, rss in _mine(stand):
        held[kind] = held.get(kind, 0) + rss
    return held


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """CPU seconds between two looks, largest first."""
    kinds = {kind: after[kind] - before.get(kind, 0.0) for kind in after}
    return dict(sorted(kinds.items(), key=lambda item: -item[1]))


def kind_of(title: str) -> str:
    """Kind of a process by the first word of its command line."""
    lower = title.lower()
    return next((kind for part, kind in _KINDS.items() if part in lower), REST)


def _mine(stand: Stand) -> list[tuple[str, float, int]]:
    """(kind, CPU seconds, resident bytes) of each process."""
    mark = json.loads((stand.data_dir / "installation.json").read_bytes())["id"]
    found = []
    for process in psutil.process_iter(["cmdline", "name"]):
        try:
            if process.environ().get(INSTALLATION_ENV) != mark:
                continue
            times, memory = process.cpu_times(), process.memory_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # it ended, or is not ours
            continue
        title = (process.info["cmdline"] or [process.info["name"]])[0]
        found.append((kind_of(title), times.user + times.system, memory.rss))
    return found

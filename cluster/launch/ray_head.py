"""Starts Ray's head node for an installation, without touching any other Ray on the machine.

Ports, addresses, temporary folder and token are all given explicitly: Ray's own defaults would find another cluster.
Ray's servers bind to loopback except two: the agent's metrics exporter (:data:`Ports.metrics_export`) and HAProxy's
statistics and metrics (see docs/operations.md for the firewall).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from cluster.errors import StartError
from cluster.launch import gcs, haproxy_program
from cluster.launch.file_modes import PRIVATE
from cluster.launch.installation import Installation
from cluster.settings import num_cpus

RAY_FOLDER = "r"  # Ray opens its own folder to everyone; the one around it is 0700
HEAD, WORKER = "whisperer_head", "whisperer_worker"
"""Resources of the head and of joined nodes, by which actors and replicas say where they must live."""
_LOOK_S = 0.25
CODE_ROOT = Path(__file__).resolve().parents[2]


def environment(installation: Installation, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of every process of an installation: Ray's workers and Serve inherit it from the head."""
    ports, settings = installation.configured()
    haproxy = haproxy_program.folder_in(Path(installation.temp_dir))
    kept = {k: v for k, v in (os.environ if base is None else base).items() if not k.startswith("RAY_")}
    return kept | installation.client_environment() | gcs.environment(installation) | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(CODE_ROOT), kept.get("PYTHONPATH", "")])),
        "AUTOSCALER_METRIC_PORT": str(ports.autoscaler_metrics),
        "DASHBOARD_METRIC_PORT": str(ports.dashboard_metrics),
        # A node whose raylet died is given up after 5 s, one that vanished after 30 s; by default it takes a minute.
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_timeout_ms": "5000",
        "RAY_memory_monitor_refresh_ms": "0",  # it would kill shards by a rule of thumb; their queues are bounded
        # Bodies and columns of a batch are large and short-lived: if they were returned to the system each time, their
        # pages would be cleared again for the next one (measured: 178,000 events/s without, 190,000 with).
        "MALLOC_MMAP_THRESHOLD_": str(64 << 20),
        "MALLOC_TRIM_THRESHOLD_": str(512 << 20),
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": str(settings.cluster.serve_control_interval_s),
        # On a busy machine HAProxy's supervisor takes longer than the default 5 s to load, and would be killed for it.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "30",
        # A dead HAProxy is noticed at the third failed check in a row: after 30 s with the default of 10.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "0.5",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(haproxy_program.path_in(haproxy)),
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",  # otherwise Python parses a log line for every request
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(ports.haproxy_metrics),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(ports.haproxy_stats),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "c"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "a"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "m"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "s"),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports.fallback_proxy_http),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(ports.fallback_proxy_grpc),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(ports.ingress_http[0]),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(ports.ingress_http[1]),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(ports.ingress_grpc[0]),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(ports.ingress_grpc[1]),
    }  # fmt: skip


def driver_environment(installation: Installation) -> dict[str, str]:
    """Return the environment of programs that only connect (boot, drain, simulator).

    Without throughput mode: under it a synchronous call of a Serve handle in a driver finds no event loop.
    """
    return {k: v for k, v in environment(installation).items() if k != "RAY_SERVE_THROUGHPUT_OPTIMIZED"}


def start_command(installation: Installation) -> list[str]:
    """Return the command line that starts the head."""
    ports, settings = installation.configured()
    options: dict[str, object] = {
        "node-ip-address": settings.cluster.node_address,
        "port": ports.gcs,
        "object-manager-port": ports.object_manager,
        "node-manager-port": ports.node_manager,
        "ray-client-server-port": ports.ray_client,
        "dashboard-host": "127.0.0.1",
        "dashboard-port": ports.dashboard,
        "dashboard-agent-listen-port": ports.dashboard_agent_http,
        "dashboard-agent-grpc-port": ports.dashboard_agent_grpc,
        "runtime-env-agent-port": ports.runtime_env_agent,
        "metrics-export-port": ports.metrics_export,
        "min-worker-port": ports.workers[0],
        "max-worker-port": ports.workers[1],
        "num-cpus": num_cpus(settings),
        "resources": json.dumps({HEAD: 1000}),
        "object-store-memory": settings.cluster.object_store_mib << 20,
        "temp-dir": Path(installation.temp_dir) / RAY_FOLDER,
        "include-dashboard": "true",
        "include-log-monitor": "false",
        "log-style": "record",
        "log-color": "false",
        **gcs.start_options(installation),
    }
    return [
        sys.executable,
        "-m",
        "cluster.launch.ray_cli",
        "start",
        "--head",
        "--disable-usage-stats",
        *(f"--{name}={value}" for name, value in options.items()),
    ]


def start(installation: Installation, timeout_s: float) -> None:
    """Start the head and wait until its node is up. Raises StartError."""
    haproxy = haproxy_program.folder_in(Path(installation.temp_dir))
    haproxy.mkdir(mode=0o700, exist_ok=True)
    ports, settings = installation.configured()
    secret = haproxy_program.client_secret(installation.operator_token)
    haproxy_program.make(haproxy, settings.server, settings.limits, secret, ports.http_local)
    env = environment(installation) | gcs.head_environment(installation)
    run_logged(start_command(installation), env, installation.logs / "ray_head.log", timeout_s)


def run_logged(
    command: list[str],
    env: dict[str, str],
    log: Path,
    timeout_s: float,
    on_line: Callable[[str], None] = lambda _line: None,
) -> None:
    """Run a program to its end with its output in a log file; call ``on_line`` with the last line as it changes.

    Raises StartError unless it exits 0 in time.
    """
    what = " ".join(command[1:4]) if command[1] == "-m" else command[0]
    deadline, told = time.monotonic() + timeout_s, ""
    with (
        log.open("wb") as output,
        subprocess.Popen(  # noqa: S603  our own command line
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            umask=PRIVATE,
            start_new_session=True,  # Ctrl-C is for the launcher, which then stops everything in order
        ) as running,
    ):
        try:
            while running.poll() is None:
                if time.monotonic() > deadline:
                    raise StartError(f"`{what}` did not finish within {timeout_s:.0f} s", log)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    running.wait(_LOOK_S)
                line = _last_line(log)
                if line != told:
                    on_line(line)
                    told = line
        except BaseException:
            running.kill()
            raise
    if running.returncode != 0:
        raise StartError(f"`{what}` failed with exit code {running.returncode}", log)


def _last_line(log: Path) -> str:
    return next(iter(log.read_bytes()[-500:].decode("utf-8", "replace").splitlines()[-1:]), "")

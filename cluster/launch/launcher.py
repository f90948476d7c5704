"""Starts and stops an installation.

`up` claims ports, clears what an earlier run of the same installation left behind, starts Ray, then Serve together with
the shard actors, then the applications, and returns when `/readyz` is 200. `down` drains the shards and ends exactly
the installation's own processes. Both are safe to repeat, and a failed `up` leaves nothing running. The shards and the
applications themselves are separate programs, named in the settings.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from cluster import settings
from cluster.errors import InstallationError, NotInstalledError, StartError
from cluster.launch import gcs, journal_url, pids, ports, private_places, ray_head, readiness, tls
from cluster.launch.file_modes import PRIVATE
from cluster.launch.installation import HEAD_PROGRAMS, Installation, load, load_or_create, locked, temp_root
from cluster.launch.progress import Progress
from cluster.launch.ray_head import run_logged
from cluster.launch.serve_deploy import ServeDeployer
from whisperer.settings import Settings

_ORPHAN_GRACE_S = 3.0
_DOWN_GRACE_S = 8.0
_WORTH_A_RETRY_S = 20.0
_STOP_SLACK_S = 15.0
"""Extra time for shards to journal the sends that they abandon."""


@dataclass
class Report:
    """What `up` did: the installation, and the seconds each step took."""

    installation: Installation
    already_running: bool = False
    n_orphans: int = 0
    step_s: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Measure the time a step takes, under its name."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.step_s[step] = time.monotonic() - began


def up(
    data_dir: Path,
    *,
    options: Mapping[str, Any] | None = None,
    with_demo: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Start an installation, or wait for the one already running.

    ``options`` are settings by ``"section.key"`` from the command line; they are remembered for later starts. Raises
    SettingsError, InstallationError, NoFreePortsError and StartError.
    """
    progress = progress or Progress()
    with locked(data_dir):
        installation = load_or_create(data_dir)
        chosen = settings.load(data_dir, remembered=installation.remembered, options=options)
        if installation.running or gcs.revive(installation):
            return _join(installation, chosen, options or {}, with_demo, progress)
        report = Report(installation)
        progress.step("Clearing what an earlier run left")
        with report.timed("clear"):
            report.n_orphans = _clear(installation)
        _configure(installation, chosen, options or {})
        try:
            _start(report, with_demo, progress)
        except BaseException:
            _end_all(installation, _ORPHAN_GRACE_S)
            raise
        return report


def down(data_dir: Path, *, progress: Progress | None = None) -> int:
    """Stop an installation; return the number of processes ended, 0 if nothing ran. Raises InstallationError."""
    progress = progress or Progress()
    with locked(data_dir):
        try:
            installation = load(data_dir)
        except NotInstalledError:
            return 0
        found = pids.find(installation.id, Path(installation.temp_dir), installation.pids)
        if not found:
            return 0
        if installation.simulator is not None:
            pids.end([installation.simulator], 2.0)
        if installation.running:
            _drain(installation, progress)
        progress.step("Stopping processes")
        _end_all(installation, _DOWN_GRACE_S)
        _empty(Path(installation.temp_dir))
        installation.head, installation.pids, installation.simulator = [], [], None
        installation.save()
        return len(found)


def _configure(installation: Installation, chosen: Settings, options: Mapping[str, Any]) -> None:
    """Claim ports and write the record that every process will read."""
    if not ports.is_free(chosen.server.host, chosen.server.port):
        raise InstallationError(
            f"port {chosen.server.port} of {chosen.server.host} is used by another program: choose another with --port"
        )
    if tls.is_on(chosen.server):
        tls.checked(chosen.server)
    url = journal_url.in_force(chosen.journal.url, installation.id)
    chosen = msgspec.structs.replace(chosen, journal=msgspec.structs.replace(chosen.journal, url=url))
    namespace = gcs.fresh_namespace(installation, chosen.cluster.gcs_redis)
    preferred = Path(installation.temp_dir) if installation.temp_dir else None
    claimed, folder = ports.claim(Path(installation.data_dir), chosen.server.port, temp_root(), preferred)
    _empty(folder)
    installation.ports, installation.temp_dir, installation.settings = claimed, str(folder), chosen
    scheme, host = ("https" if tls.is_on(chosen.server) else "http"), chosen.server.host
    host = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104  compared, not bound
    installation.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{chosen.server.port}"
    installation.ray_address = f"{chosen.cluster.node_address}:{claimed.gcs}"
    installation.gcs_namespace = namespace
    installation.dashboard_url = f"http://127.0.0.1:{claimed.dashboard}"
    installation.remembered = dict(installation.remembered) | dict(options)
    installation.head, installation.pids, installation.simulator = [], [], None
    installation.save()
    private_places.close(installation.data_dir, chosen)


def _start(report: Report, with_demo: bool, progress: Progress) -> None:
    installation = report.installation
    _, in_force = installation.configured()
    deadline = time.monotonic() + in_force.cluster.start_timeout_s

    def left_s() -> float:
        return max(1.0, deadline - time.monotonic())

    with ThreadPoolExecutor(2, thread_name_prefix="up") as pool:
        database: Future[None] = pool.submit(_prepare_database, installation, with_demo)
        progress.step("Starting Ray")
        with report.timed("ray"):
            _start_head(installation, left_s, progress)
        installation.head = pids.named(_own(installation), HEAD_PROGRAMS)
        database.result()
        installation.save()
        with ServeDeployer(installation) as deployer:
            progress.step("Starting shards and the HTTP server")
            with report.timed("shards and server"):
                server = pool.submit(deployer.start_serve, deadline)
                command = [sys.executable, "-m", in_force.programs.boot]
                _run(installation, command, "boot.log", left_s())
                server.result()
            progress.step("Starting applications")
            with report.timed("applications"):
                deployer.deploy(deadline, progress.waiting_for)
        progress.step("Waiting for /readyz")
        with report.timed("ready"):
            readiness.wait(installation.local_url, deadline, progress.waiting_for, lambda: installation.running)
    if with_demo:
        _start_simulator(installation)
    installation.pids = sorted(_own(installation), key=lambda pid: pid.pid)
    installation.save()
    gcs.remember(installation)


def _start_head(installation: Installation, left_s: Callable[[], float], progress: Progress) -> None:
    """Start Ray, a second time if need be: its servers get only 30 s, too little on a busy machine, and that cannot be
    set.
    """
    try:
        ray_head.start(installation, left_s())
    except StartError:
        if left_s() < _WORTH_A_RETRY_S:
            raise
        progress.step("Starting Ray once more: it was not up in its own 30 s")
        _end_all(installation, _ORPHAN_GRACE_S)
        _empty(Path(installation.temp_dir))
        ray_head.start(installation, left_s())


def _join(
    installation: Installation,
    chosen: Settings,
    options: Mapping[str, Any],
    with_demo: bool,
    progress: Progress,
) -> Report:
    """Wait for an installation that is already running; refuse options that would require a restart."""
    _, in_force = installation.configured()
    for name in options:
        section, key = name.split(".")
        now, wanted = (getattr(getattr(s, section), key) for s in (in_force, chosen))
        if now != wanted:
            now, wanted = (settings.without_password(str(value)) for value in (now, wanted))
            raise InstallationError(
                f"it runs already with {name} = {now}: stop it first with "
                f"`whisperer down --data-dir {installation.data_dir}`, then start it with {wanted}"
            )
    report = Report(installation, already_running=True)
    progress.step("It runs already; waiting for /readyz")
    deadline = time.monotonic() + in_force.cluster.start_timeout_s
    with report.timed("ready"):
        readiness.wait(installation.local_url, deadline, progress.waiting_for, lambda: installation.running)
    if with_demo and not (installation.simulator and installation.simulator.alive()):
        _prepare_database(installation, with_demo)
        _start_simulator(installation)
        installation.save()
    return report


def _prepare_database(installation: Installation, with_demo: bool) -> None:

    # They take 0.3 s of CPU, spent while Ray starts.
    from cluster.control_plane import ControlPlane
    from cluster.control_plane.keyring import make_key_file
    from cluster.demo import setup

    _, in_force = installation.configured()
    make_key_file(Path(in_force.control_plane.key_file))
    with ControlPlane(in_force.control_plane.url, installation.witness_path, installation.keyring()) as plane:
        plane.seal_again()
        if with_demo:
            installation.demo = setup.access(plane, in_force.demo.tenant, installation.demo)


def _start_simulator(installation: Installation) -> None:
    _, in_force = installation.configured()
    command = [sys.executable, "-m", in_force.programs.simulator]
    with (installation.logs / "simulator.log").open("wb") as log:
        started = subprocess.Popen(  # noqa: S603  our own command line
            [*command, "--installation", str(installation.path), "--url", installation.local_url],
            env=ray_head.driver_environment(installation),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            umask=PRIVATE,
            start_new_session=True,
        )
    installation.simulator = pids.identify(started.pid)


def _drain(installation: Installation, progress: Progress) -> None:
    """Let sends under way finish and the shards take their snapshot.

    A failure costs replay time at the next start, never data; sends that were cut off are repeated then.
    """
    _, in_force = installation.configured()
    progress.step("Draining shards")
    command = [sys.executable, "-m", in_force.programs.drain]
    timeout_s = in_force.delivery.stop_timeout_s + _STOP_SLACK_S + in_force.cluster.drain_timeout_s
    try:
        _run(installation, command, "drain.log", timeout_s, progress.waiting_for)
    except StartError as error:
        progress.waiting_for(f"{error}; going on, the journal has everything")
    except KeyboardInterrupt:
        progress.waiting_for("interrupted; going on without a snapshot, the journal has everything")


def _run(
    installation: Installation,
    command: list[str],
    log_name: str,
    timeout_s: float,
    on_line: Callable[[str], None] = lambda _line: None,
) -> None:
    command = [*command, "--installation", str(installation.path)]
    run_logged(command, ray_head.driver_environment(installation), installation.logs / log_name, timeout_s, on_line)


def _own(installation: Installation) -> set[pids.Pid]:
    return pids.find(installation.id, Path(installation.temp_dir), installation.pids)


def _clear(installation: Installation) -> int:
    """End what a crashed run of this installation left running; return the number of processes."""
    if not installation.temp_dir:
        return 0
    return _end_all(installation, _ORPHAN_GRACE_S)


def _end_all(installation: Installation, grace_s: float) -> int:
    """End every process of the installation, including those that a dying one starts meanwhile."""
    n_ended = 0
    for _ in range(3):
        found = _own(installation)
        if not found:
            break
        n_ended += len(found)
        pids.end(found, grace_s)
    return n_ended


def _empty(folder: Path) -> None:
    """Remove Ray's sessions and sockets of an earlier run; the claim on the ports stays."""
    if not folder.is_absolute() or not folder.is_dir():
        return
    for entry in folder.iterdir():
        if entry.name == ports.CLAIM_FILE:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)

"""Installations brought up and down for real, with a gateway of a few lines in place of the product's.

Two live on one machine at once: one in the background, one in the foreground with a demo. Each step is a test, in
order, as each start takes Ray many seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import pytest

from cluster.errors import NotInstalledError, StartError
from cluster.launch import installation, launcher, pids, ports
from cluster.launch.installation import Installation

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

PROGRAMS = {
    "WHISPERER_PROGRAMS_GATEWAY": "tests.support.tiny_gateway:build",
    "WHISPERER_PROGRAMS_DECISIONS": "",
    "WHISPERER_PROGRAMS_CONTENT": "",
    "WHISPERER_PROGRAMS_DELIVERY": "",
    "WHISPERER_PROGRAMS_BOOT": "tests.support.tiny_boot",
    "WHISPERER_PROGRAMS_DRAIN": "tests.support.tiny_drain",
    "WHISPERER_PROGRAMS_SIMULATOR": "tests.support.tiny_simulator",
    "WHISPERER_CLUSTER_START_TIMEOUT_S": "300",
    "WHISPERER_CLUSTER_OBJECT_STORE_MIB": "80",
}
HOW: Any = {"env": os.environ | PROGRAMS, "start_new_session": True}


class Whisperer:
    """One data folder and the command line on it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir, self.log = data_dir, data_dir.with_suffix(".log")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.foreground: subprocess.Popen[bytes] | None = None

    def run(self, *args: str) -> int:
        with self.log.open("ab") as log:
            return subprocess.run(self._command(*args), stdout=log, stderr=log, check=False, **HOW).returncode

    def stay(self, *args: str) -> None:
        """Start a command that stays in the foreground; return when what it starts is up."""
        self.foreground = subprocess.Popen(self._command(*args), stderr=subprocess.PIPE, **HOW)
        assert self.foreground.stderr is not None
        for line in self.foreground.stderr:
            with self.log.open("ab") as log:
                log.write(line)
            if line.startswith(b"Ctrl-C"):
                return
        raise AssertionError(f"it ended instead of staying: {self.said()}")

    def _command(self, *args: str) -> list[str]:
        main = "from cluster.cli import main; main()"
        return [sys.executable, "-c", main, *args, "--data-dir", str(self.data_dir)]

    def said(self) -> str:
        return self.log.read_text()

    @property
    def record(self) -> Installation:
        return installation.load(self.data_dir)

    def processes(self) -> set[pids.Pid]:
        return pids.find(self.record.id, Path(self.record.temp_dir), self.record.pids)

    def whoami(self) -> dict[str, Any]:
        return httpx.get(f"{self.url}/whoami", timeout=10, trust_env=False).json()

    def answers(self) -> bool:
        return self.whoami()["installation"] == self.record.id


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Whisperer, Whisperer]]:
    """Both up: `a` in the background, `b` in the foreground with a demo."""
    folder = tmp_path_factory.mktemp("two")
    a, b = Whisperer(folder / "a"), Whisperer(folder / "b")
    try:
        assert a.run("up", "--port", str(a.port)) == 0, a.said()
        b.stay("up", "--foreground", "--demo", "--port", str(b.port))
        yield a, b
    finally:
        if b.foreground is not None:
            b.foreground.kill()
            b.foreground.communicate()
        for one in (a, b):
            with contextlib.suppress(NotInstalledError):
                pids.end(one.processes(), 2.0)
                ports.release(Path(one.record.temp_dir))


def test_two_installations_answer_side_by_side_each_for_itself(pair: tuple[Whisperer, Whisperer]) -> None:
    a, b = pair
    assert a.answers()
    assert b.answers()
    assert a.record.id != b.record.id
    shared = set(a.record.configured()[0].singles().values()) & set(b.record.configured()[0].singles().values())
    assert shared == set()
    assert a.processes() & b.processes() == set()


def test_status_joins_what_the_launcher_and_the_gateway_know(pair: tuple[Whisperer, Whisperer]) -> None:
    a, _ = pair
    assert a.run("status", "--json") == 0, a.said()
    document = json.loads(a.said()[a.said().rindex("\n{\n") :])
    assert (document["running"], document["ready"], document["url"]) == (True, True, a.url)
    assert document["n_processes"] == len(a.processes())
    assert document["rss_bytes"] > 100_000_000
    assert document["tenants"]["acme"]["users"] == 1
    assert document["shards"][0]["pid"] == a.whoami()["pid"]


def test_starting_again_what_runs_changes_nothing(pair: tuple[Whisperer, Whisperer]) -> None:
    a, _ = pair
    before = a.whoami()["pid"], a.processes()
    assert a.run("up") == 0
    assert "It runs already" in a.said()
    assert a.whoami()["pid"] == before[0]
    assert before[1] <= a.processes()


def test_what_runs_is_not_started_anew_with_another_port(pair: tuple[Whisperer, Whisperer]) -> None:
    a, _ = pair
    assert a.run("up", "--port", "1") == 5
    assert "whisperer down" in a.said()
    assert a.answers()


def test_it_listens_on_loopback_only_but_for_the_known_ports(pair: tuple[Whisperer, Whisperer]) -> None:
    a, _ = pair
    taken, _ = a.record.configured()
    own = {pid.pid for pid in a.processes()}
    open_to_all = {
        connection.laddr.port
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
        and connection.pid in own
        and connection.laddr.ip not in ("127.0.0.1", "::1", "::ffff:127.0.0.1")
    }
    singles = set(taken.singles().values())
    assert open_to_all & singles == {taken.haproxy_stats, taken.haproxy_metrics}
    # What remains is Serve's gRPC between replicas, on a port the kernel chose: one a replica, none of them HTTP.
    assert len(open_to_all - singles) <= 1


def test_its_folders_and_files_are_for_their_owner_only(pair: tuple[Whisperer, Whisperer]) -> None:
    a, _ = pair
    assert Path(a.record.temp_dir).stat().st_mode & 0o777 == 0o700
    assert a.data_dir.stat().st_mode & 0o777 == 0o700
    assert a.record.path.stat().st_mode & 0o777 == 0o600


def test_rays_ports_refuse_callers_without_the_token(pair: tuple[Whisperer, Whisperer]) -> None:
    a, _ = pair
    url = f"{a.record.dashboard_url}/api/serve/applications/"
    assert httpx.get(url, trust_env=False).status_code == 401
    token = Path(a.record.ray_token_path).read_text()
    assert httpx.get(url, headers={"Authorization": f"Bearer {token}"}, trust_env=False).status_code == 200


def test_the_demo_has_a_tenant_a_key_and_a_running_simulator(pair: tuple[Whisperer, Whisperer]) -> None:
    a, b = pair
    assert a.record.demo is None
    demo, simulator = b.record.demo, b.record.simulator
    assert demo is not None
    assert demo.write_key.startswith("wk_")
    assert simulator is not None
    assert simulator.alive()


def test_after_kill_9_the_next_start_clears_its_own_orphans_only(pair: tuple[Whisperer, Whisperer]) -> None:
    a, b = pair
    b_before = b.processes()
    orphans = a.processes() - set(a.record.head)
    for pid in a.record.head:
        os.kill(pid.pid, signal.SIGKILL)
    assert pids.wait_gone(a.record.head, 10) == set()
    assert a.run("up") == 0, a.said()
    assert a.answers()
    assert pids.wait_gone(orphans, 5) == set()
    assert b_before <= b.processes()
    assert b.answers()


def test_down_drains_and_ends_everything_of_its_own_and_nothing_else(pair: tuple[Whisperer, Whisperer]) -> None:
    a, b = pair
    own, port_map = a.processes(), a.record.configured()[0]
    assert own
    assert a.run("down") == 0, a.said()
    assert (a.data_dir / "drained").exists()
    assert {pid for pid in own if pid.alive()} == set()
    assert a.processes() == set()
    assert ports.all_free([a.port, *port_map.singles().values()])
    assert b.answers()


def test_down_again_changes_nothing_and_status_says_that_it_is_down(pair: tuple[Whisperer, Whisperer]) -> None:
    a, _ = pair
    assert a.run("down") == 0
    assert "Already down" in a.said()
    assert a.run("status") == 3


def test_ctrl_c_in_the_foreground_stops_everything_and_keeps_the_record(pair: tuple[Whisperer, Whisperer]) -> None:
    _, b = pair
    own, staying, before = b.processes(), b.foreground, b.record
    assert staying is not None
    staying.send_signal(signal.SIGINT)
    _, said = staying.communicate(timeout=120)
    assert staying.returncode == 0, said
    assert (b.data_dir / "drained").exists()
    assert {pid for pid in own if pid.alive()} == set()
    after = b.record
    assert (after.id, after.demo, after.remembered) == (before.id, before.demo, {"server.port": b.port})


def test_a_gateway_that_cannot_start_is_reported_with_its_reason_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Whisperer(tmp_path / "broken")
    for name, value in PROGRAMS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WHISPERER_PROGRAMS_BOOT", "tests.integration.no_such_program")
    with pytest.raises(StartError) as caught:
        launcher.up(one.data_dir, options={"server.port": one.port})
    assert caught.value.log is not None
    assert "No module named" in caught.value.log.read_text()
    assert one.processes() == set()
    ports.release(Path(one.record.temp_dir))


def test_the_record_is_plain_json_that_any_program_can_read(pair: tuple[Whisperer, Whisperer]) -> None:
    document = msgspec.json.decode(pair[0].record.path.read_bytes())
    assert document["ray_address"].startswith("127.0.0.1:")
    assert document["settings"]["journal"]["url"].startswith("file://")

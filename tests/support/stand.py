"""A real installation for tests and benchmarks: started by the product's own command line in a folder of its own."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec
import psutil

from cluster.control_plane import ControlPlane
from cluster.launch import installation
from cluster.launch.pids import INSTALLATION_ENV
from cluster.launch.serve_deploy import ServeDeployer

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("USER_WHISPERER_SHARED", ROOT.parent / "shared"))
START_TIMEOUT_S = 300.0

Found = TypeVar("Found")


def until(look: Callable[[], Found], what: str, timeout_s: float = 30.0) -> Found:
    """What ``look`` gives, as soon as that is true. Nothing of the product is waited for in any other way.

    Raises AssertionError with ``what`` was waited for and the last thing seen when the time is over.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}; last seen: {found!r}")
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Stand:
    """One installation. ``settings`` are ``SECTION_KEY`` to value, as for the environment."""

    def __init__(self, data_dir: Path, *, shards: int = 2, settings: dict[str, Any] | None = None) -> None:
        self.data_dir = data_dir
        self.shards = shards
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._tenants: list[Tenant] = []
        self._environment = os.environ | {
            "WHISPERER_CLUSTER_START_TIMEOUT_S": str(START_TIMEOUT_S),
            "WHISPERER_CLUSTER_OBJECT_STORE_MIB": "80",
            **{f"WHISPERER_{name}": str(value) for name, value in (settings or {}).items()},
        }

    def run(self, *arguments: str, check: bool = True) -> str:
        """Run `whisperer <arguments> --data-dir …`; its standard output."""
        command = [
            sys.executable,
            "-c",
            "from cluster.cli import main; main()",
            *arguments,
            "--data-dir",
            str(self.data_dir),
        ]
        done = subprocess.run(command, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(arguments)} failed ({done.returncode}):\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    def up(self, *options: str) -> None:
        self.run("up", "--port", str(self.port), "--shards", str(self.shards), *options)

    def down(self) -> None:
        self.run("down")

    def tenant(self, name: str) -> Tenant:
        """A new tenant with a key of each kind; straight from the control plane, as the command line does it."""
        record = installation.load(self.data_dir)
        assert record.settings is not None
        with ControlPlane(record.settings.control_plane.url, keyring=record.keyring()) as plane:
            made = plane.create_tenant(name)
            keys = {kind: plane.create_key(made.id, kind).key for kind in KINDS}
        tenant = Tenant(self, made.id, name, keys["write"], keys["secret"])
        self._tenants.append(tenant)
        return tenant

    def close(self) -> None:
        """End every tenant's connections, those of tests that failed too."""
        for tenant in self._tenants:
            tenant.close()

    def status(self) -> dict[str, Any]:
        """The operator's status, from the server that runs."""
        with self.operator() as operator:
            answer = operator.get("/internal/status")
        answer.raise_for_status()
        status: dict[str, Any] = answer.json()
        return status

    def operator(self) -> httpx.Client:
        """A client with the operator's token; close it."""
        token = json.loads((self.data_dir / "installation.json").read_bytes())["operator_token"]
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=60)

    def settled(self, timeout_s: float = 120.0) -> dict[str, Any]:
        """The status once every shard serves and no message between partitions waits."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                status = self.status()
                serving = all(shard["state"] == "serving" for shard in status["shards"])
                if serving and not any(t["messages_waiting"] for t in status["tenants"].values()):
                    return status
            except httpx.HTTPError as error:
                status = {"error": repr(error)}
            if time.monotonic() > deadline:
                raise AssertionError(f"it did not settle within {timeout_s} s: {status}")
            time.sleep(0.1)

    def kill_shard(self, number: int, timeout_s: float = 60.0) -> float:
        """kill -9 a shard actor's process and wait until its next incarnation serves; the seconds that took."""
        before = self._shard(number)
        assert before is not None
        began = time.monotonic()
        os.kill(before["pid"], signal.SIGKILL)
        while True:
            now = self._shard(number)
            if now is not None and now["epoch"] > before["epoch"]:
                return time.monotonic() - began
            if time.monotonic() - began > timeout_s:
                raise AssertionError(f"shard {number} did not come back: {now}")
            time.sleep(0.05)

    def processes(self, title: str = "", having: str = "") -> list[psutil.Process]:
        """The installation's processes whose command line begins so, such as `ray::ServeReplica:delivery`.

        And has ``having`` in it. A process that ends meanwhile is left out, not asked again.
        """
        mark = json.loads((self.data_dir / "installation.json").read_bytes())["id"]
        found = []
        for process in psutil.process_iter(["cmdline"]):
            try:
                words = process.info["cmdline"] or [""]
                is_it = words[0].startswith(title) and having in " ".join(words)
                if is_it and process.environ().get(INSTALLATION_ENV) == mark:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):  # it ended, or is not ours
                continue
        return found

    def kill(self, title: str, timeout_s: float = 120.0) -> float:
        """kill -9 the processes of that title and wait until others have it; the seconds that took."""
        before = until(lambda: self.processes(title), f"a process {title}", timeout_s)
        began = time.monotonic()
        for process in before:
            process.kill()
        pids = {process.pid for process in before}
        until(lambda: {p.pid for p in self.processes(title)} - pids, f"another process {title}", timeout_s)
        return time.monotonic() - began

    @contextmanager
    def without(self, application: str, timeout_s: float = 120.0) -> Iterator[None]:
        """Inside the block one of `decisions`, `content`, `delivery` does not run; after it, it runs again."""
        whole = installation.load(self.data_dir)
        settings = whole.settings
        assert settings is not None
        programs = msgspec.structs.replace(settings.programs, **{application: ""})
        less = msgspec.structs.replace(whole, settings=msgspec.structs.replace(settings, programs=programs))
        title = f"ray::ServeReplica:{application}"
        try:
            with ServeDeployer(less) as deployer:
                deployer.deploy(time.monotonic() + timeout_s, lambda _: None)
            until(lambda: not self.processes(title), f"the end of {title}", timeout_s)
            yield
        finally:
            with ServeDeployer(whole) as deployer:
                deployer.deploy(time.monotonic() + timeout_s, lambda _: None)

    def _shard(self, number: int) -> dict[str, Any] | None:
        try:
            shard: dict[str, Any] = self.status()["shards"][number]
        except httpx.HTTPError:
            return None
        return shard if "epoch" in shard else None


KINDS = ("write", "secret")


class Tenant:
    """A tenant of a stand, with a client for each of its keys."""

    def __init__(self, stand: Stand, tenant_id: str, name: str, write_key: str, secret_key: str) -> None:
        self.stand = stand
        self.id = tenant_id
        self.name = name
        self.write_key = write_key
        self.secret_key = secret_key
        basic = base64.b64encode(f"{write_key}:".encode()).decode()
        self.http = httpx.Client(base_url=stand.url, headers={"Authorization": f"Basic {basic}"}, timeout=60)
        self.api = httpx.Client(base_url=stand.url, headers={"Authorization": f"Bearer {secret_key}"}, timeout=60)

    def close(self) -> None:
        self.http.close()
        self.api.close()

    def post(self, call: str, body: Any) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.http.post(f"/v1/{call}", content=content)

    def user(self, user_id: str, as_of: str | None = None) -> dict[str, Any] | None:
        answer = self.api.get(f"/v1/users/{quote(user_id, safe='')}", params={} if as_of is None else {"as_of": as_of})
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def counts(self) -> dict[str, Any]:
        counted: dict[str, Any] = self.stand.settled()["tenants"][self.name]
        return counted


@contextmanager
def running(
    data_dir: Path, *, shards: int = 2, settings: dict[str, Any] | None = None, options: Sequence[str] = ()
) -> Iterator[Stand]:
    """An installation that is up inside the block and gone after it, also when this process is asked to end."""
    stand = Stand(data_dir, shards=shards, settings=settings)
    with _terminated_by_exit():
        try:
            stand.up(*options)
            yield stand
        finally:
            stand.close()
            stand.down()


@contextmanager
def _terminated_by_exit() -> Iterator[None]:
    """SIGTERM ends the block as an exception does, so that what it started is ended too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

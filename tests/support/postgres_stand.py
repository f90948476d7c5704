"""Real PostgreSQL servers for tests: the programs of the package pgserver, or Debian's, on free ports of loopback.

PostgreSQL refuses to run as root: the server of a test that does then belongs to `nobody`, in a folder of its own that
`nobody` may read. A server takes about five seconds to make; a database on it, made from a template that is migrated
already, less than a tenth of one.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.stand import free_port, until

USER = "whisperer"
PASSWORD = "pw-of-the-database"
MIGRATED = "migrated"
"""The template database, which has the newest schema and no rows."""
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": 200,
    "shared_buffers": "32MB",
    "fsync": "off",  # what a sync is for shows after a power cut
    "full_page_writes": "off",
    "autovacuum": "off",
    "timezone": "UTC",
}


@functools.cache
def programs() -> Path | None:
    """The folder of initdb and postgres: the package pgserver's, else the newest of Debian's; None where there is none."""
    found: list[Path] = []
    spec = importlib.util.find_spec("pgserver")
    if spec is not None and spec.origin is not None:
        found.append(Path(spec.origin).parent / "pginstall" / "bin")
    debian = Path("/usr/lib/postgresql")
    if debian.is_dir():
        numbered = [entry for entry in debian.iterdir() if entry.name.isdigit()]
        found += [entry / "bin" for entry in sorted(numbered, key=lambda entry: int(entry.name), reverse=True)]
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).resolve().parent)
    return next((folder for folder in found if all((folder / name).exists() for name in ("initdb", "postgres"))), None)


def needs_postgres() -> Path:
    found = programs()
    if found is None:
        pytest.skip("no PostgreSQL on this machine: install the package pgserver, or Debian's postgresql")
    return found


class PostgresServer:
    """One server with a folder and a port of its own, which it keeps over restarts."""

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="uw-pg-"))
        self._programs = needs_postgres()
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._programs = self._readable(self._programs)
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._empty: list[str] = []

    def _readable(self, programs: Path) -> Path:
        """A copy of the programs, if they lie where nobody else may look."""
        asked = (
            subprocess.run([programs / "postgres", "--version"], capture_output=True, check=False, cwd="/", **self._as)
            if self._may_enter(programs)
            else None
        )
        if asked is not None and asked.returncode == 0:
            return programs
        copied = self.folder / "programs"
        shutil.copytree(programs.parent, copied, symlinks=True)
        return copied / programs.name

    def _may_enter(self, folder: Path) -> bool:
        return all(parent.stat().st_mode & 0o005 == 0o005 for parent in [folder, *folder.parents])

    def url(self, database: str) -> str:
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def create(self) -> PostgresServer:
        """Make the cluster of databases, start it, and fill the template."""
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        command = [
            self._programs / "initdb", "--pgdata", self.folder / "data", "--username", USER, "--pwfile", password,
            "--auth", "scram-sha-256", "--no-sync", "--encoding", "UTF8", "--locale", "C",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder, **self._as)
        if done.returncode != 0:
            raise AssertionError(f"initdb failed: {done.stderr[-2000:]}")
        return self.start()

    def start(self) -> PostgresServer:
        options = {"port": self.port, **_OPTIONS}
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.folder / "data", *words],
                stdout=log, stderr=log, cwd=self.folder, start_new_session=True, **self._as,
            )  # fmt: skip
        until(self._answers, f"PostgreSQL on port {self.port}")
        return self

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"PostgreSQL ended: {(self.folder / 'log').read_text()[-2000:]}")
        try:
            self.admin("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def admin(self, statement: str, database: str = "postgres") -> list[Any]:
        """Run one statement as the owner of everything; its rows."""
        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=10) as connection:
            done = connection.execute(statement)  # type: ignore[call-overload]
            return list(done.fetchall()) if done.description else []

    def database(self, template: str = "template1") -> str:
        """A new database; its URL."""
        name = f"w{secrets.token_hex(6)}"
        self.admin(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log")
        return self.url(name)

    def migrated(self) -> str:
        """A new database that has the newest schema and no rows; its URL."""
        from cluster.control_plane import ControlPlane

        if not self.admin(f"SELECT 1 FROM pg_database WHERE datname = '{MIGRATED}'"):
            self.admin(f"CREATE DATABASE {MIGRATED}")
            ControlPlane(self.url(MIGRATED)).close()
        return self.database(MIGRATED)

    @contextmanager
    def lent(self) -> Iterator[str]:
        """The URL of a database with the newest schema and no rows, which is emptied after the block and lent again.

        Its schema must stay as it is.
        """
        url = self._empty.pop() if self._empty else self.migrated()
        yield url
        name = url.rpartition("/")[2]
        self.admin(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        tables = self.admin("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name)
        kept = ("alembic_version", "meta")
        emptied = "".join(f"DELETE FROM {table};" for (table,) in tables if table not in kept)
        # As a replica it looks at neither foreign keys nor triggers.
        self.admin(f"SET session_replication_role = replica; {emptied} UPDATE meta SET version = 0", name)
        self._empty.append(url)

    def drop(self, url: str) -> None:
        self.admin(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def kill(self) -> None:
        """kill -9 of all its processes."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            self._process = None
        self._stopped = False

    def hang(self) -> None:
        """Stop all its processes: connections stay, and nothing is answered."""
        self._signal(signal.SIGSTOP)
        self._stopped = True

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)
        self._stopped = False

    def _signal(self, number: int) -> None:
        """Signal the server and its backends, each of which leads a session of its own."""
        import psutil

        if self._process is None:
            return
        try:
            server = psutil.Process(self._process.pid)
            server.send_signal(number)  # first, so that it starts no other
            for child in server.children(recursive=True):
                child.send_signal(number)
        except psutil.NoSuchProcess:
            pass

    def remove(self) -> None:
        if self._stopped:
            self.go_on()
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server that runs inside the block."""
    server = PostgresServer()
    try:
        yield server.create()
    finally:
        server.remove()

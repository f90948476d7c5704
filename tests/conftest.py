"""One installation for all tests that need a running cluster; each takes a tenant of its own.

While working on them, `WHISPERER_TEST_STAND=<data-dir>` uses an installation that is up already.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from cluster.control_plane import ControlPlane
from tests.support.postgres_stand import PostgresServer, postgres_server
from tests.support.stand import Stand, Tenant, running

# Speed is measured by benchmarks: a busy machine must not fail a property.
hypothesis.settings.register_profile("whisperer", deadline=None)
hypothesis.settings.load_profile("whisperer")


@pytest.fixture(scope="session")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    kept = os.environ.get("WHISPERER_TEST_STAND")
    if kept:
        found = Stand(Path(kept))
        found.url = json.loads((Path(kept) / "installation.json").read_bytes())["url"]
        found.port = int(found.url.rsplit(":", 1)[1])
        yield found
        return
    # Webhooks and mail of tests end on this machine.
    settings = {"DELIVERY_OPEN_NETWORKS": "127.0.0.0/8", "SERVER_CORS_ORIGINS": "https://app.example.com"}
    with running(tmp_path_factory.mktemp("stand"), settings=settings) as started:
        yield started


@pytest.fixture
def tenant(stand: Stand) -> Iterator[Tenant]:
    made = stand.tenant(f"t-{secrets.token_hex(4)}")
    yield made
    made.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server, for tests that neither end it nor make it hang."""
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A control plane in SQLite just migrated: migrating one for each test takes longer than the tests."""
    path = tmp_path_factory.mktemp("migrated") / "control.db"
    ControlPlane(f"sqlite:///{path}").close()
    return path


def _empty_plane(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), folder / "control.db")
        yield f"sqlite:///{folder / 'control.db'}"
        return
    with request.getfixturevalue("postgres").lent() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def plane_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a control plane that is migrated and empty, in each of the two databases."""
    yield from _empty_plane(request, tmp_path)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def plane_url_of_module(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same for all tests of a module together."""
    yield from _empty_plane(request, tmp_path_factory.mktemp("plane"))


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables, in each of the two."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'control.db'}"
        return
    server = request.getfixturevalue("postgres")
    url = server.database()
    yield url
    server.drop(url)

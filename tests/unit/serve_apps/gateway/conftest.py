from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.control_plane import ControlPlane
from tests.support.gateway_world import Caller, World


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A control plane just migrated: migrating one for each test takes longer than the tests."""
    path = tmp_path_factory.mktemp("empty") / "control.db"
    ControlPlane(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def world(tmp_path: Path, empty_database: Path) -> Iterator[World]:
    shutil.copy(empty_database, tmp_path / "control.db")
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def acme(world: World) -> Caller:
    return world.tenant("acme")

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.control_plane import ControlPlane
from tests.support.keyring import KEYRING
from tests.unit.cluster.control_plane.drafts.contents import furnish


@pytest.fixture(scope="session")
def acme_database(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Path:
    """A furnished control plane in SQLite, to be copied."""
    path = tmp_path_factory.mktemp("acme") / "control.db"
    shutil.copy(migrated_file, path)
    with ControlPlane(f"sqlite:///{path}", keyring=KEYRING) as plane:
        furnish(plane)
    return path


@pytest.fixture
def plane(plane_url: str) -> Iterator[ControlPlane]:
    with ControlPlane(plane_url, keyring=KEYRING) as made:
        furnish(made)
        yield made

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway_world import Caller, World


@pytest.fixture
def world(tmp_path: Path, plane_url: str) -> Iterator[World]:
    made = World(tmp_path, plane_url)
    yield made
    made.close()


@pytest.fixture
def acme(world: World) -> Caller:
    return world.tenant("acme")

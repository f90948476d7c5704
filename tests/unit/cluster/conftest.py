from __future__ import annotations

from pathlib import Path

import pytest

from cluster import settings
from cluster.launch import installation
from cluster.launch.installation import Installation
from cluster.launch.ports import ports_of_block


@pytest.fixture
def configured(tmp_path: Path) -> Installation:
    """An installation as `up` records it, without anything running."""
    made = installation.load_or_create(tmp_path / "var")
    made.settings = settings.load(tmp_path / "var", environment={})
    made.ports = ports_of_block(7, made.settings.server.port)
    made.temp_dir = str(tmp_path / "uw-7")
    made.url = "http://127.0.0.1:8000"
    made.ray_address = f"127.0.0.1:{made.ports.gcs}"
    made.dashboard_url = f"http://127.0.0.1:{made.ports.dashboard}"
    made.save()
    return made

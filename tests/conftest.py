"""One installation for all tests that need a running cluster; each takes a tenant of its own.

While working on them, `WHISPERER_TEST_STAND=<data-dir>` uses an installation that is up already.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

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
    settings = {"DELIVERY_OPEN_NETWORKS": "127.0.0.0/8"}
    with running(tmp_path_factory.mktemp("stand"), settings=settings) as started:
        yield started


@pytest.fixture
def tenant(stand: Stand) -> Iterator[Tenant]:
    made = stand.tenant(f"t-{secrets.token_hex(4)}")
    yield made
    made.close()

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.importing import sending
from tests.unit.cluster.importing.recording_gateway import RecordingGateway


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingGateway]:
    """A recording gateway; retries without Retry-After come at once instead of after half a second."""
    monkeypatch.setattr(sending, "FIRST_BACKOFF_S", 0.0)
    with RecordingGateway() as server:
        yield server

from __future__ import annotations

import pytest

from whisperer.events.warm import warm


@pytest.fixture(scope="session", autouse=True)
def _compiled() -> None:
    """Outside of any test's time limit."""
    warm()

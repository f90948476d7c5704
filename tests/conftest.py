"""One installation for all tests that need a running cluster; each takes a tenant of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.stand import Stand, Tenant, running

_numbers = itertools.count()


@pytest.fixture(scope="session")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with running(tmp_path_factory.mktemp("stand")) as started:
        yield started


@pytest.fixture
def tenant(stand: Stand) -> Tenant:
    return stand.tenant(f"t{next(_numbers)}")

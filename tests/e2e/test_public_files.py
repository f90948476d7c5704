"""A slice of two public event files, imported while shard actors are killed, equals what DuckDB computes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import public_files
from tests.support.public_files import Dataset
from tests.support.stand import Stand, Tenant

pytestmark = pytest.mark.cluster

N_ROWS = 3_000


@pytest.mark.timeout(600)
@pytest.mark.parametrize("dataset", public_files.DATASETS, ids=lambda dataset: dataset.name)
def test_every_user_equals_duckdb_after_kills(stand: Stand, tenant: Tenant, dataset: Dataset, tmp_path: Path) -> None:
    if not public_files.present():
        pytest.skip("the public data sets are not here: ../shared is not part of the project")
    files = public_files.files_of(dataset, tmp_path, N_ROWS)
    users, end = public_files.expected(dataset, files)
    done = public_files.import_files(tenant, dataset, files, kills=1)
    assert all(report["rejected"] == {} for report in done.reports)
    assert len(done.kills) == stand.shards
    counts = tenant.counts()
    assert counts["events_accepted"] == sum(report["sent"] for report in done.reports)
    assert counts["users"] == len(users)
    assert public_files.compare(tenant, users, end) == []

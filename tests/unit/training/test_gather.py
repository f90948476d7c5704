"""Rows of a tenant out of its warehouse, as a run reads them."""

from __future__ import annotations

from pathlib import Path

import pyarrow.fs as pafs
import pytest

from tests.support.shard_world import TENANT
from tests.unit.training.rows.test_replay import exported, three_months
from training.dataset import RowsError, read
from training.gather import Source, gather
from whisperer.profiles.features import FEATURES, REPLAYED, feature_hash

FILES = pafs.LocalFileSystem()


def test_users_at_cutoffs_become_rows_of_features_that_a_score_model_is_given(tmp_path: Path) -> None:
    exported(three_months(), tmp_path / "warehouse")
    source = Source(str(tmp_path / "warehouse"), TENANT, window_days=10, every_days=10)
    place = gather("churn", source, FILES, str(tmp_path))
    data = read(place, "churn")
    assert data.names == REPLAYED
    assert data.registry == feature_hash(FEATURES[name] for name in REPLAYED)  # as whisperer.models.scores compares it
    assert len(set(data.time.tolist())) > 1
    assert gather("churn", source, FILES, str(tmp_path)) == place


def test_a_past_that_holds_no_window_is_refused(tmp_path: Path) -> None:
    exported(three_months(), tmp_path / "warehouse")
    source = Source(str(tmp_path / "warehouse"), TENANT, window_days=100)
    with pytest.raises(RowsError, match="do not hold a cutoff with 100 days on both sides"):
        gather("churn", source, FILES, str(tmp_path))


@pytest.mark.parametrize("kind", ["churn", "uplift"])
def test_a_tenant_without_a_past_is_told_so(kind: str, tmp_path: Path) -> None:
    with pytest.raises(RowsError, match="of tenant nobody yet"):
        gather(kind, Source(str(tmp_path / "warehouse"), "nobody"), FILES, str(tmp_path))

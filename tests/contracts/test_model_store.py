"""The store of models on S3 itself, as moto speaks it: no rename, no link, no folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contracts.test_object_store import s3, uri  # noqa: F401  fixtures
from tests.unit.whisperer.models.artifacts import CALIBRATION, artifact
from whisperer.errors import ConflictError, NotFoundError
from whisperer.models.loading import load
from whisperer.models.store import ArtifactStore


def test_a_version_is_put_fetched_and_kept_as_it_is_on_an_object_store(uri: str, tmp_path: Path) -> None:  # noqa: F811
    store = ArtifactStore(uri, tmp_path / "cache")
    with pytest.raises(NotFoundError):
        store.fetch("tn_1", "offers", 1)
    first, other = artifact(tmp_path / "a"), artifact(tmp_path / "b", contents={"calibration.json": b"{}"})
    digest = store.put("tn_1", first, load(first).manifest)
    assert store.put("tn_1", first, load(first).manifest) == digest
    with pytest.raises(ConflictError):
        store.put("tn_1", other, load(other).manifest)
    assert store.fetch("tn_1", "offers", 1, digest).document("calibration.json") == CALIBRATION
    assert (store.versions("tn_1", "offers"), store.next_version("tn_1", "offers")) == ([1], 2)
    with pytest.raises(NotFoundError):
        store.fetch("tn_2", "offers", 1)

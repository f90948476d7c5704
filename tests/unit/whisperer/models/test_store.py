from __future__ import annotations

import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from tests.unit.whisperer.models.artifacts import CALIBRATION, arrow, artifact, files
from whisperer.errors import ConflictError, NotFoundError, RequestError, UnavailableError
from whisperer.models.artifact import TEST_ROWS, digest
from whisperer.models.errors import ArtifactError
from whisperer.models.loading import load
from whisperer.models.store import ArtifactStore

OTHER = files() | {"calibration.json": b'{"slope": 2.0, "intercept": 0.0}'}


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore((tmp_path / "store").as_uri(), tmp_path / "cache")


def put(store: ArtifactStore, folder: Path, tenant: str = "tn_1") -> str:
    return store.put(tenant, folder, load(folder).manifest)


def test_what_was_put_is_fetched_again(store: ArtifactStore, tmp_path: Path) -> None:
    made = put(store, artifact(tmp_path / "a"))
    found = store.fetch("tn_1", "offers", 1)
    assert found.document("calibration.json") == CALIBRATION
    assert digest(found.manifest) == made
    assert found.folder.is_relative_to(tmp_path / "cache")
    assert store.fetch("tn_1", "offers", 1, made).folder == found.folder


def test_versions_are_listed_and_numbered_on(store: ArtifactStore, tmp_path: Path) -> None:
    assert store.next_version("tn_1", "offers") == 1
    for version in (1, 2, 10):
        put(store, artifact(tmp_path / str(version), version=version))
    assert store.versions("tn_1", "offers") == [1, 2, 10]
    assert store.next_version("tn_1", "offers") == 11
    assert store.versions("tn_1", "other") == []


def test_a_version_never_changes(store: ArtifactStore, tmp_path: Path) -> None:
    made = put(store, artifact(tmp_path / "a"))
    assert put(store, artifact(tmp_path / "same")) == made
    with pytest.raises(ConflictError) as caught:
        put(store, artifact(tmp_path / "b", contents=OTHER))
    assert caught.value.code == "version_exists"
    assert store.fetch("tn_1", "offers", 1).document("calibration.json") == CALIBRATION


def test_of_two_writers_of_one_version_one_wins_whole(store: ArtifactStore, tmp_path: Path) -> None:
    folders = [artifact(tmp_path / "a"), artifact(tmp_path / "b", contents=OTHER)]

    def tried(folder: Path) -> str | None:
        try:
            return put(store, folder)
        except ConflictError:
            return None

    with ThreadPoolExecutor(8) as pool:
        won = {made for made in pool.map(tried, folders * 8) if made is not None}
    assert won == {digest(store.fetch("tn_1", "offers", 1).manifest)}


def test_a_version_half_written_does_not_show(
    store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, n = ArtifactStore._write, iter(range(100))

    def dies(self: ArtifactStore, path: str, data: bytes) -> None:
        if next(n) == 3:
            raise KeyboardInterrupt
        write(self, path, data)

    monkeypatch.setattr(ArtifactStore, "_write", dies)
    with pytest.raises(KeyboardInterrupt):
        put(store, artifact(tmp_path / "a"))
    assert store.versions("tn_1", "offers") == []
    with pytest.raises(NotFoundError):
        store.fetch("tn_1", "offers", 1)
    put(store, tmp_path / "a")
    assert store.fetch("tn_1", "offers", 1).document("calibration.json") == CALIBRATION


def test_another_tenants_version_is_not_there(store: ArtifactStore, tmp_path: Path) -> None:
    put(store, artifact(tmp_path / "a"))
    for tenant, name in (("tn_2", "offers"), ("tn_1", "other")):
        with pytest.raises(NotFoundError) as caught:
            store.fetch(tenant, name, 1)
        assert caught.value.code == "artifact_not_found"


@pytest.mark.parametrize("name", ["..", "../tn_2", "a/b", "", "x" * 100])
def test_a_name_leads_nowhere_else(store: ArtifactStore, name: str) -> None:
    with pytest.raises(RequestError):
        store.fetch("tn_1", name, 1)
    with pytest.raises(RequestError):
        store.versions(name, "offers")


def stored(tmp_path: Path, what: str) -> list[Path]:
    return [path for path in (tmp_path / "store" / "tn_1" / what).rglob("*") if path.is_file()]


def test_a_file_changed_in_the_store_is_refused(store: ArtifactStore, tmp_path: Path) -> None:
    put(store, artifact(tmp_path / "a"))
    for content, code in ((pickle.dumps("x"), "wrong_size"), (b"", "wrong_size")):
        for path in stored(tmp_path, "files"):
            path.write_bytes(content)
        with pytest.raises(ArtifactError) as caught:
            store.fetch("tn_1", "offers", 1)
        assert caught.value.code == code
    for path in stored(tmp_path, "files"):
        path.unlink()
    with pytest.raises(ArtifactError, match="not in the store"):
        store.fetch("tn_1", "offers", 1)
    assert not any((tmp_path / "cache").iterdir())


def test_a_manifest_exchanged_in_the_store_is_not_the_one_registered(store: ArtifactStore, tmp_path: Path) -> None:
    made = put(store, artifact(tmp_path / "a"))
    put(store, artifact(tmp_path / "b", version=2, contents=OTHER))
    first, second = sorted(stored(tmp_path, "manifests"))
    first.write_bytes(second.read_bytes().replace(b'"version": 2', b'"version": 1'))
    with pytest.raises(ArtifactError) as caught:
        store.fetch("tn_1", "offers", 1, made)
    assert caught.value.code == "wrong_hash"
    first.write_bytes(second.read_bytes())
    with pytest.raises(ArtifactError, match="of another version"):
        store.manifest("tn_1", "offers", 1)


def test_a_cache_that_was_damaged_is_fetched_anew(store: ArtifactStore, tmp_path: Path) -> None:
    put(store, artifact(tmp_path / "a"))
    found = store.fetch("tn_1", "offers", 1)
    (found.folder / "calibration.json").write_bytes(b"{}")
    assert store.fetch("tn_1", "offers", 1).document("calibration.json") == CALIBRATION


def test_a_store_that_is_away_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = ArtifactStore(tmp_path / "file", tmp_path / "cache")
    with pytest.raises(UnavailableError):
        put(store, artifact(tmp_path / "a"))


def test_test_rows_age_out_of_the_store_and_of_caches_and_the_version_stays_whole(
    store: ArtifactStore, tmp_path: Path
) -> None:
    put(store, artifact(tmp_path / "a", contents=files() | {TEST_ROWS: arrow(pa.table({"label": [0.0, 1.0]}))}))
    fetched = store.fetch("tn_1", "offers", 1)
    later = time.time() + 1
    assert store.expire(later - 3_600) == 0
    assert store.expire(later) == 2, "in the store, and in the cache"
    assert not [
        path for path in tmp_path.rglob("*") if path.name == TEST_ROWS and not path.is_relative_to(tmp_path / "a")
    ]
    for cache in ("cache", "another"):
        again = ArtifactStore((tmp_path / "store").as_uri(), tmp_path / cache).fetch("tn_1", "offers", 1)
        assert digest(again.manifest) == digest(fetched.manifest)
        assert again.document("calibration.json") == CALIBRATION
        with pytest.raises(ArtifactError) as caught:
            again.table(TEST_ROWS)
        assert caught.value.code == "missing_file"
    assert store.expire(later) == 0

from __future__ import annotations

import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.files.blobs import BlobFolder
from actors.snapshots.store import SnapshotStore

USERS = pa.table(
    {
        "user_key": ["u:1", "a:2"],
        "last_seen": pa.array([1, None], pa.int64()),
        "plan": pa.array(["free", "pro"]).dictionary_encode(),
    }
)
TABLES = {"users": USERS, "empty": USERS.slice(0, 0)}


@pytest.fixture(params=["local", "object-store"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobFolder:
    if request.param == "local":
        return BlobFolder(tmp_path / "snap shots é")
    return BlobFolder("bucket/snapshots", filesystem=pafs._MockFileSystem())


class StopError(Exception):
    """The save was interrupted."""


class StoppingBlobs(BlobFolder):
    """Shares the storage of another folder; the n-th change stops before or after its effect."""

    def __init__(self, like: BlobFolder, stop_at: int) -> None:
        super().__init__(like.root, filesystem=like.filesystem)
        self.stop_at = stop_at

    def _step(self) -> None:
        self.stop_at -= 1
        if self.stop_at < 0:
            raise StopError

    def put(self, name: str, data: bytes) -> None:
        self._step()
        super().put(name, data)
        self._step()

    def adopt(self, path: Path, name: str) -> None:
        self._step()
        super().adopt(path, name)
        self._step()

    def delete(self, name: str) -> None:
        self._step()
        super().delete(name)
        self._step()

    def delete_folder(self, name: str) -> None:
        self._step()
        super().delete_folder(name)
        self._step()


def test_a_snapshot_comes_back_as_it_was_saved(blobs: BlobFolder) -> None:
    store = SnapshotStore(blobs, "shard-0003")
    meta = {"timers": [1, 2], "naïve": "☃"}
    name = store.save(TABLES, meta, lsn=1 << 60, epoch=7)
    found = SnapshotStore(blobs, "shard-0003").latest()
    assert found is not None
    assert (found.name, found.lsn, found.epoch, found.meta) == (name, 1 << 60, 7, meta)
    assert found.tables.keys() == TABLES.keys()
    for title, table in TABLES.items():
        assert found.tables[title].equals(table)
        assert found.tables[title].schema.equals(table.schema, check_metadata=True)


def test_no_snapshot_is_none(blobs: BlobFolder) -> None:
    assert SnapshotStore(blobs).latest() is None
    assert SnapshotStore(blobs).prune() is None


def test_shards_do_not_see_each_other(blobs: BlobFolder) -> None:
    SnapshotStore(blobs, "shard-0001").save(TABLES, {}, lsn=1, epoch=1)
    assert SnapshotStore(blobs, "shard-0011").latest() is None
    assert SnapshotStore(blobs, "shard-000").latest() is None


def test_the_newest_is_the_one_with_the_highest_position_whatever_was_saved_last(blobs: BlobFolder) -> None:
    store = SnapshotStore(blobs)
    for lsn, epoch in ((5, 1), (100, 3), (100, 2), (9, 4)):
        store.save(TABLES, {"epoch": epoch}, lsn=lsn, epoch=epoch)
    found = store.latest()
    assert found is not None
    assert (found.lsn, found.epoch) == (100, 3)


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_every_compression_is_read_back(tmp_path: Path, compression: str | None) -> None:
    store = SnapshotStore(tmp_path.as_uri(), compression=compression)  # type: ignore[arg-type]
    store.save(TABLES, {}, lsn=1, epoch=1)
    found = store.latest()
    assert found is not None
    assert found.tables["users"].equals(USERS)


def test_chunks_with_dictionaries_of_their_own_are_saved(blobs: BlobFolder) -> None:
    chunks = pa.concat_tables(
        [USERS, pa.table({**USERS.to_pydict(), "plan": pa.array(["x", "y"]).dictionary_encode()}, schema=USERS.schema)]
    )
    store = SnapshotStore(blobs)
    store.save({"users": chunks}, {}, lsn=1, epoch=1)
    found = store.latest()
    assert found is not None
    assert found.tables["users"].to_pydict() == chunks.to_pydict()


def test_an_interrupted_save_is_never_seen_and_goes_with_the_next_prune(blobs: BlobFolder) -> None:
    store = SnapshotStore(blobs)
    good = store.save(TABLES, {"good": True}, lsn=10, epoch=1)
    for stop_at in range(3):
        with pytest.raises(StopError):
            SnapshotStore(StoppingBlobs(blobs, stop_at)).save(TABLES, {}, lsn=20, epoch=1)
        found = store.latest()
        assert found is not None
        assert found.name == good
        assert store.problems == []
    with pytest.raises(StopError):  # the manifest was in place already: it counts
        SnapshotStore(StoppingBlobs(blobs, 3)).save(TABLES, {}, lsn=20, epoch=1)
    found = store.latest()
    assert found is not None
    assert found.lsn == 20
    newest = store.save(TABLES, {}, lsn=30, epoch=1)
    store.prune(keep=1)
    packs = {f"packs/{pack}.pack" for pack in store._manifest(newest)["packs"]}
    assert set(blobs.names("", unfinished=True)) == {f"{newest}/manifest.json", *packs}


def test_a_snapshot_with_any_damaged_byte_is_passed_over_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = SnapshotStore(tmp_path)
    store.save(TABLES, {"n": 1}, lsn=1, epoch=1)
    newest = store.save({"small": USERS.select(["last_seen"])}, {"n": 2}, lsn=2, epoch=1)
    caplog.set_level(logging.CRITICAL)
    for path in (tmp_path / newest / "manifest.json", tmp_path / "packs" / f"{newest}.pack"):
        whole = path.read_bytes()
        broken_versions = [whole[:-1], whole + b"x", b""] + [
            whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :] for at in range(len(whole))
        ]
        for broken in broken_versions:
            path.write_bytes(broken)
            found = store.latest()
            assert found is not None
            assert found.meta == {"n": 1}
            assert [problem.name for problem in store.problems] == [newest]
        path.unlink()
        found = store.latest()
        assert found is not None
        assert found.meta == {"n": 1}
        path.write_bytes(whole)
    found = store.latest()
    assert found is not None
    assert (found.meta, store.problems) == ({"n": 2}, [])


def test_all_snapshots_damaged_is_none_with_every_problem_named(blobs: BlobFolder) -> None:
    store = SnapshotStore(blobs)
    names = [store.save(TABLES, {}, lsn=lsn, epoch=1) for lsn in (1, 2)]
    for name in names:
        blobs.put(f"packs/{name}.pack", b"gone")
    assert store.latest() is None
    assert [problem.name for problem in store.problems] == names[::-1]
    assert all(f"{problem.name}.pack" in problem.why for problem in store.problems)


def test_pruning_keeps_the_newest_and_says_how_far_the_journal_may_be_trimmed(blobs: BlobFolder) -> None:
    store = SnapshotStore(blobs, "shard-0001")
    for lsn in (10, 20, 30, 40):
        store.save(TABLES, {}, lsn=lsn, epoch=1)
    other = SnapshotStore(blobs, "shard-0002")
    other.save(TABLES, {}, lsn=1, epoch=1)
    assert store.prune(keep=2) == 30
    assert [int(name[:20]) for name in store.names()] == [40, 30]
    assert store.prune(keep=5) == 30
    assert len(other.names()) == 1
    with pytest.raises(ValueError, match="at least one"):
        store.prune(keep=0)


@pytest.mark.parametrize("part", ["", "..", "a/b", ".hidden", "a\nb"])
def test_names_that_would_leave_the_folder_are_refused(tmp_path: Path, part: str) -> None:
    with pytest.raises(ValueError, match="part of a path"):
        SnapshotStore(tmp_path, part)
    with pytest.raises(ValueError, match="part of a path"):
        SnapshotStore(tmp_path).save({part: USERS}, {}, lsn=1, epoch=1)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    columns=st.dictionaries(
        st.text(max_size=5), st.lists(st.none() | st.text(max_size=5), min_size=3, max_size=3), max_size=4
    ),
    meta=st.dictionaries(
        st.text(max_size=5), st.integers() | st.text(max_size=5) | st.lists(st.booleans()), max_size=3
    ),
)
def test_any_table_and_any_facts_come_back(
    tmp_path: Path, columns: dict[str, list[str | None]], meta: dict[str, object]
) -> None:
    store = SnapshotStore(tmp_path)
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    store.save({"t": table}, meta, lsn=1, epoch=1)
    found = store.latest()
    assert found is not None
    assert (found.tables["t"].equals(table), found.meta) == (True, meta)
    for name in ["packs", *store.names()]:
        store._blobs.delete_folder(name)

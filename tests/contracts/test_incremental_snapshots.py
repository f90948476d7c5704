"""What a snapshot leaves out because an older one has it, and that nothing needed is ever missing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.files.blobs import BlobFolder
from actors.snapshots import store as snapshots
from actors.snapshots.chunks import CHUNK_ROWS
from actors.snapshots.packs import DamagedPackError
from actors.snapshots.retention import Retention
from actors.snapshots.store import Saved, SnapshotStore
from tests.contracts.test_snapshots import StopError, StoppingBlobs

N_CHUNKS = 4


@pytest.fixture(params=["local", "object-store"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobFolder:
    if request.param == "local":
        return BlobFolder(tmp_path / "snapshots")
    return BlobFolder("bucket/snapshots", filesystem=pafs._MockFileSystem())


def state(*versions: int) -> dict[str, pa.Table]:
    """A table of one chunk of numbers for each version and a column that never changes."""
    of_chunks = [
        np.random.default_rng([n, version]).integers(0, 1 << 60, CHUNK_ROWS) for n, version in enumerate(versions)
    ]
    numbers = np.concatenate(of_chunks)
    return {"users": pa.table({"changing": numbers, "still": np.arange(len(numbers)) * 7_919})}


def save(store: SnapshotStore, tables: dict[str, pa.Table], lsn: int) -> Saved:
    draft = store.draft()
    draft.write(tables.items())
    return draft.publish({"lsn": lsn}, lsn=lsn, epoch=1)


def tables_of(store: SnapshotStore, name: str) -> dict[str, pa.Table]:
    return store._load(name).tables


def test_only_chunks_that_changed_are_written(blobs: BlobFolder) -> None:
    store = SnapshotStore(blobs)
    for lsn in (1, 2):
        assert save(store, state(0, 0, 0, 0), lsn).n_new == 2 * N_CHUNKS
    changed = state(0, 0, 1, 0)
    saved = save(store, changed, 3)
    assert (saved.n_chunks, saved.n_new) == (2 * N_CHUNKS, 1)
    assert saved.n_bytes < 2 * 8 * CHUNK_ROWS
    assert save(SnapshotStore(blobs), changed, 4).n_new == 1  # another process knows as much
    assert tables_of(store, saved.name)["users"].equals(changed["users"])


def test_rows_that_join_at_the_end_leave_the_chunks_before_them_alone(blobs: BlobFolder) -> None:
    store = SnapshotStore(blobs)
    grown = {"users": state(0, 0, 0)["users"].slice(0, 2 * CHUNK_ROWS + 100)}
    for lsn in (1, 2):
        save(store, {"users": state(0, 0, 0)["users"].slice(0, 2 * CHUNK_ROWS + 99)}, lsn)
    saved = save(store, grown, 3)
    assert saved.n_new == 2
    assert tables_of(store, saved.name)["users"].equals(grown["users"])


def test_the_two_newest_snapshots_share_no_byte(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    for lsn in range(1, 8):
        save(store, state(0, lsn, 0, 0), lsn)
        store.prune(keep=2)
        newest = store.names()[0]
        packs = {pack: (tmp_path / "packs" / f"{pack}.pack").read_bytes() for pack in store._manifest(newest)["packs"]}
        for pack in packs:
            (tmp_path / "packs" / f"{pack}.pack").write_bytes(b"damaged")
        found = store.latest()
        assert (found is None) == (lsn == 1)
        assert found is None or found.lsn == lsn - 1
        for pack, data in packs.items():
            (tmp_path / "packs" / f"{pack}.pack").write_bytes(data)


def test_a_pack_of_which_little_is_in_use_is_left_behind(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    for lsn in range(1, 30):
        save(store, state(*(lsn if lsn % N_CHUNKS == n else 0 for n in range(N_CHUNKS))), lsn)
        store.prune(keep=2)
    whole = sum(table.nbytes for table in state(0, 0, 0, 0).values())
    on_disk = sum(path.stat().st_size for path in tmp_path.rglob("*.pack"))
    assert on_disk < 2 * 2 * whole * 1.2


def test_now_and_then_everything_is_written_anew(blobs: BlobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "WHOLE_EVERY", 3)
    store = SnapshotStore(blobs)
    new = []
    for lsn in range(1, 13):
        new.append(save(store, state(0), lsn).n_new)
        store.prune(keep=2)
    assert new == [2, 2, *[0] * 6, 2, 2, 0, 0]


def test_keeping_one_snapshot_only_writes_each_of_them_whole(blobs: BlobFolder) -> None:
    store = SnapshotStore(blobs)
    for lsn in (1, 2, 3):
        assert save(store, state(0), lsn).n_new == 2
        store.prune(keep=1)
    assert len(blobs.names()) == 2


def test_a_draft_that_its_writer_did_not_finish_is_never_published(blobs: BlobFolder) -> None:
    store = SnapshotStore(blobs)
    draft = store.draft()
    draft.write(state(0).items())
    size = os.fstat(draft.fd).st_size
    draft.abandon()
    for length in (0, 10, size // 2, size - 1):
        draft = store.draft()
        draft.write(state(0).items())
        os.truncate(draft.fd, length)
        with pytest.raises(DamagedPackError):
            draft.publish({}, lsn=1, epoch=1)
    assert blobs.names("", unfinished=True) == []
    assert store.latest() is None


def test_after_a_crash_at_any_step_of_pruning_every_snapshot_left_is_whole(blobs: BlobFolder) -> None:
    store = SnapshotStore(blobs)
    lsn = 0
    for stop_at in range(40):
        for _ in range(3):
            lsn += 1
            save(store, state(lsn, 0), lsn)
        try:
            SnapshotStore(StoppingBlobs(blobs, stop_at)).prune(keep=2)
        except StopError:
            pass
        else:
            break
        names = store.names()
        assert len(names) >= 2
        for name in names:
            assert tables_of(store, name)["users"].equals(state(int(name[:20]), 0)["users"])
    assert 4 < stop_at < 39
    store.prune(keep=2)
    needed = {f"packs/{pack}.pack" for name in store.names() for pack in store._manifest(name)["packs"]}
    assert {name for name in blobs.names("", unfinished=True) if name.startswith("packs/")} == needed


def test_nothing_is_deleted_from_under_a_manifest_that_cannot_be_read(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path)
    for lsn in range(1, 5):
        save(store, state(lsn, 0), lsn)
    packs = set((tmp_path / "packs").iterdir())
    (tmp_path / store.names()[1] / "manifest.json").write_bytes(b"damaged")
    store.prune(keep=2)
    assert set((tmp_path / "packs").iterdir()) == packs


def test_a_pack_that_another_incarnation_is_about_to_publish_is_not_deleted(blobs: BlobFolder) -> None:
    older, newer = SnapshotStore(blobs), SnapshotStore(blobs)
    for lsn in (1, 2, 3):
        save(older, state(lsn), lsn)
    stopping = SnapshotStore(StoppingBlobs(blobs, 2))
    with pytest.raises(StopError):  # uploaded, and not yet named
        save(stopping, state(4), 4)
    about = set(blobs.names("packs"))
    older.prune(keep=3)
    assert set(blobs.names("packs")) == about
    save(newer, state(5), 5)
    newer.prune(keep=3)
    assert not any(name.startswith(f"packs/{4:020d}") for name in blobs.names("packs"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 2), min_size=1, max_size=3), st.sampled_from(["", "prune", "stop"])),
        min_size=3,
        max_size=9,
    )
)
def test_whatever_was_saved_stopped_and_pruned_every_snapshot_kept_is_what_it_was(
    tmp_path: Path, story: list[tuple[list[int], str]]
) -> None:
    blobs = BlobFolder(tmp_path)
    blobs.delete_folder("")
    store = SnapshotStore(blobs)
    expected = {}
    for lsn, (versions, then) in enumerate(story, start=1):
        if then == "stop":
            with pytest.raises(StopError):
                save(SnapshotStore(StoppingBlobs(blobs, lsn % 3)), state(*versions), lsn)
            continue
        expected[save(store, state(*versions), lsn).name] = state(*versions)["users"]
        if then == "prune":
            store.prune(keep=2)
        for name in store.names():
            assert tables_of(store, name)["users"].equals(expected[name])


DAY_MS = 86_400_000
NEEDLE = b"ada@needle.example"


class Days:
    """A clock that a test moves."""

    now = 1_790_000_000_000

    def __call__(self) -> int:
        return self.now


def people(*, with_ada: bool) -> dict[str, pa.Table]:
    """Many chunks of users, Ada among the last of them."""
    names = [f"user-{n:012d}@other.example" for n in range(4 * CHUNK_ROWS)]
    return {"users": pa.table({"key": [*names, NEEDLE.decode() if with_ada else ""]})}


def holding(blobs: BlobFolder) -> list[str]:
    return [name for name in blobs.names(unfinished=True) if NEEDLE in blobs.get(name)]


@pytest.mark.parametrize("is_idle", [True, False])
@pytest.mark.parametrize("keep", [1, 2, 500])
def test_what_was_erased_is_in_no_file_after_the_time_promised_also_on_an_idle_shard(
    blobs: BlobFolder, keep: int, is_idle: bool
) -> None:
    clock, lsn = Days(), 7
    store = SnapshotStore(blobs, compression=None, retention=Retention(30), clock=clock)
    for _ in range(3):  # the first two are whole
        save(store, people(with_ada=True), lsn)
    assert holding(blobs)
    for _ in range(30):
        clock.now += DAY_MS
        lsn += not is_idle
        save(store, people(with_ada=False), lsn)
        store.prune(keep)
        assert store.oldest_at is not None
        assert clock.now - store.oldest_at <= 30 * DAY_MS
    assert holding(blobs) == []
    assert len(store.names()) == min(keep, 8), "a quarter of the time"
    found = store.latest()
    assert found is not None
    assert found.tables["users"].equals(people(with_ada=False)["users"])


def test_of_an_idle_shards_snapshots_the_one_taken_last_is_the_newest(blobs: BlobFolder) -> None:
    clock = Days()
    store = SnapshotStore(blobs, clock=clock)
    names = []
    for _ in range(6):
        names.append(save(store, state(0), 7).name)
        store.prune(keep=2)
        assert store.names() == names[::-1][:2]
    clock.now -= DAY_MS  # a clock that was put right
    names.append(save(store, state(0), 7).name)
    assert store.names()[0] == names[-1]

from __future__ import annotations

import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from actors.files.blobs import BlobFolder
from actors.warehouse import Warehouse
from tests.unit.actors.warehouse.conftest import DAY_MS, NEW_YEAR_2026, Event, erased, record
from tests.unit.actors.warehouse.test_export import rows
from whisperer.errors import InvariantError, UnavailableError

NEXT_DAY = NEW_YEAR_2026 + DAY_MS


@pytest.fixture
def warehouse(blobs: BlobFolder) -> Warehouse:
    """Two shards, six ranges, two tenants, two dates."""
    warehouse = Warehouse(blobs)
    for shard in range(2):
        for n in range(3):
            events = [
                Event(f"u:{shard}", f"e{n}"),
                Event("u:gone", f"e{n}", NEXT_DAY),
                Event("u:stays", f"e{n}", NEXT_DAY),
            ]
            records = [record(n * 10, "acme", *events), record(n * 10 + 5, "a.example", Event("u:gone"))]
            warehouse.export(shard, n * 10, n * 10 + 10, records)
    return warehouse


def test_compaction_leaves_one_file_a_date_and_every_row(warehouse: Warehouse, blobs: BlobFolder) -> None:
    before, others = rows(warehouse), warehouse.files("a.example")
    assert warehouse.compact("acme", "2026-01-02") == 6
    assert rows(warehouse) == before
    assert [file.date for file in warehouse.files("acme")] == ["2026-01-01"] * 6 + ["2026-01-02"]
    assert len(blobs.names("tenant=acme/date=2026-01-02")) == 1
    assert warehouse.files("a.example") == others
    assert warehouse.compact("acme", "2026-01-02") == 0


def test_compaction_keeps_to_the_size_asked_for(warehouse: Warehouse) -> None:
    before = rows(warehouse)
    size = warehouse.files("acme")[0].n_bytes
    assert warehouse.compact("acme", "2026-01-01", below_bytes=size + size // 4) == 6
    assert [file.date for file in warehouse.files("acme")].count("2026-01-01") == 3
    assert rows(warehouse) == before


def test_rows_are_found_by_position_after_compaction(warehouse: Warehouse) -> None:
    warehouse.compact("acme", "2026-01-02")
    found = warehouse.lookup("acme", 1, [(20, 2), (20, 0)])
    assert [(event.user_key, event.shard, event.lsn) for event in found if event] == [
        ("u:stays", 1, 20),
        ("u:1", 1, 20),
    ]


def test_an_export_after_compaction_adds_and_a_repeated_one_does_not(warehouse: Warehouse) -> None:
    warehouse.compact("acme", "2026-01-01")
    before = rows(warehouse)
    assert not warehouse.export(0, 0, 10, [record(0, "acme", Event("u:0", "e0"))]).committed
    assert rows(warehouse) == before
    warehouse.export(0, 30, 40, [record(30, "acme", Event("u:0", "late"))])
    assert len(rows(warehouse)) == len(before) + 1


@pytest.mark.parametrize("compacted", [False, True])
def test_erasure_removes_the_users_rows_from_the_disk_and_no_others(
    warehouse: Warehouse, blobs: BlobFolder, compacted: bool
) -> None:
    if compacted:
        warehouse.compact("acme", "2026-01-02")
    before = rows(warehouse)
    assert warehouse.erase("acme", erased("u:gone", "u:1", "u:never seen")) == 9
    assert rows(warehouse) == [row for row in before if row[0] not in ("u:gone", "u:1")]
    assert len(rows(warehouse, "a.example")) == 6, "the same id of another tenant is another user"
    on_disk = [name for name in blobs.names("tenant=acme") if name.endswith(".parquet")]
    assert on_disk == [file.path for file in warehouse.files("acme")]
    for name in on_disk:
        keys = pq.read_table(blobs.path_of(name), filesystem=blobs.filesystem, columns=["user_key"], partitioning=None)
        assert not {"u:gone", "u:1"} & set(keys["user_key"].to_pylist())
    assert warehouse.erase("acme", erased("u:gone", "u:1")) == 0


def test_erasing_in_a_tenant_whose_name_looks_like_our_file_names_keeps_files_in_its_folder(
    warehouse: Warehouse,
) -> None:
    warehouse.export(0, 30, 40, [record(30, "a.example", Event("u:gone"), Event("u:stays"))])
    assert warehouse.erase("a.example", erased("u:gone")) == 7
    (file,) = warehouse.files("a.example")
    assert file.path.startswith("tenant=a.example/date=2026-01-01/")


def test_an_erased_user_may_come_back_with_new_events(warehouse: Warehouse) -> None:
    warehouse.erase("acme", erased("u:gone"))
    warehouse.export(0, 30, 40, [record(30, "acme", Event("u:gone", "again"))])
    assert [event.event for event in warehouse.read_events("acme", ["u:gone"])] == ["again"]


def test_folding_the_catalog_changes_nothing_but_its_size(warehouse: Warehouse, blobs: BlobFolder) -> None:
    warehouse.compact("acme", "2026-01-01")
    before, files = rows(warehouse), warehouse.files()
    warehouse.vacuum()
    assert [name for name in blobs.names("catalog") if name.endswith(".json")] == ["catalog/base/0000000001.json"]
    for reader in (warehouse, Warehouse(blobs)):
        assert (rows(reader), reader.files(), reader.exported(0), reader.exported(1)) == (before, files, 30, 30)
    assert not Warehouse(blobs).export(0, 10, 20, []).committed
    warehouse.export(0, 30, 40, [record(30, "acme", Event("u:0"))])
    warehouse.compact("acme", "2026-01-02")
    warehouse.vacuum()
    warehouse.vacuum()
    assert len(rows(Warehouse(blobs))) == len(before) + 1
    assert [name for name in blobs.names("catalog") if name.endswith(".json")] == ["catalog/base/0000000002.json"]


def test_another_reader_follows_every_change(warehouse: Warehouse, blobs: BlobFolder) -> None:
    reader = Warehouse(blobs)
    for change in (
        lambda: warehouse.compact("acme", "2026-01-01"),
        lambda: warehouse.erase("acme", erased("u:gone")),
        lambda: warehouse.vacuum(),
        lambda: warehouse.export(0, 30, 40, [record(30, "acme", Event("u:0"))]),
    ):
        change()
        assert rows(reader) == rows(warehouse)
        assert reader.read_events("acme", ["u:stays"]) == warehouse.read_events("acme", ["u:stays"])


def test_vacuum_spares_files_that_an_exporter_is_about_to_commit(warehouse: Warehouse, blobs: BlobFolder) -> None:
    in_progress = f"tenant=acme/date=2026-01-01/0001-{30:020d}-{40:020d}.parquet"
    new_shard = f"tenant=acme/date=2026-01-01/0007-{0:020d}-{40:020d}.parquet"
    orphans = [
        f"tenant=acme/date=2026-01-01/0001-{5:020d}-{10:020d}.parquet",
        "tenant=acme/date=2026-01-01/compact-0000000009-0000.parquet",
        f"tenant=acme/date=2026-01-01/0001-{30:020d}-{40:020d}.e0000000003.parquet",
    ]
    for name in (in_progress, new_shard, *orphans):
        blobs.put(name, b"x")
    assert warehouse.vacuum() == 3
    left = blobs.names("tenant=acme/date=2026-01-01")
    assert {in_progress, new_shard} <= set(left)
    assert not set(orphans) & set(left)


def test_a_second_maintainer_on_the_same_disk_is_asked_to_come_back(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    with warehouse._maintaining(), pytest.raises(UnavailableError) as raised:
        Warehouse(tmp_path).compact("acme", "2026-01-01")
    assert raised.value.retryable
    warehouse.compact("acme", "2026-01-01")


def test_any_flipped_bit_in_a_commit_is_an_error_and_never_a_shorter_list(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    warehouse.export(0, 0, 10, [record(0, "acme", Event("u:1"))])
    (path,) = (tmp_path / "catalog/exports/0000").iterdir()
    whole = path.read_bytes()
    for offset in range(len(whole)):
        broken = bytearray(whole)
        broken[offset] ^= 1 << offset % 8
        path.write_bytes(broken)
        with pytest.raises(InvariantError, match="damaged"):
            Warehouse(tmp_path).files()


def test_two_maintainers_that_replaced_the_same_file_are_found_out(warehouse: Warehouse, blobs: BlobFolder) -> None:
    twice = warehouse.files("acme")[0].path
    for number in (1, 2):
        warehouse._catalog.commit_rewrite(number, "compact", [], [twice])
    with pytest.raises(InvariantError, match="two maintainers"):
        warehouse.files()


def test_a_question_overtaken_by_a_compaction_is_asked_again(warehouse: Warehouse) -> None:
    stale = warehouse._catalog.state()
    expected = warehouse.read_events("acme", ["u:stays"])
    warehouse.compact("acme", "2026-01-02")
    current, answers = warehouse._catalog.state, [stale]
    warehouse._catalog.state = lambda: answers.pop() if answers else current()
    assert warehouse.read_events("acme", ["u:stays"]) == expected
    assert answers == []


def test_readers_in_other_threads_see_every_row_once_while_files_change_under_them(tmp_path: Path) -> None:
    writer, reader = Warehouse(tmp_path), Warehouse(tmp_path)
    wrong: list[object] = []
    done = threading.Event()

    def follow() -> None:
        n_seen = 0
        while not done.is_set():
            try:
                lsns = [event.lsn for event in reader.read_events("acme", ["u:1"])]
            except Exception as error:
                wrong.append(error)
                return
            if lsns != list(range(0, 10 * len(lsns), 10)) or len(lsns) < n_seen:
                wrong.append(lsns)
            n_seen = len(lsns)

    threads = [threading.Thread(target=follow) for _ in range(2)]
    for thread in threads:
        thread.start()
    for n in range(12):
        writer.export(0, n * 10, n * 10 + 10, [record(n * 10, "acme", Event("u:1"), Event(f"u:gone {n}"))])
        if n % 2:
            writer.compact("acme", "2026-01-01")
        if n % 3 == 2:
            writer.erase("acme", erased(f"u:gone {n}"))
        if n % 4 == 3:
            writer.vacuum()
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(rows(reader)) == 12 + 12 - 4


def test_erasure_takes_what_is_dated_or_came_before_it_and_leaves_what_a_returning_user_did_since(
    warehouse: Warehouse,
) -> None:
    dated_ahead = Event("u:gone", "dated ahead", NEXT_DAY + DAY_MS, received=NEXT_DAY)
    later = Event("u:gone", "later", NEXT_DAY + 1, received=NEXT_DAY + 1)
    warehouse.export(0, 30, 40, [record(30, "acme", dated_ahead, later)])
    warehouse.erase("acme", erased("u:gone", at=NEXT_DAY))
    assert [event.event for event in warehouse.read_events("acme", ["u:gone"])] == ["later"]

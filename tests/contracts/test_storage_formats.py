"""Files written by earlier format versions stay readable, and today's writer still writes the newest of them.

The journal and the warehouse's catalog are at version 1, its decisions and deliveries at 2 (under v2 the decisions, under v4 both); snapshots
at 3.

The files under `tests/golden/storage` are never written again. A change that cannot read them needs a new format version
and golden files of its own. To make those of a new version: ``python -m tests.contracts.test_storage_formats FOLDER``.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from actors.files.blobs import BlobFolder, seal, unseal
from actors.journal import FileJournal
from actors.snapshots.store import SnapshotStore
from actors.warehouse import DATASETS, SCHEMA, ExportRecord, LogRecord, Warehouse
from tests.unit.actors.warehouse.conftest import erased
from whisperer.errors import InvariantError, JournalError
from whisperer.events.block import EventBlock
from whisperer.events.parts import PartBuilder, merge
from whisperer.events.types import EventType
from whisperer.ids import key_hash, message_hash
from whisperer.shard.state.log import DecisionRow, DeliveryRow, LogRow, OutcomeRow, RewardRow

ERASED_PSEUDONYM = "91e0ea93df01649c56854aeae878ed5b"
GOLDEN = Path(__file__).parents[1] / "golden" / "storage"
JOURNAL_ID = bytes(range(16))
INCARNATIONS = [[[b"first"], [b"", b"second of two"]], [], [[b"third" * 20]]]
USERS = pa.table(
    {
        "user_key": ["u:1", "a:2"],
        "revenue_micros": pa.array([2_500_000, None], pa.int64()),
        "plan": pa.array(["free", None]).dictionary_encode(),
    }
)


def write_journal(folder: Path) -> None:
    for groups in INCARNATIONS:
        with FileJournal.open(folder, journal_id=JOURNAL_ID) as journal:
            for group in groups:
                journal.append(group)


def write_snapshots(folder: Path) -> None:
    """Version 3 (1 was one snapshot of Arrow files): the third names chunks of the first, in whose pack they lie."""
    store = SnapshotStore(folder, "shard-0000")
    for n in range(1, 4):
        tables = {"users": USERS, "counts": pa.table({"n": pa.array([n], pa.int64())}), "empty": USERS.slice(0, 0)}
        store.save(tables, {"applied": n}, lsn=n * 100, epoch=n)


def block() -> EventBlock:
    builder = PartBuilder()
    for n, key in enumerate(["u:1", "a:2", "u:1"]):
        builder.add(
            key=key,
            hashed=key_hash(key, 0),
            partition=n,
            kind=EventType.TRACK,
            name=f"event {n}",
            timestamp=1_767_225_600_000 + n * 43_200_000,
            received=1_767_312_000_000,
            message_id=f"m{n}",
            message_hash=message_hash(f"m{n}"),
            payload=b'{"n":%d}' % n,
            revenue=n * 1_000_000,
            link="a:device" if n == 0 else None,
        )
    return merge("acme", [builder.build()])


def write_warehouse(folder: Path) -> None:
    warehouse = Warehouse(folder)
    counted = np.array([True, True, False])
    warehouse.export(0, 0, 100, [ExportRecord(0, block(), counted)])
    warehouse.export(0, 100, 200, [ExportRecord(100, block(), ~counted, np.array([5, 6, 7]), forwarded=True)])
    warehouse.export(1, 0, 100, [ExportRecord(50, block(), np.array([True, True, True]))])
    warehouse.compact("acme", "2026-01-01")
    warehouse.erase("acme", erased("a:2"))
    (folder / "catalog" / "maintenance.lock").unlink()


def log_rows(user: str, decision: str, at: int) -> list[LogRow]:
    """What is 2 in decisions is the last three values of them: scores."""
    arms, whose = ["no_send", "email"], (user, 5, "welcome")
    choice = (at + 40, "policy", "email", 0.75, arms, [0.25, 0.75], [0.1, 0.2], [0.01, 0.02], 2**64 - 1, "welcome@7")
    features = [("events_7d", 3.0), ("recency_days", float("nan"))]
    scores = ([0.0, 0.5], [float("nan"), 0.25], "welcome@8")
    return [
        DecisionRow(
            "acme", decision, *whose, 3, "event", "m-1", at, *choice, features, {"sms": "no_address"}, "", *scores
        ),
        DeliveryRow(
            *("acme", decision, f"snd_{decision}", *whose, "email", 1, "accepted", "sink", "p-1", "250 OK"),
            *("c0ffee", "de", at + 100, "", '{"quality":4.5}'),
        ),
        OutcomeRow("acme", decision, *whose, "converted", "bought", -5, at + 200),
        RewardRow("acme", decision, *whose, 3, "policy", "email", 0.75, 2_500_000, 1, True, at + 300),
    ]


def write_decisions(folder: Path) -> None:
    """Datasets that joined the catalog later: its older entries name none."""
    warehouse = Warehouse(folder, pseudonym_key=b"golden")
    for n in range(2):
        rows = [*log_rows("u:1", f"dec_{n}", 1_767_225_600_000), *log_rows("u:2", f"dec_{n}2", 1_767_312_000_000)]
        counted = np.array([True, True, True])
        warehouse.export(0, n * 100, n * 100 + 100, [ExportRecord(n * 100, block(), counted), LogRecord(n * 100, rows)])
    warehouse.compact("acme", "2026-01-01")
    warehouse.erase("acme", erased("u:2"))
    (folder / "catalog" / "maintenance.lock").unlink()


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / "v1", tmp_path / "v1"))


def contents(folder: Path, pattern: str) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.glob(pattern) if path.is_file()}


def test_a_journal_of_version_1_is_recovered_and_goes_on(golden: Path) -> None:
    records = [record for groups in INCARNATIONS for group in groups for record in group]
    with FileJournal.open(golden / "journal") as journal:
        assert [record for _, record in journal.replay()] == records
        assert journal.epoch == 4
        journal.append([b"of today"])
    with FileJournal.open(golden / "journal") as journal:
        assert [record for _, record in journal.replay()] == [*records, b"of today"]


def test_todays_journal_is_byte_for_byte_version_1(tmp_path: Path) -> None:
    write_journal(tmp_path / "journal")
    for pattern in ("*.journal", "durable"):
        assert contents(tmp_path / "journal", pattern) == contents(GOLDEN / "v1" / "journal", pattern)


def test_a_journal_of_a_later_version_is_refused_by_name_and_not_called_damaged(golden: Path) -> None:
    from google_crc32c import value

    path = max((golden / "journal").glob("*.journal"))
    data = bytearray(path.read_bytes())
    data[8] = 2
    data[60:64] = value(bytes(data[:60])).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(JournalError, match="format 2 is not supported") as raised:
        FileJournal.open(golden / "journal")
    assert raised.value.code == "journal_format"


def test_a_snapshot_of_version_1_is_read(golden: Path) -> None:
    store = SnapshotStore(golden / "snapshots", "shard-0000")
    found = store.latest()
    assert store.problems == []
    assert found is not None
    assert (found.lsn, found.epoch, found.meta) == (160, 3, {"applied": 3})
    assert found.tables["users"].equals(USERS)


def test_snapshots_of_version_3_are_read_and_packs_that_do_not_say_their_age_are_not_built_upon(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "v3" / "snapshots", tmp_path, dirs_exist_ok=True)
    store = SnapshotStore(tmp_path, "shard-0000")
    for n, name in enumerate(reversed(store.names()), start=1):
        found = store._load(name)
        assert (found.lsn, found.epoch, found.meta) == (n * 100, n, {"applied": n})
        assert found.tables["users"].equals(USERS)
        assert found.tables["users"].schema.equals(USERS.schema, check_metadata=True)
        assert found.tables["counts"]["n"].to_pylist() == [n]
        assert found.tables["empty"].num_rows == 0
    new = []
    for lsn in (400, 500, 600):  # each builds upon the last but one
        draft = store.draft()
        draft.write([("users", USERS)])
        new.append(draft.publish({}, lsn=lsn, epoch=4).n_new)
    assert new == [3, 3, 0]
    store.prune(keep=1)
    found_now = store.latest()
    assert found_now is not None
    assert found_now.tables["users"].equals(USERS)


def test_todays_snapshots_lie_as_those_of_version_3(tmp_path: Path) -> None:
    write_snapshots(tmp_path)
    for folder in (tmp_path, GOLDEN / "v3" / "snapshots"):
        names = SnapshotStore(folder, "shard-0000").names()
        assert [name[:31] for name in names] == [f"{n * 100:020d}-{n:010d}" for n in (3, 2, 1)]
        packs = {path.name for path in (folder / "shard-0000" / "packs").iterdir()}
        assert packs == {f"{name}.pack" for name in names}
        heads = {(path.read_bytes()[:16], path.read_bytes()[-12:]) for path in folder.rglob("*.pack")}
        assert heads == {(b"UWSNPACK" + bytes([1, *bytes(7)]), bytes([1, 0, 0, 0]) + b"UWSNPACK")}


def test_a_snapshot_of_a_later_version_is_passed_over_by_name(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "v3" / "snapshots", tmp_path, dirs_exist_ok=True)
    store = SnapshotStore(tmp_path, "shard-0000")
    newest = tmp_path / "shard-0000" / store.names()[0] / "manifest.json"
    newest.write_bytes(seal(unseal(newest.read_bytes()).replace(b'"format": 3', b'"format": 4')))
    found = store.latest()
    assert found is not None
    assert found.lsn == 200
    assert [problem.why for problem in store.problems] == ["format 4 is not supported"]


def test_a_warehouse_of_version_1_is_read_and_goes_on(golden: Path) -> None:
    warehouse = Warehouse(golden / "warehouse")
    assert (warehouse.exported(0), warehouse.exported(1)) == (200, 100)
    assert warehouse.duckdb_relation("acme").columns == SCHEMA.names
    found = warehouse.read_events("acme", ["u:1", "a:2"])
    assert [(e.event, e.timestamp, e.shard, e.lsn, e.index, e.sequence, e.forwarded) for e in found] == [
        ("event 0", 1_767_225_600_000, 0, 0, 0, None, False),
        ("event 0", 1_767_225_600_000, 1, 50, 0, None, False),
        ("event 2", 1_767_312_000_000, 0, 100, 2, 7, True),
        ("event 2", 1_767_312_000_000, 1, 50, 2, None, False),
    ]
    assert [(e.anonymous_id, e.payload, e.revenue_micros) for e in found[:3:2]] == [
        ("device", '{"n":0}', 0),
        (None, '{"n":2}', 2_000_000),
    ]
    warehouse.vacuum()
    warehouse.export(0, 200, 300, [ExportRecord(200, block(), np.array([True, True, True]))])
    assert len(Warehouse(golden / "warehouse").read_events("acme", ["u:1"])) == 6


def test_todays_warehouse_lays_out_files_and_commits_as_version_1(tmp_path: Path) -> None:
    write_warehouse(tmp_path)
    assert contents(tmp_path, "**/*").keys() == contents(GOLDEN / "v1" / "warehouse", "**/*").keys()


def test_stored_decisions_are_read_and_go_on(golden: Path) -> None:
    warehouse = Warehouse(golden / "decisions", pseudonym_key=b"golden")
    found = warehouse.lookup_decision("acme", "dec_1")
    assert found is not None
    whose = {"tenant": "acme", "decision_id": "dec_1", "user_key": "u:1", "partition": 5, "campaign": "welcome"}
    place = {"date": "2026-01-01", "shard": 0, "lsn": 100}
    chosen = {"campaign_version": 3, "group": "policy", "arm": "email", "propensity": 0.75}
    assert found["decision"] == {
        **whose,
        **chosen,
        **{"trigger": "event", "occurrence": "m-1", "at": 1_767_225_600_000, "chosen_at": 1_767_225_600_040},
        **{"arms": ["no_send", "email"], "propensities": [0.25, 0.75], "means": [0.1, 0.2], "spreads": [0.01, 0.02]},
        **{"seed": 2**64 - 1, "policy_version": "welcome@7", "refused_arms": {"sms": "no_address"}, "reason": None},
        **dict.fromkeys(("scores", "shadow", "shadow_version")),
        **{"features": {"events_7d": 3.0, "recency_days": None}, **place, "index": 0},
    }
    assert found["deliveries"] == [
        {
            **whose,
            **{"send_key": "snd_dec_1", "channel": "email", "attempt": 1, "status": "accepted", "reason": None},
            **{"provider": "sink", "provider_id": "p-1", "detail": "250 OK", "content_hash": "c0ffee", "locale": "de"},
            **{"at": 1_767_225_600_100, "provenance": None, **place, "index": 1},
        }
    ]
    assert found["outcomes"] == [
        {
            **whose,
            **{"kind": "converted", "detail": "bought", "value_micros": -5},
            **{"at": 1_767_225_600_200, **place, "index": 2},
        }
    ]
    assert found["rewards"] == [
        {
            **{**whose, **chosen, "reward_micros": 2_500_000, "revision": 1, "mature": True},
            **{"at": 1_767_225_600_300, **place, "index": 3},
        }
    ]
    erased = warehouse.lookup_decision("acme", "dec_02")
    assert erased is not None
    assert erased["decision"]["user_key"] == "erased:" + ERASED_PSEUDONYM
    warehouse.vacuum()
    warehouse.export(0, 200, 300, [LogRecord(200, log_rows("u:1", "dec_new", 1_767_225_600_000))])
    assert warehouse.compact("acme", "2026-01-01") == 8
    assert len(Warehouse(golden / "decisions").read_log("acme", "rewards", ["u:1"])) == 3


@pytest.mark.parametrize("compacted", [False, True])
def test_decisions_of_both_formats_are_read_together_from_any_place(golden: Path, compacted: bool) -> None:
    """Compaction merges files of both, and what it writes is of the newer one."""
    folder = pafs.SubTreeFileSystem(str(golden), pafs.LocalFileSystem())  # one that is not taken for a local disk
    for warehouse in (Warehouse(golden / "decisions"), Warehouse(BlobFolder("decisions", filesystem=folder))):
        if warehouse.is_local:
            warehouse.export(0, 200, 300, [LogRecord(200, log_rows("u:1", "dec_new", 1_767_225_600_000))])
            if compacted:
                warehouse.compact("acme", "2026-01-01")
        found = warehouse.duckdb_relation("acme", "decisions").filter("user_key = 'u:1'").order("decision_id")
        assert found.columns == DATASETS["decisions"].schema.names
        assert found.project("decision_id, arm, scores[2], shadow, shadow_version").fetchall() == [
            ("dec_0", "email", None, None, None),
            ("dec_1", "email", None, None, None),
            ("dec_new", "email", 0.5, [None, 0.25], "welcome@8"),
        ]
        of_day = [f for f in warehouse.files() if (f.dataset, f.date) == ("decisions", "2026-01-01")]
        assert [file.version for file in of_day] == ([2] if compacted else [2, 1])


def test_decisions_of_a_later_format_are_refused_and_never_rewritten_without_what_they_have(tmp_path: Path) -> None:
    write_decisions(tmp_path)
    for path in (tmp_path / "catalog").rglob("*.json"):
        path.write_bytes(seal(unseal(path.read_bytes()).replace(b'"version":2', b'"version":3')))
    warehouse = Warehouse(tmp_path)
    for question in (
        lambda: warehouse.duckdb_relation("acme", "decisions"),
        lambda: warehouse.erase("acme", erased("u:1")),
    ):
        with pytest.raises(InvariantError, match="later release"):
            question()


def test_todays_datasets_have_the_columns_folders_and_commits_of_the_stored_ones(tmp_path: Path) -> None:
    write_decisions(tmp_path)
    stored = GOLDEN / "v4" / "decisions"
    assert contents(tmp_path, "**/*").keys() == contents(stored, "**/*").keys()
    for name, dataset in DATASETS.items():
        part = "" if name == "events" else f"dataset={name}/"
        for path in stored.glob(f"tenant=acme/{part}date=*/*.parquet"):
            found = pq.read_schema(path)
            assert (found.metadata, found) == (dataset.schema.metadata, dataset.schema)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    write_journal(target / "journal")
    (target / "journal" / "lock").unlink()
    write_snapshots(target / "snapshots")
    write_warehouse(target / "warehouse")
    write_decisions(target / "decisions")

"""Decisions, deliveries, outcomes and rewards in the warehouse."""

from __future__ import annotations

import datetime
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from actors.files.blobs import BlobFolder
from actors.warehouse import DATASETS, Warehouse
from actors.warehouse.catalog import FileEntry
from actors.warehouse.pseudonyms import PSEUDONYM_PREFIX
from tests.unit.actors.warehouse.conftest import (
    DAY_MS,
    NEW_YEAR_2026,
    Event,
    decision,
    delivery,
    erased,
    logged,
    outcome,
    record,
    refused,
    reward,
)
from whisperer.errors import InvariantError
from whisperer.shard.state.log import DecisionRow, DeliveryRow, OutcomeRow, RewardRow

LOGS = [name for name in DATASETS if name != "events"]
NEXT_DAY = NEW_YEAR_2026 + DAY_MS


def everything(
    user: str, id_: str, at: int = NEW_YEAR_2026
) -> list[DecisionRow | DeliveryRow | OutcomeRow | RewardRow]:
    return [decision(user, id_, at), delivery(user, id_, at), outcome(user, id_, at), reward(user, id_, at)]


def ids(warehouse: Warehouse, dataset: str, tenant: str = "acme") -> list[tuple[str, str]]:
    return sorted(warehouse.duckdb_relation(tenant, dataset).project("user_key, decision_id").fetchall())


def test_a_decision_comes_back_with_every_field_and_all_that_followed(blobs: BlobFolder) -> None:
    warehouse = Warehouse(blobs)
    warehouse.export(3, 0, 100, [logged(40, decision("u:other", "dec_2"), decision("u:zoë"))])
    warehouse.export(
        3,
        100,
        200,
        [
            logged(100, delivery("u:zoë", at=NEXT_DAY, attempt=1), delivery("u:other", "dec_2")),
            logged(110, delivery("u:zoë", status="retry", provider_id="", detail="421 later")),
            logged(120, outcome("u:zoë", at=NEXT_DAY, kind="converted", detail="bought", value_micros=-5)),
            logged(130, reward("u:zoë", at=NEXT_DAY), reward("u:zoë", at=NEXT_DAY + 1, revision=1, micros=2_500_000)),
        ],
    )
    found = warehouse.lookup_decision("acme", "dec_1")
    assert found is not None
    assert found["decision"] == {
        **{name: getattr(decision("u:zoë"), name) for name in DecisionRow.__struct_fields__},
        **dict.fromkeys(("scores", "shadow", "shadow_version")),
        "features": {"events_7d": 3.0, "recency_days": None},
        "reason": None,
        "date": "2026-01-01",
        **{"shard": 3, "lsn": 40, "index": 1},
    }
    assert [(d["attempt"], d["status"], d["provider_id"], d["detail"]) for d in found["deliveries"]] == [
        (0, "retry", None, "421 later"),
        (1, "accepted", "p-1", "250 OK for zoë"),
    ]
    stored = found["deliveries"][1]
    assert {name: stored[name] for name in DeliveryRow.__struct_fields__} == {
        **{name: getattr(delivery("u:zoë", at=NEXT_DAY, attempt=1), name) for name in DeliveryRow.__struct_fields__},
        **{"reason": None, "provenance": None},
    }
    (converted,) = found["outcomes"]
    assert (converted["kind"], converted["detail"], converted["value_micros"]) == ("converted", "bought", -5)
    assert (converted["at"], converted["date"]) == (NEXT_DAY, "2026-01-02")
    assert [(r["revision"], r["mature"], r["reward_micros"], r["group"]) for r in found["rewards"]] == [
        (0, False, 0, "policy"),
        (1, True, 2_500_000, "policy"),
    ]
    assert warehouse.lookup_decision("acme", "dec_none") is None
    assert warehouse.lookup_decision("umbrella", "dec_1") is None


def test_a_candidacy_refused_before_a_choice_says_why_and_has_no_choice(blobs: BlobFolder) -> None:
    warehouse = Warehouse(blobs)
    warehouse.export(0, 0, 10, [logged(0, refused("u:1", "dec_1", "quiet_hours"))])
    found = warehouse.lookup_decision("acme", "dec_1")
    assert found is not None
    row = found["decision"]
    assert (row["reason"], row["refused_arms"], row["arms"]) == ("quiet_hours", {"sms": "no_address"}, [])
    for name in ("arm", "propensity", "seed", "policy_version", "chosen_at", "group"):
        assert row[name] is None, name
    assert (found["deliveries"], found["outcomes"], found["rewards"]) == ([], [], [])


def test_what_preceded_midnight_by_another_clock_is_found_with_its_decision(blobs: BlobFolder) -> None:
    warehouse = Warehouse(blobs)
    warehouse.export(0, 0, 10, [logged(0, decision("u:1")), logged(5, outcome("u:1", at=NEW_YEAR_2026 - 1))])
    found = warehouse.lookup_decision("acme", "dec_1")
    assert found is not None
    assert [row["date"] for row in found["outcomes"]] == ["2025-12-31"]


def test_one_commit_brings_every_dataset_and_events_lie_where_they_always_did(blobs: BlobFolder) -> None:
    warehouse = Warehouse(blobs)
    done = warehouse.export(
        12,
        5,
        77,
        [record(5, "acme", Event("u:1")), logged(5, *everything("u:1", "dec_1"), decision("u:2", "dec_2", -1))],
    )
    assert (done.n_rows, done.n_log_rows, done.n_files) == (1, 5, 6)
    tail = f"0012-{5:020d}-{77:020d}.parquet"
    assert [(file.path, file.dataset) for file in warehouse.files()] == [
        (f"tenant=acme/dataset=decisions/date=1969-12-31/{tail}", "decisions"),
        *((f"tenant=acme/dataset={name}/date=2026-01-01/{tail}", name) for name in sorted(LOGS)),
        (f"tenant=acme/date=2026-01-01/{tail}", "events"),
    ]
    assert len([name for name in blobs.names("catalog") if name.endswith(".json")]) == 1


def test_a_range_exported_again_adds_no_row_to_any_dataset(blobs: BlobFolder) -> None:
    records = [logged(0, *everything("u:1", "dec_1"))]
    Warehouse(blobs).export(0, 0, 10, records)
    assert not Warehouse(blobs).export(0, 0, 10, records).committed
    for name in LOGS:
        assert ids(Warehouse(blobs), name) == [("u:1", "dec_1")]


def test_tenants_never_mix_in_any_dataset(blobs: BlobFolder) -> None:
    warehouse = Warehouse(blobs)
    mine, theirs = decision("u:1"), decision("u:1", tenant="acme2")
    warehouse.export(0, 0, 10, [logged(0, mine, theirs), logged(5, outcome("u:1", tenant="acme2"))])
    assert (ids(warehouse, "outcomes"), ids(warehouse, "outcomes", "acme2")) == ([], [("u:1", "dec_1")])
    found = warehouse.lookup_decision("acme", "dec_1")
    assert found is not None
    assert (found["decision"]["tenant"], found["outcomes"]) == ("acme", [])
    assert len(warehouse.read_log("acme", "decisions", ["u:1"])) == 1
    with pytest.raises(InvariantError):
        warehouse.export(0, 10, 20, [logged(10, decision("u:1", tenant="../acme"))])


def test_a_log_record_outside_of_its_range_is_refused(blobs: BlobFolder) -> None:
    with pytest.raises(InvariantError):
        Warehouse(blobs).export(0, 0, 10, [logged(10, decision("u:1"))])


def test_an_empty_dataset_has_the_columns_of_a_full_one(blobs: BlobFolder) -> None:
    full, empty = Warehouse(blobs), Warehouse(blobs)
    full.export(0, 0, 10, [logged(0, *everything("u:1", "dec_1"))])
    for name, dataset in DATASETS.items():
        assert empty.duckdb_relation("nobody", name).columns == dataset.schema.names
        assert full.duckdb_relation("acme", name).columns == dataset.schema.names


def test_a_dataset_that_does_not_exist_is_refused_by_name(blobs: BlobFolder) -> None:
    warehouse = Warehouse(blobs)
    with pytest.raises(InvariantError, match="'decision'"):
        warehouse.duckdb_relation("acme", "decision")
    with pytest.raises(InvariantError, match="read_events"):
        warehouse.read_log("acme", "events", ["u:1"])


def test_no_column_needs_quotes_in_sql_and_features_are_numbers(blobs: BlobFolder) -> None:
    warehouse = Warehouse(blobs)
    warehouse.export(0, 0, 10, [logged(0, *everything("u:1", "dec_1"), decision("u:2", "dec_2"))])
    for name, dataset in DATASETS.items():
        for column in dataset.schema.names:
            warehouse.duckdb_relation("acme", name).project(f"coalesce({column}, NULL)").fetchall()
    values = "sum(features['events_7d']), count(features['recency_days']), min(date), max(occurred_at)"
    assert warehouse.duckdb_relation("acme", "decisions").project(values).fetchall() == [
        (6.0, 0, datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1))
    ]


def test_a_users_rows_are_read_by_any_of_its_keys(blobs: BlobFolder) -> None:
    warehouse = Warehouse(blobs)
    rows = [decision("u:1", "dec_b", NEXT_DAY), decision("a:1", "dec_a"), decision("u:2", "dec_c")]
    warehouse.export(0, 0, 10, [logged(0, *rows)])
    found = warehouse.read_log("acme", "decisions", ["u:1", "a:1"])
    assert [(row["decision_id"], row["at"]) for row in found] == [("dec_a", NEW_YEAR_2026), ("dec_b", NEXT_DAY)]
    assert warehouse.read_log("acme", "decisions", []) == []


@pytest.fixture
def filled(blobs: BlobFolder) -> Warehouse:
    """Two shards, six ranges, two users, two dates, all datasets."""
    warehouse = Warehouse(blobs, pseudonym_key=b"secret")
    for shard in range(2):
        for n in range(3):
            id_ = f"dec_{shard}{n}"
            rows = [*everything("u:gone", f"{id_}g"), *everything("u:stays", f"{id_}s", NEXT_DAY)]
            warehouse.export(
                shard, n * 10, n * 10 + 10, [record(n * 10, "acme", Event("u:gone")), logged(n * 10, *rows)]
            )
    return warehouse


def test_compaction_leaves_one_file_a_date_and_dataset_and_every_row(filled: Warehouse, blobs: BlobFolder) -> None:
    before = {name: ids(filled, name) for name in LOGS}
    audit = filled.lookup_decision("acme", "dec_11g")
    assert filled.compact("acme", "2026-01-01") == 6 * 5
    assert {name: ids(filled, name) for name in LOGS} == before
    assert filled.lookup_decision("acme", "dec_11g") == audit
    merged = [file for file in filled.files("acme") if file.date == "2026-01-01"]
    assert sorted(file.dataset for file in merged) == sorted(DATASETS)
    for file in merged:
        assert file.path.startswith(DATASETS[file.dataset].folder("acme", "2026-01-01") + "/compact-")
    assert filled.compact("acme", "2026-01-01") == 0
    assert len([name for name in blobs.names("tenant=acme") if "date=2026-01-01" in name]) == 5


@pytest.mark.parametrize("compacted", [False, True])
def test_erasure_leaves_a_pseudonym_and_nothing_personal_in_the_audit(
    filled: Warehouse, blobs: BlobFolder, compacted: bool
) -> None:
    if compacted:
        filled.compact("acme", "2026-01-01")
    stays = filled.lookup_decision("acme", "dec_12s")
    before = filled.lookup_decision("acme", "dec_12g")
    assert before is not None
    assert filled.erase("acme", erased("u:gone", "u:never seen")) == 6 * 5
    assert filled.lookup_decision("acme", "dec_12s") == stays
    after = filled.lookup_decision("acme", "dec_12g")
    assert after is not None
    pseudonym = after["decision"]["user_key"]
    assert pseudonym.startswith(PSEUDONYM_PREFIX)
    assert after["decision"] == before["decision"] | {"user_key": pseudonym, "features": None, "occurrence": None}
    assert after["deliveries"] == [before["deliveries"][0] | {"user_key": pseudonym, "detail": None}]
    assert after["outcomes"] == [before["outcomes"][0] | {"user_key": pseudonym}]
    assert after["rewards"] == [before["rewards"][0] | {"user_key": pseudonym}]
    for name in LOGS:
        assert {user for user, _ in ids(filled, name)} == {pseudonym, "u:stays"}
        assert len(ids(filled, name)) == 12
    assert filled.read_events("acme", ["u:gone"]) == []
    on_disk = [name for name in blobs.names("tenant=acme") if name.endswith(".parquet")]
    assert on_disk == [file.path for file in filled.files("acme")]
    for name in on_disk:
        assert b"gone" not in blobs.get(name)
        table = pq.read_table(blobs.path_of(name), filesystem=blobs.filesystem, partitioning=None)
        assert "u:gone" not in table["user_key"].to_pylist()
    assert filled.erase("acme", erased("u:gone")) == 0


def test_a_pseudonym_is_stable_with_a_key_and_useless_without(tmp_path: Path) -> None:
    def pseudonym(folder: str, key: bytes, tenant: str = "acme", user: str = "u:gone") -> str:
        warehouse = Warehouse(tmp_path / folder, pseudonym_key=key)
        warehouse.export(0, 0, 10, [logged(0, decision(user, tenant=tenant))])
        warehouse.erase(tenant, erased(user))
        return ids(warehouse, "decisions", tenant)[0][0]

    known = pseudonym("a", b"secret")
    assert known == pseudonym("b", b"secret")
    others = [
        pseudonym("c", b"another secret"),
        pseudonym("d", b""),
        pseudonym("e", b""),
        pseudonym("f", b"secret", tenant="umbrella"),
        pseudonym("g", b"secret", user="a:gone"),
    ]
    assert len({known, *others}) == 6


def test_rows_of_users_erased_before_the_export_arrive_under_the_same_pseudonym(blobs: BlobFolder) -> None:
    warehouse = Warehouse(blobs, pseudonym_key=b"secret")
    warehouse.export(0, 0, 10, [logged(0, decision("u:gone", "dec_1"))])
    warehouse.erase("acme", erased("u:gone"))
    warehouse.export(0, 10, 20, [logged(10, decision("u:1", "dec_2"), decision("u:gone", "dec_3"), erased={1})])
    (pseudonym,) = {user for user, id_ in ids(warehouse, "decisions") if id_ in ("dec_1", "dec_3")}
    assert pseudonym.startswith(PSEUDONYM_PREFIX)
    assert ("u:1", "dec_2") in ids(warehouse, "decisions")
    found = warehouse.lookup_decision("acme", "dec_3")
    assert found is not None
    assert (found["decision"]["features"], found["decision"]["arms"]) == (None, ["no_send", "email"])


def test_vacuum_spares_files_in_progress_and_removes_orphans_in_every_dataset(
    filled: Warehouse, blobs: BlobFolder
) -> None:
    before = {name: ids(filled, name) for name in LOGS}
    folder = "tenant=acme/dataset=decisions/date=2026-01-01"
    in_progress = f"{folder}/0001-{30:020d}-{40:020d}.parquet"
    orphans = [f"{folder}/0001-{5:020d}-{10:020d}.parquet", f"{folder}/compact-0000000009-0000.parquet"]
    for name in (in_progress, *orphans):
        blobs.put(name, b"x")
    assert filled.vacuum() == 2
    left = set(blobs.names("tenant=acme"))
    assert in_progress in left
    assert not left & set(orphans)
    assert {name: ids(Warehouse(blobs), name) for name in LOGS} == before, "folded into a base"


def test_an_entry_of_events_is_written_as_before_there_were_datasets() -> None:
    old = b'{"path":"p","tenant":"acme","date":"2026-01-01","n_rows":1,"n_bytes":2,"crc32c":3,"ranges":[[0,0,9]]}'
    entry = msgspec.json.decode(old, type=FileEntry)
    assert entry.dataset == "events"
    assert msgspec.json.encode(entry) == old


def test_a_dataset_of_a_newer_release_is_left_alone_by_questions_and_stops_erasure(blobs: BlobFolder) -> None:
    warehouse = Warehouse(blobs)
    warehouse.export(0, 0, 10, [record(0, "acme", Event("u:1"))])
    (events,) = warehouse.files()
    newer = FileEntry("tenant=acme/dataset=x/y.parquet", "acme", "2026-01-01", 1, 1, 1, events.ranges, "x")
    blobs.put(newer.path, blobs.get(events.path))
    warehouse._catalog.commit_export(0, 10, 20, [newer])
    assert len(warehouse.read_events("acme", ["u:1"])) == 1
    assert warehouse.compact("acme", "2026-01-01") == 0
    with pytest.raises(InvariantError, match="'x'"):
        warehouse.erase("acme", erased("u:1"))

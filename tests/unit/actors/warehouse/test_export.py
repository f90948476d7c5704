from __future__ import annotations

import datetime

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.files.blobs import BlobFolder
from actors.warehouse import SCHEMA, ExportRecord, Warehouse
from tests.unit.actors.warehouse.conftest import DAY_MS, NEW_YEAR_2026, Event, block_of, record
from whisperer.errors import InvariantError
from whisperer.events.types import EventType


def rows(warehouse: Warehouse, tenant: str = "acme") -> list[tuple[object, ...]]:
    columns = "user_key, event, epoch_ms(timestamp), revenue_micros, shard, lsn, index"
    return sorted(warehouse.duckdb_relation(tenant).project(columns).fetchall())


def test_every_column_says_what_the_event_said(blobs: BlobFolder) -> None:
    warehouse = Warehouse(blobs)
    known = Event(
        "u:zoë", "bought", NEW_YEAR_2026 + 1, revenue=-2_500_000, link="a:device", payload='{"naïve": "☃\\u0000"}'
    )
    anonymous = Event("a:ghost", "$page", NEW_YEAR_2026 - 1, kind=EventType.PAGE)
    block = block_of("acme", [known, anonymous], lsn=40)
    sequence = np.array([7, 8])
    both = np.array([True, True])
    assert warehouse.export(3, 0, 100, [ExportRecord(40, block, both, sequence, forwarded=True)]).n_rows == 2

    (first,) = warehouse.read_events("acme", ["a:ghost"])
    assert (first.date, first.type, first.event, first.timestamp) == ("2025-12-31", "page", "$page", NEW_YEAR_2026 - 1)
    assert (first.user_id, first.anonymous_id) == (None, "ghost")
    (second,) = warehouse.read_events("acme", ["u:zoë"])
    assert (second.tenant, second.date, second.partition) == ("acme", "2026-01-01", len("u:zoë"))
    assert (second.user_id, second.anonymous_id) == ("zoë", "device")
    assert (second.timestamp, second.received_at) == (NEW_YEAR_2026 + 1, NEW_YEAR_2026 + 6)
    assert (second.revenue_micros, second.message_id) == (-2_500_000, "m-40-0")
    assert (second.shard, second.lsn, second.index, second.sequence) == (3, 40, 0, 7)
    assert second.forwarded is True
    assert second.payload == known.payload


def test_the_previous_id_of_an_alias_is_no_anonymous_id(blobs: BlobFolder) -> None:
    warehouse = Warehouse(blobs)
    warehouse.export(0, 0, 10, [record(0, "acme", Event("u:new", "$alias", link="u:old", kind=EventType.ALIAS))])
    assert warehouse.read_events("acme", ["u:new"])[0].anonymous_id is None


def test_duplicates_are_not_exported(blobs: BlobFolder) -> None:
    warehouse = Warehouse(blobs)
    events = [Event("u:1"), Event("u:1", counted=False), Event("u:2"), Event("u:3", counted=False)]
    assert warehouse.export(0, 0, 10, [record(0, "acme", *events)]).n_rows == 2
    assert [(row[0], row[-1]) for row in rows(warehouse)] == [("u:1", 0), ("u:2", 2)]


def test_files_lie_by_tenant_and_date_and_carry_the_range(blobs: BlobFolder) -> None:
    warehouse = Warehouse(blobs)
    records = [
        record(5, "acme", Event("u:1"), Event("u:1", timestamp=NEW_YEAR_2026 + DAY_MS)),
        record(9, "umbrella", Event("u:1", timestamp=-1)),
    ]
    warehouse.export(12, 5, 77, records)
    tail = f"0012-{5:020d}-{77:020d}.parquet"
    assert [file.path for file in warehouse.files()] == [
        f"tenant=acme/date=2026-01-01/{tail}",
        f"tenant=acme/date=2026-01-02/{tail}",
        f"tenant=umbrella/date=1969-12-31/{tail}",
    ]


def test_tenants_never_mix(blobs: BlobFolder) -> None:
    warehouse = Warehouse(blobs)
    for n, tenant in enumerate(["acme", "acme2", "acme.com", "ACME"]):
        warehouse.export(n, 0, 10, [record(0, tenant, *[Event("u:same", name=tenant)] * (n + 1))])
    for n, tenant in enumerate(["acme", "acme2", "acme.com", "ACME"]):
        assert [event.event for event in warehouse.read_events(tenant, ["u:same"])] == [tenant] * (n + 1)
    assert warehouse.read_events("nobody", ["u:same"]) == []
    assert warehouse.duckdb_relation("nobody").columns == SCHEMA.names


@pytest.mark.parametrize("tenant", ["", ".", "..", "../acme", "a/b", "a\\b", "a\nb", "tenant=x", "é", "x" * 129])
def test_a_tenant_id_that_is_no_plain_path_part_is_refused(blobs: BlobFolder, tenant: str) -> None:
    warehouse = Warehouse(blobs)
    with pytest.raises(InvariantError):
        warehouse.export(0, 0, 10, [record(0, tenant, Event("u:1"))])
    with pytest.raises(InvariantError):
        warehouse.read_events(tenant, ["u:1"])
    assert warehouse.exported(0) is None


def test_exporting_a_range_again_changes_nothing(blobs: BlobFolder) -> None:
    warehouse = Warehouse(blobs)
    records = [record(0, "acme", Event("u:1"))]
    assert warehouse.export(0, 0, 10, records).committed
    assert not warehouse.export(0, 0, 10, records).committed
    assert not Warehouse(blobs).export(0, 0, 10, records).committed
    assert len(rows(warehouse)) == 1
    assert warehouse.exported(0) == 10


def test_a_range_that_does_not_join_the_cursor_is_refused(blobs: BlobFolder) -> None:
    warehouse = Warehouse(blobs)
    warehouse.export(0, 0, 10, [])
    for first, last in ((11, 20), (5, 20), (10, 10), (20, 15)):
        with pytest.raises(InvariantError):
            warehouse.export(0, first, last, [])
    assert warehouse.exported(0) == 10


def test_a_record_outside_of_its_range_or_with_a_foreign_mask_is_refused(blobs: BlobFolder) -> None:
    warehouse = Warehouse(blobs)
    with pytest.raises(InvariantError):
        warehouse.export(0, 0, 10, [record(10, "acme", Event("u:1"))])
    block = block_of("acme", [Event("u:1")])
    for mask in (np.array([True, True]), np.array([1])):
        with pytest.raises(InvariantError):
            warehouse.export(0, 0, 10, [ExportRecord(0, block, mask)])


def test_each_shard_has_a_cursor_of_its_own(blobs: BlobFolder) -> None:
    warehouse = Warehouse(blobs)
    warehouse.export(0, 0, 10, [record(0, "acme", Event("u:1"))])
    warehouse.export(1, 500, 900, [record(500, "acme", Event("u:2"))])
    warehouse.export(0, 10, 30, [])
    assert (warehouse.exported(0), warehouse.exported(1), warehouse.exported(2)) == (30, 900, None)


def test_a_payload_that_is_not_utf8_does_not_stop_the_export(blobs: BlobFolder) -> None:
    whole = block_of("acme", [Event("u:1", payload="xx"), Event("u:2", payload='{"ok":1}')])
    payload = bytes(pa.compress(b"\xff\xfe" + b'{"ok":1}', codec="lz4_raw", asbytes=True))
    broken = msgspec.structs.replace(whole, payload=payload)
    warehouse = Warehouse(blobs)
    warehouse.export(0, 0, 10, [ExportRecord(0, broken, np.array([True, True]))])
    assert warehouse.read_events("acme", ["u:2"])[0].payload == '{"ok":1}'
    assert len(rows(warehouse)) == 2


def test_lookup_finds_timeline_entries_and_says_which_are_gone(blobs: BlobFolder) -> None:
    warehouse = Warehouse(blobs)
    warehouse.export(
        0, 0, 10, [record(0, "acme", Event("u:1", "a"), Event("u:2", "b")), record(4, "acme", Event("u:1", "c"))]
    )
    warehouse.export(0, 10, 20, [record(10, "acme", Event("u:1", "d", counted=False), Event("u:1", "e"))])
    warehouse.export(1, 0, 10, [record(0, "acme", Event("u:9", "other shard"))])
    found = warehouse.lookup("acme", 0, [(10, 1), (0, 0), (10, 0), (4, 0), (99, 0)])
    assert [event and event.event for event in found] == ["e", "a", None, "c", None]
    assert warehouse.lookup("acme", 0, []) == []
    assert warehouse.lookup("umbrella", 0, [(0, 0)]) == [None]


def test_queries_see_timestamps_and_dates_as_such(blobs: BlobFolder) -> None:
    warehouse = Warehouse(blobs)
    warehouse.export(
        0, 0, 10, [record(0, "acme", *(Event("u:1", timestamp=NEW_YEAR_2026 + d * DAY_MS) for d in range(5)))]
    )
    relation = warehouse.duckdb_relation("acme").filter(
        "date >= DATE '2026-01-03' AND timestamp < TIMESTAMP '2026-01-05'"
    )
    assert [day for (day,) in relation.order("date").project("date").fetchall()] == [
        datetime.date(2026, 1, 3),
        datetime.date(2026, 1, 4),
    ]


NAMES = st.text(min_size=1, max_size=8).filter(lambda text: text.encode("utf-8", "ignore").decode() == text)
EVENTS = st.builds(
    Event,
    key=st.tuples(st.sampled_from(["u:", "a:"]), NAMES).map("".join),
    name=NAMES,
    timestamp=st.integers(-(10**12), 4 * 10**12),
    revenue=st.integers(-(2**63), 2**63 - 1),
    counted=st.booleans(),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(st.tuples(st.sampled_from(["acme", "umbrella"]), st.lists(EVENTS, max_size=5)), max_size=8),
    data=st.data(),
)
def test_duckdb_counts_exactly_what_was_exported(
    tmp_path_factory: pytest.TempPathFactory, batches: list[tuple[str, list[Event]]], data: st.DataObject
) -> None:
    warehouse = Warehouse(tmp_path_factory.mktemp("warehouse"))
    expected: dict[str, list[tuple[object, ...]]] = {"acme": [], "umbrella": []}
    first = 0
    while first < len(batches):
        last = data.draw(st.integers(first + 1, len(batches)))
        warehouse.export(
            0,
            first * 10,
            last * 10,
            [record(n * 10, *batch[:1], *batch[1]) for n, batch in enumerate(batches[first:last], first)],
        )
        first = last
    for n, (tenant, events) in enumerate(batches):
        expected[tenant] += [
            (e.key, e.name, e.timestamp, e.revenue, 0, n * 10, i) for i, e in enumerate(events) if e.counted
        ]
    for tenant, wanted in expected.items():
        assert rows(warehouse, tenant) == sorted(wanted)
        for day in {file.date for file in warehouse.files(tenant)}:
            warehouse.compact(tenant, day)
        assert rows(warehouse, tenant) == sorted(wanted)

"""Exports of the warehouse: every row once, oldest first, narrowed as asked, within the bounds, whole or not there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from actors.exports import process
from actors.exports.process import carry_out
from actors.exports.record import Progress, Task
from actors.exports.spool import Spool
from actors.warehouse import ExportRecord, LogRecord, Warehouse, reader
from actors.warehouse.slices import sliced
from tests.unit.actors.warehouse.conftest import DAY_MS, NEW_YEAR_2026, Event, block_of
from whisperer.errors import TooLargeError
from whisperer.ids import DecisionId, Partition, TenantId, UserKey
from whisperer.shard.state.log import OutcomeRow
from whisperer.vocabulary.exports import ExportFormat, ExportKind

ACME = TenantId("acme")
PLACE = "exports/acme/x.ndjson"


def event(n: int, day: float = 0.0, **more: Any) -> Event:
    at = NEW_YEAR_2026 + round(day * DAY_MS) + n
    return Event(f"u:u{n % 7}", timestamp=at, payload=f'{{"n": {n}, "x" :1.0}}', **more)


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    made = Warehouse(tmp_path / "w")
    days = [
        [event(n, n % 5) for n in range(60)],
        [event(n, n % 3 - 400.5) for n in range(60, 90)],
        [event(90, -25_000)],
    ]
    for place, events in enumerate(days):
        block = block_of("acme", events, place)
        counted = np.array([n % 10 != 9 for n in range(len(events))]) if place == 0 else np.ones(len(events), np.bool_)
        others = ExportRecord(place, block_of("globex", events, place), np.ones(len(events), np.bool_))
        rows = LogRecord(place, [outcome(n + 10 * place) for n in range(4)])
        made.export(place, 0, 100, [ExportRecord(place, block, counted), others, rows])
    return made


def outcome(n: int) -> OutcomeRow:
    return OutcomeRow(
        ACME, DecisionId(f"d{n}"), UserKey(f"u:u{n}"), Partition(n), f"c{n % 2}", "opened", "", 0, NEW_YEAR_2026 + n
    )


def asked(tmp_path: Path, of: ExportKind = ExportKind.EVENTS, **more: Any) -> Task:
    task = Task(PLACE, str(tmp_path / "w"), ACME, of, ExportFormat.NDJSON)
    return replace(task, **more)


def lines(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "w" / PLACE).read_bytes().splitlines()]


def expected() -> list[int]:
    return [90, *sorted(range(60, 90), key=lambda n: (n % 3, n)),
            *sorted((n for n in range(60) if n % 10 != 9), key=lambda n: (n % 5, n))]  # fmt: skip


@pytest.mark.parametrize("together", [1, 13, 250_000])
def test_every_event_that_counted_is_there_once_oldest_first(
    tmp_path: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(process, "ROWS_TOGETHER", together)
    monkeypatch.setattr(process, "TOLD_EVERY_S", 0.0)
    told = list(carry_out(asked(tmp_path), warehouse))
    found = lines(tmp_path)
    assert [row["sent"]["n"] for row in found] == expected()
    assert found[0]["timestamp"] < "1990"
    assert list(found[0]) == [
        "message_id", "type", "event", "user_id", "anonymous_id", "user_key", "timestamp", "received_at", "revenue_micros", "sent",
    ]  # fmt: skip
    content = (tmp_path / "w" / PLACE).read_bytes()
    assert b'"sent":{"n": 90, "x" :1.0}' in content
    assert told[-1] == Progress(len(found), 1.0, len(content), hashlib.sha256(content).hexdigest())
    shares = [one.share for one in told]
    assert shares == sorted(shares)
    assert [one.n_rows for one in told] == sorted(one.n_rows for one in told)


@pytest.mark.parametrize("most_bytes", [1_500, 4_000])
def test_seconds_that_hold_too_much_come_in_parts_and_the_others_in_order(
    tmp_path: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, most_bytes: int
) -> None:
    monkeypatch.setattr(reader, "sliced", lambda seconds: sliced(seconds, most_bytes))
    list(carry_out(asked(tmp_path), warehouse))
    found = lines(tmp_path)
    assert sorted(row["sent"]["n"] for row in found) == sorted(expected())
    seconds = [row["timestamp"][:19] for row in found]
    assert seconds == sorted(seconds)


def test_an_export_is_narrowed_by_time_and_by_columns(tmp_path: Path, warehouse: Warehouse) -> None:
    since, until = NEW_YEAR_2026 + DAY_MS, NEW_YEAR_2026 + 2 * DAY_MS + 22
    list(carry_out(asked(tmp_path, since=since, until=until), warehouse))
    # The last one is dated exactly `until`.
    assert [row["sent"]["n"] for row in lines(tmp_path)] == [
        n for n in expected() if n < 60 and (n % 5 == 1 or (n % 5 == 2 and n < 22))
    ]
    list(carry_out(asked(tmp_path, equal={"event": "nothing"}), warehouse))
    assert lines(tmp_path) == []
    list(carry_out(asked(tmp_path, ExportKind.OUTCOMES, equal={"campaign": "c1"}), warehouse))
    assert [row["decision_id"] for row in lines(tmp_path)] == ["d1", "d3", "d11", "d13", "d21", "d23"]


def test_a_log_keeps_its_columns_and_types_in_parquet(tmp_path: Path, warehouse: Warehouse) -> None:
    place = "exports/acme/x.parquet"
    list(carry_out(asked(tmp_path, ExportKind.OUTCOMES, place=place, format=ExportFormat.PARQUET), warehouse))
    found = pq.read_table(tmp_path / "w" / place)
    assert found.column_names == [
        "user_key",
        "decision_id",
        "campaign",
        "kind",
        "detail",
        "value_micros",
        "occurred_at",
    ]
    assert str(found.schema.field("occurred_at").type) == "timestamp[ms, tz=UTC]"
    assert found.num_rows == 12


@pytest.mark.parametrize("bound", [{"most_rows": 20}, {"most_bytes": 2_000}])
def test_a_larger_one_ends_with_what_to_narrow_and_leaves_no_file(
    tmp_path: Path, warehouse: Warehouse, bound: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "ROWS_TOGETHER", 1)
    with pytest.raises(TooLargeError, match="narrow its filter") as refused:
        list(carry_out(asked(tmp_path, **bound), warehouse))
    assert refused.value.code == "export_too_large"
    assert not (tmp_path / "w" / PLACE).exists()


def test_one_that_is_stopped_leaves_nothing_that_looks_whole(
    tmp_path: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "TOLD_EVERY_S", 0.0)
    writing = carry_out(asked(tmp_path), warehouse)
    next(writing)
    writing.close()
    assert not (tmp_path / "w" / PLACE).exists()


def test_rows_that_were_gathered_are_written_as_they_stand(tmp_path: Path, warehouse: Warehouse) -> None:
    import msgspec

    spool = Spool(tmp_path / "spool" / "1" / "x")
    spool.begin()
    users = [
        {
            "user_id": f"u{n}",
            "anonymous_id": None,
            "first_seen": None,
            "last_seen": NEW_YEAR_2026 + n,
            "events": n,
            "score": None,
            "engagement": 0.25,
            "segments": ["a"] * (n % 3),
            "traits": {"n": msgspec.Raw(b"1.0"), "t": msgspec.Raw(b'{"a" :\n1}')},
            "time_zone": None,
            "locale": "de",
        }
        for n in range(2_500)
    ]
    spool.add(users[:1_700])
    spool.add(users[1_700:])
    assert (spool.n_rows, spool.n_bytes) == (2_500, spool.path.stat().st_size)
    list(carry_out(asked(tmp_path, ExportKind.USERS, spool=str(spool.path)), warehouse))
    content = (tmp_path / "w" / PLACE).read_bytes()
    assert b'"traits":{"n":1.0,"t":{"a" : 1}}' in content
    found = lines(tmp_path)
    assert [(row["user_id"], row["events"], row["segments"]) for row in found] == [
        (f"u{n}", n, ["a"] * (n % 3)) for n in range(2_500)
    ]
    assert found[0]["last_seen"] == "2026-01-01T00:00:00.000Z"
    assert found[0]["first_seen"] is None
    spool.remove()
    spool.remove()

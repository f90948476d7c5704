"""Rows of tables of every format become the events that the map says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.importing.chunk import MappedChunk
from cluster.importing.map_file import MapError, parse_map
from cluster.importing.readers import FileError, open_source

BASE: dict[str, Any] = {"user_id": "who", "event": {"column": "what"}, "timestamp": {"column": "at"}}
AT = "2026-01-01T00:00:00"


def read(path: Path, format: str, rules: dict[str, Any] | None, after_row: int = 0) -> list[MappedChunk]:
    source = open_source(path, format, parse_map(json.dumps(rules).encode()) if rules else None, "file")
    try:
        return list(source.chunks(after_row))
    finally:
        source.close()


def events(chunks: list[MappedChunk]) -> list[dict[str, Any]]:
    return [json.loads(event.body) for chunk in chunks for event in chunk.events]


def rejects(chunks: list[MappedChunk]) -> list[tuple[int, str]]:
    return [(reject.row, reject.code) for chunk in chunks for reject in chunk.rejects]


def test_a_row_has_id_type_time_and_only_the_properties_that_it_has(tmp_path: Path) -> None:
    table = {
        "who": [7, None],
        "anon": [None, "a1"],
        "what": ["Bought", "Seen"],
        "at": [AT, AT],
        "n": [5, None],
        "x": [0.5, float("nan")],
    }
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    rules = {**BASE, "anonymous_id": "anon", "properties": {"count": "n", "share": "x"}}
    assert events(read(tmp_path / "t.parquet", "parquet", rules)) == [
        {"type": "track", "messageId": "file-1", "timestamp": AT + ".000Z", "userId": "7", "event": "Bought", "properties": {"count": 5, "share": 0.5}},
        {"type": "track", "messageId": "file-2", "timestamp": AT + ".000Z", "anonymousId": "a1", "event": "Seen", "properties": {}},
    ]  # fmt: skip


def test_csv_stays_text_unless_the_map_converts_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        f'who,what,at,sku,n,ok\n007,"Bo""ught\nit",{AT},0123,5,yes\n17850.0,B,{AT},9,many,no\n'
    )
    properties = {"sku": "sku", "n": {"column": "n", "as": "integer"}, "ok": {"column": "ok", "as": "boolean"}}
    first, second = events(read(tmp_path / "t.csv", "csv", {**BASE, "properties": properties}))
    assert (first["userId"], first["event"]) == ("007", 'Bo"ught\nit')
    assert first["properties"] == {"sku": "0123", "n": 5, "ok": True}
    assert second["properties"] == {"sku": "9", "n": "many", "ok": False}, "what cannot be converted is kept"
    rules = {**BASE, "user_id": {"column": "who", "as": "integer"}}
    assert [e["userId"] for e in events(read(tmp_path / "t.csv", "csv", rules))] == ["7", "17850"]


def test_event_names_can_be_renamed_by_value(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"who,what,at\nu,buy,{AT}\nu,view,{AT}\n")
    rules = {**BASE, "event": {"column": "what", "values": {"buy": "Order Completed"}}}
    assert [e["event"] for e in events(read(tmp_path / "t.csv", "csv", rules))] == ["Order Completed", "view"]


def test_a_column_can_make_rows_identify_calls_with_traits(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"who,what,at,mail\nu,signup,{AT},a@b.c\nu,Bought,{AT},\n")
    rules = {**BASE, "type": {"column": "what", "values": {"signup": "identify"}}, "traits": {"email": "mail"}}
    identify, track = events(read(tmp_path / "t.csv", "csv", rules))
    assert identify == {
        "type": "identify",
        "messageId": "file-1-i",
        "timestamp": AT + ".000Z",
        "userId": "u",
        "traits": {"email": "a@b.c"},
    }
    assert track["type"] == "track"
    assert "traits" not in track


def test_skipped_rows_are_counted_under_the_first_reason_that_holds(tmp_path: Path) -> None:
    rows = [
        f"u,B,{AT},1",
        f",B,{AT},1",
        ",B,2025-12-31T23:59:59,1",
        f"u,B,{AT},5",
        "u,B,2025-12-31,9",
        f"u,test,{AT},1",
    ]
    (tmp_path / "t.csv").write_text("who,what,at,n\n" + "\n".join(rows))
    rules = {
        **BASE,
        "skip_when": [
            {"reason": "old", "column": "at", "before": "2026-01-01T00:00Z"},
            {"reason": "nobody", "column": "who", "is": "null"},
            {"reason": "five", "column": "n", "equals": 5},
            {"reason": "tests", "column": "what", "in": ["test", "trial"]},
        ],
    }
    (chunk,) = read(tmp_path / "t.csv", "csv", rules)
    assert chunk.skipped == {"old": 2, "nobody": 1, "five": 1, "tests": 1}
    assert [event.row for event in chunk.events] == [1]


def test_a_time_at_the_limit_is_at_or_after_it_and_not_before_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("who,what,at\nu,B,2025-12-31T23:59:59.999\nu,B,2026-01-01T00:00:00\n")
    for condition, kept in (("before", 2), ("at_or_after", 1)):
        rules = {**BASE, "skip_when": [{"reason": "r", "column": "at", condition: "2026-01-01T00:00Z"}]}
        (chunk,) = read(tmp_path / "t.csv", "csv", rules)
        assert [event.row for event in chunk.events] == [kept]
        assert chunk.skipped == {"r": 1}


def test_a_row_that_cannot_be_an_event_is_rejected_with_its_reason(tmp_path: Path) -> None:
    rows = [f",B,{AT},1", "u,B,,1", "u,B,someday,1", f"u,,{AT},1", f"u,B,{AT},much", f"u,B,{AT},2"]
    (tmp_path / "t.csv").write_text("who,what,at,amount\n" + "\n".join(rows))
    chunks = read(tmp_path / "t.csv", "csv", {**BASE, "revenue": {"column": "amount", "currency": "EUR"}})
    codes = ["missing_identity", "bad_timestamp", "bad_timestamp", "missing_event", "bad_revenue"]
    assert rejects(chunks) == list(enumerate(codes, 1))
    assert [e["properties"] for e in events(chunks)] == [{"revenue": 2, "currency": "EUR"}]


def test_malformed_csv_rows_are_rejected_and_keep_their_number(tmp_path: Path) -> None:
    rows = [f"u{i},B,{AT}" + (",extra" if i % 3 == 0 else "") for i in range(1, 10_001)]
    (tmp_path / "t.csv").write_text("who,what,at\n" + "\n".join(rows) + "\n")
    chunks = read(tmp_path / "t.csv", "csv", BASE)
    assert sum(chunk.n_rows for chunk in chunks) == 10_000
    assert rejects(chunks) == [(row, "malformed_row") for row in range(3, 10_001, 3)]
    assert all(event.user == f"u{event.row}" for chunk in chunks for event in chunk.events)
    rest = read(tmp_path / "t.csv", "csv", BASE, after_row=5_000)
    assert sum(chunk.n_rows for chunk in rest) == 5_000
    assert rejects(rest) == [reject for reject in rejects(chunks) if reject[0] > 5_000]
    assert events(rest) == [e for e in events(chunks) if int(e["messageId"][5:]) > 5_000]


def test_json_lines_are_a_table_with_dotted_columns(tmp_path: Path) -> None:
    lines = [{"u": {"id": "x"}, "what": "B", "at": AT, "tags": ["a", 1]}, {"u": {}, "what": "B", "at": AT}, "text"]
    (tmp_path / "t.jsonl").write_text("\n\n".join(json.dumps(line) for line in lines) + "\n{broken")
    chunks = read(tmp_path / "t.jsonl", "jsonl", {**BASE, "user_id": "u.id", "properties": {"tags": "tags"}})
    assert [(e["userId"], e["properties"]) for e in events(chunks)] == [("x", {"tags": ["a", 1]})]
    assert sorted(rejects(chunks)) == [(2, "missing_identity"), (3, "malformed_row"), (4, "malformed_row")]


def test_a_misspelt_identity_column_of_json_lines_is_found_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text(json.dumps({"userid": "x", "what": "B", "at": AT}))
    with pytest.raises(MapError, match=r"Did you mean 'userid'\?"):
        read(tmp_path / "t.jsonl", "jsonl", {**BASE, "user_id": "userId"})


def test_segment_lines_are_sent_as_they_are_and_get_an_id_only_where_they_have_none(tmp_path: Path) -> None:
    lines = [
        '{"type":"track","event":"E","userId":"u","messageId":"own","properties":{"n":1.10,"a":{"b":null}}}',
        '{"type": "page", "anonymousId": "a", "messageId": null }',
        "{}",
        '{"userId": ["x"]}',
        '{"type":"track","event":"cut off',
    ]
    (tmp_path / "s.jsonl").write_text("\n".join(lines))
    (chunk,) = read(tmp_path / "s.jsonl", "jsonl", None)
    assert chunk.events[0].body.decode() == lines[0]
    assert [e.message_id for e in chunk.events] == ["own", "file-2", "file-3"]
    assert [json.loads(e.body).get("messageId") for e in chunk.events] == ["own", "file-2", "file-3"]
    assert [e.user for e in chunk.events][:2] == ["u", "a"]
    assert rejects([chunk]) == [(4, "malformed_row"), (5, "malformed_row")]


@pytest.mark.parametrize(("name", "format"), [("t.parquet", "parquet"), ("t.csv", "csv"), ("t.csv", "xml")])
def test_a_file_that_is_something_else_is_refused_with_a_clear_word(tmp_path: Path, name: str, format: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(FileError, match=r"cannot be read as|unknown format"):
        read(tmp_path / name, format, BASE)


def test_csv_in_another_encoding_is_refused_or_read_as_the_map_says(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(f"who;what;at\nu;Zoë;{AT}\n".encode("latin-1"))
    with pytest.raises(FileError, match=r"encoding|UTF-?8"):
        read(tmp_path / "t.csv", "csv", {**BASE, "csv": {"delimiter": ";"}})
    chunks = read(tmp_path / "t.csv", "csv", {**BASE, "csv": {"delimiter": ";", "encoding": "latin-1"}})
    assert events(chunks)[0]["event"] == "Zoë"

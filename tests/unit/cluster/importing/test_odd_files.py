"""Files as other programs write them: each reader against a table of odd ones, and what a person expects of each."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.importing.map_file import MapError
from cluster.importing.readers import FileError
from cluster.importing.written import as_integer, as_number, as_text
from tests.unit.cluster.importing.test_rows import AT, BASE, events, read, rejects

MARK = b"\xef\xbb\xbf"
ROW = {"who": "ada", "what": "Bought", "at": AT}
LINE = json.dumps(ROW).encode()

# -- what is written as what ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "integer"),
    [
        ("5", 5), ("+5", 5), ("-5", -5), ("007", 7), (" 5 ", 5), ("17850.0", 17850), ("5.00", 5),
        ("12345678901234567.0", 12345678901234567), ("123456789012345678901234567890", 123456789012345678901234567890),
        (17850.0, 17850), (5, 5), (Decimal("5.00"), 5), (Decimal(2**80), 2**80),
        ("100_1", "100_1"), ("1e3", "1e3"), ("5.", "5."), (".0", ".0"), ("5.5", "5.5"), ("٣", "٣"), ("５", "５"),
        ("5\u00a0", "5\u00a0"), ("0x10", "0x10"), ("", ""), ("-", "-"), ("--5", "--5"), ("1,000", "1,000"), ("nan", "nan"),
        ("inf", "inf"), (5.5, 5.5), (1e22, 1e22), (Decimal("5.5"), Decimal("5.5")), ("9" * 5_000, "9" * 5_000),
    ],
)  # fmt: skip
def test_an_integer_is_what_is_written_as_one_exactly(value: Any, integer: Any) -> None:
    found = as_integer(value)
    assert (found, type(found)) == (integer, type(integer))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("5", 5), ("1e3", 1000.0), ("0.1", 0.1), (".5", 0.5), ("5.", 5.0), ("-2.5E-3", -0.0025), (" 7.25 ", 7.25),
        ("12345678901234567.0", Decimal("12345678901234567.0")), ("0.12345678901234567890", Decimal("0.12345678901234567890")),
        ("100_1", "100_1"), ("nan", "nan"), ("Infinity", "Infinity"), ("1e999", "1e999"), ("٣.٥", "٣.٥"), ("1,5", "1,5"),
    ],
)  # fmt: skip
def test_a_number_is_never_rounded(value: Any, expected: Any) -> None:
    found = as_number(value)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"ada", "ada"), (b"\xff\x00", "ff00"), (5.0, "5"), (True, "true"), (Decimal("17850.00"), "17850"),
        (Decimal("1E+3"), "1000"), (Decimal("1.50"), "1.50"), (date(2026, 1, 2), "2026-01-02"), ([1, "a"], '[1,"a"]'),
    ],
)  # fmt: skip
def test_an_id_is_never_the_form_that_python_prints(value: Any, text: str) -> None:
    assert as_text(value) == text


# -- JSON lines -------------------------------------------------------------------------------------------------------

PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(MARK + LINE, ["ada"], id="a byte order mark"),
        pytest.param(MARK + LINE + b"\n" + MARK + LINE, ["ada", "ada"], id="files put together"),
        pytest.param(LINE + b"\r\n\r\n  \r\n" + LINE + b"\r\n", ["ada", "ada"], id="lines of Windows, blank ones"),
        pytest.param(b"", [], id="empty"),
        pytest.param(MARK, [], id="nothing but a mark"),
        pytest.param(LINE.replace(b'"ada"', b"12345678901234567.0"), ["12345678901234567"], id="a long number as id"),
        pytest.param(LINE.replace(b'"ada"', b"123456789012345678901"), ["123456789012345678901"], id="a longer one"),
        pytest.param(LINE.replace(b'"ada"', b"5.0"), ["5"], id="a whole float as id"),
        pytest.param(LINE.replace(b'"ada"', b'"a\\u0000b"'), ["a\0b"], id="an escaped NUL"),
    ],
)
def test_json_lines_are_read_as_meant(tmp_path: Path, content: bytes, expected: list[str]) -> None:
    path = tmp_path / "t.jsonl"
    for packed in (content, *(pack(content) for pack in PACKED.values() if content)):
        path.write_bytes(packed)
        assert [e["userId"] for e in events(read(path, "jsonl", BASE))] == expected


def test_segment_events_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    event = b'{"type": "track", "event": "E", "userId": "ada", "messageId": "m"}'
    (tmp_path / "t.jsonl").write_bytes(MARK + event)
    (chunk,) = read(tmp_path / "t.jsonl", "jsonl", None)
    assert ([e.body for e in chunk.events], chunk.rejects) == ([event], [])


def test_a_number_with_many_digits_comes_through_to_the_last(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(LINE[:-1] + b', "n": 12345678901234567.25, "x": 0.1}')
    (chunk,) = read(tmp_path / "t.jsonl", "jsonl", {**BASE, "properties": {"n": "n", "x": "x"}})
    assert b'"n":12345678901234567.25' in chunk.events[0].body
    assert b'"x":0.1}' in chunk.events[0].body


@pytest.mark.parametrize("bad", [b"[1]", b"\xff\xfe", b'{"a": NaN}', b"\0", b'{"who": "a', b"x" * (2 << 20)])
def test_a_line_that_is_no_object_is_rejected_alone(tmp_path: Path, bad: bytes) -> None:
    (tmp_path / "t.jsonl").write_bytes(LINE + b"\n" + bad + b"\n" + LINE)
    chunks = read(tmp_path / "t.jsonl", "jsonl", BASE)
    assert rejects(chunks) == [(2, "malformed_row")]
    assert len(events(chunks)) == 2


@pytest.mark.parametrize("format", ["csv", "jsonl"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_a_file_in_another_encoding_says_so(tmp_path: Path, format: str, encoding: str) -> None:
    text = LINE.decode() if format == "jsonl" else f"who,what,at\nada,Bought,{AT}\n"
    (tmp_path / "t").write_bytes(text.encode(encoding))
    with pytest.raises(FileError, match=r"UTF-16.*not UTF-8: convert it"):
        read(tmp_path / "t", format, BASE)


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_an_archive_says_so(tmp_path: Path, format: str) -> None:
    (tmp_path / "t").write_bytes(b"PK\x03\x04" + bytes(30))
    with pytest.raises(FileError, match="ZIP archive"):
        read(tmp_path / "t", format, BASE)


# -- CSV --------------------------------------------------------------------------------------------------------------

HEAD = b"who,what,at\n"
CELLS = f"ada,Bought,{AT}\n".encode()


@pytest.mark.parametrize(
    ("content", "users", "rejected"),
    [
        pytest.param(MARK + HEAD + CELLS, ["ada"], 0, id="a byte order mark"),
        pytest.param(MARK + b'"who","what","at"\n' + CELLS, ["ada"], 0, id="a byte order mark before a quote"),
        pytest.param((HEAD + CELLS).replace(b"\n", b"\r\n"), ["ada"], 0, id="lines of Windows"),
        pytest.param((HEAD + CELLS).replace(b"\n", b"\r"), ["ada"], 0, id="lines of old Macs"),
        pytest.param(HEAD, [], 0, id="nothing but a header"),
        pytest.param(HEAD + CELLS.strip(), ["ada"], 0, id="no end of the last line"),
        pytest.param(HEAD + b"\n" + CELLS + b"\n", ["ada"], 0, id="blank lines"),
        pytest.param(HEAD + b'"a""d,\na",Bought,' + AT.encode() + b"\n", ['a"d,\na'], 0, id="quotes"),
        pytest.param(HEAD + b"a\0b,Bought," + AT.encode() + b"\n", ["a\0b"], 0, id="a NUL"),
        pytest.param(HEAD + b"ada,Bought\n" + CELLS, ["ada"], 1, id="too few fields"),
        pytest.param(HEAD + CELLS.strip() + b",\n" + CELLS, ["ada"], 1, id="a comma too many in a row"),
        pytest.param(b"who,what,at,\n" + CELLS.strip() + b",\n", ["ada"], 0, id="a comma behind every row"),
        pytest.param(HEAD + b"x" * (3 << 20) + b"," + CELLS.split(b",", 1)[1] + CELLS, ["x" * (3 << 20), "ada"], 0, id="a field of 3 MB"),
    ],
)  # fmt: skip
def test_csv_is_read_as_meant(tmp_path: Path, content: bytes, users: list[str], rejected: int) -> None:
    path = tmp_path / "t.csv"
    for packed in (content, gzip.compress(content), PACKED["zst"](content)):
        path.write_bytes(packed)
        chunks = read(path, "csv", BASE)
        assert [e["userId"] for e in events(chunks)] == users
        assert len(rejects(chunks)) == rejected


@pytest.mark.parametrize("content", [b"", HEAD.strip()])
def test_an_empty_csv_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(FileError, match="cannot be read as csv"):
        read(tmp_path / "t.csv", "csv", BASE)


def test_two_columns_of_one_name_are_refused_where_the_map_names_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"who,who,what,at\nada,bob,Bought," + AT.encode())
    with pytest.raises(MapError, match="2 columns 'who'"):
        read(tmp_path / "t.csv", "csv", BASE)
    table = pa.Table.from_arrays([pa.array(["a"])] * 4, names=["who", "who", "what", "at"])
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(MapError, match="2 columns 'who'"):
        read(tmp_path / "t.parquet", "parquet", BASE)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("31/02/2026", "%d/%m/%Y"), ("30/02/2026 10:00", "%d/%m/%Y %H:%M"), ("29/02/2025", "%d/%m/%Y"),
        ("31/04/2026", "%d/%m/%Y"), ("00/01/2026", "%d/%m/%Y"), ("01/13/2026", "%d/%m/%Y"),
        ("2026-02-31", None), ("2026-02-31T10:00:00", None), ("2026-02-31T10:00:00Z", None), ("2026-13-01", None),
        ("2026-01-01 24:00:01", None), ("2026-01-01 10:60", None), ("01/01/2026 10:60", "%d/%m/%Y %H:%M"),
        ("01/01/2026 trailing", "%d/%m/%Y"),
    ],
)  # fmt: skip
def test_a_date_that_does_not_exist_is_a_bad_timestamp_and_never_the_next_month(
    tmp_path: Path, text: str, pattern: str | None
) -> None:
    good = "2026-01-01" if pattern is None else datetime(2026, 1, 1).strftime(pattern)
    (tmp_path / "t.csv").write_text(f"who,what,at\nada,Bought,{text}\nada,Bought,{good}\n")
    rules = {**BASE, "timestamp": {"column": "at", **({"format": pattern} if pattern else {})}}
    chunks = read(tmp_path / "t.csv", "csv", rules)
    assert rejects(chunks) == [(1, "bad_timestamp")]
    assert [e["timestamp"] for e in events(chunks)] == ["2026-01-01T00:00:00.000Z"]


@pytest.mark.parametrize("text", ["1_767_225_600", "٣", "soon", "nan", "1e400"])
def test_a_time_in_units_is_a_number(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(f"who,what,at\nada,Bought,{text}\n")
    rules = {**BASE, "timestamp": {"column": "at", "unit": "seconds"}}
    assert rejects(read(tmp_path / "t.csv", "csv", rules)) == [(1, "bad_timestamp")]


@pytest.mark.parametrize(("text", "revenue"), [("100_1", None), ("٣", None), ("1e3", 1000), (" 2.5 ", 2.5)])
def test_an_amount_is_a_number(tmp_path: Path, text: str, revenue: float | None) -> None:
    (tmp_path / "t.csv").write_text(f"who,what,at,paid\nada,Bought,{AT},{text}\n")
    chunks = read(tmp_path / "t.csv", "csv", {**BASE, "revenue": {"column": "paid"}})
    assert [e["properties"]["revenue"] for e in events(chunks)] == ([] if revenue is None else [revenue])
    assert rejects(chunks) == ([(1, "bad_revenue")] if revenue is None else [])


# -- Parquet ----------------------------------------------------------------------------------------------------------

ID = uuid.UUID("0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b")
NS = pa.array([np.datetime64("2026-01-02T03:04:05.123456789", "ns")])

COLUMNS: dict[str, tuple[pa.Array, Any]] = {
    "text without the mark": (pa.array([b"ada"]), "ada"),
    "large text without the mark": (pa.array([b"ada"], pa.large_binary()), "ada"),
    "text of fixed size": (pa.array([b"abc"], pa.binary(3)), "abc"),
    "other bytes": (pa.array([b"\xff\xfe\x00"]), "fffe00"),
    "large text": (pa.array(["é"], pa.large_string()), "é"),
    "text views": (pa.array(["é"], pa.string_view()), "é"),
    "a dictionary": (pa.array(["pro"]).dictionary_encode(), "pro"),
    "a dictionary of bytes": (pa.array([b"pro"]).dictionary_encode(), "pro"),
    "nanoseconds": (NS, "2026-01-02T03:04:05.123456"),
    "nanoseconds with a zone": (NS.cast(pa.timestamp("ns", "UTC")), "2026-01-02T03:04:05.123456Z"),
    "a time with a zone": (
        pa.array([datetime(2026, 7, 1, 12, tzinfo=UTC)], pa.timestamp("ms", "Europe/Berlin")),
        "2026-07-01T14:00:00+02:00",
    ),
    "a date": (pa.array([date(2026, 1, 2)]), "2026-01-02"),
    "a date in milliseconds": (pa.array([date(2026, 1, 2)], pa.date64()), "2026-01-02"),
    "a time of day": (pa.array([time(3, 4, 5)], pa.time64("ns")), "03:04:05"),
    "a duration": (pa.array([timedelta(seconds=90)], pa.duration("ns")), "PT90S"),
    "a decimal": (pa.array([Decimal("12345678901234567.10")]), Decimal("12345678901234567.10")),
    "a half float": (pa.array([np.float16(1.5)]), 1.5),
    "a float": (pa.array([0.1], pa.float32()), 0.10000000149011612),
    "an unsigned integer": (pa.array([2**64 - 1], pa.uint64()), 2**64 - 1),
    "a boolean": (pa.array([False]), False),
    "a list": (pa.array([[1, None, 3]]), [1, None, 3]),
    "a list of bytes": (pa.array([[b"a", b"\xff"]]), ["a", "ff"]),
    "a list of nanoseconds": (pa.array([NS.to_numpy()], pa.list_(pa.timestamp("ns"))), ["2026-01-02T03:04:05.123456"]),
    "a large list": (pa.array([["a"]], pa.large_list(pa.string())), ["a"]),
    "a list of fixed size": (pa.array([[1, 2]], pa.list_(pa.int8(), 2)), [1, 2]),
    "a struct": (pa.array([{"a": 1, "b": {"c": b"x", "d": None}}]), {"a": 1, "b": {"c": "x", "d": None}}),
    "a map": (pa.array([[("a", 1), ("b", None)]], pa.map_(pa.string(), pa.int64())), {"a": 1, "b": None}),
    "a map of bytes": (pa.array([[(b"a", b"x")]], pa.map_(pa.binary(), pa.binary())), {"a": "x"}),
    "a UUID": (pa.array([ID.bytes], pa.uuid()), str(ID)),
    "a list of UUIDs": (pa.ListArray.from_arrays([0, 1], pa.array([ID.bytes], pa.uuid())), [str(ID)]),
    "null": (pa.nulls(1), None),
    "no number": (pa.array([float("nan")]), None),
    "a half that is no number": (pa.array([np.float16("nan")]), None),
    "infinity": (pa.array([float("-inf")]), "-inf"),
}


def written(tmp_path: Path, column: pa.Array, **rules: Any) -> list[dict[str, Any]]:
    table = pa.table({**{name: [value] for name, value in ROW.items()}, "x": column})
    pq.write_table(table, tmp_path / "t.parquet")
    (chunk,) = read(tmp_path / "t.parquet", "parquet", {**BASE, **rules})
    return [json.loads(e.body, parse_float=Decimal) for e in chunk.events]


@pytest.mark.parametrize(("column", "expected"), COLUMNS.values(), ids=COLUMNS)
def test_a_parquet_value_is_what_a_person_expects_in_json(tmp_path: Path, column: pa.Array, expected: Any) -> None:
    (event,) = written(tmp_path, column, properties={"x": "x"})
    found = event["properties"].get("x")
    assert found == (Decimal(str(expected)) if isinstance(expected, float) else expected)


@pytest.mark.parametrize(("column", "expected"), COLUMNS.values(), ids=COLUMNS)
def test_a_parquet_id_is_plain_text(tmp_path: Path, column: pa.Array, expected: Any) -> None:
    found = written(tmp_path, column, user_id="x")
    if expected is None:
        assert found == []
        return
    (event,) = found
    assert isinstance(event["userId"], str)
    assert not event["userId"].startswith(("b'", "Decimal", "datetime", "[Decimal"))
    if isinstance(expected, str):
        assert event["userId"].replace("+00:00", "Z") == expected or "duration" in str(column.type)


@pytest.mark.parametrize(
    "column",
    [
        NS,
        NS.cast(pa.timestamp("us"), safe=False),
        NS.cast(pa.timestamp("ms"), safe=False),
        NS.cast(pa.timestamp("ns", "America/New_York")),
        pa.array(["2026-01-02T03:04:05.123456789"]),
        pa.array([b"2026-01-02T03:04:05.123Z"]),
        pa.array(["2026-01-02T03:04:05.123"]).dictionary_encode(),
    ],
    ids=lambda column: str(column.type),
)
def test_a_parquet_time_of_any_kind_is_the_events_time(tmp_path: Path, column: pa.Array) -> None:
    (event,) = written(tmp_path, column, timestamp={"column": "x"})
    assert event["timestamp"] == "2026-01-02T03:04:05.123Z"


def test_a_time_beyond_what_can_be_written_is_a_bad_timestamp(tmp_path: Path) -> None:
    for unit in ("ms", "us"):
        assert written(tmp_path, pa.array([2**62], pa.timestamp(unit)), timestamp={"column": "x"}) == []


def test_old_hive_times_beyond_2262_are_read(tmp_path: Path) -> None:
    moments = pa.array([datetime(2261, 1, 1, 1)], pa.timestamp("us"))
    table = pa.table({"who": ["ada"], "what": ["E"], "at": moments})
    pq.write_table(table, tmp_path / "t.parquet", use_deprecated_int96_timestamps=True)
    assert [e["timestamp"] for e in events(read(tmp_path / "t.parquet", "parquet", BASE))] == [
        "2261-01-01T01:00:00.000Z"
    ]


def test_what_another_writer_makes_of_its_types_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    duckdb.sql(
        f"""COPY (SELECT 'ada'::BLOB AS who, 'E' AS what, TIMESTAMP '2026-01-02 03:04:05' AS at,
        UUID '{ID}' AS id, MAP {{'a': 1}} AS m, {{'b': [1, 2]}} AS s, 'x'::ENUM('x', 'y') AS e,
        TIMESTAMP_NS '2026-01-02 03:04:05.5' AS ns, TIME '03:04:05' AS t, '\\xFF\\x00'::BLOB AS raw,
        1.50::DECIMAL(9,2) AS price) TO '{path}' (FORMAT parquet)"""
    )
    names = ("id", "m", "s", "e", "ns", "t", "raw", "price")
    (event,) = events(read(path, "parquet", {**BASE, "properties": {name: name for name in names}}))
    assert event["userId"] == "ada"
    assert event["properties"] == {
        "id": str(ID), "m": {"a": 1}, "s": {"b": [1, 2]}, "e": "x", "ns": "2026-01-02T03:04:05.500000",
        "t": "03:04:05", "raw": "ff00", "price": 1.5,
    }  # fmt: skip

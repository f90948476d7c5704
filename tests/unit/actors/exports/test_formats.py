"""Files of each format, read back by other programs' readers and compared with the rows."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.exports.columns import TABLES, Table
from actors.exports.formats import FORMULAS, writer_of
from whisperer.vocabulary.exports import ExportFormat, ExportKind

TABLE = Table(
    pa.schema(
        [
            pa.field("text", pa.string()),
            pa.field("number", pa.int64()),
            pa.field("real", pa.float64()),
            pa.field("flag", pa.bool_()),
            pa.field("at", pa.timestamp("ms", "UTC")),
            pa.field("list", pa.list_(pa.string())),
            pa.field("map", pa.map_(pa.string(), pa.float64())),
            pa.field("raw", pa.string()),
        ]
    ),
    json=frozenset({"raw"}),
)
_TEXT = st.text(st.characters(codec="utf-8")) | st.sampled_from(
    ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "'=", 'a"b\r\nc', ""]
)
_REAL = st.floats(allow_nan=False, allow_infinity=False)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.none() | _TEXT,
            "number": st.none() | st.integers(-(2**63), 2**63 - 1),
            "real": st.none() | _REAL,
            "flag": st.none() | st.booleans(),
            "at": st.none() | st.integers(-60_000_000_000_000, 250_000_000_000_000),
            "list": st.none() | st.lists(_TEXT, max_size=3),
            "map": st.none() | st.dictionaries(_TEXT, st.none() | _REAL, max_size=3),
            "raw": st.none() | st.recursive(_TEXT | st.integers(), lambda one: st.dictionaries(_TEXT, one, max_size=3)).map(json.dumps),
        }
    ),
    max_size=8,
)  # fmt: skip


class Sink(io.BytesIO):
    """Keeps what was written after it is closed."""

    def close(self) -> None: ...


def written(format: ExportFormat, table: Table, *batches: list[dict[str, Any]]) -> bytes:
    sink = Sink()
    writer = writer_of(format, table, sink)
    for rows in batches:
        columns = []
        for field in table.schema:
            values = [row[field.name] for row in rows]
            if pa.types.is_timestamp(field.type):
                columns.append(pa.array(values, pa.int64()).cast(field.type))
            elif pa.types.is_map(field.type):
                columns.append(pa.array([v if v is None else list(v.items()) for v in values], field.type))
            else:
                columns.append(pa.array(values, field.type))
        writer.write(pa.RecordBatch.from_arrays(columns, schema=table.schema))
    writer.close()
    return sink.getvalue()


def moment(ms: int | None) -> str | None:
    if ms is None:
        return None
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return f"{at:%m-%dT%H:%M:%S}".join([f"{at.year:04}-", f".{at.microsecond // 1000:03}Z"])


@settings(max_examples=60)
@given(ROWS)
def test_ndjson_has_every_value_as_it_is(rows: list[dict[str, Any]]) -> None:
    lines = written(ExportFormat.NDJSON, TABLE, rows[:3], rows[3:]).decode().split("\n")
    assert lines.pop() == ""
    expected = [
        row | {"at": moment(row["at"]), "raw": None if row["raw"] is None else json.loads(row["raw"])} for row in rows
    ]
    assert [json.loads(line) for line in lines] == expected


@settings(max_examples=60)
@given(ROWS)
def test_csv_is_read_back_by_python_s_reader_without_formulas(rows: list[dict[str, Any]]) -> None:
    text = written(ExportFormat.CSV, TABLE, rows[:3], rows[3:]).decode()
    header, *found = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header == TABLE.schema.names
    assert len(found) == len(rows)
    for cells, row in zip(found, rows, strict=True):
        cell = dict(zip(header, cells, strict=True))
        told = row["text"] or ""
        assert cell["text"] == ("'" + told if told.startswith(FORMULAS) else told)
        assert cell["number"] == ("" if row["number"] is None else str(row["number"]))
        assert (float(cell["real"]) if cell["real"] else None) == row["real"]
        assert cell["flag"] == {None: "", True: "true", False: "false"}[row["flag"]]
        assert cell["at"] == (moment(row["at"]) or "").removeprefix("'")
        assert (json.loads(cell["list"]) if cell["list"] else None) == row["list"]
        assert (json.loads(cell["map"]) if cell["map"] else None) == row["map"]
        raw = cell["raw"].removeprefix("'") if row["raw"] is not None and row["raw"].startswith("-") else cell["raw"]
        assert (json.loads(raw) if raw else None) == (None if row["raw"] is None else json.loads(row["raw"]))


@settings(max_examples=60)
@given(ROWS)
def test_parquet_has_every_value_as_it_is(rows: list[dict[str, Any]]) -> None:
    found = pq.read_table(pa.py_buffer(written(ExportFormat.PARQUET, TABLE, rows[:3], rows[3:])))
    assert found.schema.equals(TABLE.schema)
    times = found["at"].cast(pa.int64()).to_pylist()
    assert times == [row["at"] for row in rows]
    rest = found.drop_columns(["at"]).to_pylist(maps_as_pydicts="strict")
    assert rest == [{name: value for name, value in row.items() if name != "at"} for row in rows]


def test_what_a_client_wrote_keeps_its_spelling_on_one_line() -> None:
    raw = '{"a" : 1.0,\n "a":1e2,\r\n"z":"\\n","b":-0}'
    row = dict.fromkeys(TABLE.schema.names) | {"raw": raw}
    line = written(ExportFormat.NDJSON, TABLE, [row])
    assert line.count(b"\n") == 1
    assert raw.replace("\n", " ").replace("\r", " ").encode() in line
    found = pq.read_table(pa.py_buffer(written(ExportFormat.PARQUET, TABLE, [row])))
    assert found["raw"].to_pylist() == [raw]


@pytest.mark.parametrize("kind", ExportKind)
def test_an_export_without_rows_has_its_columns(kind: ExportKind) -> None:
    table = TABLES[kind]
    assert pq.read_table(pa.py_buffer(written(ExportFormat.PARQUET, table))).schema.equals(table.schema)
    assert written(ExportFormat.CSV, table) == ",".join(table.schema.names).encode() + b"\r\n"
    assert written(ExportFormat.NDJSON, table) == b""


def test_the_schema_does_not_depend_on_the_first_rows() -> None:
    nothing = dict.fromkeys(TABLE.schema.names)
    some = nothing | {"real": 1.5, "list": ["a"], "map": {"x": 1.0}}
    first = pq.read_schema(pa.py_buffer(written(ExportFormat.PARQUET, TABLE, [nothing], [some])))
    other = pq.read_schema(pa.py_buffer(written(ExportFormat.PARQUET, TABLE, [some], [nothing])))
    assert first.equals(other)


def test_row_groups_of_parquet_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.exports.formats.GROUP_ROWS", 10)
    row = dict.fromkeys(TABLE.schema.names)
    file = pq.ParquetFile(pa.py_buffer(written(ExportFormat.PARQUET, TABLE, *[[row] * 4] * 9)))
    sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert sum(sizes) == 36
    assert max(sizes) <= 10

"""Reads files in chunks of rows: the format selects the reader, the map selects the columns.

Memory is bounded by the chunk, whatever the file's size. A CSV row with the wrong number of fields or a JSON line that
is not an object is a `malformed_row`: rejected and numbered like the others, and reading continues. Blank lines are not
rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from whisperer.errors import RequestError

from .chunk import MappedChunk
from .csv_table import CsvTable
from .json_lines import JsonLines, JsonLinesTable
from .map_file import ImportMap
from .mapper import RowMapper
from .parquet_table import ParquetTable
from .segment_lines import events_of_lines

FORMATS = ("csv", "jsonl", "parquet")


class FileError(RequestError):
    """The file cannot be read in its stated format."""

    code = "invalid_file"


class Source(Protocol):
    """A file being read: its chunks, already turned into events."""

    def chunks(self, after_row: int) -> Iterator[MappedChunk]:
        """Yield chunks of the rows after ``after_row``, without malformed rows before it. Raises FileError."""
        ...

    def fraction(self) -> float:
        """Return how much of the file has been read, 0..1."""
        ...

    def close(self) -> None: ...


def open_source(path: Path, format: str, rules: ImportMap | None, file_id: str) -> Source:
    """Open a table under a map or, if there is no map, Segment events one per line. Raises FileError, MapError."""
    if format not in FORMATS:
        raise FileError(f"unknown format {format!r}: choose one of {', '.join(FORMATS)}")
    try:
        if rules is None:
            if format != "jsonl":
                raise FileError("--segment reads Segment events one a line: the format is jsonl")
            return SegmentSource(JsonLines(path), file_id)
        table: ParquetTable | CsvTable | JsonLinesTable
        if format == "parquet":
            table = ParquetTable(path, rules)
        elif format == "csv":
            table = CsvTable(path, rules)
        else:
            table = JsonLinesTable(path, rules)
        return TableSource(table, RowMapper(rules, file_id), path)
    except (OSError, pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise FileError(f"{path} cannot be read as {format}: {error}") from error


class TableSource:
    """A table whose rows a map turns into events."""

    def __init__(self, table: ParquetTable | CsvTable | JsonLinesTable, mapper: RowMapper, path: Path) -> None:
        self._table = table
        self._mapper = mapper
        self._path = path

    def chunks(self, after_row: int) -> Iterator[MappedChunk]:
        try:
            for chunk in self._table.chunks():
                rest = chunk.after(after_row)
                if len(rest):
                    yield self._mapper.events_of(rest)
        except (OSError, EOFError, UnicodeError, pa.ArrowInvalid) as error:
            raise FileError(f"{self._path} is damaged or not in its stated encoding: {error}") from error

    def fraction(self) -> float:
        return self._table.fraction()

    def close(self) -> None:
        self._table.close()


class SegmentSource:
    """A file of Segment events, one per line."""

    def __init__(self, lines: JsonLines, file_id: str) -> None:
        self._lines = lines
        self._file_id = file_id

    def chunks(self, after_row: int) -> Iterator[MappedChunk]:
        try:
            for lines in self._lines.chunks():
                rest = [(row, line) for row, line in lines if row > after_row]
                if rest:
                    yield events_of_lines(rest, self._file_id)
        except (OSError, EOFError) as error:
            raise FileError(f"{self._lines.path} is damaged: {error}") from error

    def fraction(self) -> float:
        return self._lines.fraction()

    def close(self) -> None:
        self._lines.close()

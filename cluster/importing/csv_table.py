"""Reads CSV in blocks, every column as text, because types guessed from the first rows break on later ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from .chunk import CHUNK_ROWS, Reject, TableChunk
from .columns import Column
from .map_file import ImportMap
from .raw_file import RawFile

_BLOCK_BYTES = 8 << 20  # the longest row that is read
_SHOWN = 500  # characters of a malformed row that are kept


class CsvTable:
    """A CSV file as chunks of table rows."""

    def __init__(self, path: Path, rules: ImportMap) -> None:
        self._rules = rules
        self._names = list(rules.columns())
        self._malformed: deque[tuple[int, str]] = deque()
        header = RawFile(path)
        try:
            if rules.csv.encoding.lower().replace("-", "") == "utf8":
                header.require_utf8()
            rules.check_columns(self._opened(header, None, lambda _row: "skip").schema.names)
        finally:
            header.close()
        self._file = RawFile(path)
        try:
            self._reader = self._opened(self._file, self._names, self._on_malformed)
        except BaseException:
            self._file.close()
            raise

    def _opened(self, file: RawFile, names: list[str] | None, on_malformed: Any) -> Any:
        csv = self._rules.csv
        return pacsv.open_csv(
            file.stream,
            read_options=pacsv.ReadOptions(use_threads=False, encoding=csv.encoding, block_size=_BLOCK_BYTES),
            parse_options=pacsv.ParseOptions(
                delimiter=csv.delimiter,
                quote_char=csv.quote,
                newlines_in_values=True,
                invalid_row_handler=on_malformed,
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names or (), pa.string()),
                include_columns=names or (),
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
                null_values=csv.nulls,
            ),
        )

    def _on_malformed(self, row: pacsv.InvalidRow) -> str:
        text = row.text if len(row.text) <= _SHOWN else row.text[:_SHOWN] + "..."
        words = f"{row.actual_columns} fields instead of {row.expected_columns}: {text}"
        self._malformed.append((row.number - 1, words))  # Arrow counts the header as row 1
        return "skip"

    def chunks(self) -> Iterator[TableChunk]:
        taken = 0
        for batch in self._reader:
            for start in range(0, batch.num_rows, CHUNK_ROWS):
                part = batch.slice(start, CHUNK_ROWS)
                rows, malformed = self._numbered(taken, part.num_rows)
                taken += len(rows) + len(malformed)
                yield TableChunk(rows, {name: Column(part.column(name)) for name in self._names}, malformed)
        rest = [_reject(taken + i, words) for i, (_, words) in enumerate(self._malformed, 1)]
        self._malformed.clear()
        if rest:
            yield TableChunk([], {name: Column(pa.array([], pa.string())) for name in self._names}, rest)

    def _numbered(self, taken: int, n_rows: int) -> tuple[list[int], list[Reject]]:
        """Return the numbers of the next n good rows, and the malformed rows that precede them.

        Arrow parses a block before it yields its rows, so a batch's malformed rows are known here.
        """
        rows: list[int] = []
        malformed: list[Reject] = []
        number = taken
        while len(rows) < n_rows:
            if self._malformed and self._malformed[0][0] <= number + 1:
                number += 1
                malformed.append(_reject(number, self._malformed.popleft()[1]))
                continue
            run = n_rows - len(rows)
            if self._malformed:
                run = min(run, self._malformed[0][0] - number - 1)
            rows.extend(range(number + 1, number + run + 1))
            number += run
        return rows, malformed

    def fraction(self) -> float:
        return self._file.fraction()

    def close(self) -> None:
        self._reader.close()
        self._file.close()


def _reject(row: int, words: str) -> Reject:
    return Reject(row, "malformed_row", words)

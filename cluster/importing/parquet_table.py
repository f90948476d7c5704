"""Reads Parquet a batch of rows at a time, and only the columns that the map names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from .arrow_values import text_where_it_is
from .chunk import CHUNK_ROWS, TableChunk
from .columns import Column
from .map_file import ImportMap


class ParquetTable:
    """A Parquet file as chunks of table rows."""

    def __init__(self, path: Path, rules: ImportMap) -> None:
        self._file = pq.ParquetFile(path, coerce_int96_timestamp_unit="us")  # nanoseconds end in 2262
        rules.check_columns(self._file.schema_arrow.names)
        self._names = list(rules.columns())
        self._total = max(1, self._file.metadata.num_rows)
        self._read = 0

    def chunks(self) -> Iterator[TableChunk]:
        for batch in self._file.iter_batches(batch_size=CHUNK_ROWS, columns=self._names, use_threads=False):
            first = self._read + 1
            self._read += batch.num_rows
            columns = {name: Column(text_where_it_is(batch.column(name))) for name in self._names}
            yield TableChunk(list(range(first, self._read + 1)), columns)

    def fraction(self) -> float:
        return float(self._read / self._total)

    def close(self) -> None:
        self._file.close()

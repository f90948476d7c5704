"""Reads JSON lines: raw lines for Segment events, or objects whose keys (or dotted paths) are a table's columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from .chunk import CHUNK_ROWS, Reject, TableChunk
from .columns import Column
from .map_file import ImportMap
from .raw_file import RawFile
from .written import json_float

_MAX_LINE_BYTES = 1 << 20

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_decode = msgspec.json.Decoder(dict[str, Any], float_hook=json_float).decode


class JsonLines:
    """Non-blank lines, numbered from 1. Of a line over 1 MiB only the start is kept, which is no longer valid JSON."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = RawFile(path)
        self._file.require_utf8()

    def chunks(self) -> Iterator[list[tuple[int, bytes]]]:
        chunk: list[tuple[int, bytes]] = []
        for row, line in enumerate(self._lines(), 1):
            chunk.append((row, line))
            if len(chunk) == CHUNK_ROWS:
                yield chunk
                chunk = []
        if chunk:
            yield chunk

    def _lines(self) -> Iterator[bytes]:
        read = self._file.stream.readline
        while line := read(_MAX_LINE_BYTES):
            part = line
            while len(part) == _MAX_LINE_BYTES and not part.endswith(b"\n"):
                part = read(_MAX_LINE_BYTES)
            line = line.removeprefix(_BYTE_ORDER_MARK).strip()  # concatenated files have more than one
            if line:
                yield line

    def fraction(self) -> float:
        return self._file.fraction()

    def close(self) -> None:
        self._file.close()


class JsonLinesTable:
    """Objects as rows. A key missing from a row is null there; the identity and time columns must exist."""

    def __init__(self, path: Path, rules: ImportMap) -> None:
        self._lines = JsonLines(path)
        self._rules = rules
        self._names = list(rules.columns())
        self._checked = False

    def chunks(self) -> Iterator[TableChunk]:
        for lines in self._lines.chunks():
            rows: list[int] = []
            objects: list[dict[str, Any]] = []
            malformed: list[Reject] = []
            for row, line in lines:
                try:
                    objects.append(_decode(line))
                    rows.append(row)
                except (msgspec.DecodeError, RecursionError) as error:
                    malformed.append(Reject(row, "malformed_row", f"the line is not a JSON object: {error}"))
            if objects and not self._checked:
                self._check(objects)
            columns = {name: Column.of_values([_at(o, name) for o in objects]) for name in self._names}
            yield TableChunk(rows, columns, malformed)

    def _check(self, objects: list[dict[str, Any]]) -> None:
        """Treat a required name that no object of the first chunk has as a misspelling. Raises MapError."""
        keys = dict.fromkeys(key for o in objects for key in o)
        paths = [name for name in self._names if name not in keys and any(_at(o, name) is not None for o in objects)]
        self._rules.check_columns([*keys, *paths], only=("user_id", "anonymous_id", "timestamp", "event", "type"))
        self._checked = True

    def fraction(self) -> float:
        return self._lines.fraction()

    def close(self) -> None:
        self._lines.close()


def _at(row: dict[str, Any], name: str) -> Any:
    if name in row:
        return row[name]
    if "." not in name:
        return None
    value: Any = row
    for key in name.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value

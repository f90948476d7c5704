"""Parses the import map, which says how the columns of a table become Segment events.

Decides what a map may say, and whether it is consistent in itself and with the columns of a file. Errors name the place
in the map, what was expected there and the nearest existing name. Applying a map to rows is ``mapper``'s work.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import UNSET, UnsetType

from whisperer.errors import RequestError

EventKind = Literal["track", "identify", "page", "screen"]
Scalar = str | int | float | bool


class MapError(RequestError):
    """The map cannot be used; the message says where, and what to write instead."""

    code = "invalid_map"


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"as_": "as", "is_": "is", "in_": "in"}):
    pass


class ColumnRef(_Part, frozen=True):
    """A column, and what its values become: by default Parquet and JSON values keep their type and CSV stays text."""

    column: str
    as_: Literal["text", "integer", "number", "boolean"] | None = None


ColumnSpec = str | ColumnRef


class EventName(_Part, frozen=True):
    """The event's name: a constant, a column, or a column whose values are renamed (others keep their own name)."""

    constant: str | None = None
    column: str | None = None
    values: dict[str, str] = {}

    def __post_init__(self) -> None:
        if (self.constant is None) == (self.column is None):
            raise ValueError('give either {"constant": "Purchase"} or {"column": "event"}')
        if self.values and self.column is None:
            raise ValueError('"values" renames the values of a "column"')


class KindByColumn(_Part, frozen=True):
    """A row's kind of call, by a column's value; a value that is not listed is a track."""

    column: str
    values: dict[str, EventKind]


class Timestamp(_Part, frozen=True):
    """Event time: a date or time column, text (ISO 8601 or ``format``), or a number of units since ``origin``.

    ``time_zone`` is where times without an offset were written. A local time that occurs twice (clocks going back) is
    its first occurrence; one that does not occur (clocks going forward) is the instant of the jump.
    """

    column: str
    format: str | None = None
    unit: Literal["days", "hours", "minutes", "seconds", "milliseconds", "microseconds"] | None = None
    origin: str | None = None
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        if self.origin is not None and self.unit is None:
            raise ValueError('"origin" needs a "unit": "days", "hours", "minutes", "seconds" ...')
        if self.format is not None and self.unit is not None:
            raise ValueError('"format" reads text, "unit" reads numbers: give one of them')
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"time_zone {self.time_zone!r} is not an IANA name such as Europe/London") from error


class Revenue(_Part, frozen=True):
    """Revenue in whole currency units: a column, or the exact product of several. Sent with at most 6 decimals."""

    column: str | None = None
    product: list[str] = []
    currency: str | None = None

    def __post_init__(self) -> None:
        if (self.column is None) == (not self.product):
            raise ValueError('give either {"column": "amount"} or {"product": ["Quantity", "UnitPrice"]}')

    @property
    def columns(self) -> list[str]:
        return [self.column] if self.column is not None else self.product


class SkipWhen(_Part, frozen=True):
    """Rows not to send, counted under ``reason``. The first condition that holds counts. Times are ISO 8601."""

    reason: str
    column: str
    is_: Literal["null", "not_null"] | UnsetType = UNSET
    equals: Scalar | UnsetType = UNSET
    in_: list[Scalar] | UnsetType = UNSET
    before: str | UnsetType = UNSET
    at_or_after: str | UnsetType = UNSET

    def __post_init__(self) -> None:
        given = [f for f in (self.is_, self.equals, self.in_, self.before, self.at_or_after) if f is not UNSET]
        if len(given) != 1:
            raise ValueError('give exactly one of "is", "equals", "in", "before", "at_or_after"')
        if not self.reason:
            raise ValueError('"reason" is the name under which skipped rows are counted: it cannot be empty')


class CsvFormat(_Part, frozen=True):
    """How a CSV file is written."""

    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf8"
    nulls: list[str] = msgspec.field(default_factory=lambda: [""])

    def __post_init__(self) -> None:
        if len(self.delimiter) != 1 or len(self.quote) != 1:
            raise ValueError('"delimiter" and "quote" are one character each')


class ImportMap(_Part, frozen=True):
    """The whole map. Property and trait names are keys; nulls (and NaN) are left out of the event."""

    event: EventName | None = None
    timestamp: Timestamp | None = None
    schema: str | None = msgspec.field(default=None, name="$schema")
    description: str = ""
    type: EventKind | KindByColumn = "track"
    user_id: ColumnSpec | None = None
    anonymous_id: ColumnSpec | None = None
    revenue: Revenue | None = None
    properties: dict[str, ColumnSpec] = {}
    traits: dict[str, ColumnSpec] = {}
    context: dict[str, Any] = {}
    skip_when: list[SkipWhen] = []
    csv: CsvFormat = CsvFormat()

    def __post_init__(self) -> None:
        if self.user_id is None and self.anonymous_id is None:
            raise ValueError('a map needs "user_id" or "anonymous_id": the column that says whose event a row is')
        if self.timestamp is None:
            raise ValueError('a map needs "timestamp", e.g. {"column": "InvoiceDate"}')
        if self.event is None and "identify" not in self.kinds:
            raise ValueError('a map needs "event", e.g. {"constant": "Purchase"} or {"column": "event"}')
        if self.traits and "identify" not in self.kinds:
            raise ValueError('"traits" belong to identify rows: set "type" to "identify" or choose it by a column')

    @property
    def kinds(self) -> set[str]:
        """The kinds of call that rows may become."""
        return {self.type} if isinstance(self.type, str) else {"track", *self.type.values.values()}

    def columns(self) -> dict[str, str]:
        """Return every column the map reads, with the place in the map that first names it."""
        places: list[tuple[str | None, str]] = [
            (_name(self.user_id), "user_id"),
            (_name(self.anonymous_id), "anonymous_id"),
        ]
        if isinstance(self.type, KindByColumn):
            places.append((self.type.column, "type.column"))
        if self.event is not None:
            places.append((self.event.column, "event.column"))
        if self.timestamp is not None:
            places.append((self.timestamp.column, "timestamp.column"))
        if self.revenue is not None:
            places += [(c, "revenue") for c in self.revenue.columns]
        places += [(_name(c), f"properties.{name}") for name, c in self.properties.items()]
        places += [(_name(c), f"traits.{name}") for name, c in self.traits.items()]
        places += [(s.column, f"skip_when[{i}].column") for i, s in enumerate(self.skip_when)]
        found: dict[str, str] = {}
        for column, place in places:
            if column is not None:
                found.setdefault(column, place)
        return found

    def check_columns(self, present: Iterable[str], only: tuple[str, ...] = ()) -> None:
        """Raise MapError for a column that the file lacks; ``only`` limits the check to these parts of the map."""
        names = list(present)
        for column, place in self.columns().items():
            if names.count(column) > 1:
                raise MapError(f"{place}: the file has {names.count(column)} columns {column!r}; rename all but one.")
            if column not in names and (not only or place.split(".")[0] in only):
                near = difflib.get_close_matches(column, names, n=1, cutoff=0.5)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise MapError(f"{place}: the file has no column {column!r}.{hint} Its columns: {', '.join(names)}.")


def _name(spec: ColumnSpec | None) -> str | None:
    return spec.column if isinstance(spec, ColumnRef) else spec


def load_map(path: Path) -> tuple[ImportMap, bytes]:
    """Load the map from a JSON file; return it and the file's bytes. Raises MapError."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise MapError(f"cannot read the map {path}: {error.strerror}") from error
    return parse_map(text, where=str(path)), text


def parse_map(text: bytes, *, where: str = "map") -> ImportMap:
    """Parse and check a map; ``where`` names it in errors. Raises MapError."""
    try:
        return msgspec.json.decode(text, type=ImportMap)
    except msgspec.ValidationError as error:
        raise MapError(f"{where}: {error}{_spelling(str(error))}") from error
    except msgspec.DecodeError as error:
        raise MapError(f"{where} is not JSON: {error}") from error


def _spelling(message: str) -> str:
    if "unknown field" not in message:
        return ""
    known = sorted({name for part in _PARTS for name in _fields(part)})
    near = difflib.get_close_matches(message.split("`")[1], known, n=1, cutoff=0.5)
    return f". Did you mean `{near[0]}`?" if near else f". A map may hold: {', '.join(_fields(ImportMap))}."


_PARTS = (ImportMap, ColumnRef, EventName, KindByColumn, Timestamp, Revenue, SkipWhen, CsvFormat)


def _fields(part: type[msgspec.Struct]) -> list[str]:
    return [f.encode_name for f in msgspec.structs.fields(part)]


def map_schema() -> bytes:
    """Return the JSON Schema of a map, for editors."""
    return json.dumps(msgspec.json.schema(ImportMap), indent=2).encode()

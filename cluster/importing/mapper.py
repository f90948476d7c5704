"""Turns rows of a table into Segment events, as an import map says.

Decides each row's fate before anything is sent: skipped for a reason, rejected with a code (`missing_identity`,
`missing_event`, `bad_timestamp`, `bad_revenue`), or an event with messageId ``<file>-<row>``. Times and money are
computed a column at a time; only the event is assembled row by row.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from .chunk import MappedChunk, Outgoing, Reject, TableChunk
from .columns import Column, converted
from .conditions import keep_mask
from .map_file import ColumnRef, ColumnSpec, ImportMap
from .money import json_amount, revenue_micro
from .times import iso_texts, to_ms
from .written import as_text


class _Event(msgspec.Struct, omit_defaults=True, gc=False):
    type: str
    messageId: str  # noqa: N815
    timestamp: str
    userId: str | None = None  # noqa: N815
    anonymousId: str | None = None  # noqa: N815
    event: str | None = None
    name: str | None = None
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None


_encode = msgspec.json.Encoder(decimal_format="number").encode


def identify_suffix(kind: str) -> str:
    """Return the suffix that gives identify rows their own ids, so that one file can supply traits under one map and
    events under another.
    """
    return "-i" if kind == "identify" else ""


class RowMapper:
    """Applies one map to chunks of one file; ``file_id`` is the file's content hash, the start of every messageId."""

    def __init__(self, rules: ImportMap, file_id: str) -> None:
        self.rules = rules
        self.file_id = file_id

    def events_of(self, chunk: TableChunk) -> MappedChunk:
        """Map a chunk: each of its rows is an event, skipped, or rejected."""
        rules = self.rules
        keep, skipped = keep_mask(chunk.columns, len(chunk.rows), rules)
        rows, columns = chunk.rows, chunk.columns
        if skipped:
            rows = np.array(rows)[keep].tolist()
            columns = {name: column.keep(keep) for name, column in columns.items()}
        mapped = MappedChunk(len(chunk), [], skipped, list(chunk.malformed))
        if rows:
            self._map(rows, columns, mapped)
        return mapped

    def _map(self, rows: list[int], columns: dict[str, Column], mapped: MappedChunk) -> None:
        rules = self.rules
        n = len(rows)
        assert rules.timestamp is not None
        ms, readable = to_ms(columns[rules.timestamp.column], rules.timestamp)
        bad_times = not readable.all()
        users, anonymous = _ids(rules.user_id, columns, n), _ids(rules.anonymous_id, columns, n)
        kinds, names = self._kinds(columns, n), self._names(columns, n)
        properties = _bags(rules.properties, columns, n)
        traits = _bags(rules.traits, columns, n)
        bad_money = self._add_revenue(columns, properties)
        id_head = self.file_id + "-"
        for i, (row, user, anonymous_id, kind, name, time) in enumerate(
            zip(rows, users, anonymous, kinds, names, iso_texts(ms), strict=True)
        ):
            if user is None and anonymous_id is None:
                mapped.rejects.append(Reject(row, "missing_identity", "neither a user id nor an anonymous id"))
            elif bad_times and not readable[i]:
                shown = columns[rules.timestamp.column].values()[i]
                mapped.rejects.append(Reject(row, "bad_timestamp", f"cannot read {shown!r} as the map's timestamp"))
            elif kind == "identify":
                message_id = id_head + str(row) + identify_suffix(kind)
                event = _Event(kind, message_id, time, user, anonymous_id, traits=traits[i])
                self._add(mapped, row, event)
            elif not name and kind == "track":
                mapped.rejects.append(Reject(row, "missing_event", "the row has no event name"))
            elif i in bad_money:
                mapped.rejects.append(Reject(row, "bad_revenue", f"cannot compute revenue from {bad_money[i]}"))
            else:
                message_id = id_head + str(row)
                event = _Event(kind, message_id, time, user, anonymous_id, properties=properties[i])
                if kind == "track":
                    event.event = name
                else:
                    event.name = name
                self._add(mapped, row, event)

    def _add(self, mapped: MappedChunk, row: int, event: _Event) -> None:
        try:
            body = _encode(event)
        except (TypeError, OverflowError, UnicodeError, RecursionError) as error:
            mapped.rejects.append(Reject(row, "invalid_value", f"a value of the row has no JSON form: {error}"))
            return
        mapped.events.append(Outgoing(row, event.userId or event.anonymousId or "", event.messageId, body))

    def _kinds(self, columns: dict[str, Column], n: int) -> list[str]:
        rule = self.rules.type
        if isinstance(rule, str):
            return [rule] * n
        known: dict[str, str] = dict(rule.values)
        return [known.get(as_text(v), "track") if v is not None else "track" for v in columns[rule.column].values()]

    def _names(self, columns: dict[str, Column], n: int) -> list[str | None]:
        rule = self.rules.event
        if rule is None or rule.column is None:
            return [rule.constant if rule else None] * n
        texts = [None if v is None else as_text(v) for v in columns[rule.column].values()]
        return [rule.values.get(t, t) if t is not None else None for t in texts] if rule.values else texts

    def _add_revenue(self, columns: dict[str, Column], properties: list[dict[str, Any]]) -> dict[int, str]:
        """Add revenue (and its currency) to the properties; return the rows where it cannot be computed, with the
        factors.
        """
        rule = self.rules.revenue
        if rule is None:
            return {}
        factors = [columns[name] for name in rule.columns]
        micro, bad = revenue_micro(factors)
        for bag, amount in zip(properties, micro, strict=True):
            if amount is not None:
                bag["revenue"] = json_amount(amount)
                if rule.currency is not None:
                    bag["currency"] = rule.currency
        return {i: " x ".join(repr(f.values()[i]) for f in factors) for i in np.flatnonzero(bad).tolist()}


def _ids(spec: ColumnSpec | None, columns: dict[str, Column], n: int) -> list[str | None]:
    """Return ids as text; null and empty text are not ids."""
    if spec is None:
        return [None] * n
    return [as_text(v) or None if v is not None else None for v in _values(spec, columns)]


def _values(spec: ColumnSpec, columns: dict[str, Column]) -> list[Any]:
    if isinstance(spec, ColumnRef):
        return converted(columns[spec.column], spec.as_)
    return columns[spec].values()


def _bags(specs: dict[str, ColumnSpec], columns: dict[str, Column], n: int) -> list[dict[str, Any]]:
    """Return one dict per row, without the nulls."""
    if not specs:
        return [{} for _ in range(n)]
    names = list(specs)
    lists = [[_finite(v) for v in _values(spec, columns)] for spec in specs.values()]
    if any(None in values for values in lists):
        return [{k: v for k, v in zip(names, row, strict=True) if v is not None} for row in zip(*lists, strict=True)]
    return [dict(zip(names, row, strict=True)) for row in zip(*lists, strict=True)]


def _finite(value: Any) -> Any:
    """Return an infinite number as text, since JSON has no infinity; other values unchanged."""
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return str(value)
    if isinstance(value, Decimal) and not value.is_finite():
        return str(value)
    return value

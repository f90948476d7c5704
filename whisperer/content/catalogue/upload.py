"""Read an upload of items: CSV, a JSON array, or JSON Lines, each refused with its line, all or nothing.

In a CSV file the first row names the fields, an empty cell is an absent value, and a list is written with ``|`` between
its texts. A line is the one on which an item begins, counted from 1.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import msgspec

from whisperer.content.catalogue.fields import (
    ID,
    MAX_ID_CHARS,
    MAX_ITEM_BYTES,
    MAX_PROBLEMS,
    Fields,
    ItemsError,
    checked_id,
    checked_item,
    encoded_item,
    pointer_step,
)
from whisperer.errors import Problem

LIST_SEPARATOR = "|"
_MAX_CELL = 64 * 1024

Items = dict[str, bytes]
"""Id -> the item as JSON."""


def read_items(fields: Fields, body: bytes, media_type: str, most: int) -> Items:
    """Return the items of an upload by their ids. Raises ItemsError with up to 100 problems, each with its line."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ItemsError([_problem(1, "invalid_text", f"this is not UTF-8: {error.reason}")]) from None
    lines = _csv(fields, text) if media_type == "text/csv" else _json(text)
    found: Items = {}
    problems: list[Problem] = []
    for line, given in lines:
        read = given if isinstance(given, str) else _item(fields, given)
        if isinstance(read, str):
            problems.append(_problem(line, "invalid_item", read))
        elif read[0] in found:
            problems.append(_problem(line, "repeated_id", f"the id {read[0]!r} was there before"))
        else:
            found[read[0]] = read[1]
            if len(found) > most:
                problems.append(_problem(line, "too_many", f"one call takes at most {most:,} items"))
        if len(problems) >= MAX_PROBLEMS or len(found) > most:
            break
    if problems:
        raise ItemsError(problems)
    return found


def _item(fields: Fields, given: Any) -> tuple[str, bytes] | str:
    if not isinstance(given, dict):
        return "write an object with an id"
    id = checked_id(given.get(ID))
    if id is None:
        return f"an id has 1 to {MAX_ID_CHARS} printable characters, no slash, and no space around it"
    values = checked_item(fields, given)
    if isinstance(values, str):
        return values
    text = encoded_item(id, values)
    return f"an item has at most {MAX_ITEM_BYTES:,} bytes as JSON" if text is None else (id, text)


def _json(text: str) -> Iterator[tuple[int, Any]]:
    if text.lstrip().startswith("["):
        try:
            pieces = msgspec.json.decode(text, type=list[msgspec.Raw])
        except (msgspec.DecodeError, RecursionError) as error:
            yield 1, f"this is not a JSON array: {error}"
            return
        line, counted, at = 1, 0, text.index("[") + 1
        for piece in pieces:
            raw = bytes(piece).decode()
            start = text.index(raw, at)  # between two there are only a comma and spaces
            line += text.count("\n", counted, start)
            counted, at = start, start + len(raw)
            yield line, _decoded(raw)
        return
    for number, one in enumerate(text.split("\n"), 1):
        if one.strip():
            yield number, _decoded(one)


def _decoded(text: str) -> Any:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        return f"this is not JSON: {error}"
    return found if isinstance(found, dict) else "write an object with an id"


def _csv(fields: Fields, text: str) -> Iterator[tuple[int, Any]]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    names: list[str] | None = None
    line = 1
    try:
        for row in rows:
            begun, line = line, rows.line_num + 1
            if names is None:
                names = [name.strip() for name in row]
                unknown = [name for name in names if name != ID and name not in fields]
                if unknown or ID not in names or len(set(names)) < len(names):
                    known = ", ".join([ID, *fields])
                    yield 1, f"the first row names {ID} and fields, each once; there are {known}"
                    return
            elif len(row) != len(names):
                if row:
                    yield begun, f"there are {len(row)} cells under {len(names)} names"
            else:
                yield begun, _of_cells(fields, names, row)
    except csv.Error as error:
        yield line, f"this is not CSV: {error}"


def _of_cells(fields: Fields, names: list[str], row: list[str]) -> dict[str, Any] | str:
    found: dict[str, Any] = {}
    for name, cell in zip(names, row, strict=True):
        if cell == "":
            continue
        kind = fields.get(name, "string")
        if len(cell) > _MAX_CELL:
            return f"the cell under {name} is too long"
        if kind == "number":
            found[name] = _number(cell)
        elif kind == "boolean":
            found[name] = {"true": True, "false": False}.get(cell.strip().lower(), cell)
        elif kind == "list":
            found[name] = [one.strip() for one in cell.split(LIST_SEPARATOR)]
        else:
            found[name] = cell
    return found


def _number(cell: str) -> int | float | str:
    """Return the number in a cell as JSON writes numbers, or the cell, which is then refused."""
    try:
        found = msgspec.json.decode(cell.strip())
    except (msgspec.DecodeError, RecursionError):
        return cell
    return found if isinstance(found, (int, float)) and not isinstance(found, bool) else cell


def _problem(line: int, code: str, message: str) -> Problem:
    return Problem(pointer=f"/{pointer_step(line)}", code=code, message=f"line {line}: {message}")

"""Reads an upload of coupon codes: CSV or plain lines, a JSON array, or JSON Lines; each refused with its line, all or
nothing.

A CSV file whose first row names a column `code` is read by it; otherwise each line is one code. JSON has texts, or
objects with a `code`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import msgspec

from cluster.control_plane.coupons import MAX_CODE_CHARS, is_code
from whisperer.content.catalogue.fields import MAX_PROBLEMS, ItemsError
from whisperer.errors import Problem

_HEADER = "code"
_JSON = ("application/json", "application/x-ndjson")


def read_codes(body: bytes, media_type: str, most: int) -> list[tuple[int, str]]:
    """Return the codes of an upload, each with its line. Raises ItemsError with up to 100 problems."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ItemsError([_problem(1, "invalid_text", f"this is not UTF-8: {error.reason}")]) from None
    found: list[tuple[int, str]] = []
    problems: list[Problem] = []
    is_json = media_type in _JSON or text.lstrip()[:1] in ("[", "{", '"')
    for line, given in _json(text) if is_json else _csv(text):
        code = given.get(_HEADER) if isinstance(given, dict) else given
        if not isinstance(code, str) or not is_code(code):
            message = f"a code has 1 to {MAX_CODE_CHARS} letters, digits, '-', '_' or '.', a letter or digit first"
            problems.append(_problem(line, "invalid_code", message))
        else:
            found.append((line, code))
            if len(found) > most:
                problems.append(_problem(line, "too_many", f"one call takes at most {most:,} codes"))
                break
        if len(problems) >= MAX_PROBLEMS:
            break
    if problems:
        raise ItemsError(problems)
    return found


def _json(text: str) -> Iterator[tuple[int, Any]]:
    """Yield each value with its line; with its place from 1 if it is one array. What is no JSON is yielded as None."""
    if text.lstrip().startswith("["):
        try:
            yield from enumerate(msgspec.json.decode(text, type=list[Any]), 1)
        except (msgspec.DecodeError, RecursionError):
            yield 1, None
        return
    for line, one in enumerate(text.split("\n"), 1):
        if one.strip():
            try:
                yield line, msgspec.json.decode(one)
            except (msgspec.DecodeError, RecursionError):
                yield line, None


def _csv(text: str) -> Iterator[tuple[int, Any]]:
    rows = csv.reader(io.StringIO(text, newline=""))
    column = 0
    for number, row in enumerate(rows):
        names = [cell.strip().lower() for cell in row]
        if number == 0 and _HEADER in names:
            column = names.index(_HEADER)
        elif any(names):
            yield rows.line_num, row[column].strip() if column < len(row) else None


def _problem(line: int, code: str, message: str) -> Problem:
    return Problem(pointer=f"/{line}", code=code, message=f"line {line}: {message}")

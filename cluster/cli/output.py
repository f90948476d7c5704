"""Formats output: tables and messages for people, one JSON document on stdout for programs, errors on stderr."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_LOG_TAIL_LINES = 25
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def print_json(document: Any) -> None:
    """Write one indented JSON document to stdout."""
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Print a table for people, or the text ``empty`` on stderr if there are no rows."""
    rows = list(rows)
    if not rows:
        Console(stderr=True).print(empty, markup=False)
        return
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    Console().print(table)


def print_styled(lines: Iterable[tuple[str, str]]) -> None:
    """Print lines, each with a style that only a terminal shows."""
    console = Console()
    for text, style in lines:
        console.print(_harmless(text), style=style, markup=False, highlight=False, soft_wrap=True)


def say(message: str) -> None:
    """Print a remark next to the result: on stderr, so that stdout contains only what a program reads."""
    Console(stderr=True).print(_harmless(message), markup=False, highlight=False, soft_wrap=True)


def fail(message: str, code: int, *, log: Path | None = None) -> NoReturn:
    """Print an error, after the end of ``log`` if there is one, and exit with ``code``."""
    console = Console(stderr=True)
    if log is not None and log.exists():
        lines = log.read_text("utf-8", "replace").splitlines()[-_LOG_TAIL_LINES:]
        for line in lines:
            console.print(f"  {_harmless(line)}", style="dim", markup=False, highlight=False, soft_wrap=True)
    console.print(f"error: {_harmless(message)}", style="red", markup=False, highlight=False, soft_wrap=True)
    if log is not None:
        console.print(f"The whole log is {log}", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)


def when(ms: int | None) -> str:
    """Format a time in milliseconds UTC for people."""
    return "" if ms is None else datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def size(n_bytes: int | float | None) -> str:
    """Format a number of bytes for people, in decimal units."""
    if n_bytes is None:
        return ""
    for unit in ("B", "KB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"


def _cell(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return escape("" if value is None else _harmless(str(value)))


def _harmless(text: str) -> str:
    """Replace terminal control characters: names and ids come from strangers, who need only a browser's key to set
    them.
    """
    return _CONTROLS.sub("\ufffd", text)

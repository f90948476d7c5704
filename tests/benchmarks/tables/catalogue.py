"""The tables that decisions are judged on, by name, and how they are run: one after the other, in this process.

A table is a module of this folder with ``run(data, **options)``; it takes the folder of the data and gives figures that
JSON can hold, ours beside the baselines. Guarantees: one that fails does not keep the next from running, and is not silent.
"""

from __future__ import annotations

import importlib
import json
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.screen import say

TABLES: Mapping[str, tuple[str, ...]] = {
    "T1": ("t1",),
    "T2": ("t2_uplift", "t2_replay"),
    "T3": ("t3",),
    "T4": ("t4",),
    "T5": ("t5",),
}
ALL = "all"


def modules(name: str) -> dict[str, str]:
    """Module by table: for ``T1`` to ``T5``, a half of T2 (``T2a``, ``T2b``) or ``all``, in either case of letters.

    Raises
    ------
    KeyError
        For another name.
    """
    every = {}
    for table, files in TABLES.items():
        every.update(
            {table + (letter if len(files) > 1 else ""): file for letter, file in zip("abcd", files, strict=False)}
        )
    asked = name.lower()
    wanted = {table: file for table, file in every.items() if asked in (ALL, table.lower(), table[:2].lower())}
    if not wanted:
        raise KeyError(name)
    return wanted


def run(wanted: Mapping[str, str], data: Path, options: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Figures by table, with the seconds each took; and the tables that failed."""
    figures: dict[str, Any] = {}
    failed = []
    for table, module in wanted.items():
        say(f"{table}: {module}")
        begun = time.perf_counter()
        try:
            figures[table] = importlib.import_module(f"{__package__}.{module}").run(data, **options)
        except Exception as error:
            traceback.print_exc()
            figures[table] = {"failed": f"{type(error).__name__}: {error}"}
            failed.append(table)
        figures[table]["seconds"] = round(time.perf_counter() - begun, 1)
    return figures, failed


def settings(given: Sequence[str]) -> dict[str, Any]:
    """``name=value`` pairs; a value is JSON where it can be read as such, and text otherwise.

    Raises
    ------
    ValueError
        For one without ``=``.
    """
    options: dict[str, Any] = {}
    for pair in given:
        name, found, value = pair.partition("=")
        if not found or not name.isidentifier():
            raise ValueError(f"an option is name=value, not {pair!r}")
        try:
            options[name] = json.loads(value)
        except json.JSONDecodeError:
            options[name] = value
    return options

"""Follows the logs of an installation's processes in a terminal: what `up --foreground` shows of it.

Shows new lines of ``<data-dir>/logs/*.log`` from the moment of the call on, at level WARNING and above, formatted for
people. Guarantees that it reads only what is new, a bounded part at a time, and never fails because of a file's
content. Writing the lines is left to `actors.telemetry.logs`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

SHOWN = frozenset(("WARNING", "ERROR", "CRITICAL"))
MAX_BYTES_AT_ONCE = 1 << 20
_TOLD = ("time", "level", "logger", "message", "process", "pid", "exception")


class LogView:
    """Reads new lines from a folder of log files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, tuple[int, int]] = {path: _place(path) for path in folder.glob("*.log")}
        """Inode and number of bytes read, per file."""

    def new(self) -> list[str]:
        """Return the lines since the last call, by process, oldest first."""
        return [line for path in sorted(self._folder.glob("*.log")) for line in self._of(path)]

    def _of(self, path: Path) -> Iterator[str]:
        inode, done = self._read.get(path, (0, 0))
        now_inode, size = _place(path)
        if inode != now_inode:  # a new file, or a large one was rotated
            done = 0
        if size <= done:
            self._read[path] = (now_inode, size)
            return
        try:
            with path.open("rb") as file:
                file.seek(done)
                text = file.read(MAX_BYTES_AT_ONCE)
        except OSError:
            return
        whole = text.rfind(b"\n") + 1  # the rest is still being written
        if not whole and len(text) == MAX_BYTES_AT_ONCE:
            whole = len(text)
        self._read[path] = (now_inode, done + whole)
        for line in text[:whole].splitlines():
            shown = _shown(line)
            if shown:
                yield shown


def _place(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_ino, found.st_size


def _shown(line: bytes) -> str | None:
    try:
        fields = msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = line.decode("utf-8", "replace")
        return text if any(f" {level} " in text for level in SHOWN) else None  # `logs.json = false`
    if fields.get("level") not in SHOWN:
        return None
    more = " ".join(f"{name}={value}" for name, value in fields.items() if name not in _TOLD)
    at = str(fields.get("time", ""))[11:19]
    shown = f"{at} {fields['level']} {fields.get('process')}: {fields.get('message')}" + (f" ({more})" if more else "")
    last = str(fields.get("exception") or "").strip().rpartition("\n")[2]  # the traceback is in the file
    return f"{shown}\n         {last}" if last else shown

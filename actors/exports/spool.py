"""Keep rows that a gateway gathered (users, the audit log) in a local file until a process writes the export from them.

One JSON object a line, with the columns of :mod:`.columns`; times are ms UTC, and JSON stands as it was written. This
is the gateway's side, which loads little; :mod:`.spooled` reads the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from actors.files.fsync import private


class Spool:
    """A file of rows, made by :meth:`begin`; ``n_rows`` and ``n_bytes`` count what is in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.n_rows = self.n_bytes = 0

    def begin(self) -> None:
        """Create the file, empty."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(private(str(self.path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC))

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Append rows; a value that is :class:`msgspec.Raw` stays as it was written."""
        lines = [on_one_line(msgspec.json.encode(row)) + b"\n" for row in rows]
        with self.path.open("ab") as file:
            file.writelines(lines)
        self.n_rows += len(lines)
        self.n_bytes += sum(map(len, lines))

    def remove(self) -> None:
        """Delete the file, if there is one."""
        self.path.unlink(missing_ok=True)


def on_one_line(json: bytes) -> bytes:
    """Return JSON without line breaks: between its parts they become spaces, and inside a text there are none."""
    if b"\n" in json or b"\r" in json:
        return json.replace(b"\n", b" ").replace(b"\r", b" ")
    return json

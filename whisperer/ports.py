"""What the core expects of the outside: the interfaces that adapters in `actors` implement.

One contract battery (`tests/contracts`) runs over every implementation of a port.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol


class Journal(Protocol):
    """An append-only log with one writer. A position (LSN) is a byte offset that only grows, over all segments.

    All methods block; callers run them in a thread. A journal whose ``append`` raised is dead: its owner must exit and
    recover (a failed fdatasync may have dropped the pages, so trying again would lie).
    """

    epoch: int
    """Fencing number of this incarnation, larger than that of every earlier one."""

    @property
    def end(self) -> int:
        """Position after the last durable record."""
        ...

    def append(self, records: Sequence[bytes]) -> list[int]:
        """Write the records and make them durable together; their positions. Raises JournalError."""
        ...

    def replay(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """(position, record) from ``start`` on, oldest first.

        Raises JournalDamagedError for damage before the last acknowledged position.
        """
        ...

    def read(self, position: int) -> bytes | None:
        """The record at a position, or None where it has been trimmed."""
        ...

    def trim(self, before: int) -> None:
        """Drop whole segments whose records all lie before a position."""
        ...

    def close(self) -> None: ...

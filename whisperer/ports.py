"""Define what the core expects from outside: the interfaces that adapters in `actors` implement.

The same contract tests (`tests/contracts`) run against every implementation of a port.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SegmentRange:
    """Locate a segment of a journal: positions [start, end). A closed segment never changes again, whatever crashes."""

    start: int
    end: int
    epoch: int
    closed: bool


class Journal(Protocol):
    """Store records in an append-only log with one writer.

    A position (LSN) counts bytes and only grows, over all segments. All methods block; callers run them in threads: one
    thread appends, rolls, trims and closes, while `read` and `replay` may run concurrently in others. Once ``append``
    has raised, the journal is dead: its owner must exit and recover, because going on would be guessing (a failed
    fdatasync may have dropped the pages, a server may have stored what it did not acknowledge).
    """

    @property
    def epoch(self) -> int:
        """Fencing number of this incarnation, larger than that of every earlier one."""
        ...

    @property
    def end(self) -> int:
        """Position after the last durable record."""
        ...

    @property
    def oldest(self) -> int:
        """Position of the oldest record kept; everything before it has been trimmed."""
        ...

    @property
    def trouble(self) -> str | None:
        """Why an append is waiting at the moment; None if nothing holds it up."""
        ...

    def append(self, records: Sequence[bytes]) -> list[int]:
        """Write the records, make them durable together, and return their positions. Raises JournalError."""
        ...

    def roll(self) -> int:
        """Close the open segment unless it is empty; return the position where the segment that is now open starts."""
        ...

    def segments(self) -> list[SegmentRange]:
        """Return every closed segment that holds records, and the open one, oldest first, without gaps."""
        ...

    def replay(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield (position, record) in [start, stop), oldest first; ``stop`` None means the end as of this call.

        ``start`` must be a record's position or the end. Raises JournalDamagedError for damage before the last
        acknowledged position or a ``start`` beyond the end, and JournalError (code ``journal_trimmed``) for a ``start``
        before :attr:`oldest`.
        """
        ...

    def read(self, position: int) -> bytes | None:
        """Return the record at a position, or None if it has been trimmed."""
        ...

    def trim(self, before: int) -> None:
        """Drop the closed segments whose records are all before a position."""
        ...

    def close(self) -> None: ...

"""What the core expects of the outside: the interfaces that adapters in `actors` implement.

One contract battery (`tests/contracts`) runs over every implementation of a port.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SegmentRange:
    """Positions [start, end) of one segment of a journal. A closed segment never changes again, whatever crashes."""

    start: int
    end: int
    epoch: int
    closed: bool


class Journal(Protocol):
    """An append-only log with one writer. A position (LSN) counts bytes and only grows, over all segments.

    All methods block; callers run them in a thread: one thread appends, rolls, trims and closes, while `read` and
    `replay` may run beside it in others. A journal whose ``append`` raised is dead: its owner must exit and recover (a
    failed fdatasync may have dropped the pages, a server may have stored what it did not answer: to go on would be to
    guess).
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
        """Position of the oldest record kept; everything before it was trimmed."""
        ...

    @property
    def trouble(self) -> str | None:
        """Why an append waits at the moment, None while nothing is in its way."""
        ...

    def append(self, records: Sequence[bytes]) -> list[int]:
        """Write the records and make them durable together; their positions. Raises JournalError."""
        ...

    def roll(self) -> int:
        """Close the open segment, unless it is empty; the position at which the now open one starts."""
        ...

    def segments(self) -> list[SegmentRange]:
        """Every closed segment that holds records and the open one, oldest first, without gaps."""
        ...

    def replay(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        """(position, record) in [start, stop), oldest first; ``stop`` None means the end as of this call.

        ``start`` must be a record's position or the end. Raises JournalDamagedError for damage before the last
        acknowledged position or a ``start`` beyond the end, and JournalError (code ``journal_trimmed``) for one before
        :attr:`oldest`.
        """
        ...

    def read(self, position: int) -> bytes | None:
        """The record at a position, or None where it has been trimmed."""
        ...

    def trim(self, before: int) -> None:
        """Drop the closed segments whose records all lie before a position."""
        ...

    def close(self) -> None: ...

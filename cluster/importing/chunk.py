"""Defines what the steps of an import pass to each other: a chunk of rows, and what became of each row.

Rows are numbered from 1 in file order. A row's number is part of its messageId, so it never depends on where an import
was resumed or how the file was cut into chunks.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .columns import Column

CHUNK_ROWS = 4_000


class Outgoing(NamedTuple):
    """One event to send. ``user`` is the id that selects the lane; ``body`` is its JSON."""

    row: int
    user: str
    message_id: str
    body: bytes


@dataclass(slots=True, frozen=True)
class Reject:
    """A row that will not be stored, with code and message; ``event`` is what was sent, if anything."""

    row: int
    code: str
    message: str
    message_id: str = ""
    event: bytes = b"null"


@dataclass(slots=True)
class TableChunk:
    """Rows of a table, column by column. ``malformed`` rows are numbered with the others but are not in the columns."""

    rows: list[int]
    columns: dict[str, Column]
    malformed: list[Reject] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows) + len(self.malformed)

    def after(self, row: int) -> TableChunk:
        """Return the part of the chunk after a row; rows of a chunk are in order."""
        first = bisect_right(self.rows, row)
        malformed = [reject for reject in self.malformed if reject.row > row]
        if first == 0 and len(malformed) == len(self.malformed):
            return self
        mask = np.arange(len(self.rows)) >= first
        columns = {name: column.keep(mask) for name, column in self.columns.items()}
        return TableChunk(self.rows[first:], columns, malformed)


@dataclass(slots=True)
class MappedChunk:
    """A chunk's rows after mapping: n_rows = len(events) + sum of skipped + len(rejects), always."""

    n_rows: int
    events: list[Outgoing]
    skipped: Counter[str]
    rejects: list[Reject]

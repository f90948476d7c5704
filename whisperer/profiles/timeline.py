"""The last 64 entries of each user's story, by event time.

An entry names what happened and where its JSON lies (shard of origin, journal position, place in the block); the JSON
itself stays in the journal and the warehouse. What is kept is the top 64 by (timestamp, sequence), whatever the order
of arrival or of merges; older entries are dropped when the log is compacted and are never shown before that.

Memory: 39 bytes an entry.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from whisperer.profiles.chain import ChainedLog

KEEP = 64

# Kinds beyond the six of EventType.
SEGMENT_ENTERED = 32
SEGMENT_EXITED = 33
MERGED = 34

_INDEX_BITS = 16


def pack_reference(position: int, index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Journal position of a block and places in it, as one number each."""
    return (position << _INDEX_BITS) | index


def unpack_reference(reference: int) -> tuple[int, int]:
    return reference >> _INDEX_BITS, reference & ((1 << _INDEX_BITS) - 1)


class Entry(NamedTuple):
    timestamp: int
    sequence: int
    kind: int
    name: str
    origin: int
    reference: int


class Timeline:
    def __init__(self) -> None:
        self._log = ChainedLog(
            {
                "timestamp": (np.int64, 0),
                "sequence": (np.int64, 0),
                "reference": (np.int64, -1),
                "name": (np.uint16, 0),
                "kind": (np.uint8, 0),
                "origin": (np.int32, -1),
            }
        )
        self._compact_at = 4096

    def __len__(self) -> int:
        return len(self._log)

    @property
    def nbytes(self) -> int:
        return self._log.nbytes

    def append(
        self,
        rows: NDArray[np.int64],
        timestamp: Any,
        sequence: Any,
        kind: Any,
        name: Any,
        origin: Any = -1,
        reference: Any = -1,
    ) -> None:
        self._log.append(
            rows, timestamp=timestamp, sequence=sequence, kind=kind, name=name, origin=origin, reference=reference
        )
        if len(self._log) > self._compact_at:
            self.compact()
            self._compact_at = max(4096, 2 * len(self._log))

    def of(self, row: int, names: list[str]) -> list[Entry]:
        """The row's entries, newest first, at most 64."""
        numbers = self._log.of(row)
        get = self._log.entries
        order = np.lexsort((get["sequence"][numbers], get["timestamp"][numbers]))[::-1][:KEEP]
        chosen = numbers[order]
        columns = [get[c][chosen].tolist() for c in ("timestamp", "sequence", "kind", "name", "origin", "reference")]
        return [Entry(t, s, k, names[n], o, r) for t, s, k, n, o, r in zip(*columns, strict=True)]

    def clear(self, row: int) -> None:
        self._log.clear(row)

    def compact(self) -> None:
        get, n = self._log.entries, len(self._log)
        row = get["row"][:n]
        order = np.lexsort((get["sequence"][:n], get["timestamp"][:n], row))[::-1]
        sorted_rows = row[order]
        first = np.append(True, sorted_rows[1:] != sorted_rows[:-1])
        start = np.maximum.accumulate(np.where(first, np.arange(n), 0))
        mask = np.zeros(n, np.bool_)
        mask[order] = (np.arange(n) - start < KEEP) & (sorted_rows >= 0)
        self._log.keep(mask)

    def dump(self) -> dict[str, NDArray[Any]]:
        return self._log.dump()

    def load(self, stored: dict[str, NDArray[Any]]) -> None:
        self._log.load(stored)
        self._compact_at = max(4096, 2 * len(self._log))

"""Divide the time that bytes of what was erased may stay in snapshots and in the journal.

What is erased is gone from the state at once, and so from whatever is written after. What was written before ages out
by time, even on a shard that nobody writes to. Of the time promised, T:

    T/30   at the latest, a snapshot is taken, and the journal's open segment is closed and exported
    T/2    a pack is built upon: then what still lies in it is written anew, into a new one
    T/4    a snapshot is kept, unless it is one of the two newest

No snapshot taken T/2 later names a pack written just before an erasure; the last one that names it goes after another
T/4, with the first snapshot taken from then on, and with it the pack and the journal from before. That is T x 49/60 in
all. Leaves to others: doing it (:mod:`actors.shard.housekeeping`, :mod:`actors.snapshots.store`). A shard that is not
running deletes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DAY_S = 86_400.0
TWO_NEWEST = 2
"""Snapshots that are kept whatever their age: damage to one must leave another."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long each thing may stay, from ``days``, the time promised."""

    days: float = 30.0

    @property
    def renew_s(self) -> float:
        """Longest time between two snapshots."""
        return self.days * DAY_S / 30

    @property
    def build_upon_ms(self) -> int:
        """Greatest age of a pack that a new snapshot may name."""
        return round(self.days * DAY_S * 1000 / 2)

    @property
    def keep_ms(self) -> int:
        """Greatest age of a snapshot that is kept."""
        return round(self.days * DAY_S * 1000 / 4)


def expire_training(folder: Path, before: float) -> int:
    """Delete user data of `whisperer train` runs from before a moment (Unix time); return how many files were deleted.

    These are test rows, and rows of runs that were given up: a run that is done has deleted its own.
    """
    found = [*folder.glob("*/model/test.arrow"), *folder.glob("*/rows/*.parquet")]
    old = [path for path in found if path.stat().st_mtime < before]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)

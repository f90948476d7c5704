"""Hold all users of one tenant that one shard has, in columns.

A row is a user key. It is *live* (has a profile), *forwarded* (merged into another key: holds only the target), or
*vacant* (erased: the row number is never used again). Guarantees: integers are exact; a user's state does not depend
on how events were batched, nor on the order of merges.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from whisperer.ids import Partition, UserKey
from whisperer.profiles import daily, pages, traits
from whisperer.profiles import observe as observing
from whisperer.profiles.daily import widen
from whisperer.profiles.history import EVER, MAX_ENTRIES, UNBOUNDED, History
from whisperer.profiles.keys import Keys
from whisperer.profiles.names import Names
from whisperer.profiles.record import AWAY, FORWARDED, LIVE, NEVER, NO_CHECK, VACANT, users
from whisperer.profiles.state import ProfileState
from whisperer.profiles.timeline import Timeline
from whisperer.profiles.trait_columns import TraitColumns

OTHER_NAME = "(other)"
"""The name under which events are counted whose own name has no code (:mod:`.names`)."""

SWEEP_ROWS = 20_000
SWEEP_ENTRIES = 2_000_000
"""Users, and their entries, that one slice of a sweep looks at: under 20 ms."""

RETIRE_EVERY_MS = 600_000
"""Names are retired at most once in this time, so that a stream of new ones costs a tenant's neighbours little."""

__all__ = ["AWAY", "FORWARDED", "LIVE", "NO_CHECK", "OTHER_NAME", "VACANT", "NameSweep", "Names", "Population"]


class NameSweep(msgspec.Struct, array_like=True):
    """Track how far retired names are removed from the rows: ``next_row`` of ``end_row``, -1 if no sweep is running."""

    retired_at: int = -RETIRE_EVERY_MS
    """When names were last retired, ms UTC."""
    next_row: int = -1
    end_row: int = 0


class Population:
    """Hold a tenant's users in one shard; ``seed`` is the tenant's, :func:`whisperer.ids.tenant_seed`."""

    def __init__(self, seed: int = 0) -> None:
        self.table = users()
        self.keys = Keys(seed)
        self.traits: list[pages.Stored] = []
        self.traits_bytes = 0
        self.trait_columns = TraitColumns()
        self.names = Names(OTHER_NAME)
        self.zones = Names("")
        self.locales = Names("")
        self.sweep = NameSweep()
        self.history = History(self.table)
        self.timeline = Timeline(self.table)
        self.links: dict[int, dict[UserKey, bool]] = {}
        """row -> linked key -> owned (False: refused, it belongs to another user)"""
        self.targets: dict[int, UserKey] = {}
        """row of a forwarded key -> the key it was merged into"""

    def __len__(self) -> int:
        return self.table.n

    # -- rows -----------------------------------------------------------------------------------------------------

    def meet(
        self, hashes: Any, starts: Any, lengths: Any, text: bytes | NDArray[np.uint8], partitions: NDArray[Any]
    ) -> NDArray[np.int64]:
        """Return the rows of user keys (:meth:`.Keys.meet`), adding blank live rows for new keys."""
        rows, is_new = self.keys.meet(hashes, starts, lengths, text)
        count = len(self.keys) - self.table.n
        if count:
            added = self.table.extend(count)
            self.table["partition"][added] = partitions[is_new]
            self.traits.extend(repeat(None, count))
        return rows

    def add(self, keys: Sequence[UserKey], partitions: Sequence[Partition] | NDArray[Any]) -> NDArray[np.int64]:
        """Return the rows of keys, adding those that are missing."""
        return self.meet(*self.keys.slices(keys), np.array(partitions, np.uint16))

    def row(self, key: UserKey, partition: Partition) -> int:
        """Return the row of a key, adding it if it is missing."""
        return int(self.add([key], [partition])[0])

    def partition(self, row: int) -> Partition:
        """Return the partition of a row's key."""
        return Partition(int(self.table["partition"][row]))

    def live_rows(self) -> NDArray[np.int64]:
        """Return the rows of live users, without those of partitions that are AWAY."""
        return np.flatnonzero(self.table["status"][: self.table.n] == LIVE)

    # -- events ---------------------------------------------------------------------------------------------------

    def observe(
        self,
        events: NDArray[Any],
        at: NDArray[np.int64],
        rows: NDArray[np.int64],
        names: NDArray[np.int64],
        zones: NDArray[np.int64],
        locales: NDArray[np.int64],
        sequence: NDArray[np.int64],
        origin: int,
        reference: NDArray[np.int64],
        *,
        wraps: bool = False,
    ) -> int:
        """Apply events to their users and return how many amounts of money did not fit into their sums.

        Parameters
        ----------
        events : a block's, of :data:`whisperer.events.block.EVENT`
        at : int64, shape (n,), which events to apply; rows : int64, shape (n,), their users' rows, which may repeat
        names, zones, locales : for each entry of the block's table, its code in the attribute of the same name
        sequence, reference : int64, shape (len(events),), for the timeline, with the shard of ``origin``
        wraps : sums of money wrap beyond int64, as in records before version 5
        """
        table, past, lines = self.table, self.history.slabs, self.timeline.slabs
        ties, state = np.zeros(len(rows), np.bool_), np.zeros(3, np.int64)
        codes, seen = (names, zones, locales), events.view(observing.SEEN)
        while True:
            daily = table["daily"]
            why = observing.observe(
                table.records, daily, np.iinfo(daily.dtype).max, past.arrays(), lines.arrays(),
                seen, at, rows, *codes, sequence, origin, reference, self.history.most, ties, wraps, state,
            )  # fmt: skip
            del daily
            if why == observing.DONE:
                break
            if why == observing.HISTORY_FULL:
                past.lengthen()
            elif why == observing.LINE_FULL:
                lines.lengthen()
            else:
                widen(table)
        self.names.use(names[seen["name"][at]])
        self.locales.use(locales[seen["locale"][at]])
        for i in np.flatnonzero(ties).tolist():
            event, row = events[at[i]], int(rows[i])
            self._set_newest("zone", self.zones, row, int(event["timestamp"]), int(zones[event["zone"]]))
            self._set_newest("locale", self.locales, row, int(event["timestamp"]), int(locales[event["locale"]]))
        return int(state[2])

    def _set_newest(self, name: str, names: Names, row: int, at: int, code: int) -> None:
        """Set a time zone or locale if its event is the newest to state one; on a tie the larger text wins."""
        record = self.table.records[row]
        if code and (at, names.texts[code]) > (int(record[f"{name}_at"]), names.texts[int(record[name])]):
            self.table[name][row], self.table[f"{name}_at"][row] = code, at

    def write_traits(
        self, row: int, writes: Sequence[tuple[str, pages.Register]], rule: traits.TraitBounds
    ) -> traits.Written:
        """Apply writes to a user's traits and return which values changed and what was refused."""
        held = self.traits[row]
        written = traits.write(held, writes, rule)
        self.traits[row] = written.stored
        self.traits_bytes += pages.length_of(written.stored) - pages.length_of(held)
        self.trait_columns.changed(row, written.changed)
        return written

    # -- names ----------------------------------------------------------------------------------------------------

    def keep_bounds(self, *, kept: bool) -> None:
        """Switch the bounds of record version 5 on or off: reserved codes, and the history entries of a user."""
        self.names.keeps_room = self.zones.keeps_room = self.locales.keeps_room = kept
        self.history.most = MAX_ENTRIES if kept else UNBOUNDED

    def sweeps_at(self, now: int) -> bool:
        """Check if :meth:`let_names_go` would do anything."""
        if self.sweep.next_row >= 0:
            return True
        is_short = self.names.is_short or self.locales.is_short
        return is_short and now - self.sweep.retired_at >= RETIRE_EVERY_MS

    def let_names_go(self, now: int) -> int:
        """Retire names if codes are short, or else clear retired ones from the next rows; return how many were retired.

        Time zones are never retired: there are only as many as the IANA database has.
        """
        if not self.sweeps_at(now):
            return 0
        sweep, retired = self.sweep, 0
        if sweep.next_row < 0:
            retired = sum(names.retire() for names in (self.names, self.locales) if names.is_short)
            sweep.retired_at, sweep.next_row, sweep.end_row = now, 0, self.table.n
        stop = min(sweep.next_row + SWEEP_ROWS, sweep.end_row)
        stop = self.history.fold(range(sweep.next_row, stop), self.names.retired, SWEEP_ENTRIES)
        self.timeline.fold(range(sweep.next_row, stop), self.names.retired)
        locale = self.table["locale"][sweep.next_row : stop]
        locale[self.locales.retired[locale]] = 0
        sweep.next_row = stop
        if stop == sweep.end_row:
            self.names.free()
            self.locales.free()
            sweep.next_row = -1
        return retired

    # -- whole users ----------------------------------------------------------------------------------------------

    def extract(self, row: int) -> ProfileState:
        """Return the profile as a value, leaving the row as it is."""
        table, names = self.table, self.names.texts
        links = self.links.get(row, {})
        return ProfileState(
            first_seen=int(table["first_seen"][row]),
            last_seen=int(table["last_seen"][row]),
            n_events=int(table["n_events"][row]),
            revenue=int(table["revenue"][row]),
            zone=self.zones.texts[int(table["zone"][row])],
            zone_at=int(table["zone_at"][row]),
            locale=self.locales.texts[int(table["locale"][row])],
            locale_at=int(table["locale_at"][row]),
            history=self._history_of(row),
            timeline=self.timeline.of(row, names),
            traits=pages.registers_of(self.traits[row]),
            links=sorted(key for key, owned in links.items() if owned),
            refused=sorted(key for key, owned in links.items() if not owned),
        )

    def _history_of(self, row: int) -> list[tuple[str, int, int]]:
        """List each name and day once, with counts under retired names added to those of OTHER_NAME."""
        names = self.names.texts
        found: dict[tuple[str, int], int] = {}
        for name, day, count in self.history.of(row):
            place = names[name], day
            found[place] = found.get(place, 0) + count
        return [(name, day, count) for (name, day), count in found.items()]

    def combine(self, row: int, state: ProfileState, rule: traits.TraitBounds) -> traits.Written:
        """Add a profile to a live row and return what became of its traits.

        Commutative and associative, as far as the rule for traits is.
        """
        table = self.table
        held_first = int(table["first_seen"][row])
        if state.first_seen != NEVER and (held_first == NEVER or state.first_seen < held_first):
            table["first_seen"][row] = state.first_seen
        table["last_seen"][row] = max(int(table["last_seen"][row]), state.last_seen)
        table["n_events"][row] += state.n_events
        revenue = int(table["revenue"][row]) + state.revenue
        table["revenue"][row] = min(max(revenue, observing.LEAST), observing.MOST)
        self._set_newest("zone", self.zones, row, state.zone_at, self.zones.code(state.zone))
        self._set_newest("locale", self.locales, row, state.locale_at, self.locales.code(state.locale))
        self._add_history(row, state.history)
        self._add_timeline(row, state)
        for key in state.links:
            self.link(row, key, owned=True)
        for key in state.refused:
            self.link(row, key, owned=False)
        return self.write_traits(row, list(state.traits.items()), rule)

    def _add_history(self, row: int, history: list[tuple[str, int, int]]) -> None:
        if not history:
            return
        name = self.names.codes([entry[0] for entry in history])
        day = np.array([entry[1] for entry in history], np.int64)
        count = np.array([entry[2] for entry in history], np.int64)
        rows = np.full(len(history), row)
        dated = day != EVER
        self.names.use(name[~dated], count[~dated])
        daily.add(self.table, rows[dated], day[dated], count[dated])
        self.history.add(rows, name, day, count)

    def _add_timeline(self, row: int, state: ProfileState) -> None:
        entries = state.timeline[::-1]
        if not entries:
            return
        self.timeline.append(
            np.full(len(entries), row),
            timestamp=[e.timestamp for e in entries],
            sequence=[e.sequence for e in entries],
            kind=[e.kind for e in entries],
            name=self.names.codes([e.name for e in entries]),
            origin=[e.origin for e in entries],
            reference=[e.reference for e in entries],
        )

    def link(self, row: int, key: UserKey, *, owned: bool) -> None:
        """Record that a key belongs to this user (owned) or was refused to them; owned wins in a merge."""
        held = self.links.setdefault(row, {})
        held[key] = held.get(key, False) or owned

    def clear(self, row: int) -> None:
        """Remove a row's profile; key, partition and status stay."""
        partition, status = self.table["partition"][row], self.table["status"][row]
        self.table.reset(row)
        self.table["partition"][row], self.table["status"][row] = partition, status
        self.traits_bytes -= pages.length_of(self.traits[row])
        self.traits[row] = None
        self.trait_columns.cleared(row)
        self.history.clear(row)
        self.timeline.clear(row)
        self.links.pop(row, None)

    def forward(self, row: int, target: UserKey) -> None:
        """Remove a row's profile and let its key lead to ``target``."""
        self.clear(row)
        self.table["status"][row] = FORWARDED
        self.targets[row] = target

    def unforward(self, row: int) -> None:
        """Make a forwarded row live again."""
        self.targets.pop(row, None)
        self.table["status"][row] = LIVE

    def vacate(self, row: int) -> None:
        """Remove a row's key and profile; the row number is not used again."""
        self.clear(row)
        self.targets.pop(row, None)
        self.table["status"][row] = VACANT
        self.keys.vacate(row)

"""All users of one tenant that one shard holds, in columns.

A row is a user key. It is *live* (has a profile), *forwarded* (merged into another key: holds nothing but the target),
or *vacant* (erased: the row number is never used again). Guarantees: integers are exact; the state of a user does not
depend on how events were batched, nor on the order of merges.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whisperer.profiles import daily, traits
from whisperer.profiles import observe as observing
from whisperer.profiles.daily import widen
from whisperer.profiles.history import EVER, MAX_NAMES, History
from whisperer.profiles.keys import Keys
from whisperer.profiles.record import AWAY, FORWARDED, LIVE, NEVER, NO_CHECK, VACANT, users
from whisperer.profiles.state import ProfileState
from whisperer.profiles.timeline import Timeline

OTHER_NAME = "(other)"
"""Counts events whose name came after the tenant's first 65,535 distinct ones."""


__all__ = ["AWAY", "FORWARDED", "LIVE", "NO_CHECK", "OTHER_NAME", "VACANT", "Names", "Population"]


class Names:
    """Distinct strings and their codes; beyond ``limit`` everything is the ``overflow`` string, code 0."""

    def __init__(self, overflow: str, limit: int = MAX_NAMES) -> None:
        self.texts = [overflow]
        self._codes = {overflow: 0}
        self._limit = limit

    def code(self, text: str) -> int:
        code = self._codes.get(text)
        if code is None:
            if len(self.texts) >= self._limit:
                return 0
            code = self._codes[text] = len(self.texts)
            self.texts.append(text)
        return code

    def find(self, text: str) -> int | None:
        return self._codes.get(text)

    def codes(self, texts: Sequence[str]) -> NDArray[np.int64]:
        return np.fromiter(map(self.code, texts), np.int64, len(texts))


class Population:
    """``seed`` is the tenant's, :func:`whisperer.ids.tenant_seed`."""

    def __init__(self, seed: int = 0) -> None:
        self.table = users()
        self.keys = Keys(seed)
        self.traits: list[bytes | None] = []
        self.traits_bytes = 0
        self.names = Names(OTHER_NAME)
        self.zones = Names("")
        self.locales = Names("")
        self.history = History(self.table)
        self.timeline = Timeline(self.table)
        self.links: dict[int, dict[str, bool]] = {}
        """row -> linked key -> owned (False: refused, it belongs to another user)"""
        self.targets: dict[int, str] = {}
        """row of a forwarded key -> the key it was merged into"""

    def __len__(self) -> int:
        return self.table.n

    # -- rows -----------------------------------------------------------------------------------------------------

    def meet(
        self, hashes: Any, starts: Any, lengths: Any, text: bytes | NDArray[np.uint8], partitions: NDArray[Any]
    ) -> NDArray[np.int64]:
        """Rows of user keys (:meth:`.Keys.meet`), blank live ones for those that have none."""
        rows, is_new = self.keys.meet(hashes, starts, lengths, text)
        count = len(self.keys) - self.table.n
        if count:
            added = self.table.extend(count)
            self.table["partition"][added] = partitions[is_new]
            self.traits.extend(repeat(None, count))
        return rows

    def add(self, keys: Sequence[str], partitions: Sequence[int] | NDArray[Any]) -> NDArray[np.int64]:
        """Rows of keys, new ones where there are none."""
        return self.meet(*self.keys.slices(list(keys)), np.array(partitions, np.uint16))

    def row(self, key: str, partition: int) -> int:
        """The row of a key, new if need be."""
        return int(self.add([key], [partition])[0])

    def live_rows(self) -> NDArray[np.int64]:
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
    ) -> None:
        """Bring events to their users; rows may repeat.

        Parameters
        ----------
        events : a block's, of :data:`whisperer.events.block.EVENT`
        at : int64, shape (n,), which of them; rows : int64, shape (n,), whose
        names, zones, locales : codes of :attr:`names`, :attr:`zones`, :attr:`locales` for each entry of the block's
        sequence, reference : int64, shape (len(events),), for the timeline, with the shard of ``origin``
        """
        table, past, lines = self.table, self.history.slabs, self.timeline.slabs
        ties, state = np.zeros(len(rows), np.bool_), np.zeros(2, np.int64)
        codes, seen = (names, zones, locales), events.view(observing.SEEN)
        while True:
            daily = table["daily"]
            why = observing.observe(
                table.records, daily, np.iinfo(daily.dtype).max, past.arrays(), lines.arrays(),
                seen, at, rows, *codes, sequence, origin, reference, ties, state,
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
        for i in np.flatnonzero(ties).tolist():
            event, row = events[at[i]], int(rows[i])
            self._set_newest("zone", self.zones, row, int(event["timestamp"]), int(zones[event["zone"]]))
            self._set_newest("locale", self.locales, row, int(event["timestamp"]), int(locales[event["locale"]]))

    def _set_newest(self, name: str, names: Names, row: int, at: int, code: int) -> None:
        """Time zone and locale are those of the newest event that states one. On a tie the larger text wins."""
        record = self.table.records[row]
        if code and (at, names.texts[code]) > (int(record[f"{name}_at"]), names.texts[int(record[name])]):
            self.table[name][row], self.table[f"{name}_at"][row] = code, at

    def write_traits(self, row: int, writes: Iterable[tuple[str, traits.Register]]) -> bool:
        """Whether any trait's value is another now: if not, what was read from them still holds."""
        held = self.traits[row]
        merged, changed = traits.merge(held, writes)
        self.traits[row] = merged
        self.traits_bytes += len(merged or b"") - len(held or b"")
        return changed

    # -- whole users ----------------------------------------------------------------------------------------------

    def extract(self, row: int) -> ProfileState:
        """The profile as a value; the row is left as it is."""
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
            history=[(names[name], day, count) for name, day, count in self.history.of(row)],
            timeline=self.timeline.of(row, names),
            traits=traits.registers_of(self.traits[row]),
            links=sorted(key for key, owned in links.items() if owned),
            refused=sorted(key for key, owned in links.items() if not owned),
        )

    def combine(self, row: int, state: ProfileState) -> None:
        """Add a profile to a live row. Commutative and associative."""
        table = self.table
        held_first = int(table["first_seen"][row])
        if state.first_seen != NEVER and (held_first == NEVER or state.first_seen < held_first):
            table["first_seen"][row] = state.first_seen
        table["last_seen"][row] = max(int(table["last_seen"][row]), state.last_seen)
        table["n_events"][row] += state.n_events
        table["revenue"][row] += state.revenue
        self._set_newest("zone", self.zones, row, state.zone_at, self.zones.code(state.zone))
        self._set_newest("locale", self.locales, row, state.locale_at, self.locales.code(state.locale))
        self._add_history(row, state.history)
        self._add_timeline(row, state)
        self.write_traits(row, state.traits.items())
        for key in state.links:
            self.link(row, key, owned=True)
        for key in state.refused:
            self.link(row, key, owned=False)

    def _add_history(self, row: int, history: list[tuple[str, int, int]]) -> None:
        if not history:
            return
        name = self.names.codes([entry[0] for entry in history])
        day = np.array([entry[1] for entry in history], np.int64)
        count = np.array([entry[2] for entry in history], np.int64)
        rows = np.full(len(history), row)
        dated = day != EVER
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

    def link(self, row: int, key: str, *, owned: bool) -> None:
        """Note that a key belongs to this user (owned) or was refused to them; owned wins in a merge."""
        held = self.links.setdefault(row, {})
        held[key] = held.get(key, False) or owned

    def clear(self, row: int) -> None:
        """Remove a row's profile; key, partition and status stay."""
        partition, status = self.table["partition"][row], self.table["status"][row]
        self.table.reset(row)
        self.table["partition"][row], self.table["status"][row] = partition, status
        self.traits_bytes -= len(self.traits[row] or b"")
        self.traits[row] = None
        self.history.clear(row)
        self.timeline.clear(row)
        self.links.pop(row, None)

    def forward(self, row: int, target: str) -> None:
        self.clear(row)
        self.table["status"][row] = FORWARDED
        self.targets[row] = target

    def unforward(self, row: int) -> None:
        self.targets.pop(row, None)
        self.table["status"][row] = LIVE

    def vacate(self, row: int) -> None:
        """Forget key and profile; the row number is not used again."""
        self.clear(row)
        self.targets.pop(row, None)
        self.table["status"][row] = VACANT
        self.keys.vacate(row)

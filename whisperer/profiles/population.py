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
from whisperer.profiles.columns import Table
from whisperer.profiles.features import NEVER
from whisperer.profiles.history import EVER, MAX_NAMES, History, day_of
from whisperer.profiles.state import ProfileState
from whisperer.profiles.timeline import Timeline

LIVE, FORWARDED, VACANT = 0, 1, 2

AWAY = 4
"""Added to a status: the row belongs to a partition that is not at home here, but coming or going."""

NO_CHECK = np.iinfo(np.int64).max

OTHER_NAME = "(other)"
"""Counts events whose name came after the tenant's first 65,535 distinct ones."""

_SPEC: dict[str, tuple[Any, Any] | tuple[Any, Any, int]] = {
    "partition": (np.uint16, 0),
    "status": (np.uint8, LIVE),
    "first_seen": (np.int64, NEVER),
    "last_seen": (np.int64, NEVER),
    "n_events": (np.int64, 0),
    "revenue": (np.int64, 0),
    "zone": (np.uint16, 0),
    "zone_at": (np.int64, NEVER),
    "locale": (np.uint16, 0),
    "locale_at": (np.int64, NEVER),
    "next_check": (np.int64, NO_CHECK),
    **daily.SPEC,
}


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
    def __init__(self) -> None:
        self.table = Table(_SPEC)
        self.keys: list[str | None] = []
        self.index: dict[str, int] = {}
        self.traits: list[bytes | None] = []
        self.traits_bytes = 0
        self.names = Names(OTHER_NAME)
        self.zones = Names("")
        self.locales = Names("")
        self.history = History()
        self.timeline = Timeline()
        self.links: dict[int, dict[str, bool]] = {}
        """row -> linked key -> owned (False: refused, it belongs to another user)"""
        self.targets: dict[int, str] = {}
        """row of a forwarded key -> the key it was merged into"""

    def __len__(self) -> int:
        return len(self.keys)

    # -- rows -----------------------------------------------------------------------------------------------------

    def rows_of(self, keys: Sequence[str]) -> NDArray[np.int64]:
        """Rows of user keys; -1 where unknown."""
        return np.fromiter(map(self.index.get, keys, repeat(-1)), np.int64, len(keys))

    def add(self, keys: Sequence[str], partitions: Sequence[int] | NDArray[Any]) -> NDArray[np.int64]:
        """Blank live rows for keys that have none; keys are distinct."""
        rows = self.table.extend(len(keys))
        self.table["partition"][rows] = partitions
        self.index.update(zip(keys, rows.tolist(), strict=True))
        self.keys.extend(keys)
        self.traits.extend(repeat(None, len(keys)))
        return rows

    def row(self, key: str, partition: int) -> int:
        """The row of a key, new if need be."""
        found = self.index.get(key)
        return int(self.add([key], [partition])[0]) if found is None else found

    def live_rows(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.table["status"][: self.table.n] == LIVE)

    # -- events ---------------------------------------------------------------------------------------------------

    def observe(
        self,
        rows: NDArray[np.int64],
        timestamp: NDArray[np.int64],
        active: NDArray[np.bool_],
        revenue: NDArray[np.int64],
        name: NDArray[np.int64],
    ) -> None:
        """Count events; rows may repeat. ``name`` are codes of :attr:`names`."""
        table = self.table
        first = table["first_seen"]
        unseen = first[rows] == NEVER
        first[rows[unseen]] = NO_CHECK
        np.minimum.at(first, rows, timestamp)
        np.maximum.at(table["last_seen"], rows[active], timestamp[active])
        np.add.at(table["n_events"], rows, 1)
        spent = revenue != 0
        np.add.at(table["revenue"], rows[spent], revenue[spent])
        days = day_of(timestamp)
        one = np.ones(len(rows), np.int64)
        daily.add(table, rows, days, one)
        self.history.add(
            np.concatenate((rows, rows)),
            np.concatenate((name, name)),
            np.concatenate((np.full(len(rows), EVER), days)),
            np.concatenate((one, one)),
        )

    def set_place(
        self,
        rows: NDArray[np.int64],
        timestamp: NDArray[np.int64],
        zone: NDArray[np.int64],
        locale: NDArray[np.int64],
    ) -> None:
        """Time zone and locale, each of the newest event that states it. On a tie the larger text wins."""
        self._set_newest("zone", self.zones.texts, rows, timestamp, zone)
        self._set_newest("locale", self.locales.texts, rows, timestamp, locale)

    def _set_newest(
        self, name: str, texts: list[str], rows: NDArray[np.int64], at: NDArray[np.int64], code: NDArray[np.int64]
    ) -> None:
        stated = code != 0
        if not stated.any():
            return
        rows, at, code = rows[stated], at[stated], code[stated]
        held, held_at = self.table[name], self.table[f"{name}_at"]
        order = np.lexsort((at, rows))
        rows, at, code = rows[order], at[order], code[order]
        same_row = rows[1:] == rows[:-1]
        if not (same_row & (at[1:] == at[:-1])).any():
            newest = np.append(~same_row, True)
            rows, at, code = rows[newest], at[newest], code[newest]
            later = at > held_at[rows]
            tied = np.flatnonzero((at == held_at[rows]) & (code != held[rows]))
            held[rows[later]], held_at[rows[later]] = code[later], at[later]
            rows, at, code = rows[tied], at[tied], code[tied]
        for row, when, value in zip(rows.tolist(), at.tolist(), code.tolist(), strict=True):
            if (when, texts[value]) > (int(held_at[row]), texts[int(held[row])]):
                held[row], held_at[row] = value, when

    def write_traits(self, row: int, writes: Iterable[tuple[str, traits.Register]]) -> None:
        held = self.traits[row]
        merged = self.traits[row] = traits.merge(held, writes)
        self.traits_bytes += len(merged or b"") - len(held or b"")

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
        one = np.array([row])
        for name, names, text, at in (
            ("zone", self.zones, state.zone, state.zone_at),
            ("locale", self.locales, state.locale, state.locale_at),
        ):
            self._set_newest(name, names.texts, one, np.array([at]), np.array([names.code(text)]))
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
        self.history.add(rows, name, day, count)
        dated = day != EVER
        daily.add(self.table, rows[dated], day[dated], count[dated])

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
        key = self.keys[row]
        if key is not None:
            del self.index[key]
            self.keys[row] = None

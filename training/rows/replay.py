"""Recover users as they stood at past cutoffs, and what they did next: rows for models of churn and engagement.

The warehouse's events go through the shard's state machine once more (:meth:`whisperer.shard.machine.Shard.apply`,
without an actor), merges and late events included, and at each cutoff the features are computed by the live code.
Guarantees: they equal those of a live shard to the bit; nothing that arrived at or after a cutoff reaches its features,
and nothing at or after the end of its window its label. Leaves to others: what is learned.

One difference remains: if two users claim one device within the milliseconds that messages between partitions take,
live shards may have seen the claims in another order.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from actors.warehouse import Warehouse
from training.rows.blocks import block_of, stored_events
from training.rows.decisions import HASH_KEY
from whisperer.events.block import EventBlock, encode_block, spans
from whisperer.events.types import Flag
from whisperer.ids import Partition, TenantId
from whisperer.profiles import daily, features
from whisperer.profiles.features import FEATURES, REPLAYED, feature_hash
from whisperer.profiles.population import LIVE
from whisperer.profiles.record import NEVER
from whisperer.shard.effects import Effect, SendLetter
from whisperer.shard.machine import Shard
from whisperer.shard.records import RECORD_VERSION, Events, Letter, LettersArrived, LettersConfirmed, Record, RecordBody
from whisperer.vocabulary.units import DAY_MS

BLOCK_EVENTS = 32_768
_MAX_IDS = 1 << 17
"""Size of the dedup index, which has nothing to find here."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which rows are wanted.

    Attributes
    ----------
    cutoffs : ms UTC, ascending
    window_days : days after a cutoff that its label covers
    goal : name of the event that counts as coming back; None for any by which the user was active
    seen_within_days : only users last seen within this many days before the cutoff; None for all
    names : features, from :data:`whisperer.profiles.features.REPLAYED`
    """

    cutoffs: Sequence[int]
    window_days: int
    goal: str | None = None
    seen_within_days: int | None = None
    names: Sequence[str] = REPLAYED


class Replay:
    """Live through a tenant's past as a shard. Events come in order; ``goal`` as in :class:`Question`."""

    def __init__(self, tenant: TenantId, goal: str | None = None) -> None:
        self.shard = Shard(0, _MAX_IDS)
        self.tenant = self.shard.tenant(tenant)
        self.n_events = 0
        self._goal = goal
        self._goal_at = np.full(0, NEVER, np.int64)
        """By row: the time of the newest event that counts as coming back."""
        self._bound: set[tuple[str, str]] = set()
        self._position = 0

    def bring(self, events: pa.RecordBatch) -> None:
        """Replay the next events (:func:`training.rows.blocks.stored_events`)."""
        binding = np.flatnonzero(events["binds"].to_numpy(zero_copy_only=False)).tolist()
        cuts = {place + 1 for place in binding if self._is_new_bond(events, place)}
        cuts |= {*range(BLOCK_EVENTS, events.num_rows, BLOCK_EVENTS), events.num_rows}
        start = 0
        for stop in sorted(cuts):
            if stop > start:
                self._apply(events.slice(start, stop - start))
            start = stop

    def users(self, seen_since: int | None = None) -> NDArray[np.int64]:
        """Return the rows of users who have any event, and were last seen no earlier than ``seen_since`` (ms UTC)."""
        table, n = self.tenant.people.table, self.tenant.people.table.n
        there = (table["status"][:n] == LIVE) & (table["n_events"][:n] > 0)
        if seen_since is not None:
            there &= table["last_seen"][:n] >= seen_since
        return np.flatnonzero(there)

    def roots(self) -> NDArray[np.int64]:
        """Return for each row that of the user it was merged into, or itself."""
        people = self.tenant.people
        root = np.arange(people.table.n)
        for row, target in people.targets.items():
            found = people.keys.get(target)
            root[row] = row if found is None else found
        while (root[root] != root).any():  # forwards never run in a circle
            root = root[root]
        return root

    def since(self, rows: NDArray[np.int64], cutoff: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Return what these users, or whoever they were merged into, did from ``cutoff`` (ms UTC) on.

        Whether they reached the goal, and on how many UTC days after the cutoff's they did anything (at most 90).
        """
        people, root = self.tenant.people, self.roots()
        newest = np.full(people.table.n, NEVER, np.int64)
        np.maximum.at(newest, root[: len(self._goal_at)], self._goal_at)
        active = daily.activity(people.table, root[rows], cutoff // DAY_MS)
        return newest[root[rows]] >= cutoff, active.recent

    def _is_new_bond(self, events: pa.RecordBatch, place: int) -> bool:
        bond = events["user_key"][place].as_py(), events["anonymous_id"][place].as_py() or ""
        is_new = bond not in self._bound or not bond[1]
        self._bound.add(bond)
        return is_new

    def _apply(self, events: pa.RecordBatch) -> None:
        now = max(self.shard.now, int(events["arrived"][-1].as_py()))
        block = block_of(self.tenant.id, events)
        self._settle(self._write(Events(encode_block(block)), now), now)
        self._note_goals(block)
        self.n_events += events.num_rows

    def _settle(self, effects: list[Effect], now: int) -> None:
        """Carry letters between partitions until none is left."""
        while letters := [effect.letter for effect in effects if isinstance(effect, SendLetter)]:
            effects = self._write(LettersArrived(letters), now)
            self._write(LettersConfirmed([_name(letter) for letter in letters]), now)

    def _write(self, body: RecordBody, now: int) -> list[Effect]:
        effects = self.shard.apply([(self._position, Record(RECORD_VERSION, 1, now, body))])
        self._position += 1
        return effects

    def _note_goals(self, block: EventBlock) -> None:
        people, events = self.tenant.people, block.events()
        if self._goal is None:
            counts = (events["flags"] & int(Flag.INACTIVE)) == 0
        else:
            counts = events["name"] == (block.names.index(self._goal) if self._goal in block.names else -1)
        starts, lengths, text = spans(block, "key")
        chosen = np.flatnonzero(counts)
        rows = people.keys.rows_of(
            np.ascontiguousarray(events["key_hash"][chosen]), starts[chosen], lengths[chosen], text
        )
        grown = np.full(people.table.n, NEVER, np.int64)
        grown[: len(self._goal_at)] = self._goal_at
        self._goal_at = grown
        np.maximum.at(self._goal_at, rows[rows >= 0], events["timestamp"][chosen][rows >= 0])


def rows_of(
    events: Iterable[pa.RecordBatch], tenant: TenantId, question: Question, until: int | None = None
) -> Iterator[pa.Table]:
    """Yield one row per user for each cutoff whose window is over by the end of the data.

    Parameters
    ----------
    events : in order of arrival, as :func:`training.rows.blocks.stored_events` gives them
    until : ms UTC up to which the events are complete; None for the last one's arrival

    Yields
    ------
    pa.Table
        ``user_key`` (as of the cutoff), ``cutoff``, ``came_back`` (bool), ``active_days`` (float64: UTC days with any
        event after the cutoff's own, within the window), and a float64 column per feature, NaN where absent. The
        features' hash is in the schema's metadata.
    """
    replay = Replay(tenant, question.goal)
    window_ms = question.window_days * DAY_MS
    ahead = [(cutoff, 1) for cutoff in question.cutoffs] + [(cutoff + window_ms, 0) for cutoff in question.cutoffs]
    heapq.heapify(ahead)
    waiting: dict[int, tuple[NDArray[np.int64], pa.Table]] = {}

    def pass_until(moment: int) -> Iterator[pa.Table]:
        while ahead and ahead[0][0] <= moment:
            at, is_cutoff = heapq.heappop(ahead)
            if is_cutoff:
                waiting[at] = _as_of(replay, question, at)
                continue
            rows, table = waiting.pop(at - window_ms)
            came_back, active_days = map(pa.array, replay.since(rows, at - window_ms))
            yield table.add_column(2, "came_back", came_back).add_column(3, "active_days", active_days)

    last = 0
    for batch in events:
        arrived = batch["arrived"].to_numpy()
        start = 0
        while start < len(arrived):
            stop = int(np.searchsorted(arrived, ahead[0][0])) if ahead else len(arrived)
            if stop > start:
                replay.bring(batch.slice(start, stop - start))
                last = int(arrived[stop - 1])
            if stop < len(arrived):
                yield from pass_until(int(arrived[stop]))
            start = stop
    yield from pass_until(last if until is None else until)


def churn_rows(
    warehouse: Warehouse, tenant: TenantId, question: Question, *, order: str = "received_at", until: int | None = None
) -> Iterator[pa.Table]:
    """Yield :func:`rows_of` a tenant's events in the warehouse, in one of :data:`training.rows.blocks.ORDERS`."""
    yield from rows_of(stored_events(warehouse, tenant, order), tenant, question, until)


def _as_of(replay: Replay, question: Question, cutoff: int) -> tuple[NDArray[np.int64], pa.Table]:
    people = replay.tenant.people
    days = question.seen_within_days
    rows = replay.users(None if days is None else cutoff - days * DAY_MS)
    found = features.matrix(question.names, people.table, rows, cutoff)
    columns = {name: np.ascontiguousarray(found[:, place]) for place, name in enumerate(question.names)}
    stamps = pa.array(np.full(len(rows), cutoff), pa.int64()).cast(pa.timestamp("ms"))
    table = pa.table({"user_key": pa.array(people.keys.texts(rows), pa.string()), "cutoff": stamps, **columns})
    hashed = feature_hash(FEATURES[name] for name in question.names)
    return rows, table.replace_schema_metadata({HASH_KEY: hashed.encode()})


def _name(letter: Letter) -> tuple[TenantId, Partition, int]:
    return letter.tenant, letter.source, letter.sequence

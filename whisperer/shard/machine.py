"""The shard: a pure, deterministic state machine over the records of its journal.

`apply(records) -> effects` is the only way in. No clock, no network, no random numbers: every record carries its own
`now`. Results do not depend on how records were grouped, nor on how events were grouped into records, and replaying
the journal reproduces state and effects (tested by digest).

What happens to a batch of events, in order: number them, drop repeats, find their users, set aside those of merged and
erased keys, update the columns, write traits, note second ids, keep the segments up to date.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from whisperer.errors import InvariantError
from whisperer.events.block import EventBlock, columns_of, decode_block, payload_offsets
from whisperer.events.traits import traits_of
from whisperer.events.types import Flag
from whisperer.profiles import timeline
from whisperer.profiles.population import FORWARDED
from whisperer.shard import candidacy, identity, outcomes, triggers
from whisperer.shard.dedup import Dedup
from whisperer.shard.effects import Effect, SegmentChanged
from whisperer.shard.forwarding import drop_late, forward
from whisperer.shard.log import Log, LogRow, forget
from whisperer.shard.membership import Change
from whisperer.shard.records import (
    AliasAsk,
    AliasForget,
    AliasGrant,
    Asked,
    Claim,
    ConfigPublished,
    Confirmed,
    ConsentStated,
    DecisionsMade,
    Delivered,
    Erase,
    EraseLinked,
    ErasureDone,
    Events,
    Forward,
    MergeIn,
    Message,
    OutcomePassed,
    Outcomes,
    PartitionJoined,
    PartitionLeft,
    Receipts,
    Record,
    Refused,
    RewardsTaken,
    Tick,
)
from whisperer.shard.tenant import Tenant
from whisperer.shard.turns import number, turns

DEFAULT_MAX_IDS = 20_000_000


class Shard:
    """State of one shard actor. ``shard_id`` marks where a timeline entry's JSON lies."""

    def __init__(self, shard_id: int, dedup_max_ids: int = DEFAULT_MAX_IDS) -> None:
        self.id = shard_id
        self.now = 0
        self.position = -1
        """Journal position of the last record applied."""
        self.tenants: dict[str, Tenant] = {}
        self.dedup = Dedup(dedup_max_ids)
        self.absent: set[tuple[str, int]] = set()
        """Partitions that left and have not come back."""
        self.moved: dict[tuple[str, int], int] = {}
        """Map version of each partition's last move, so that a move driven again changes nothing."""
        self.rows: list[LogRow] = []
        """Rows of the record being applied; empty between records."""
        self.log: Log = {}
        """Rows for the warehouse by journal position; until it has them."""
        self.repeats: dict[int, NDArray[np.bool_]] = {}
        """Which events counted, by journal position, of blocks with repeats; until the warehouse has them."""

    def apply(self, records: Iterable[tuple[int, Record]]) -> list[Effect]:
        """Apply (journal position, record) pairs in order; what they ask to be done.

        Raises
        ------
        InvariantError
            The journal's order was broken: `now` went back.
        """
        effects: list[Effect] = []
        for position, record in records:
            if record.now < self.now:
                raise InvariantError(f"time went back from {self.now} to {record.now} at journal position {position}")
            self.now = record.now
            effects.extend(self._apply(position, record))
            if self.rows:
                self.log[position] = list(self.rows)
                self.rows.clear()
            self.position = position
        return effects

    def tenant(self, tenant_id: str) -> Tenant:
        found = self.tenants.get(tenant_id)
        if found is None:
            found = self.tenants[tenant_id] = Tenant.new(tenant_id, self.rows)
        return found

    def wants_tick(self, now: int) -> bool:
        """Whether a Tick at ``now`` would change anything: an idle shard writes nothing."""
        return self.dedup.is_due(now) or any(
            (tenant.segments.live and (tenant.segments.is_backfilling or tenant.segments.due(tenant.people, now).size))
            or tenant.loop.timers.is_due(now)
            or triggers.is_due(tenant, now)
            for tenant in self.tenants.values()
        )

    def tidy(self) -> None:
        """Give back the memory of what no question can reach any more; nothing that can be asked changes."""
        for tenant in self.tenants.values():
            people = tenant.people
            people.history.compact(people.table["newest_day"][: people.table.n])

    def forget_exported(self, before: int) -> None:
        """The warehouse has everything before a journal position."""
        forget(self.log, before)
        for position in [p for p in self.repeats if p < before]:
            del self.repeats[position]

    def outbox(self) -> list[Message]:
        """Every message not yet confirmed, in the order of sending by source."""
        return [m for tenant in self.tenants.values() for m in tenant.outbox.values()]

    def _apply(self, position: int, record: Record) -> Iterator[Effect]:
        match record.body:
            case Events(block):
                yield from self._events(decode_block(block), position)
            case Tick():
                yield from self._tick()
            case Delivered(messages):
                for message in messages:
                    tenant = self.tenant(message.tenant)
                    if not tenant.is_repeat(message):
                        yield from self._message(tenant, message)
            case Confirmed(messages):
                for tenant_id, source, sequence in messages:
                    self.tenant(tenant_id).outbox.pop((source, sequence), None)
            case ConfigPublished(tenant_id, version, segments, campaigns, experiment):
                tenant = self.tenant(tenant_id)
                if version > tenant.config_version:
                    tenant.config_version = version
                    tenant.segments.publish(tenant.people, segments)
                    tenant.loop.publish(campaigns, experiment, self.now)
            case Asked() as asked:
                yield from triggers.asked(self.tenant(asked.tenant), asked, self.now)
            case DecisionsMade(tenant_id, choices):
                tenant = self.tenant(tenant_id)
                for choice in choices:
                    yield from candidacy.choose(tenant, choice, self.now)
            case Receipts(tenant_id, receipts):
                tenant = self.tenant(tenant_id)
                for decision_id, receipt in receipts:
                    yield from outcomes.receive(tenant, decision_id, receipt, self.now)
            case Outcomes(tenant_id, found):
                tenant = self.tenant(tenant_id)
                for outcome in found:
                    yield from outcomes.record(tenant, outcome, self.now)
            case ConsentStated() as stated:
                yield from outcomes.state_consent(self.tenant(stated.tenant), stated, self.now)
            case RewardsTaken(tenant_id, before):
                self.tenant(tenant_id).loop.rewards.forget(before)
            case ErasureDone(tenant_id, key):
                self.tenant(tenant_id).erasing.pop(key, None)
            case Erase(tenant_id, key):
                yield from identity.erase(self.tenant(tenant_id), key, self.now)
            case PartitionLeft() | PartitionJoined() as body:
                from whisperer.shard import move  # the one cycle: a partition's state is made of everything here

                yield from move.apply(self, body)

    # -- events ---------------------------------------------------------------------------------------------------

    def _events(self, block: EventBlock, position: int) -> Iterator[Effect]:
        tenant = self.tenant(block.tenant)
        columns = columns_of(block)
        sequence = number(tenant.sequence, columns.partition)
        fresh = self.dedup.admit(tenant.id, columns.partition, columns.message_hash, self.now)
        n_fresh = int(np.count_nonzero(fresh))
        if n_fresh < len(block):
            self.repeats[position] = fresh
        tenant.counters["events_accepted"] += n_fresh
        tenant.counters["events_duplicate"] += len(block) - n_fresh
        reference = timeline.pack_reference(position, np.arange(len(block)))
        yield from self._observe(tenant, block, np.flatnonzero(fresh), sequence, self.id, reference)

    def _observe(
        self,
        tenant: Tenant,
        block: EventBlock,
        chosen: NDArray[np.int64],
        sequence: NDArray[np.int64],
        origin: int,
        reference: NDArray[np.int64],
    ) -> Iterator[Effect]:
        """Bring the ``chosen`` events of a block to their users."""
        people = tenant.people
        columns = columns_of(block)
        keys = block.keys if len(chosen) == len(block.keys) else [block.keys[i] for i in chosen.tolist()]
        rows = people.rows_of(keys)
        if (rows < 0).any():
            chosen, rows = self._meet(tenant, block, chosen, rows)
        if tenant.floors:
            chosen, rows = drop_late(tenant, block, chosen, rows)
        if people.targets:
            moved = people.table["status"][rows] == FORWARDED
            if moved.any():
                yield from forward(tenant, block, chosen[moved], rows[moved], origin, reference)
                chosen, rows = chosen[~moved], rows[~moved]
        if not chosen.size:
            return
        name = people.names.codes(block.names)[columns.name]
        zone = people.zones.codes(block.zones)[columns.zone]
        locale = people.locales.codes(block.locales)[columns.locale]
        offsets = payload_offsets(block)
        announced: list[tuple[int, Effect]] = []
        concerns = np.zeros(len(rows), np.bool_)
        concerns[tenant.loop.campaigns.watched.among(people.names, name[chosen])] = True
        # Segments see every event and campaigns those that concern one, each as if it had come alone.
        for turn in turns(rows, np.ones(len(rows), np.bool_) if tenant.segments.live else concerns):
            at, row = chosen[turn], rows[turn]
            flags, timestamp, kind = columns.flags[at], columns.timestamp[at], columns.kind[at]
            people.observe(row, timestamp, flags & Flag.INACTIVE == 0, columns.revenue[at], name[at])
            people.set_place(row, timestamp, zone[at], locale[at])
            people.timeline.append(row, timestamp, sequence[at], kind, name[at], origin=origin, reference=reference[at])
            stated = np.flatnonzero(flags & Flag.TRAITS)
            for i in stated.tolist():
                event = int(at[i])
                payload = block.payload[offsets[event] : offsets[event + 1]]
                version = (int(timestamp[i]), int(sequence[event]))
                writes = [(k, (*version, bytes(v))) for k, v in traits_of(payload, int(kind[i])).items()]
                people.write_traits(int(row[i]), writes)
            if stated.size:
                tenant.segments.traits_changed(people, row[stated])
            hits = np.flatnonzero(concerns[turn])
            changes = list(tenant.segments.evaluate(people, row, self.now)) if tenant.segments.live else []
            if not changes and not hits.size:
                continue
            row_to_event = dict(zip(row.tolist(), at.tolist(), strict=True))
            triggers.goals(tenant, block, at[hits], row[hits])
            for change in changes:
                event = row_to_event[change.row]
                effects = self._announce(tenant, change, int(sequence[event]))
                announced.extend((event, effect) for effect in effects)
            for touched, effect in triggers.events(tenant, block, at[hits], row[hits], self.now):
                announced.append((row_to_event[touched], effect))
        # Effects come in the order of the events that caused them, whatever the turns were.
        yield from (effect for _, effect in sorted(announced, key=lambda pair: pair[0]))
        if block.links:
            event_to_row = dict(zip(chosen.tolist(), rows.tolist(), strict=True))
            for event, link in block.links:
                if event in event_to_row:
                    yield from identity.note_link(tenant, event_to_row[event], link, self.now)

    def _meet(
        self, tenant: Tenant, block: EventBlock, chosen: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows for users never seen before, in order of appearance; erased ones come back only for newer events."""
        people = tenant.people
        columns = columns_of(block)
        keep = np.ones(len(chosen), np.bool_)
        unknown = np.flatnonzero(rows < 0)
        first: dict[str, int] = {}
        for place in unknown.tolist():
            event = int(chosen[place])
            key = block.keys[event]
            if tenant.tombstones:
                erased_at = tenant.erased_at(key)
                if erased_at is not None and columns.timestamp[event] <= erased_at and key not in first:
                    tenant.counters["dropped.user_erased"] += 1
                    keep[place] = False
                    continue
            first.setdefault(key, event)
        new = people.add(list(first), columns.partition[list(first.values())])
        if tenant.tombstones:
            for key, row in zip(first, new.tolist(), strict=True):
                erased_at = tenant.erased_at(key)
                if erased_at is not None:
                    tenant.floors[row] = erased_at
        get = people.index.get
        for place in unknown[keep[unknown]].tolist():
            rows[place] = get(block.keys[int(chosen[place])], -1)
        return chosen[keep], rows[keep]

    def reevaluate(self, tenant: Tenant, rows: NDArray[np.int64]) -> Iterator[Effect]:
        for change in list(tenant.segments.evaluate(tenant.people, rows, self.now)):
            yield from self._announce(tenant, change)

    def _announce(
        self, tenant: Tenant, change: Change, sequence: int | None = None, *, backfilled: bool = False
    ) -> Iterator[Effect]:
        """Put a segment change on the user's timeline and make it known; an entry may make the user a candidate."""
        people = tenant.people
        user = people.keys[change.row]
        assert user is not None
        if sequence is None:
            sequence = int(tenant.sequence[people.table["partition"][change.row]])
        kind = timeline.SEGMENT_ENTERED if change.entered else timeline.SEGMENT_EXITED
        people.timeline.append(np.array([change.row]), self.now, sequence, kind, people.names.code(change.segment))
        yield SegmentChanged(tenant.id, user, change.segment, change.version, change.entered, self.now)
        if change.entered and not backfilled:
            yield from triggers.entry(tenant, change, sequence, self.now)

    # -- time and messages ------------------------------------------------------------------------------------------

    def _tick(self) -> Iterator[Effect]:
        self.dedup.rotate(self.now)
        for tenant in self.tenants.values():
            if tenant.segments.live:
                for change in list(tenant.segments.backfill(tenant.people, self.now)):
                    yield from self._announce(tenant, change, backfilled=True)
                yield from self.reevaluate(tenant, tenant.segments.due(tenant.people, self.now))
            yield from triggers.sweep(tenant, self.now)
            yield from outcomes.on_time(tenant, self.now)

    def _message(self, tenant: Tenant, message: Message) -> Iterator[Effect]:
        match message.body:
            case Claim() as body:
                yield from identity.claim(tenant, body, self.now)
            case Refused() as body:
                identity.refused(tenant, body)
            case MergeIn() as body:
                yield from identity.merge_in(tenant, body)
                yield from self._reconsider(tenant, body.user)
            case Forward(data, origin, references):
                block = decode_block(data)
                sequence = number(tenant.sequence, columns_of(block).partition)
                places = np.arange(len(block))
                reference = np.array(references, np.int64)
                yield from self._observe(tenant, block, places, sequence, origin, reference)
            case AliasAsk() as body:
                yield from identity.alias_ask(tenant, body)
            case AliasGrant() as body:
                yield from identity.alias_grant(tenant, body, self.now)
            case AliasForget() as body:
                identity.alias_forget(tenant, body)
            case EraseLinked() as body:
                yield from identity.erase_linked(tenant, body)
            case OutcomePassed(outcome):
                yield from outcomes.record(tenant, outcome, self.now)

    def _reconsider(self, tenant: Tenant, key: str) -> Iterator[Effect]:
        row = tenant.people.index.get(key)
        if row is not None and tenant.people.table["status"][row] != FORWARDED:
            rows = np.array([row])
            tenant.segments.traits_changed(tenant.people, rows)
            yield from self.reevaluate(tenant, rows)

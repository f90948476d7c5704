"""Run the shard: a pure, deterministic state machine over the records of its journal.

`apply(records) -> effects` is the only way in. No clock, no network, no random numbers: every record carries its own
`now`. Results do not depend on how records were grouped, nor on how events were grouped into records, and replaying
the journal reproduces state and effects (tested by digest). Leaves batches of events to
:mod:`whisperer.shard.arrivals`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from whisperer.errors import InvariantError
from whisperer.profiles.population import FORWARDED
from whisperer.shard import announcements, arrivals, candidacy, closing, identity, outcomes, scoring, triggers
from whisperer.shard.dedup import Dedup
from whisperer.shard.effects import Effect
from whisperer.shard.log import Log, LogRow, forget
from whisperer.shard.records import (
    BARED_SINCE,
    BOUNDED_SINCE,
    CHAINED_SINCE,
    RECORD_VERSION,
    AliasAsk,
    AliasForget,
    AliasGrant,
    Asked,
    Astray,
    Claim,
    ConfigPublished,
    Confirmed,
    ConsentStated,
    CountsJoined,
    DecisionsMade,
    Delivered,
    Erase,
    EraseLinked,
    ErasureDone,
    Events,
    Forward,
    Led,
    MergeIn,
    Message,
    Moved,
    OutcomePassed,
    Outcomes,
    PartitionJoined,
    PartitionLeft,
    PartitionPart,
    PartitionSwept,
    Passed,
    Receipts,
    Record,
    Refused,
    Released,
    RewardsTaken,
    Scored,
    ScoreModelChosen,
    ShardClosed,
    Tick,
)
from whisperer.shard.steps import Steps, Unmeasured
from whisperer.shard.tenant import Tenant

DEFAULT_MAX_IDS = 20_000_000


class Shard:
    """Hold the state of one shard actor. ``shard_id`` marks in which shard's journal a timeline entry's JSON is."""

    def __init__(self, shard_id: int, dedup_max_ids: int = DEFAULT_MAX_IDS) -> None:
        self.id = shard_id
        self.now = 0
        self.record_version = RECORD_VERSION
        """Version of the record being applied: what an older release wrote is applied as that release did."""
        self.position = -1
        """Journal position of the last record applied."""
        self.tenants: dict[str, Tenant] = {}
        self.dedup = Dedup(dedup_max_ids)
        self.steps: Steps = Unmeasured()
        """Is notified as each step of applying passes; not part of the state."""
        self.absent: set[tuple[str, int]] = set()
        """Partitions that left and have not come back."""
        self.arriving: dict[tuple[str, int], tuple[int, int]] = {}
        """Partitions that have arrived in part -> (map version of the move, number of parts here)."""
        self.kept: dict[str, set[int]] | None = None
        """Once the shard is closed: the partitions that it held then; no others are at home here. None while open."""
        self.counted: set[tuple[int, str]] = set()
        """(removed shard, tenant) whose sums were added to this shard's."""
        self.sweeping: set[tuple[str, int]] = set()
        """Partitions that left and that the new home has whole; their rows are being forgotten."""
        self.moved: dict[tuple[str, int], int] = {}
        """Map version of each partition's last move, so that a move driven again changes nothing."""
        self.rows: list[LogRow] = []
        """Rows of the record being applied; empty between records."""
        self.log: Log = {}
        """Rows for the warehouse by journal position, until it has them."""
        self.repeats: dict[int, NDArray[np.bool_]] = {}
        """Journal position of a block with repeats -> which of its events counted, until the warehouse has them."""

    def apply(self, records: Iterable[tuple[int, Record]]) -> list[Effect]:
        """Apply (journal position, record) pairs in order and return the effects they ask for.

        Raises
        ------
        InvariantError
            The journal's order was broken: `now` went backwards.
        """
        effects: list[Effect] = []
        for position, record in records:
            if record.now < self.now:
                raise InvariantError(f"time went back from {self.now} to {record.now} at journal position {position}")
            self.now = record.now
            if record.version != self.record_version:
                self.record_version = record.version
                for tenant in self.tenants.values():
                    self._as_its_release(tenant)
            effects.extend(self._apply(position, record))
            if self.rows:
                self.log[position] = list(self.rows)
                self.rows.clear()
            self.position = position
        return effects

    def tenant(self, tenant_id: str) -> Tenant:
        """Return a tenant's state here, created if missing."""
        found = self.tenants.get(tenant_id)
        if found is None:
            found = self.tenants[tenant_id] = Tenant.new(tenant_id, self.rows)
            self._as_its_release(found)
        return found

    def wants_tick(self, now: int) -> bool:
        """Return whether a Tick at ``now`` may change anything: an idle shard writes nothing."""
        return self.dedup.is_due(now) or any(
            (tenant.segments.live and (tenant.segments.is_backfilling or tenant.segments.due(tenant.people, now).size))
            or tenant.loop.timers.is_due(now)
            or triggers.is_due(tenant, now)
            or tenant.people.sweeps_at(now)
            for tenant in self.tenants.values()
        )

    def forget_exported(self, before: int) -> None:
        """Forget what was kept for the warehouse before a journal position: the warehouse has it."""
        forget(self.log, before)
        for position in [p for p in self.repeats if p < before]:
            del self.repeats[position]

    def outbox(self) -> list[Message]:
        """Return every letter not yet confirmed, in sending order per source."""
        return [m for tenant in self.tenants.values() for m in tenant.outbox.values()]

    def is_at_home(self, tenant: str, partition: int) -> bool:
        """Return whether a partition lives, or may begin to live, here: it did not leave, and no closing bars it."""
        return (tenant, partition) not in self.absent and closing.is_open_to(self, tenant, partition)

    def _takes(self, message: Message) -> bool:
        """Return whether a letter applies: not if journaled after its target left, as the new home must get it."""
        return self.record_version < CHAINED_SINCE or self.is_at_home(message.tenant, message.target)

    @property
    def dedups_by_tenant(self) -> bool:
        """Return whether ids are kept per tenant: from version 5 on, no tenant's ids push out another's."""
        return self.record_version >= BOUNDED_SINCE

    def _as_its_release(self, tenant: Tenant) -> None:
        """Set a tenant's bounds and reading of addresses to those of the release that wrote the record."""
        tenant.people.keep_bounds(kept=self.record_version >= BOUNDED_SINCE)
        tenant.loop.bares_addresses = self.record_version >= BARED_SINCE

    def _apply(self, position: int, record: Record) -> Iterator[Effect]:
        match record.body:
            case Events() as events:
                yield from arrivals.arrive(self, events.read(), position)
            case Tick():
                yield from self._tick()
                self.steps.passed("tick")
            case Delivered(messages):
                for message in messages:
                    tenant = self.tenant(message.tenant)
                    if tenant.is_next(message) and self._takes(message):
                        tenant.cursors[message.target, message.source] = message.sequence
                        yield from self._message(tenant, message)
                self.steps.passed("messages")
            case Confirmed(messages):
                for tenant_id, source, sequence in messages:
                    self.tenant(tenant_id).outbox.pop((source, sequence), None)
            case ConfigPublished(tenant_id, version, segments, campaigns, experiment):
                tenant = self.tenant(tenant_id)
                if version > tenant.config_version:
                    tenant.config_version = version
                    tenant.segments.publish(tenant.people, segments)
                    tenant.loop.publish(campaigns, experiment, self.now, forgets=self.record_version >= BOUNDED_SINCE)
                    tenant.pin_names()
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
                    yield from outcomes.record(tenant, outcome, self.now, self.record_version)
            case ConsentStated() as stated:
                yield from outcomes.state_consent(self.tenant(stated.tenant), stated, self.now)
            case RewardsTaken(tenant_id, before):
                self.tenant(tenant_id).loop.rewards.forget(before)
            case ErasureDone(tenant_id, key, erased_at):
                erasing = self.tenant(tenant_id).erasing
                if not erased_at or erasing.get(key) == erased_at:  # else erased again since, and that is under way
                    erasing.pop(key, None)
            case Erase(tenant_id, key):
                yield from identity.erase(self.tenant(tenant_id), key, self.now, self.now)
            case Scored() as scored:
                scoring.take(self.tenant(scored.tenant), scored, self.now)
            case ScoreModelChosen() as chosen:
                self.tenant(chosen.tenant).score_model = chosen if chosen.name else None
            case ShardClosed():
                closing.close(self)
            case CountsJoined() as joined:
                closing.join_counts(self, joined)
            case PartitionPart() | PartitionLeft() | PartitionJoined() | PartitionSwept() as body:
                from whisperer.shard import move  # the one import cycle: a partition's state is made of everything here

                yield from move.apply(self, body)

    # -- time and letters ------------------------------------------------------------------------------------------

    def _tick(self) -> Iterator[Effect]:
        self.dedup.rotate(self.now, by_tenant=self.dedups_by_tenant)
        for tenant in self.tenants.values():
            if tenant.segments.live:
                is_bounded = self.record_version >= BOUNDED_SINCE
                changes = tenant.segments.backfill(tenant.people, self.now, is_bounded=is_bounded)
                yield from (effect for _, effect in announcements.announce(tenant, changes, self.now, backfilled=True))
                due = tenant.segments.due(tenant.people, self.now, is_bounded=is_bounded)
                yield from announcements.reevaluate(tenant, due, self.now)
            yield from triggers.sweep(tenant, self.now)
            yield from outcomes.on_time(tenant, self.now)
            if self.record_version >= BOUNDED_SINCE:
                retired = tenant.people.let_names_go(self.now)
                if retired:
                    tenant.counters["names_retired"] += retired

    def _message(self, tenant: Tenant, message: Message) -> Iterator[Effect]:
        match message.body:
            case Claim() as body:
                yield from identity.claim(tenant, body, self.now)
            case AliasAsk() as body:
                yield from identity.alias_ask(tenant, body, self.record_version)
            case AliasGrant() as body:
                yield from identity.alias_grant(tenant, body, self.now, self.record_version)
            case AliasForget() as body:
                identity.alias_forget(tenant, body)
            case Astray() as body:
                yield from identity.astray(tenant, body)
            case Moved() as body:
                identity.moved(tenant, body)
            case Released() as body:
                identity.released(tenant, body)
            case EraseLinked() as body:
                at = max(self.now, body.erased_at) if self.record_version >= BOUNDED_SINCE else body.erased_at
                yield from identity.erase_linked(tenant, body, at)
            case Led(letter):
                yield from self._passed(tenant, letter, led=True)
            case letter:
                yield from self._passed(tenant, letter, led=False)

    def _passed(self, tenant: Tenant, letter: Passed, *, led: bool) -> Iterator[Effect]:
        """Apply a letter that another partition passed on to a user, or that the arbiter of aliases ``led`` to them."""
        match letter:
            case Refused():
                yield from identity.refused(tenant, letter, self.record_version, led=led)
            case MergeIn():
                yield from identity.merge_in(tenant, letter, self.record_version, led=led)
                yield from self._reconsider(tenant, letter.user)
            case Forward():
                yield from arrivals.passed_on(self, tenant, letter, led=led)
            case OutcomePassed(outcome):
                is_astray = not led and self.record_version >= BOUNDED_SINCE
                yield from outcomes.record(tenant, outcome, self.now, self.record_version, is_astray=is_astray)

    def _reconsider(self, tenant: Tenant, key: str) -> Iterator[Effect]:
        row = tenant.people.keys.get(key)
        if row is not None and tenant.people.table["status"][row] != FORWARDED:
            yield from announcements.reevaluate(tenant, np.array([row]), self.now)

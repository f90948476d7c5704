"""Run the shard: a pure, deterministic state machine over the records of its journal.

`apply(records) -> effects` is the only way in. No clock, no network, no random numbers: every record carries its own
`now`. Results do not depend on how records were grouped, nor on how events were grouped into records, and replaying
the journal reproduces state and effects (tested by digest). :data:`HANDLERS` says what applies each kind of record, and
:data:`LETTERS` what applies each kind of letter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from whisperer.errors import InvariantError
from whisperer.profiles.population import FORWARDED
from whisperer.shard.arrival import announcements, arrivals
from whisperer.shard.decision import candidacy, marking, outcomes, replaying, triggers
from whisperer.shard.effects import Effect, caused
from whisperer.shard.move import closing
from whisperer.shard.move import partitions as move
from whisperer.shard.people import identity, scoring
from whisperer.shard.records import (
    AliasAsk,
    AliasForget,
    AliasGrant,
    Asked,
    Astray,
    Claim,
    ConfigPublished,
    ConsentStated,
    CountsJoined,
    DecisionsMade,
    Erase,
    EraseLinked,
    ErasureDone,
    Events,
    Forward,
    InboxMarked,
    Led,
    Letter,
    LettersArrived,
    LettersConfirmed,
    MergeIn,
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
    Replays,
    RewardsTaken,
    Scored,
    ScoreModelChosen,
    ShardClosed,
    Tick,
)
from whisperer.shard.state.shard import DEFAULT_MAX_IDS, ShardState
from whisperer.shard.state.tenant import Tenant

__all__ = ["DEFAULT_MAX_IDS", "HANDLERS", "LETTERS", "Shard"]


class Shard(ShardState):
    """Apply records to the state of one shard."""

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
            self.read_as(record.version)
            try:
                effects.extend(caused(position, HANDLERS[type(record.body)](self, record.body, position)))
            except Exception as error:
                error.add_note(f"while a {type(record.body).__name__} record was applied, journal position {position}")
                raise
            if self.rows:
                self.log[position] = list(self.rows)
                self.rows.clear()
            self.position = position
        return effects

    def wants_tick(self, now: int) -> bool:
        """Return whether a Tick at ``now`` may change anything: an idle shard writes nothing."""
        return self.dedup.is_due(now) or any(
            (tenant.segments.live and (tenant.segments.is_backfilling or tenant.segments.due(tenant.people, now).size))
            or tenant.loop.timers.is_due(now)
            or triggers.is_due(tenant, now)
            or tenant.people.sweeps_at(now)
            for tenant in self.tenants.values()
        )


# -- records ----------------------------------------------------------------------------------------------------------


def _events(shard: ShardState, body: Events, position: int) -> Iterable[Effect]:
    return arrivals.arrive(shard, body.read(), position)


def _tick(shard: ShardState, _body: Tick, _position: int) -> Iterator[Effect]:
    now = shard.now
    shard.dedup.rotate(now, by_tenant=shard.dedups_by_tenant)
    for tenant in shard.tenants.values():
        if tenant.segments.live:
            changes = tenant.segments.backfill(tenant.people, now, is_bounded=shard.is_bounded)
            yield from (effect for _, effect in announcements.announce(tenant, changes, now, backfilled=True))
            due = tenant.segments.due(tenant.people, now, is_bounded=shard.is_bounded)
            yield from announcements.reevaluate(tenant, due, now)
        yield from triggers.sweep(tenant, now)
        yield from outcomes.on_time(tenant, now)
        if shard.is_bounded:
            retired = tenant.people.let_names_go(now)
            if retired:
                tenant.counters["names_retired"] += retired
    shard.steps.passed("tick")


def _letters_arrived(shard: ShardState, body: LettersArrived, _position: int) -> Iterator[Effect]:
    for letter in body.letters:
        tenant = shard.tenant(letter.tenant)
        if tenant.is_next(letter) and shard.takes(letter):
            tenant.cursors[letter.target, letter.source] = letter.sequence
            yield from apply_letter(shard, tenant, letter)
    shard.steps.passed("messages")


def _letters_confirmed(shard: ShardState, body: LettersConfirmed, _position: int) -> Iterable[Effect]:
    for tenant_id, source, sequence in body.letters:
        shard.tenant(tenant_id).letters.pop((source, sequence), None)
    return ()


def _config_published(shard: ShardState, body: ConfigPublished, _position: int) -> Iterable[Effect]:
    tenant = shard.tenant(body.tenant)
    if body.version > tenant.config_version:
        tenant.config_version = body.version
        tenant.segments.publish(tenant.people, body.segments)
        tenant.loop.publish(body.campaigns, body.experiment, shard.now, forgets=shard.is_bounded)
        tenant.pin_names()
    return ()


def _asked(shard: ShardState, body: Asked, _position: int) -> Iterable[Effect]:
    return triggers.asked(shard.tenant(body.tenant), body, shard.now)


def _decisions_made(shard: ShardState, body: DecisionsMade, _position: int) -> Iterator[Effect]:
    tenant = shard.tenant(body.tenant)
    for choice in body.choices:
        yield from candidacy.choose(tenant, choice, shard.now)


def _receipts(shard: ShardState, body: Receipts, _position: int) -> Iterator[Effect]:
    tenant = shard.tenant(body.tenant)
    for decision_id, receipt in body.receipts:
        yield from outcomes.receive(tenant, decision_id, receipt, shard.now)


def _outcomes(shard: ShardState, body: Outcomes, _position: int) -> Iterator[Effect]:
    tenant = shard.tenant(body.tenant)
    for outcome in body.outcomes:
        yield from outcomes.record(tenant, outcome, shard.now, shard.record_version)


def _consent_stated(shard: ShardState, body: ConsentStated, _position: int) -> Iterable[Effect]:
    return outcomes.state_consent(shard.tenant(body.tenant), body, shard.now)


def _rewards_taken(shard: ShardState, body: RewardsTaken, _position: int) -> Iterable[Effect]:
    shard.tenant(body.tenant).loop.rewards.forget(body.before)
    return ()


def _erase(shard: ShardState, body: Erase, _position: int) -> Iterable[Effect]:
    return identity.erase(shard.tenant(body.tenant), body.key, shard.now, shard.now)


def _erasure_done(shard: ShardState, body: ErasureDone, _position: int) -> Iterable[Effect]:
    erasing = shard.tenant(body.tenant).erasing
    # Otherwise the user was erased again since, and that erasure is under way.
    if not body.erased_at or erasing.get(body.key) == body.erased_at:
        erasing.pop(body.key, None)
    return ()


def _scored(shard: ShardState, body: Scored, _position: int) -> Iterable[Effect]:
    scoring.take(shard.tenant(body.tenant), body, shard.now)
    return ()


def _score_model_chosen(shard: ShardState, body: ScoreModelChosen, _position: int) -> Iterable[Effect]:
    shard.tenant(body.tenant).score_model = body if body.name else None
    return ()


def _inbox_marked(shard: ShardState, body: InboxMarked, _position: int) -> Iterable[Effect]:
    return marking.mark(shard.tenant(body.tenant), body, shard.now, shard.record_version)


def _replays(shard: ShardState, body: Replays, _position: int) -> Iterable[Effect]:
    replaying.replay(shard.tenant(body.tenant), body.decisions, shard.now)
    return ()


def _shard_closed(shard: ShardState, _body: ShardClosed, _position: int) -> Iterable[Effect]:
    closing.close(shard)
    return ()


def _counts_joined(shard: ShardState, body: CountsJoined, _position: int) -> Iterable[Effect]:
    closing.join_counts(shard, body)
    return ()


def _move(
    shard: ShardState, body: PartitionPart | PartitionLeft | PartitionJoined | PartitionSwept, _position: int
) -> Iterable[Effect]:
    return move.apply(shard, body)


HANDLERS: dict[type[Any], Callable[[ShardState, Any, int], Iterable[Effect]]] = {
    Events: _events,
    Tick: _tick,
    LettersArrived: _letters_arrived,
    LettersConfirmed: _letters_confirmed,
    ConfigPublished: _config_published,
    Asked: _asked,
    DecisionsMade: _decisions_made,
    Receipts: _receipts,
    Outcomes: _outcomes,
    ConsentStated: _consent_stated,
    RewardsTaken: _rewards_taken,
    Erase: _erase,
    ErasureDone: _erasure_done,
    Scored: _scored,
    ScoreModelChosen: _score_model_chosen,
    ShardClosed: _shard_closed,
    CountsJoined: _counts_joined,
    PartitionPart: _move,
    PartitionLeft: _move,
    PartitionJoined: _move,
    PartitionSwept: _move,
    InboxMarked: _inbox_marked,
    Replays: _replays,
}
"""Kind of record -> what applies it, given the record's journal position."""


# -- letters ----------------------------------------------------------------------------------------------------------


def apply_letter(shard: ShardState, tenant: Tenant, letter: Letter) -> Iterable[Effect]:
    """Apply a letter that is next in line to the tenant it is for."""
    return LETTERS[type(letter.body)](shard, tenant, letter.body)


def _claim(shard: ShardState, tenant: Tenant, body: Claim) -> Iterable[Effect]:
    return identity.claim(tenant, body, shard.now)


def _alias_ask(shard: ShardState, tenant: Tenant, body: AliasAsk) -> Iterable[Effect]:
    return identity.alias_ask(tenant, body, shard.record_version)


def _alias_grant(shard: ShardState, tenant: Tenant, body: AliasGrant) -> Iterable[Effect]:
    return identity.alias_grant(tenant, body, shard.now, shard.record_version)


def _alias_forget(_shard: ShardState, tenant: Tenant, body: AliasForget) -> Iterable[Effect]:
    identity.alias_forget(tenant, body)
    return ()


def _astray(_shard: ShardState, tenant: Tenant, body: Astray) -> Iterable[Effect]:
    return identity.astray(tenant, body)


def _moved(_shard: ShardState, tenant: Tenant, body: Moved) -> Iterable[Effect]:
    identity.moved(tenant, body)
    return ()


def _released(_shard: ShardState, tenant: Tenant, body: Released) -> Iterable[Effect]:
    identity.released(tenant, body)
    return ()


def _erase_linked(shard: ShardState, tenant: Tenant, body: EraseLinked) -> Iterable[Effect]:
    at = max(shard.now, body.erased_at) if shard.is_bounded else body.erased_at
    return identity.erase_linked(tenant, body, at)


def _led(shard: ShardState, tenant: Tenant, body: Led) -> Iterable[Effect]:
    return _passed(shard, tenant, body.letter, led=True)


def _passed(shard: ShardState, tenant: Tenant, letter: Passed, *, led: bool = False) -> Iterator[Effect]:
    """Apply a letter that another partition passed on to a user, or that the arbiter of aliases ``led`` to them."""
    match letter:
        case Refused():
            yield from identity.refused(tenant, letter, shard.record_version, led=led)
        case MergeIn():
            yield from identity.merge_in(tenant, letter, shard.record_version, led=led)
            row = tenant.people.keys.get(letter.user)
            if row is not None and tenant.people.table["status"][row] != FORWARDED:
                tenant.fit_inbox(row, shard.now)
                yield from announcements.reevaluate(tenant, np.array([row]), shard.now)
        case Forward():
            yield from arrivals.passed_on(shard, tenant, letter, led=led)
        case OutcomePassed(outcome):
            is_astray = not led and shard.is_bounded
            yield from outcomes.record(tenant, outcome, shard.now, shard.record_version, is_astray=is_astray)


LETTERS: dict[type[Any], Callable[[ShardState, Tenant, Any], Iterable[Effect]]] = {
    Claim: _claim,
    AliasAsk: _alias_ask,
    AliasGrant: _alias_grant,
    AliasForget: _alias_forget,
    Astray: _astray,
    Moved: _moved,
    Released: _released,
    EraseLinked: _erase_linked,
    Led: _led,
    Refused: _passed,
    MergeIn: _passed,
    Forward: _passed,
    OutcomePassed: _passed,
}
"""Kind of letter -> what applies it to the tenant it is for."""

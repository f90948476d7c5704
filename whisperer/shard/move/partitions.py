"""Move a partition from one shard to another: what the records of a move do at either end.

    the old home                              the new home
    ------------                              ------------
    (serves)             -- parts -->         PartitionPart: rows that take part in nothing yet
    PartitionLeft: frozen, refused to all
                         -- the rest -->      PartitionPart
                         -- last word -->     PartitionJoined: the rows count from here on
    PartitionSwept: rows forgotten, slice by slice

The rows of a partition that is not at home are *away* (:data:`whisperer.profiles.population.AWAY`), at either end: no
tick, schedule or count sees them. So at most one shard serves a partition at any moment, and until the new home has all
of it durably, the old one can send it again from the beginning. Every record is idempotent by the move's map version.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from whisperer.ids import Partition, UserKey
from whisperer.journeys.engagement import decode as decode_engagement
from whisperer.profiles import traits
from whisperer.profiles.population import AWAY, LIVE, Population
from whisperer.profiles.scores import SCORES
from whisperer.shard.arrival.announcements import reevaluate
from whisperer.shard.decision import candidacy
from whisperer.shard.effects import Effect, SendLetter
from whisperer.shard.move.packing import MovedUser, PackedPart, PartitionState, decode_part, decode_state, rows_of
from whisperer.shard.records import ALIAS_ARBITER, PartitionJoined, PartitionLeft, PartitionPart, PartitionSwept
from whisperer.shard.state.forest import Forest
from whisperer.shard.state.shard import ShardState
from whisperer.shard.state.tenant import Owner, Tenant, chain_of

Body = PartitionPart | PartitionLeft | PartitionJoined | PartitionSwept


def apply(shard: ShardState, body: Body) -> Iterator[Effect]:
    """Apply a record of a move; one of a move that is over already changes nothing."""
    tenant = shard.tenant(body.tenant)
    place = (body.tenant, body.partition)
    if isinstance(body, PartitionSwept):
        if place in shard.absent or place in shard.arriving:
            _sweep(shard, tenant, body.partition, body.limit)
        return
    if shard.moved.get(place, 0) >= body.map_version:
        return
    match body:
        case PartitionPart():
            _take(shard, tenant, body)
        case PartitionLeft(kept=kept):
            shard.moved[place] = body.map_version
            shard.absent.add(place)
            if kept:
                _freeze(tenant, body.partition)
            else:  # written before moves in parts: the state was saved to a file first
                _forget(shard, tenant, body.partition, rows_of(tenant.people, body.partition))
                _forget_rest(shard, tenant, body.partition)
        case PartitionJoined():
            state = decode_state(body.state)
            arrived = shard.arriving.pop(place, None)
            if state.n_parts and arrived != (body.map_version, state.n_parts):
                return  # parts are missing: the old home starts again
            shard.moved[place] = body.map_version
            shard.absent.discard(place)
            shard.sweeping.discard(place)
            yield from _join(shard, tenant, state)


# -- leaving ----------------------------------------------------------------------------------------------------------


def _freeze(tenant: Tenant, partition: Partition) -> None:
    """Keep the partition's state, so that it can be sent again, but take it out of all counts and changes."""
    people = tenant.people
    rows = rows_of(people, partition)
    people.table["status"][rows] |= AWAY
    for row in _engaged(people, tenant, partition):
        tenant.loop.fall_asleep(row)


def _engaged(people: Population, tenant: Tenant, partition: Partition) -> list[int]:
    column = people.table["partition"]
    return [row for row in tenant.loop.engagements if column[row] == partition]


def _sweep(shard: ShardState, tenant: Tenant, partition: Partition, limit: int) -> None:
    """Forget the next rows of a partition that the new home has; with the last, everything else of it."""
    place = (tenant.id, partition)
    shard.sweeping.add(place)
    rows = rows_of(tenant.people, partition)
    _forget(shard, tenant, partition, rows[:limit])
    if len(rows) <= limit:
        _forget_rest(shard, tenant, partition)
        shard.sweeping.discard(place)


def _forget(shard: ShardState, tenant: Tenant, partition: Partition, rows: NDArray[np.int64]) -> None:
    people = tenant.people
    for row in rows.tolist():
        tenant.floors.pop(row, None)
        tenant.loop.asleep.pop(row, None)
        tenant.loop.let_go(row)
        people.vacate(row)


def _forget_rest(shard: ShardState, tenant: Tenant, partition: Partition) -> None:
    tenant.sequence[partition] = 0
    tenant.sent[partition] = 0
    for place in [p for p in tenant.cursors if p[0] == partition]:
        del tenant.cursors[place]
    for place in [p for p in tenant.chain if p[0] == partition]:
        del tenant.chain[place]
    for number in [n for n in tenant.letters if n[0] == partition]:
        del tenant.letters[number]
    for key in [k for k in tenant.owners if tenant.home(k) == partition]:
        del tenant.owners[key]
    for digest in [h for h, (p, _) in tenant.tombstones.items() if p == partition]:
        del tenant.tombstones[digest]
    for digest in [h for h, (p, *_) in tenant.loop.retained.items() if p == partition]:
        del tenant.loop.retained[digest]
    for digest in [h for h, (p, _) in tenant.loop.wishes.items() if p == partition]:
        del tenant.loop.wishes[digest]
    if partition == ALIAS_ARBITER:
        tenant.forest = Forest()
    shard.dedup.drop(tenant.id, partition)


# -- arriving ---------------------------------------------------------------------------------------------------------


def _take(shard: ShardState, tenant: Tenant, body: PartitionPart) -> None:
    """Take in the next part of an arriving partition; the first one starts afresh, one out of order is ignored."""
    place = (body.tenant, body.partition)
    if body.number == 0:
        _forget(shard, tenant, body.partition, rows_of(tenant.people, body.partition))
        _forget_rest(shard, tenant, body.partition)
        shard.sweeping.discard(place)
    elif shard.arriving.get(place) != (body.map_version, body.number):
        return
    shard.arriving[place] = body.map_version, body.number + 1
    part = decode_part(body.part)
    _forget_keys(tenant, part.gone)
    for user in part.users:
        row = _put(tenant, user, body.partition)  # on a line of its own: the table may be replaced as it grows
        tenant.people.table["status"][row] |= AWAY
    _take_rest(shard, tenant, body.partition, part)


def _forget_keys(tenant: Tenant, keys: list[UserKey]) -> None:
    for key in keys:
        row = tenant.people.keys.get(key)
        if row is not None:
            tenant.floors.pop(row, None)
            tenant.people.vacate(row)


def _put(tenant: Tenant, user: MovedUser, partition: Partition) -> int:
    """Store a user as they are at the old home, replacing any older copy, and return the row."""
    people = tenant.people
    row = people.keys.get(user.key)
    if row is None:
        row = people.row(user.key, partition)
    else:
        people.clear(row)
        people.unforward(row)
        tenant.floors.pop(row, None)
    if user.floor is not None:
        tenant.floors[row] = user.floor
    if user.target is not None:
        people.forward(row, user.target)
        return row
    people.combine(row, user.state, traits.AS_IT_IS)
    for score, value in zip(SCORES, user.scores, strict=False):  # an older release sends none
        people.table[score][row] = value
    for name in user.segments:
        if name in tenant.segments.live:
            people.table[tenant.segments.live[name].column][row] = True
    return row


def _take_rest(shard: ShardState, tenant: Tenant, partition: Partition, part: PackedPart) -> None:
    shard.dedup.join(tenant.id, partition, part.dedup, by_tenant=shard.dedups_by_tenant)
    tenant.loop.campaigns.learn(part.pinned)
    for key, engagement in part.engagements:
        tenant.loop.asleep[tenant.row_for(key)] = decode_engagement(engagement)


def _join(shard: ShardState, tenant: Tenant, state: PartitionState) -> Iterator[Effect]:
    partition, people = state.partition, tenant.people
    tenant.sequence[partition] = state.sequence
    tenant.sent[partition] = state.sent
    chain = chain_of(state.letters) if state.chain is None else {(partition, target): at for target, at in state.chain}
    tenant.chain.update(chain)
    tenant.cursors.update({(partition, source): at for source, at in state.cursors})
    tenant.owners.update({key: Owner(user, shared) for key, user, shared in state.owners})
    tenant.tombstones.update({digest: (partition, at) for digest, at in state.tombstones})
    if partition == ALIAS_ARBITER:
        tenant.forest = Forest(dict(state.parents), dict(state.tree_sizes or {}), dict(state.aliases_asked))
        if state.tree_sizes is None:
            tenant.forest.count()
    tenant.loop.wishes.update({h: (partition, wishes) for h, wishes in state.wishes})
    tenant.loop.retained.update({h: (partition, channel, at, why) for h, channel, at, why in state.retained})
    first_row = people.table.n
    for user in state.users:
        row = _put(tenant, user, partition)
        if user.state.engagement:
            tenant.loop.asleep[row] = decode_engagement(user.state.engagement)
    _take_rest(shard, tenant, partition, PackedPart(dedup=state.dedup, pinned=state.pinned))
    rows = rows_of(people, partition)
    people.table["status"][rows] &= ~np.uint8(AWAY)
    asleep = [row for row in tenant.loop.asleep if people.table["partition"][row] == partition]
    for row in asleep:
        tenant.loop.wake(row)
    live = rows[people.table["status"][rows] == LIVE]
    if state.n_parts:  # evaluated by the next ticks, a slice each: there may be many
        people.table["next_check"][live] = shard.now
    else:
        yield from reevaluate(tenant, live, shard.now)
    if rows.size:
        first_row = min(first_row, int(rows[0]))
    tenant.loop.schedules.catch_up(tenant.loop.campaigns.scheduled, shard.now, first_row, people.table.n)
    for row in asleep:  # merged ones too: their messages wait here for the receipts
        decision = tenant.loop.open(row)
        if decision is not None:
            yield from candidacy.drive(tenant, decision)
    for letter in state.letters:
        tenant.letters[letter.source, letter.sequence] = letter
        yield SendLetter(letter)

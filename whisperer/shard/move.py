"""A partition as a value: taken out of one shard, put into another, state exactly kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from whisperer.journeys.engagement import Decision, Pinned
from whisperer.journeys.engagement import decode as decode_engagement
from whisperer.journeys.engagement import encode as encode_engagement
from whisperer.profiles.population import LIVE
from whisperer.profiles.state import ProfileState
from whisperer.shard import candidacy
from whisperer.shard.effects import Effect, Send
from whisperer.shard.records import Message, PartitionJoined, PartitionLeft
from whisperer.shard.tenant import Owner, Tenant

if TYPE_CHECKING:
    from whisperer.shard.machine import Shard


class MovedUser(msgspec.Struct, array_like=True):
    key: str
    state: ProfileState
    target: str | None
    floor: int | None
    segments: list[str]


class PartitionState(msgspec.Struct, array_like=True):
    tenant: str
    partition: int
    sequence: int
    sent: int
    cursors: list[tuple[int, int]]
    outbox: list[Message]
    owners: list[tuple[str, str, bool]]
    parents: dict[str, str]
    tombstones: list[tuple[bytes, int]]
    dedup: list[tuple[int, int, bytes]]
    users: list[MovedUser]
    retained: list[tuple[bytes, str, int, str]] = []
    pinned: list[Pinned] = []


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(PartitionState).decode


def extract(shard: Shard, tenant_id: str, partition: int) -> bytes:
    """The partition's whole state; the shard is left as it is."""
    tenant = shard.tenant(tenant_id)
    people = tenant.people
    table = people.table
    users = []
    decisions: list[Decision] = []
    for row in np.flatnonzero(table["partition"][: table.n] == partition).tolist():
        key = people.keys[row]
        if key is not None:
            state = people.extract(row)
            held = tenant.loop.engagements.get(row)
            if held is not None:
                state.engagement = encode_engagement(held)
                decisions += held.decisions
            users.append(
                MovedUser(
                    key,
                    state,
                    people.targets.get(row),
                    tenant.floors.get(row),
                    tenant.segments.of(people, row),
                )
            )
    return _encode(
        PartitionState(
            tenant=tenant_id,
            partition=partition,
            sequence=int(tenant.sequence[partition]),
            sent=int(tenant.sent[partition]),
            cursors=[(source, at) for (target, source), at in tenant.cursors.items() if target == partition],
            outbox=[message for (source, _), message in tenant.outbox.items() if source == partition],
            owners=[(k, o.user, o.shared) for k, o in tenant.owners.items() if tenant.home(k) == partition],
            parents=tenant.parents if partition == 0 else {},
            tombstones=[(h, at) for h, (p, at) in tenant.tombstones.items() if p == partition],
            dedup=shard.dedup.extract(tenant_id, partition),
            users=users,
            retained=[
                (digest, channel, at, reason)
                for digest, (p, channel, at, reason) in tenant.loop.retained.items()
                if p == partition
            ],
            pinned=tenant.loop.campaigns.pinned_by(decisions),
        )
    )


def apply(shard: Shard, body: PartitionLeft | PartitionJoined) -> Iterator[Effect]:
    tenant = shard.tenant(body.tenant)
    place = (body.tenant, body.partition)
    if shard.moved.get(place, 0) >= body.map_version:
        return
    shard.moved[place] = body.map_version
    if isinstance(body, PartitionLeft):
        _remove(shard, tenant, body.partition)
        shard.absent.add(place)
        return
    shard.absent.discard(place)
    yield from _join(shard, tenant, _decode(body.state))


def _remove(shard: Shard, tenant: Tenant, partition: int) -> None:
    people = tenant.people
    table = people.table
    for row in np.flatnonzero(table["partition"][: table.n] == partition).tolist():
        tenant.floors.pop(row, None)
        tenant.loop.let_go(row)
        people.vacate(row)
    tenant.sequence[partition] = 0
    tenant.sent[partition] = 0
    for place in [p for p in tenant.cursors if p[0] == partition]:
        del tenant.cursors[place]
    for place in [p for p in tenant.outbox if p[0] == partition]:
        del tenant.outbox[place]
    for key in [k for k in tenant.owners if tenant.home(k) == partition]:
        del tenant.owners[key]
    for digest in [h for h, (p, _) in tenant.tombstones.items() if p == partition]:
        del tenant.tombstones[digest]
    for digest in [h for h, (p, *_) in tenant.loop.retained.items() if p == partition]:
        del tenant.loop.retained[digest]
    if partition == 0:
        tenant.parents.clear()
    shard.dedup.drop(tenant.id, partition)


def _join(shard: Shard, tenant: Tenant, state: PartitionState) -> Iterator[Effect]:
    partition, people = state.partition, tenant.people
    tenant.sequence[partition] = state.sequence
    tenant.sent[partition] = state.sent
    tenant.cursors.update({(partition, source): at for source, at in state.cursors})
    tenant.owners.update({key: Owner(user, shared) for key, user, shared in state.owners})
    tenant.tombstones.update({digest: (partition, at) for digest, at in state.tombstones})
    if partition == 0:
        tenant.parents.update(state.parents)
    shard.dedup.join(tenant.id, partition, state.dedup)
    tenant.loop.retained.update({h: (partition, channel, at, why) for h, channel, at, why in state.retained})
    tenant.loop.campaigns.learn(state.pinned)
    first_row = people.table.n
    for user in state.users:
        row = people.row(user.key, partition)
        if user.state.engagement:
            tenant.loop.take_in(row, decode_engagement(user.state.engagement))
        if user.floor is not None:
            tenant.floors[row] = user.floor
        if user.target is not None:
            people.forward(row, user.target)
            continue
        people.combine(row, user.state)
        for name in user.segments:
            if name in tenant.segments.live:
                people.table[tenant.segments.live[name].column][row] = True
    rows = np.flatnonzero(people.table["partition"][: people.table.n] == partition)
    rows = rows[people.table["status"][rows] == LIVE]
    yield from shard.reevaluate(tenant, rows)
    tenant.loop.schedules.catch_up(tenant.loop.campaigns.scheduled, shard.now, first_row, people.table.n)
    for user in state.users:  # merged ones too: their messages wait here for the receipt
        decision = tenant.loop.open(people.index[user.key])
        if decision is not None:
            yield from candidacy.drive(tenant, decision)
    for message in state.outbox:
        tenant.outbox[message.source, message.sequence] = message
        yield Send(message)

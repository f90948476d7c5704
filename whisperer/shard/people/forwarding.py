"""Handle events that reach no profile here: pass on those of merged keys, drop those from before an erasure.

A merged key's home passes its events on to the user that it was merged into. If that user was merged too, the arbiter
of aliases leads them to the root (:mod:`whisperer.shard.state.forest`), so events take at most three hops however long
the chain is.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from whisperer.events.block import EventBlock, Payloads, columns_of, encode_block, key_of, link_of, message_id_of
from whisperer.events.decoding import decode_block
from whisperer.events.parts import PartBuilder, merge
from whisperer.ids import Partition, UserKey, key_hash
from whisperer.shard.effects import Effect, SendLetter
from whisperer.shard.records import ALIAS_ARBITER, Astray, Forward, Led
from whisperer.shard.state.tenant import PartitionPair, Tenant


def drop_late(
    tenant: Tenant, block: EventBlock, chosen: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Drop events from before their user's erasure and return the (places, rows) that remain."""
    floor = np.array([tenant.floors.get(row, -1) for row in rows.tolist()], np.int64)
    keep = columns_of(block).timestamp[chosen] > floor
    tenant.counters["dropped.user_erased"] += int(np.count_nonzero(~keep))
    return chosen[keep], rows[keep]


def forward(
    tenant: Tenant,
    block: EventBlock,
    chosen: NDArray[np.int64],
    rows: NDArray[np.int64],
    origin: int,
    reference: NDArray[np.int64],
) -> Iterator[Effect]:
    """Pass events of merged keys on to their new homes, one letter per pair of partitions."""
    people = tenant.people
    targets = [people.targets[row] for row in rows.tolist()]
    sources: list[Partition] = people.table["partition"][rows].tolist()
    routes = list(zip(sources, map(tenant.home, targets), strict=True))
    led = dict(zip(people.keys.texts(rows), targets, strict=True))
    for (source, home), places, data in _regrouped(tenant, block, chosen.tolist(), targets, routes):
        keys = _leading_to(led, {targets[i] for i in places})
        body = Forward(data, origin, reference[chosen[places]].tolist(), keys)
        yield SendLetter(tenant.post(source, home, body))


def go_astray(
    tenant: Tenant, block: EventBlock, chosen: NDArray[np.int64], rows: NDArray[np.int64], letter: Forward
) -> Iterator[Effect]:
    """Send a letter's events for users who were merged themselves to the arbiter, which knows into whom."""
    people, references = tenant.people, np.array(letter.references, np.int64)
    keys = people.keys.texts(rows)
    sources: list[Partition] = people.table["partition"][rows].tolist()
    routes = [(source, ALIAS_ARBITER) for source in sources]
    for (source, home), places, data in _regrouped(tenant, block, chosen.tolist(), keys, routes):
        body = Forward(data, letter.origin, references[chosen[places]].tolist())
        leading = _leading_to(dict(letter.keys), {keys[i] for i in places})
        yield SendLetter(tenant.post(source, home, Astray(body, leading)))


def lead(tenant: Tenant, letter: Forward) -> Iterator[Effect]:
    """At the arbiter: send events that went astray to the homes of the users that their keys are part of."""
    block, references = decode_block(letter.block), np.array(letter.references, np.int64)
    roots = [tenant.forest.root(key_of(block, event)) for event in range(len(block))]
    routes = [(ALIAS_ARBITER, tenant.home(root)) for root in roots]
    for (source, home), places, data in _regrouped(tenant, block, list(range(len(block))), roots, routes):
        yield SendLetter(tenant.post(source, home, Led(Forward(data, letter.origin, references[places].tolist()))))


def _leading_to(led: dict[UserKey, UserKey], targets: set[UserKey]) -> list[tuple[UserKey, UserKey]]:
    return [(key, target) for key, target in led.items() if target in targets]


def _regrouped(
    tenant: Tenant, block: EventBlock, events: list[int], keys: list[UserKey], routes: list[PartitionPair]
) -> Iterator[tuple[PartitionPair, list[int], bytes]]:
    """Put some events of a block under other keys; yield each route, the places in ``events`` and the encoded block."""
    columns, payloads = columns_of(block), Payloads(block)
    found: dict[PartitionPair, tuple[PartBuilder, list[int]]] = {}
    for place, (event, key, route) in enumerate(zip(events, keys, routes, strict=True)):
        builder, places = found.setdefault(route, (PartBuilder(), []))
        builder.add(
            key=key,
            hashed=key_hash(key, tenant.seed),
            partition=route[1],
            kind=int(columns.kind[event]),
            name=block.names[columns.name[event]],
            timestamp=int(columns.timestamp[event]),
            received=int(columns.received[event]),
            message_id=message_id_of(block, event),
            message_hash=columns.message_hash[event].tobytes(),
            payload=payloads[event],
            flags=int(columns.flags[event]),
            revenue=int(columns.revenue[event]),
            zone=block.zones[columns.zone[event]],
            locale=block.locales[columns.locale[event]],
            link=link_of(block, event),
        )
        places.append(place)
    for route, (builder, places) in found.items():
        yield route, places, encode_block(merge(tenant.id, [builder.build()]))

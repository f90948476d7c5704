"""Events that do not reach a profile here: those of merged keys are passed on, those from before an erasure dropped."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from whisperer.events.block import EventBlock, Payloads, columns_of, encode_block, link_of, message_id_of
from whisperer.events.parts import PartBuilder, merge
from whisperer.ids import key_hash
from whisperer.shard.effects import Effect, Send
from whisperer.shard.records import Forward
from whisperer.shard.tenant import Tenant


def drop_late(
    tenant: Tenant, block: EventBlock, chosen: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Leave out events from before their user's erasure."""
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
    """Pass events of merged keys on to the new home, one message for each pair of partitions."""
    people, columns, payloads = tenant.people, columns_of(block), Payloads(block)
    routes: dict[tuple[int, int], tuple[PartBuilder, list[int]]] = {}
    for event, row in zip(chosen.tolist(), rows.tolist(), strict=True):
        target = people.targets[row]
        route = (int(people.table["partition"][row]), tenant.home(target))
        builder, references = routes.setdefault(route, (PartBuilder(), []))
        builder.add(
            key=target,
            hashed=key_hash(target, tenant.seed),
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
        references.append(int(reference[event]))
    for (source, home), (builder, references) in routes.items():
        body = Forward(encode_block(merge(tenant.id, [builder.build()])), origin, references)
        yield Send(tenant.post(source, home, body))

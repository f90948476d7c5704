"""Estimate how long records will occupy the shard, before they are journaled, and split those that take too long.

A shard applies its records one after another, for all tenants, and gives others their turn between two of them: so no
record may take longer than 50 ms (`whisperer bench records`). How long one event takes depends on what the tenant has
published and what the event carries; the figures are microseconds, measured on one core, and err on the high side.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from whisperer.events.block import EventBlock, Payloads, encode_block
from whisperer.events.parts import select
from whisperer.events.types import Flag
from whisperer.ids import UserKey
from whisperer.shard.machine import Shard
from whisperer.shard.records import Astray, EraseLinked, Events, Forward, Led, Letter, MergeIn
from whisperer.shard.state.tenant import Tenant

RECORD_US = 30_000
"""One record's estimate exceeds this by at most one event or letter."""
EVENT_US = 3.0
TRAITS_US = 12.0
TRAIT_READ_US, TRAIT_TEST_US = 15.0, 1.0
"""Where segments ask about traits, a trait is read again, and tested as often as it has different tests."""
TEST_US = 0.05
LINK_US = 40.0
CALL_US = 25.0
"""Per campaign that an event triggers."""
LETTER_US = 40.0
BYTE_US = 0.005
"""Of a profile that is merged, its in-app messages included."""
ERASED_LINK_US = 15.0


def cut(shard: Shard, read: Payloads, encoded: bytes) -> list[Events]:
    """Return the record of a block, or several with its events in order, none of which takes too long."""
    block = read.block
    costs = event_costs(shard.tenants.get(block.tenant), block)
    if costs.sum() <= RECORD_US:
        return [Events.of(encoded, read)]
    groups = (np.cumsum(costs) / RECORD_US).astype(np.int64)
    edges = np.flatnonzero(np.diff(groups)) + 1
    return [Events(encode_block(select(block, places))) for places in np.split(np.arange(len(block)), edges)]


def event_costs(tenant: Tenant | None, block: EventBlock) -> NDArray[np.float64]:
    """Estimate what each event takes, in microseconds; shape (n_events,)."""
    rows = block.events()
    by_name = np.zeros(max(len(block.names), 1))
    per_event, per_traits = EVENT_US, TRAITS_US
    if tenant is not None:
        on_event = tenant.loop.campaigns.on_event
        by_name[: len(block.names)] = [CALL_US * len(on_event.get(name, ())) for name in block.names]
        per_event += TEST_US * tenant.segments.n_tests
        most = tenant.segments.most_tests_a_trait
        per_traits += TRAIT_READ_US + TRAIT_TEST_US * most if most else 0.0
    flags = rows["flags"]
    costs: NDArray[np.float64] = per_event + by_name[rows["name"]]
    costs[(flags & int(Flag.TRAITS)) != 0] += per_traits
    costs[(flags & int(Flag.LINK)) != 0] += LINK_US
    return costs


def batches(shard: Shard, letters: list[Letter]) -> Iterator[list[Letter]]:
    """Yield the letters, in order, in lists none of which takes too long."""
    batch: list[Letter] = []
    spent = 0.0
    for letter in letters:
        cost = _letter_us(shard, letter)
        if batch and spent + cost > RECORD_US:
            yield batch
            batch, spent = [], 0.0
        batch.append(letter)
        spent += cost
    if batch:
        yield batch


def _letter_us(shard: Shard, letter: Letter) -> float:
    body = letter.body.letter if isinstance(letter.body, (Astray, Led)) else letter.body
    match body:
        case Forward(references=references):
            # The event may trigger campaigns and state traits: its cost on arrival is not looked up again.
            return LETTER_US + (EVENT_US + CALL_US) * len(references)
        case MergeIn(state=state):
            traits = sum(len(name) + len(text) for name, (_, _, text) in state.traits.items())
            n_bytes = traits + len(state.engagement)
            return LETTER_US + BYTE_US * n_bytes + len(state.history) + len(state.timeline)
        case EraseLinked(key):
            return LETTER_US + ERASED_LINK_US * _n_links(shard.tenants.get(letter.tenant), key)
    return LETTER_US


def _n_links(tenant: Tenant | None, key: UserKey) -> int:
    row = None if tenant is None else tenant.people.keys.get(key)
    return 0 if tenant is None or row is None else len(tenant.people.links.get(row, ()))

"""What is too much for one record is several, in order; what is not stays as it came."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.shard import weighing
from actors.shard.weighing import batches, cut, event_costs
from tests.support.shard_world import T0, TENANT, World, add, event
from tests.unit.whisperer.shard.campaigns import BY_EVENT
from whisperer.events.block import EventBlock, Payloads, encode_block, message_id_of
from whisperer.events.decoding import decode_block
from whisperer.events.parts import PartBuilder, merge
from whisperer.journeys.campaign import to_json
from whisperer.shard.machine import Shard
from whisperer.shard.records import (
    CampaignConfig,
    Claim,
    ConfigPublished,
    EraseLinked,
    Events,
    Experiment,
    Letter,
    SegmentConfig,
)


def block_of(events: list[dict[str, Any]]) -> EventBlock:
    builder = PartBuilder()
    for one in events:
        add(builder, one)
    return merge(TENANT, [builder.build()])


def ids(block: EventBlock) -> list[str]:
    return [message_id_of(block, i) for i in range(len(block))]


def shard_with(n_segments: int, n_campaigns: int) -> Shard:
    world = World(n=1)
    segments = [
        SegmentConfig(f"s{i}", 1, json.dumps({"trait": "plan", "op": "eq", "value": i})) for i in range(n_segments)
    ]
    campaigns = [CampaignConfig(f"c{i}", 1, "live", to_json(BY_EVENT)) for i in range(n_campaigns)]
    world.write(0, ConfigPublished(TENANT, 1, segments, campaigns, Experiment("salt")))
    return world.shards[0]


def test_what_most_requests_bring_stays_whole() -> None:
    block = block_of([event(f"user-{i}", name="Looked") for i in range(500)])
    data = encode_block(block)
    assert cut(Shard(0), Payloads(block), data) == [Events(data)]
    assert cut(shard_with(3, 2), Payloads(block), data) == [Events(data)]


@settings(max_examples=30, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(["Looked", "Other", "traits", "alias"]), min_size=1, max_size=80),
    bound=st.sampled_from([50, 200, 3_000]),
    n_segments=st.integers(0, 5),
    n_campaigns=st.integers(0, 5),
)
def test_the_pieces_are_the_block_and_none_is_too_much(
    kinds: list[str], bound: float, n_segments: int, n_campaigns: int
) -> None:
    events = []
    for i, kind in enumerate(kinds):
        match kind:
            case "traits":
                events.append(event("ann", type="identify", traits={"plan": i}))
            case "alias":
                events.append(event("ann", type="alias", previous=f"p{i}"))
            case name:
                events.append(event(f"user-{i}", name=name))
    shard, block = shard_with(n_segments, n_campaigns), block_of(events)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weighing, "RECORD_US", bound)
        pieces = [decode_block(piece.block) for piece in cut(shard, Payloads(block), encode_block(block))]
    assert [one for piece in pieces for one in ids(piece)] == ids(block)
    for piece in pieces:
        costs = event_costs(shard.tenants.get(TENANT), piece)
        assert len(piece) == 1 or costs.sum() <= bound + costs[0]


def test_a_campaign_that_many_events_call_makes_more_pieces() -> None:
    block = block_of([event(f"user-{i}", name="Looked") for i in range(1_000)])
    data = encode_block(block)
    assert len(cut(shard_with(0, 0), Payloads(block), data)) == 1
    assert len(cut(shard_with(0, 10), Payloads(block), data)) >= 5


def test_letters_that_take_long_come_in_several_records() -> None:
    world = World(n=1)
    for first in range(0, 1_000, 100):
        world.send(*(event("ann", anonymous=f"device-{i}", at=T0) for i in range(first, first + 100)))
        world.deliver()
    [shard] = world.shards
    erasures = [Letter(TENANT, 1, 0, i + 1, EraseLinked("u:ann", T0)) for i in range(6)]
    claims = [Letter(TENANT, 2, 0, i + 1, Claim(f"a:{i}", "u:bob", [])) for i in range(300)]
    assert [len(batch) for batch in batches(shard, claims)] == [300]
    found = list(batches(shard, [*erasures, *claims]))
    assert [letter for batch in found for letter in batch] == [*erasures, *claims]
    assert len(found) >= 3

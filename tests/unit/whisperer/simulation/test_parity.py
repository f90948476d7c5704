"""A campaign simulated over what was lived counts what was counted live: the same users, groups, refusals and sends."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actors.warehouse import ExportRecord, LogRecord, Warehouse
from actors.warehouse.tenant_history import Past
from tests.support.shard_world import T0, TENANT, World
from tests.support.shard_world import event as lived
from tests.unit.whisperer.shard.campaigns import ADDRESSES, BY_EVENT, BY_SEGMENT, DAILY, ON_REQUEST
from tests.unit.whisperer.simulation.past import TEMPLATES
from whisperer.decisions.thompson import choose
from whisperer.eligibility.rules import Cap, QuietHours
from whisperer.events.decoding import decode_block
from whisperer.ids import partition_of, tenant_seed
from whisperer.journeys.campaign import Campaign, OnEvent, to_json
from whisperer.shard.accounts import Account
from whisperer.shard.records import Asked, DecisionsMade, Events, Experiment, SegmentConfig, decode_record
from whisperer.simulation.plan import SimulationPlan
from whisperer.simulation.policy import named
from whisperer.simulation.replay import Replay
from whisperer.simulation.run import renderer

MINUTE = 60_000
SEED = tenant_seed(TENANT)
CAPPED = Campaign(
    "nudge",
    OnEvent("Looked"),
    BY_EVENT.goal,
    BY_EVENT.arms,
    caps=(Cap(1, "rolling", hours=30.0),),
    quiet_hours=QuietHours(0, 6 * 60),
)
PROS = {"event": "Looked", "count": 2}
USERS = ["ann", "bob", "cyd"]

happening = st.tuples(
    st.sampled_from(USERS),
    st.sampled_from(["Looked", "Looked", "Bought", "identify", "from phone", "ask"]),
    st.integers(3, 20 * 60),
)
"""Who, what, and how many minutes later than the one before."""


def kept(world: World, folder: Path) -> Warehouse:
    """Everything the world's shards journaled and logged."""
    warehouse = Warehouse(folder)
    for number, (shard, journal) in enumerate(zip(world.shards, world.journals, strict=True)):
        records: list[ExportRecord | LogRecord] = []
        for position, data in enumerate(journal):
            body = decode_record(data).body
            if isinstance(body, Events):
                block = decode_block(body.block)
                counted = shard.repeats.get(position, np.ones(len(block), np.bool_))
                records.append(ExportRecord(position, block, counted))
            if position in shard.log:
                records.append(LogRecord(position, shard.log[position]))
        warehouse.export(number, 0, len(journal), records)
    return warehouse


def live(stream: list[tuple[str, str, int]], campaign: Campaign) -> World:
    """A world in which the campaign is published from the beginning and everything is answered at once."""
    world = World()
    world.publish_campaigns(1, campaign, pros=PROS)
    for user, what, minutes in stream:
        until = world.now + minutes * MINUTE
        while world.now < until:  # a Tick a minute, as far as anything is due
            world.now = min(until, world.now + MINUTE)
            if any(shard.wants_tick(world.now) for shard in world.shards):
                world.tick()
                answer(world)
        if what == "ask":
            if any(shard.tenant(TENANT).people.keys.get(f"u:{user}") is not None for shard in world.shards):
                home = world.home(partition_of(f"u:{user}", SEED))
                world.write(home, Asked(TENANT, campaign.name, [(f"u:{user}", str(world.now))]))
        elif what == "identify":
            world.send(lived(user, type="identify", traits=ADDRESSES | {"name": user}, at=world.now))
        elif what == "from phone":
            world.send(lived(user, anonymous=f"phone of {user}", name="Looked", at=world.now))
            # At the same moment: a simulation has all events of a step happen at its last one.
            world.send(lived(anonymous="kiosk", name="Looked", at=world.now))
        else:
            world.send(lived(user, name=what, at=world.now))
        answer(world)
    return world


def answer(world: World) -> None:
    while world.wire or world.asked or world.under_way:
        world.deliver()
        asked, world.asked = world.asked, []
        for choice in choose(asked, {}):
            world.write(world.home_of(choice.decision_id), DecisionsMade(TENANT, [choice]))
        world.deliver_messages()


def simulated(world: World, campaign: Campaign, folder: Path) -> Account:
    plan = SimulationPlan(
        TENANT,
        campaign.name,
        1,
        to_json(campaign),
        T0,
        world.now + 2,
        segments=[SegmentConfig("pros", 1, json.dumps(PROS))],
        experiment=Experiment("salt", 0.3, 0.3),
        templates=TEMPLATES,
    )
    with Past(kept(world, folder), TENANT) as past:
        replay = Replay(plan, named(plan.policy, {}), renderer(plan), past.facts(plan))
        for batch in past.events(plan.until):
            replay.bring(batch)
        return replay.finish()


def counted(account: Account) -> dict[str, Any]:
    return {
        "candidates": account.candidates,
        "sent": account.sent,
        "no_send": account.no_send,
        "refused": dict(account.refused),
        "conversions": account.conversions,
        "groups": {name: (g.users, g.total_milli) for name, g in account.groups.items() if g.users},
    }


@pytest.mark.parametrize("campaign", [CAPPED, BY_SEGMENT, DAILY, ON_REQUEST], ids=lambda campaign: campaign.name)
@settings(max_examples=4, deadline=None)
@given(stream=st.lists(happening, min_size=1, max_size=14))
@example(stream=[("bob", "identify", 3), ("bob", "from phone", 3)])
def test_a_campaign_simulated_over_what_was_lived_counts_what_was_counted_live(
    campaign: Campaign, stream: list[tuple[str, str, int]]
) -> None:
    world = live([("ann", "identify", 3), ("bob", "Looked", 3), *stream], campaign)
    total = Account()
    for shard in world.shards:
        total.add(shard.tenant(TENANT).loop.accounts.get(campaign.name, Account()))
    with tempfile.TemporaryDirectory() as folder:
        assert counted(simulated(world, campaign, Path(folder))) == counted(total)

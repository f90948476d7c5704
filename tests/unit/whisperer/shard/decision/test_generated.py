"""An arm's brief goes out with what is to be rendered; where the words came from comes back into the decision's audit."""

from __future__ import annotations

import msgspec

from tests.support.shard_world import T0, TENANT, World, event
from tests.unit.whisperer.shard.campaigns import ADDRESSES, MAIL, campaign
from whisperer.content.generation.brief import Brief
from whisperer.content.generation.record import MAX_BYTES, GenerationRecord, Provenance, written
from whisperer.content.message import RenderRequest
from whisperer.delivery.dispatch import Receipt, Verdict
from whisperer.journeys.campaign import Arm
from whisperer.shard.decision import sending
from whisperer.shard.records import Receipts
from whisperer.shard.state.log import DeliveryRow

BRIEF = Brief("Invite them back", ("user.name",), 300)
WRITING = Arm("writing", "email", "hello", 1, brief=BRIEF)
SAID = written(
    Provenance(4.5, GenerationRecord("written", prompt_hash="ab", prompt="brief", output="Hi [[user.name]]"))
)


def sending_world(arm: Arm) -> tuple[World, str]:
    world = World(n=1)
    world.publish_campaigns(1, campaign(arms=(arm,)))
    world.send(event("ann", type="identify", traits=ADDRESSES, at=T0, id="i"))
    world.send(event("ann", name="Looked", at=T0 + 1, id="l"))
    (asked,) = world.asked
    world.decide(lambda _: arm.id)
    return world, asked.decision_id


def prepared(world: World, decision: str) -> RenderRequest:
    found = sending.prepare(world.shards[0].tenant(TENANT), decision, world.now)  # type: ignore[arg-type]
    assert isinstance(found, RenderRequest)
    return found


def test_the_brief_of_an_arm_goes_out_and_an_arm_without_one_asks_nobody() -> None:
    world, decision = sending_world(WRITING)
    assert msgspec.json.decode(prepared(world, decision).brief, type=Brief) == BRIEF
    world, decision = sending_world(MAIL)
    assert prepared(world, decision).brief == b""


def test_prompt_output_and_ruling_of_what_was_sent_are_in_the_decisions_audit_and_its_log() -> None:
    world, decision = sending_world(WRITING)
    send_key = prepared(world, decision).send_key
    first = Receipt(send_key, Verdict.RETRY, "smtp", provenance=written(Provenance(1.0)), retry_after_s=0.0)
    world.write(0, Receipts(TENANT, [(decision, first)]))  # type: ignore[list-item]
    world.tick(world.now + 60_000)
    accepted = Receipt(send_key, Verdict.ACCEPTED, "smtp", provenance=SAID)
    world.write(0, Receipts(TENANT, [(decision, accepted)]))  # type: ignore[list-item]
    (view,) = world.decisions("u:ann")
    assert view.send is not None
    assert view.send.quality == 4.5
    assert view.send.generation is not None
    assert view.send.generation.ruling == "written"
    assert view.send.generation.output == "Hi [[user.name]]"
    rows = [row for held in world.shards[0].log.values() for row in held]
    assert [row.provenance for row in rows if isinstance(row, DeliveryRow)][-1] == SAID.decode()


def test_what_a_receipt_brings_is_bounded_whoever_wrote_it() -> None:
    world, decision = sending_world(WRITING)
    receipt = Receipt(prepared(world, decision).send_key, Verdict.ACCEPTED, "smtp", provenance=b"x" * 100_000)
    world.write(0, Receipts(TENANT, [(decision, receipt)]))  # type: ignore[list-item]
    (view,) = world.decisions("u:ann")
    assert view.send is not None
    assert view.send.generation is None
    found = world.shards[0].tenant(TENANT).loop.find(decision)  # type: ignore[arg-type]
    assert found is not None
    assert found[1].send is not None
    assert len(found[1].send.provenance) == MAX_BYTES

"""Journals and snapshots written by an earlier version are read: golden files of each.

`python -m tests.contracts.test_shard_formats` writes them anew, for a version that does not exist yet. Never for one
that was released.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from tests.support.shard_world import DAY, SEED, T0, TENANT, World, event
from tests.unit.whisperer.shard.campaigns import BY_EVENT, DAILY, MAIL, MINUTE, ON_REQUEST, campaign
from whisperer.decisions.decision import NO_SEND
from whisperer.delivery.dispatch import Kept, Receipt, Verdict
from whisperer.eligibility.groups import draw
from whisperer.eligibility.suppression import address_hash
from whisperer.errors import JournalDamagedError
from whisperer.feedback.outcome import OutcomeKind
from whisperer.ids import partition_of, tenant_seed
from whisperer.journeys.campaign import Arm, OnRequest, to_json
from whisperer.journeys.inbox import Mark
from whisperer.journeys.schedule import Schedule
from whisperer.profiles.population import FORWARDED
from whisperer.shard import inspection, snapshot
from whisperer.shard.decision.candidacy import candidate_of
from whisperer.shard.decision.inbox import view
from whisperer.shard.machine import DEFAULT_MAX_IDS, Shard
from whisperer.shard.move.packing import Copying
from whisperer.shard.records import (
    RECORD_VERSION,
    Asked,
    CampaignConfig,
    ConfigPublished,
    ConsentStated,
    CountsJoined,
    InboxMarked,
    Outcome,
    Outcomes,
    PartitionJoined,
    PartitionLeft,
    PartitionPart,
    PartitionSwept,
    Receipts,
    Replays,
    RewardsTaken,
    Scored,
    ScoreModelChosen,
    decode_record,
)
from whisperer.shard.state.timers import next_due
from whisperer.vocabulary.groups import Group

GOLDEN = Path(__file__).parents[1] / "golden" / "shard"
VERSIONS = ["v1", "v2", "v3", "v4", "v5", "v6"]
BUYERS, PROS = {"event": "Bought"}, {"trait": "plan", "op": "eq", "value": "pro"}


def story() -> World:
    """Every kind of record that one shard writes for itself."""
    world = World(n=1)
    world.publish(1, buyers=BUYERS, pros=PROS)
    world.send(
        event(anonymous="dev", name="Viewed", at=T0 - DAY, id="g1"),
        event("ann", anonymous="dev", type="identify", at=T0, id="g2", traits={"plan": "pro"}, zone="Asia/Tokyo"),
        event("ann", name="Bought", at=T0 + 5, id="g3", revenue=12.5, locale="ja"),
        event("old", name="Bought", at=T0, id="g4"),
    )
    world.send(event("ann", type="alias", previous="old", at=T0 + 6, id="g5"), event("bob", id="g3"))
    world.deliver()
    world.now = T0 + 1000
    world.erase("u:bob")
    world.deliver()
    world.tick()
    return world


def loop_story() -> World:
    """The same, and then everything that the loop writes."""
    world = story()
    world.publish_campaigns(2, BY_EVENT, DAILY, ON_REQUEST, buyers=BUYERS, pros=PROS)
    for user in (SENT, GONE, WAITING, DECIDING, HELD_OUT):
        world.now += 1
        addresses = {"email": f"{user}@example.com", "phone": "+4915112345678"}
        world.send(event(user, type="identify", traits=addresses, at=world.now, id=f"i-{user}"))
    world.tick(Schedule("0 9 * * *").next_after(world.now, "") + MINUTE)  # the daily one fires
    world.decide(lambda _: NO_SEND)

    def look(user: str, status: str, arm: str = "mail", id: str = "look") -> str:
        world.send(event(user, name="Looked", at=world.now, id=f"{id}-{user}"))
        (asked,) = world.asked
        world.decide(lambda _: arm)
        world.deliver_messages(status)
        return asked.decision_id

    look(HELD_OUT, Verdict.ACCEPTED)
    decision = look(SENT, Verdict.ACCEPTED)
    link = (f"u:{SENT}", decision)
    made = [Outcome(*link, OutcomeKind.CLICKED, world.now + 2, "https://example.com/", "email")]
    made.append(Outcome(*link, OutcomeKind.UNSUBSCRIBED, world.now + 3, "", "email", "marketing"))
    world.write(0, Outcomes(TENANT, made))
    world.send(event(SENT, name="Bought", at=world.now, id="buy"))
    world.write(0, ConsentStated(TENANT, f"u:{SENT}", "sms", "marketing", True, "form"))
    look(GONE, Verdict.BOUNCED)
    look(GONE, Verdict.RETRY, "text", "again")
    world.erase(f"u:{GONE}")
    world.tick(world.now + 20 * MINUTE)
    world.write(0, RewardsTaken(TENANT, 1))
    look(WAITING, Verdict.RETRY, "text")
    world.publish_campaigns(3, campaign(arms=(MAIL,)), DAILY, ON_REQUEST, buyers=BUYERS, pros=PROS)
    world.write(0, Asked(TENANT, "asked", [(f"u:{DECIDING}", "order-1")]))
    return world


def moving_story() -> World:
    """And a partition that came from another shard, one that leaves, and the sums of a shard that was removed."""
    world, other = loop_story(), World(n=1)
    other.now = world.now
    other.send(event("zed", name="Bought", at=world.now, id="z1"))
    place = partition_of("u:zed", SEED)
    world.write(0, PartitionLeft(TENANT, place, 1))
    copying = Copying(other.shards[0], TENANT, place)
    world.write(0, PartitionPart(TENANT, place, 2, 0, copying.pack(copying.changed())))
    other.write(0, PartitionLeft(TENANT, place, 2, kept=True))
    for number, part in enumerate(copying.message_ids(), 1):
        world.write(0, PartitionPart(TENANT, place, 2, number, part))
    world.write(0, PartitionJoined(TENANT, place, 2, copying.last()))
    leaving = partition_of("u:leaver", SEED)
    world.send(*(event("leaver", name="Bought", at=world.now, id=f"l{n}") for n in range(3)))
    world.write(0, PartitionLeft(TENANT, leaving, 3, kept=True))
    world.write(0, PartitionSwept(TENANT, leaving, 100))
    world.write(0, CountsJoined(7, TENANT, [], {"events_duplicate": 5}))
    return world


def scored_story() -> World:
    """And what models said of users, one of whom went meanwhile."""
    world = moving_story()
    people = world.shards[0].tenant(TENANT).people
    ann = people.keys.get("u:ann")
    assert ann is not None
    churn, engagement = np.full((2, people.table.n - ann), np.nan, "<f4")
    churn[0], engagement[0] = 0.75, 0.125
    for place, row in enumerate(range(ann, people.table.n)):
        if people.table["status"][row] == FORWARDED:
            churn[place] = 0.5
    world.write(0, Scored(TENANT, "fare@1", ann, churn.tobytes(), engagement.tobytes()))
    world.write(0, ScoreModelChosen(TENANT, "file:///models", "fare", 2, "0" * 64))
    return world


def bounded_story() -> World:
    """And a chain of aliases, a wish of somebody of whom nothing is held, more traits than a user may have."""
    world = scored_story()
    chain = [event(f"c{n + 1}", previous=f"c{n}", type="alias", id=f"c{n}") for n in range(3)]
    world.send(event("c0", name="Viewed", id="before"), *chain)
    world.deliver()
    left = Outcome("u:stranger", "dec_none", OutcomeKind.UNSUBSCRIBED, world.now, channel="email", purpose="marketing")
    world.write(0, Outcomes(TENANT, [left]))
    full = {f"t{n}": "x" * 1_000 for n in range(70)}
    world.send(event("full", type="identify", id="full", traits=full))
    return world


SHOWN = Arm("card", "inapp", "card", 1)
CARD = b'{"kind":"card","title":"Hi","body":"Ada","actions":[{"label":"See","url":"/see"}]}'


def inbox_story() -> World:
    """And in-app messages to somebody: one unread, one clicked, one that was refused and brought back."""
    world = bounded_story()
    tenant = world.shards[0].tenant(TENANT)
    shown = CampaignConfig("shown", 4, "live", to_json(campaign("shown", OnRequest(), arms=(SHOWN,))))
    segments = [live.config for live in tenant.segments.live.values()]
    configs = [*tenant.loop.campaigns.configs, shown]
    world.write(0, ConfigPublished(TENANT, 4, segments, configs, tenant.loop.experiment))
    world.send(event(READER, at=world.now, id="reader"))

    def answered(decision: str, status: Verdict) -> None:
        found = tenant.loop.find(decision)
        assert found is not None
        assert found[1].send is not None
        kept = Kept(CARD, 3600) if status == Verdict.ACCEPTED else None
        world.write(0, Receipts(TENANT, [(decision, Receipt(found[1].send.send_key, status, "inbox", kept=kept))]))
        world.now += 1

    for occurrence, status in (("one", Verdict.ACCEPTED), ("two", Verdict.ACCEPTED), ("three", Verdict.REJECTED)):
        world.under_way.clear()
        world.write(0, Asked(TENANT, "shown", [(f"u:{READER}", occurrence)]))
        world.decide(lambda _: "card")
        answered(world.under_way[-1], status)
    refused = world.under_way[-1]
    world.write(0, Replays(TENANT, [refused]))
    answered(refused, Verdict.ACCEPTED)
    clicked = view(tenant, f"u:{READER}", world.now)
    assert clicked is not None
    assert clicked.entries is not None
    world.write(0, InboxMarked(TENANT, f"u:{READER}", clicked.entries[-2].id, Mark.CLICK, 0))
    return world


def check_inbox(shard: Shard) -> None:
    check_bounds(shard)
    seen = view(shard.tenant(TENANT), f"u:{READER}", shard.now)
    assert seen is not None
    assert seen.entries is not None
    marked = [(one.message, one.read_at is not None) for one in seen.entries]
    assert marked == [(CARD, False), (CARD, True), (CARD, False)]
    assert shard.tenant(TENANT).loop.accounts["shown"].outcomes == {"opened": 1, "clicked": 1}


def heard_story() -> World:
    """And what providers said of a message, and a program did to it."""
    world = inbox_story()
    seen = inspection.user(world.shards[0], TENANT, f"u:{SENT}")
    assert seen is not None
    link = (f"u:{SENT}", next(one.id for one in seen.candidacies if one.status == "sent"))
    used = address_hash("email", f"{SENT}@example.com")
    said = [
        Outcome(*link, OutcomeKind.DELIVERED, world.now, "", "email", "", used),
        Outcome(*link, OutcomeKind.SOFT_BOUNCED, world.now, "4.2.2", "email", "", used, 1, 7 * DAY),
        *(Outcome(*link, OutcomeKind.CLICKED, world.now, f"https://{host}.example/", "email") for host in "ab"),
    ]
    world.write(0, Outcomes(TENANT, said))
    return world


def check_heard(shard: Shard) -> None:
    check_inbox(shard)
    seen = inspection.user(shard, TENANT, f"u:{SENT}")
    assert seen is not None
    assert [one.kind for one in next(c for c in seen.candidacies if c.status == "sent").outcomes][-4:] == [
        "delivered",
        "soft_bounced",
        "auto_clicked",
        "auto_clicked",
    ]
    [stop] = seen.standing.suppressed["email"]
    assert (stop.reason, stop.address_hash) == ("soft_bounced", address_hash("email", f"{SENT}@example.com"))


def check_bounds(shard: Shard) -> None:
    check_scores(shard)
    tenant = shard.tenant(TENANT)
    assert tenant.forest.root("u:c0") == "u:c3"
    end = inspection.user(shard, TENANT, "u:c3")
    assert end is not None
    assert end.event_counts["Viewed"] == 1
    assert [[wish.channel for wish in wishes] for _, wishes in tenant.loop.wishes.values()] == [["email"]]
    assert tenant.counters["refused_traits.traits_full"] > 0
    assert tenant.chain


def check_scores(shard: Shard) -> None:
    check_moves(shard)
    ann = inspection.user(shard, TENANT, "u:ann")
    assert ann is not None
    assert (ann.features["score.churn"], ann.features["score.engagement"]) == (0.75, 0.125)
    tenant = shard.tenant(TENANT)
    assert tenant.scored_by == "fare@1"
    assert tenant.score_model == ScoreModelChosen(TENANT, "file:///models", "fare", 2, "0" * 64)


def user_of(group_is_holdout: bool, skip: int = 0) -> str:
    users = (f"user{i}" for i in range(99))
    found = (u for u in users if (draw(f"u:{u}", "salt", 0.3, 0.3) == Group.HOLDOUT) == group_is_holdout)
    return next(itertools.islice(found, skip, None))


SENT, GONE, WAITING, DECIDING, READER = (user_of(False, n) for n in range(5))
HELD_OUT = user_of(True)


def check_loop(shard: Shard) -> None:
    check(shard)
    loop = shard.tenants[TENANT].loop
    nudge = loop.accounts["nudge"]
    counts = (nudge.candidates, nudge.sent, nudge.no_send, nudge.pending, dict(nudge.refused))
    assert counts == (5, 1, 1, 1, {"bounced": 1, "erased": 1})
    outcomes = {"clicked": 1, "unsubscribed": 1, "converted": 1, "bounced": 1}
    assert (nudge.conversions, {kind: nudge.outcomes[kind] for kind in outcomes}) == (1, outcomes)
    assert loop.accounts["asked"].pending == 1
    assert loop.accounts["daily"].candidates >= 4
    seen = inspection.user(shard, TENANT, f"u:{SENT}")
    assert seen is not None
    newest = seen.candidacies[0]
    assert (newest.status, newest.reward, newest.matured) == ("sent", 0.5, False)
    assert {key: c.granted for key, c in seen.standing.consent.items()} == {
        "email/marketing": False,
        "sms/marketing": True,
    }
    assert [s.channel for s in seen.standing.sends] == ["email"]
    waits = inspection.user(shard, TENANT, f"u:{WAITING}")
    assert waits is not None
    assert (waits.candidacies[0].status, waits.candidacies[0].campaign_version) == ("sending", 2)
    send = waits.candidacies[0].send
    assert send is not None
    assert (send.next_at or 0) > shard.now
    assert inspection.user(shard, TENANT, f"u:{GONE}") is None
    assert [reason for _, _, _, reason in loop.retained.values()] == ["bounced"]
    assert loop.rewards.first == 1
    assert loop.rewards.next > 2
    assert loop.schedules.last["daily"][""] > T0
    names, versions = ("asked", "daily", "nudge"), set(loop.campaigns.versions)
    assert {(name, 3) for name in names} | loop.n_under.keys() <= versions
    assert versions <= {(name, version) for name in names for version in (2, 3)} | {("shown", 4)}
    assert sum(map(len, shard.log.values())) > 10


def check_moves(shard: Shard) -> None:
    check_loop(shard)
    zed = inspection.user(shard, TENANT, "u:zed")
    assert zed is not None
    assert zed.event_counts == {"Bought": 1}
    assert inspection.user(shard, TENANT, "u:leaver") is None
    assert (TENANT, partition_of("u:leaver", SEED)) in shard.absent
    assert shard.tenants[TENANT].counters["events_duplicate"] == 5


def check(shard: Shard) -> None:
    inspection.check(shard)
    ann = inspection.user(shard, TENANT, "u:ann", as_of=T0 + 1000)
    assert ann is not None
    assert ann.event_counts == {"Viewed": 1, "$identify": 1, "Bought": 2, "$alias": 1}
    assert ann.features["revenue_micros"] == 12_500_000
    assert (ann.first_seen, ann.last_seen) == (T0 - DAY, T0 + 6)
    assert (ann.anonymous_ids, ann.previous_ids, ann.segments) == (["dev"], ["old"], ["buyers", "pros"])
    assert (ann.time_zone, ann.locale) == ("Asia/Tokyo", "ja")
    assert inspection.user(shard, TENANT, "u:bob") is None
    assert shard.tenants[TENANT].erased_at("u:bob") == T0 + 1000
    old = inspection.user(shard, TENANT, "u:old")
    assert old is not None
    assert old.moved_to == "u:ann"


CHECKS = {"v1": check, "v2": check_loop, "v3": check_moves, "v4": check_scores, "v5": check_bounds, "v6": check_heard}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_journal_of_an_earlier_version_replays(version: str) -> None:
    records = msgspec.msgpack.decode((GOLDEN / f"journal-{version}.msgpack").read_bytes(), type=list[bytes])
    shard = Shard(0)
    shard.apply((i, decode_record(data)) for i, data in enumerate(records))
    CHECKS[version](shard)


def read_snapshot(version: str) -> Shard:
    meta, files = msgspec.msgpack.decode(
        (GOLDEN / f"snapshot-{version}.msgpack").read_bytes(), type=tuple[bytes, dict[str, bytes]]
    )
    return snapshot.load(
        meta, {name: pa.ipc.open_file(data).read_all() for name, data in files.items()}, DEFAULT_MAX_IDS
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_a_snapshot_of_an_earlier_version_is_read_and_goes_on(version: str) -> None:
    shard = read_snapshot(version)
    CHECKS[version](shard)
    world = World(n=1)
    world.shards, world.now = [shard], shard.now
    world.send(event("ann", name="Bought", id="g3"), event("ann", name="Bought", id="new"))
    ann = world.user("u:ann")
    assert ann is not None
    assert ann.event_counts["Bought"] == 3
    for hour in range(1, 49):
        world.tick(T0 + DAY + hour * 60 * MINUTE)
    inspection.check(shard)


def test_what_was_open_in_a_snapshot_ends() -> None:
    world = World(n=1)
    world.shards = [read_snapshot("v2")]
    world.now = world.shards[0].now
    loop = world.shards[0].tenants[TENANT].loop
    for _, decision in list(loop.every_open()):
        if decision.status == "deciding":
            world.asked.append(candidate_of(world.shards[0].tenants[TENANT], decision))
        else:
            world.under_way.append(decision.id)
            due = next_due(decision)
    world.decide(lambda _: "text")
    world.tick(due)
    assert len(world.deliver_messages()) == 2
    world.tick(world.now + 60 * MINUTE)
    assert {loop.accounts[name].sent for name in ("nudge", "asked")} == {2, 1}
    assert sum(a.decisions for a in loop.accounts["nudge"].arms.values()) == 3
    inspection.check(world.shards[0])


def test_a_record_of_a_newer_version_stops_recovery_loudly() -> None:
    data = msgspec.msgpack.encode([RECORD_VERSION + 1, 1, T0, [2]])
    with pytest.raises(JournalDamagedError, match="start a newer release"):
        decode_record(data)


def test_placement_never_changes() -> None:
    """Another hash would strand every stored user."""
    seed = tenant_seed("tn_01h455vb4pex5vsknk084sn02q")
    assert [partition_of(key, seed) for key in ("u:ann", "u:bob", "a:ann", "u:", "u:👩‍👩‍👧")] == PLACES


PLACES = [42, 35, 54, 31, 53]


def write() -> None:
    version = VERSIONS[-1]
    GOLDEN.mkdir(parents=True, exist_ok=True)
    world = heard_story()
    (GOLDEN / f"journal-{version}.msgpack").write_bytes(msgspec.msgpack.encode(world.journals[0]))
    meta, tables = snapshot.dump(world.shards[0])
    files = {}
    for name, table in tables.items():
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as arrow:
            arrow.write_table(table)
        files[name] = sink.getvalue().to_pybytes()
    (GOLDEN / f"snapshot-{version}.msgpack").write_bytes(msgspec.msgpack.encode((meta, files)))


if __name__ == "__main__":
    write()

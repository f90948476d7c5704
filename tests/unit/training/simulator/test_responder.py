"""The recipients, from a session's event to opens, clicks, goals and unsubscriptions, against a gateway in memory."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.training.simulator.sink_gateway import CHANNEL_OF, SinkGateway
from training.simulator.diary import Diary
from training.simulator.effects import ARMS, Effects
from training.simulator.responder import Responder
from training.simulator.segment import iso
from whisperer.decisions.decision import NO_SEND

CAMPAIGN, GOAL = "feature-adoption-compressed-time", "Feature Adopted"
WINDOW_MS = 30_000
START = 1_790_000_000_000


class World:
    """A responder whose clock the test moves. Sessions are told to it; the system under test's sends are played."""

    def __init__(self, path: Path | None = None, gateway: SinkGateway | None = None, now: int = START) -> None:
        self.now = now
        self.gateway = gateway or SinkGateway()
        self.diary = Diary(path)
        self.effects = Effects(7)
        self.responder = Responder(
            self.effects,
            self.diary,
            reader=self.gateway.client("Bearer sk_test"),
            writer=self.gateway.client("Basic wk_test"),
            person=self.gateway.client(),
            campaign=CAMPAIGN,
            goal=GOAL,
            wall_ms=lambda: self.now,
        )
        self.n_events = self.diary.place

    def session(self, user: str, **traits: str) -> None:
        traits = traits or {"email": f"{user}@x.example", "phone": "+12015550100", "push_token": "t"}
        context = {"timezone": "Europe/Berlin"}
        identify = {"type": "identify", "userId": user, "traits": traits, "context": context}
        started = {"type": "track", "userId": user, "event": "Session Started", "context": context}
        batch = []
        for event in (identify, started):
            event |= {"messageId": f"sim-{self.n_events:06}", "timestamp": iso(self.now)}
            batch.append((self.now, event))
            self.n_events += 1
        self.responder.observe(self.n_events - 2, batch)

    def send(self, user: str, arm: str) -> str:
        return self.gateway.send(user, arm, self.now, campaign=CAMPAIGN)

    def run(self, seconds: float) -> None:
        until = self.now + int(1000 * seconds)
        while self.now < until:
            self.now += 500
            self.responder.cycle()

    def goals(self) -> list[dict[str, Any]]:
        return [e for e in self.gateway.events if e["event"] == GOAL]


def people(n: int) -> list[str]:
    return [f"usr_{i:04}" for i in range(n)]


def test_left_alone_exactly_those_convert_whose_luck_is_below_their_chance() -> None:
    world = World()
    for user in people(300):
        world.session(user)
    occasions = {user: world.diary.newest_occasion(user, 0, world.now) for user in people(300)}
    world.run(100)
    expected = {user for user, o in occasions.items() if o is not None and o.luck < o.chances[0]}
    assert {e["userId"] for e in world.goals()} == expected
    assert 10 < len(expected) < 70
    assert world.gateway.touched == []


@pytest.mark.parametrize("arm", ARMS[1:])
def test_treated_exactly_those_convert_whose_luck_is_below_the_arms_chance(arm: str) -> None:
    world = World()
    for user in people(200):
        world.session(user)
    occasions = {user: world.diary.newest_occasion(user, 0, world.now) for user in people(200)}
    for user in people(200):
        world.send(user, arm)
    world.run(120)
    place = ARMS.index(arm)
    expected = {user for user, o in occasions.items() if o is not None and o.luck < o.chances[place]}
    assert {e["userId"] for e in world.goals()} == expected
    truth = world.responder.truth()
    assert truth["arms"][arm]["occasions"] == 200
    assert truth["arms"][arm]["converted"] == len(expected)
    chances = [o.chances[place] for o in occasions.values() if o is not None]
    assert truth["arms"][arm]["expected"] == pytest.approx(sum(chances), abs=0.01)
    assert (
        truth["lift"]["as_it_was"]
        == truth["lift"][arm]
        == pytest.approx(
            np.mean(chances) - np.mean([o.chances[0] for o in occasions.values() if o is not None]), abs=1e-5
        )
    )


def test_every_goal_falls_into_the_window_and_is_stamped_when_it_happened() -> None:
    world = World()
    for user in people(300):
        world.session(user)
        world.send(user, "tips-email")
    world.run(60)
    goals = world.goals()
    assert len(goals) > 30
    for goal in goals:
        assert iso(START) < goal["timestamp"] < iso(START + WINDOW_MS)
    assert len({goal["messageId"] for goal in goals}) == len(goals)


def test_who_converts_by_an_email_opens_and_clicks_first_and_few_others_click() -> None:
    world = World()
    for user in people(400):
        world.session(user)
    keys = {user: world.send(user, "tips-email") for user in people(400)}
    world.run(60)
    touched = {path for _, path in world.gateway.touched}
    converted = {e["userId"] for e in world.goals()}
    clicked = {user for user, key in keys.items() if f"/m/c/{key}-c" in touched}
    opened = {user for user, key in keys.items() if f"/m/o/{key}-o" in touched}
    assert converted <= clicked <= opened
    assert len(clicked) < 0.15 * 400 + len(converted)
    assert 0.4 * 400 < len(opened) < 0.75 * 400


def test_some_unsubscribe_by_one_click_and_the_rate_is_the_stated_one() -> None:
    world = World()
    expected = 0.0
    for turn in range(4):
        for user in people(400):
            world.session(user)
            found = world.diary.newest_occasion(user, 0, world.now)
            assert found is not None
            expected += found.hazards[ARMS.index("tips-email")] * (1 - found.chances[ARMS.index("tips-email")])
            world.send(user, "tips-email")
        world.run(40)
        world.now += 3_600_000 * (turn + 1)
    left = [i for i, (method, path) in enumerate(world.gateway.touched) if path.startswith("/m/u/")]
    assert len(left) == pytest.approx(expected, abs=4 * np.sqrt(expected))
    assert len(left) > 5
    assert {world.gateway.touched[i][0] for i in left} == {"POST"}
    assert {world.gateway.bodies[i] for i in left} == {"List-Unsubscribe=One-Click"}


def test_a_message_of_another_campaign_or_to_a_stranger_moves_nobody() -> None:
    world = World()
    for user in people(200):
        world.session(user)
        world.gateway.send(user, "tips-email", world.now, campaign="another")
    world.gateway.send("somebody", "nudge-sms", world.now, campaign=CAMPAIGN)
    alone = World()
    for user in people(200):
        alone.session(user)
    world.run(60)
    alone.run(60)
    assert {e["userId"] for e in world.goals()} == {e["userId"] for e in alone.goals()}
    assert world.responder.counts.n_strangers == 201
    assert not world.diary.knows("somebody"), "a stranger is not remembered"


def test_messages_from_before_anybody_was_there_stay_unread() -> None:
    world = World()
    for user in people(50):
        world.send(user, "tips-email")
    world.now += 700_000
    world.run(30)
    assert world.gateway.touched == []
    assert world.diary.serial == 50


def test_a_message_belongs_to_the_session_before_it_even_if_another_one_followed() -> None:
    world = World()
    world.session("usr_1")
    first = world.diary.newest_occasion("usr_1", 0, world.now)
    world.now += 100
    world.send("usr_1", "nudge-push")
    world.now += 100
    world.session("usr_1")
    world.run(1)
    newest = world.diary.newest_occasion("usr_1", 0, world.now)
    before = world.diary.newest_occasion("usr_1", 0, START)
    assert newest is not None
    assert before is not None
    assert first is not None
    assert (newest.arm, before.arm) == (NO_SEND, "nudge-push")
    assert before.id == first.id


def test_people_who_lack_an_address_cannot_be_reached_and_the_truth_knows() -> None:
    world = World()
    world.session("usr_1", email="a@x.example")
    found = world.diary.newest_occasion("usr_1", 0, world.now)
    assert found is not None
    reachable = dict(zip(ARMS, found.reachable, strict=True))
    assert reachable == {arm: CHANNEL_OF.get(arm, "email") == "email" for arm in ARMS}
    values = dict(zip(ARMS, found.values(), strict=True))
    assert values["nudge-sms"] == values[NO_SEND] == found.chances[0]


def test_messages_tire_and_attention_is_remembered() -> None:
    world = World()
    for _ in range(3):
        world.session("usr_1")
        world.send("usr_1", "tips-email")
        world.run(30)
    world.session("usr_1")
    found = world.diary.newest_occasion("usr_1", 0, world.now)
    assert found is not None
    fresh = World(now=world.now)
    fresh.session("usr_1")
    other = fresh.diary.newest_occasion("usr_1", 0, world.now)
    assert other is not None
    assert found.hazards[1] > 1.5 * other.hazards[1]


def test_a_restart_goes_on_where_it_was_and_does_nothing_twice(tmp_path: Path) -> None:
    whole, parted, path = World(), World(tmp_path / "d.db"), tmp_path / "d.db"
    for step in range(40):
        for world in (whole, parted):
            for user in people(200)[step * 5 : step * 5 + 5]:
                world.session(user)
                if int(user[4:]) % 3:
                    world.send(user, ARMS[1 + int(user[4:]) % 4])
            world.run(1.5)
        if step % 3 == 0:
            parted.diary.close()
            parted = World(path, parted.gateway, parted.now)
    for world in (whole, parted):
        world.run(120)
    assert Counter(e["messageId"] for e in parted.goals()) == Counter(e["messageId"] for e in whole.goals())
    assert Counter(parted.gateway.touched) == Counter(whole.gateway.touched)
    assert max(Counter(parted.gateway.touched).values()) == 1
    assert parted.responder.truth() == whole.responder.truth()


def test_events_told_of_twice_count_once() -> None:
    world, plain = World(), World()
    for each in (world, plain):
        each.session("usr_1")
    event = {"type": "track", "userId": "usr_1", "event": "Session Started", "messageId": "sim-000001"}
    world.responder.observe(0, [(START, {**event, "timestamp": iso(START)})] * 2)
    for each in (world, plain):
        each.session("usr_1")
    found, expected = (each.diary.newest_occasion("usr_1", 0, START) for each in (world, plain))
    assert found == expected


@pytest.mark.parametrize("where", ["GET /v1/sink", "HEAD /m/c", "POST /v1/batch", "GET /m/o"])
def test_refusals_and_broken_connections_are_waited_out_and_lose_nothing(where: str) -> None:
    calm, troubled = World(), World()
    troubled.gateway.troubles[where] = [503, 429, "refused", 500]
    for world in (calm, troubled):
        for user in people(80):
            world.session(user)
            world.send(user, "tips-email")
        world.run(200)
    assert not troubled.gateway.troubles[where]
    assert {e["messageId"] for e in troubled.goals()} == {e["messageId"] for e in calm.goals()}
    if where in ("POST /v1/batch", "GET /m/o"):  # who read late may have come back on their own, and need no link
        assert Counter(troubled.gateway.touched) == Counter(calm.gateway.touched)
    assert max(Counter(troubled.gateway.touched).values()) == 1
    assert troubled.responder.counts.trouble == ""


def test_an_outage_of_the_sink_does_not_keep_people_from_converting() -> None:
    world = World()
    world.gateway.troubles["GET /v1/sink"] = [503] * 100
    for user in people(200):
        world.session(user)
    world.run(25)
    assert len(world.goals()) > 5
    assert world.responder.counts.trouble == "HTTP 503"


def test_an_event_that_is_rejected_for_good_is_not_sent_for_ever() -> None:
    world = World()
    world.gateway.reject = True
    for user in people(100):
        world.session(user)
    world.run(40)
    assert world.responder.counts.n_refused > 3
    assert world.diary.due(world.now, 10) == []


def test_each_request_carries_the_key_it_needs_and_recipients_carry_none() -> None:
    world = World()
    for user in people(60):
        world.session(user)
        world.send(user, "tips-email")
    world.run(40)
    assert world.gateway.keys == {"/v1/ Bearer sk_test", "/v1/ Basic wk_test", "/m/c ", "/m/o "} | (
        {"/m/u "} & world.gateway.keys
    )


def test_what_is_remembered_stays_bounded() -> None:
    world = World()
    for _ in range(30):
        for user in people(20):
            world.session(user)
        world.run(40)
    rows = {
        table: world.diary._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("occasion", "response", "history")
    }
    assert rows["occasion"] <= 20 * 4
    assert rows["response"] <= 20
    assert rows["history"] == 20
    with world.diary.writing():
        world.diary.forget_before(world.now + 61 * 86_400_000)
    assert not world.diary.knows("usr_0001")

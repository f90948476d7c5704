"""Histories, messages and sums: the small parts of the response side."""

from __future__ import annotations

import math
from typing import Any

import pytest

from training.simulator.effects import ARMS, COST, UNSUBSCRIBE_COST
from training.simulator.history import History
from training.simulator.occasion import GroundTruth, Occasion
from training.simulator.responses import message
from training.simulator.segment import iso, ms_of
from whisperer.decisions.context import NAMES
from whisperer.decisions.decision import NO_SEND

DAY = 86_400_000
NOW = 20_000 * DAY + DAY // 2


def entry(**more: Any) -> dict[str, Any]:
    usual = {
        "serial": 1,
        "send_key": "snd_1",
        "channel": "email",
        "user_key": "u:usr_1",
        "campaign": "c",
        "parts": {"subject": "s", "text": "t"},
        "headers": {},
        "received_at": NOW,
    }
    return {**usual, **more}


def test_links_are_found_in_every_form_and_only_their_paths_are_kept() -> None:
    html = '<a href="https://m.example/m/c/ab_-1">x</a><img src="https://m.example/m/o/cd2">'
    note = message(entry(parts={"html": html}, headers={"List-Unsubscribe": "<https://m.example/m/u/ef3>"}))
    assert (note.link, note.pixel, note.leave) == ("/m/c/ab_-1", "/m/o/cd2", "/m/u/ef3")
    note = message(entry(channel="sms", parts={"text": "Hi: http://h:80/m/c/tok. Leave: http://h:80/m/u/tok2をここ"}))
    assert (note.link, note.pixel, note.leave) == ("/m/c/tok", None, "/m/u/tok2")


def test_other_links_are_none_of_our_business() -> None:
    note = message(entry(parts={"html": '<a href="https://evil.example/x">x</a> /m/c/bare'}))
    assert (note.link, note.pixel, note.leave) == (None, None, None)


def test_a_user_is_known_by_id_or_by_key_and_times_may_be_text() -> None:
    assert message(entry()).user == message(entry(user_id="usr_1")).user == "usr_1"
    assert message(entry(received_at=iso(NOW))).received_ms == NOW == ms_of(iso(NOW))


def lived(**more: Any) -> dict[str, Any]:
    return {"type": "track", "event": "x", "context": {"timezone": "Asia/Tokyo"}, **more}


def feature(history: History, name: str, at_ms: int = NOW) -> float:
    return history.features(at_ms, at_ms)[NAMES.index(name)]


def test_a_history_gives_the_features_that_effects_look_at() -> None:
    history = History(NOW - 40 * DAY, NOW - 40 * DAY)
    for days_ago in (40, 8, 6, 6, 1, 0):
        history.lived(NOW - days_ago * DAY, lived())
    history.lived(NOW, lived(properties={"revenue": 49}))
    history.lived(NOW, lived(properties={"revenue": -19}))
    assert feature(history, "events_7d") == 6
    assert feature(history, "revenue") == 30
    assert feature(history, "tenure_days") == 40
    assert feature(history, "local_hour") == 21
    assert math.isnan(feature(history, "hours_since_send"))
    history.reached(NOW - 8 * DAY)
    history.reached(NOW - DAY)
    history.took_notice(NOW - DAY)
    history.took_notice(NOW - 31 * DAY)
    assert feature(history, "sends_7d") == 1
    assert feature(history, "hours_since_send") == 24
    assert feature(history, "engaged_30d") == 1


def test_a_history_stays_small_and_is_forgotten_in_the_end() -> None:
    history = History(NOW, NOW)
    for day in range(300):
        history.lived(NOW + day * DAY, lived())
        history.reached(NOW + day * DAY)
        history.took_notice(NOW + day * DAY)
    assert len(history.day_to_events) <= 8
    assert len(history.sends) == len(history.engaged) == 64
    assert not history.forgotten(NOW + 350 * DAY)
    assert history.forgotten(NOW + 360 * DAY)


def occasion(luck: float, arm: str = NO_SEND, *, converted: bool = False) -> Occasion:
    chances, hazards = [0.1, 0.4, 0.2, 0.9, 0.05], [0.0, 0.01, 0.01, 0.01, 0.01]
    reachable = [True, True, True, False, True]
    return Occasion("m", "u", NOW, chances, hazards, reachable, luck, arm, True, converted)


def test_sums_say_what_any_policy_could_have_expected() -> None:
    truth = GroundTruth()
    for each in (occasion(0.3), occasion(0.3, "tips-email", converted=True), occasion(0.05, "nudge-push")):
        truth.add(each)
    found = truth.document()
    assert found["occasions"] == 3
    assert found["converted"] == 1
    assert found["conversions"]["as_it_was"] == pytest.approx((0.1 + 0.4 + 0.05) / 3, abs=1e-6)
    assert found["conversions"]["uniform"] == pytest.approx((0.1 + 0.4 + 0.2 + 0.05) / 4, abs=1e-6)
    assert found["conversions"]["nudge-sms"] == pytest.approx(0.1), "who has no phone is left alone"
    assert found["conversions"]["best"] == pytest.approx(0.4)
    assert found["lift"]["best"] == pytest.approx(0.3)
    assert found["lift"][NO_SEND] == 0
    place = ARMS.index("tips-email")
    assert found["value"]["best"] == pytest.approx(0.4 - COST[place] - UNSUBSCRIBE_COST * 0.01)


def test_before_anything_happened_the_truth_is_empty_and_not_an_error() -> None:
    assert GroundTruth().document()["occasions"] == 0

from __future__ import annotations

from typing import Any

import msgspec

from actors.calls.learner_views import ModelAnswers, ServedVersion, VersionsReport
from actors.learner.tallies import MOST_USERS, PolicyStage, Tallies
from whisperer.feedback.outcome import Reward

SINCE = 1_000


def report(*served: tuple[Any, ...], **without: int) -> VersionsReport:
    return VersionsReport(1, 2, without, [ServedVersion(*one) for one in served])


def reward(user: int, micros: int = 2_000_000, version: str = "welcome@1+welcome@3", **more: Any) -> Reward:
    fields: dict[str, Any] = {
        "number": 0, "decision_id": f"dec_{user}", "campaign": "welcome", "campaign_version": 1, "group": "policy",
        "arms": ["no_send", "mail"], "arm": "mail", "propensity": 0.5, "features": [], "reward_micros": micros,
        "revision": 1, "mature": True, "at": 9_000, "policy_version": version, "user": user, "decided_at": SINCE + 1,
    }  # fmt: skip
    return Reward(**(fields | more))


def counting() -> Tallies:
    tallies = Tallies()
    tallies.told("r1", report(("t", "welcome", SINCE, 3, 10, 1, 2), late=1))
    return tallies


def test_replicas_add_up_and_a_report_takes_the_place_of_the_one_before() -> None:
    tallies = counting()
    tallies.told("r2", report(("t", "welcome", SINCE, 3, 5, 0, 0), ("t", "welcome", SINCE, 2, 80, 0, 0), late=4))
    tallies.told("r1", report(("t", "welcome", SINCE, 3, 12, 1, 2), late=2))
    ((tenant, policy, since, found),) = tallies.totals()
    assert (tenant, policy, since) == ("t", "welcome", SINCE)
    assert (found[3].decisions, found[3].failed, found[3].slow, found[2].decisions) == (17, 1, 2, 80)
    assert tallies.status() == ModelAnswers(2, 4, {"late": 6})


def test_a_user_counts_once_with_the_final_reward_of_the_version_whose_turn_it_was() -> None:
    tallies = counting()
    tallies.saw("t", reward(1, 9_000_000, mature=False))
    tallies.saw("t", reward(1, 2_000_000, unsubscribed=True))
    tallies.saw("t", reward(1, 5_000_000))
    tallies.saw("t", reward(2, -1_000_000, version="welcome@1!welcome@3"))
    tallies.saw("t", reward(3, 4_000_000, version="welcome@1"))
    found = tallies.totals()[0][3]
    assert (found[3].users, found[3].unsubscribed, found[3].total_milli) == (2, 1, 1_000)
    assert found[3].squares_milli2 == 2_000**2 + 1_000**2
    assert (found[0].users, found[0].decisions, found[0].total_milli) == (1, 1, 4_000)


def test_rules_other_policies_and_decisions_of_an_earlier_stage_count_for_nobody() -> None:
    tallies = counting()
    tallies.saw("t", reward(1, version="uniform", group="uniform"))
    tallies.saw("other", reward(1))
    tallies.saw("t", reward(1, decided_at=SINCE - 1))
    assert tallies.totals()[0][3][3].users == 0


def test_a_new_stage_begins_with_nothing_and_a_late_report_of_the_old_one_is_dropped() -> None:
    tallies = counting()
    tallies.saw("t", reward(1))
    tallies.told("r2", report(("t", "welcome", SINCE + 5, 3, 4, 0, 0)))
    assert [(since, found[3].decisions, found[3].users) for *_, since, found in tallies.totals()] == [(SINCE + 5, 4, 0)]


def test_what_was_earned_is_taken_up_again() -> None:
    tallies = counting()
    tallies.saw("t", reward(1))
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(tallies.state()), type=list[PolicyStage])
    again = Tallies()
    again.restore(stored)
    again.saw("t", reward(1))
    again.told("r1", report(("t", "welcome", SINCE, 3, 10, 1, 2)))
    assert again.totals() == tallies.totals()


def test_users_that_are_remembered_are_bounded() -> None:
    tallies = counting()
    for user in range(MOST_USERS + 5):
        tallies.saw("t", reward(user))
    assert tallies.totals()[0][3][3].users == MOST_USERS

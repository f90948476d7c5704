from __future__ import annotations

from typing import Any

import msgspec
import pytest

from serve_apps.decisions.app import Answering
from serve_apps.decisions.counting import VersionCounts
from serve_apps.decisions.following import Following, FollowingStatus
from serve_apps.decisions.scoring import Scorer
from tests.unit.whisperer.decisions.making import KEY, candidates, learned
from whisperer.decisions.decision import Choice
from whisperer.decisions.posterior import Posterior, encode, posterior
from whisperer.errors import UnavailableError


def policy(number: int) -> Posterior:
    return posterior(learned({"no_send": 0.1, "mail": 0.3}), number)


async def answered(batch: Any, policies: dict[tuple[str, str], Posterior]) -> tuple[list[Choice], int]:
    answering = Answering(Scorer(), VersionCounts())
    encoded = await answering.answer(msgspec.msgpack.encode(batch), policies, {})
    return msgspec.msgpack.decode(encoded, type=list[Choice]), answering.n_faulty


class FakeLearner:
    def __init__(self) -> None:
        self.policies: dict[tuple[str, str], Posterior] = {}
        self.number = 0
        self.away = False
        self.asked: list[int] = []

    async def ask(self, since: int, wait_s: float) -> tuple[int, bytes]:
        if self.away:
            raise UnavailableError("away")
        self.asked.append(since)
        since = 0 if since > self.number else since
        return self.number, encode((key, held) for key, held in self.policies.items() if held.number > since)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_publications_are_added_to_what_is_here() -> None:
    learner = FakeLearner()
    following = Following(learner.ask)
    learner.policies, learner.number = {("t", "one"): policy(1)}, 1
    await following.poll()
    learner.policies["t", "two"] = policy(2)
    learner.number = 2
    await following.poll()
    assert learner.asked == [0, 1]
    assert {campaign: held.number for (_, campaign), held in following.policies.items()} == {"one": 1, "two": 2}


async def test_decisions_go_on_with_the_last_policy_while_the_learner_is_away() -> None:
    learner, clock = FakeLearner(), Clock()
    following = Following(learner.ask, clock)
    assert following.status() == FollowingStatus(0, 0, None)
    learner.policies, learner.number = {KEY: policy(3)}, 3
    await following.poll()
    learner.away = True
    clock.now += 60
    with pytest.raises(UnavailableError):
        await following.poll()
    assert following.status() == FollowingStatus(3, 1, 60.0)
    choices, n_faulty = await answered(candidates(2), following.policies)
    assert ([choice.policy_version for choice in choices], n_faulty) == (["campaign@3"] * 2, 0)


async def test_a_learner_that_began_anew_replaces_everything() -> None:
    learner = FakeLearner()
    following = Following(learner.ask)
    learner.policies, learner.number = {("t", "forgotten"): policy(5)}, 5
    await following.poll()
    learner.policies, learner.number = {("t", "fresh"): policy(1)}, 1
    await following.poll()
    assert list(following.policies) == [("t", "fresh")]
    assert following.number == 1


async def test_a_candidate_that_cannot_be_decided_does_not_take_the_batch_with_it() -> None:
    good, bad = candidates(2)
    bad = msgspec.structs.replace(bad, arms=["mail"])
    (choice,), n_faulty = await answered([bad, good], {})
    assert (choice.decision_id, n_faulty) == (good.decision_id, 1)


async def test_what_is_no_list_of_candidates_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        await answered({"not": "candidates"}, {})

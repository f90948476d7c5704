"""Value models in a replica: followed, swapped, asked in time, and what they came to told to whoever rolls back."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest

from actors.calls.learner_views import ServedVersion, VersionsReport
from actors.learner.tallies import Tallies
from serve_apps.decisions.app import Answering, fetching
from serve_apps.decisions.counting import Tallying, VersionCounts
from serve_apps.decisions.models import RETRY_S, Models, Policy, Serving
from serve_apps.decisions.scoring import BROKEN, LATE, MISSING, Scorer
from tests.unit.whisperer.decisions.making import ARMS, KEY, candidates, learned
from tests.unit.whisperer.decisions.valuing import NAME, Shelf
from whisperer.decisions.decision import Candidate, Choice
from whisperer.decisions.posterior import Posterior, posterior
from whisperer.errors import UnavailableError
from whisperer.models.guardrails import Breach, VersionTally, breaches
from whisperer.models.rollout import BUILT_IN, Rollout, roll_back
from whisperer.models.value import ValueModel
from whisperer.vocabulary.groups import Group

LONG_S = 60.0
LEARNED: dict[Policy, Posterior] = {KEY: posterior(learned(dict.fromkeys(ARMS, 0.2)), 7)}


class FakePlane:
    """One policy."""

    def __init__(self, state: Rollout, digests: dict[int, str]) -> None:
        self.state, self.digests, self.at = state, digests, 1
        self.told: list[tuple[int, dict[int, VersionTally]]] = []
        self.n_reads = 0

    def version(self) -> int:
        return self.at

    def rollouts(self) -> dict[Policy, tuple[Rollout, dict[int, str]]]:
        self.n_reads += 1
        serving = (self.state.live, self.state.candidate)
        return {KEY: (self.state, {v: d for v, d in self.digests.items() if v in serving})}

    def to(self, **state: Any) -> None:
        self.state, self.at = Rollout(**state), self.at + 1

    def tally_policy(self, tenant: str, name: str, since: int, tallies: Mapping[int, VersionTally]) -> list[Breach]:
        self.told.append((since, dict(tallies)))
        found = breaches(tallies[self.state.candidate]) if self.state.candidate in tallies else []
        if found:
            self.state, self.at = roll_back(self.state, since + 1), self.at + 1
        return found


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def people(n: int, **more: Any) -> list[Candidate]:
    return [msgspec.structs.replace(one, user_key=f"u:{at}") for at, one in enumerate(candidates(n, **more))]


class Replica:
    def __init__(self, serving: Mapping[Policy, Serving], budget_s: float = LONG_S) -> None:
        self.serving, self.counts = serving, VersionCounts()
        self.answering = Answering(Scorer(budget_s), self.counts)

    async def decide(self, asked: list[Candidate]) -> list[Choice]:
        encoded = await self.answering.answer(msgspec.msgpack.encode(asked), LEARNED, self.serving)
        return msgspec.msgpack.decode(encoded, type=list[Choice])


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    made = Shelf(tmp_path_factory.mktemp("shelf"))
    made.digests = {version: made.put(version) for version in (1, 2)}  # type: ignore[attr-defined]
    return made


@pytest.fixture(scope="module")
def model(shelf: Shelf) -> ValueModel:
    return fetching(shelf.store)(*KEY, 1, shelf.digests[1])  # type: ignore[attr-defined]


class Broken(ValueModel):
    def scores(self, raw: Any, arms: Any) -> Any:
        raise ZeroDivisionError


def other(model: ValueModel, kind: type[ValueModel] = ValueModel, version: int = 2) -> ValueModel:
    return kind(model.name, version, model.arms, model.features, model.deviation, model.effects)


async def test_a_live_model_scores_and_the_choice_says_so(model: ValueModel) -> None:
    replica = Replica({KEY: Serving(Rollout(live=1, since=5), {1: model})})
    asked = people(50)
    choices = await replica.decide(asked)
    raw = np.array([one.features for one in asked])
    np.testing.assert_array_equal([one.scores for one in choices], model.scores(raw, ARMS))
    assert {one.policy_version for one in choices} == {f"{NAME}@7+{NAME}@1"}
    plain = await Replica({}).decide(asked)
    assert {one.policy_version for one in plain} == {f"{NAME}@7"}
    assert [one.propensities for one in plain] != [one.propensities for one in choices]
    assert replica.counts.report().served == [ServedVersion(*KEY, 5, 1, 50, 0, 0)]


async def test_a_shadow_is_logged_and_changes_nothing(model: ValueModel) -> None:
    asked = people(50)
    replica = Replica({KEY: Serving(Rollout(candidate=1, stage="shadow", since=5), {1: model})})
    choices = await replica.decide(asked)
    bare = [msgspec.structs.replace(one, shadow=[], shadow_version="") for one in choices]
    assert bare == await Replica({}).decide(asked)
    assert {one.shadow_version for one in choices} == {f"{NAME}@1"}
    np.testing.assert_array_equal(
        [one.shadow for one in choices], model.scores(np.array([one.features for one in asked]), ARMS)
    )
    assert sorted(msgspec.to_builtins(replica.counts.report().served)) == [
        [*KEY, 5, 0, 50, 0, 0],
        [*KEY, 5, 1, 50, 0, 0],
    ]
    assert (replica.counts.scored, replica.counts.shadow) == (0, 50)


async def test_a_candidate_decides_for_its_share_and_users_keep_it(model: ValueModel) -> None:
    asked = people(2_000)
    by_stage = {}
    for stage in ("5", "25"):
        state = Rollout(live=1, candidate=2, stage=stage)
        choices = await Replica({KEY: Serving(state, {1: model, 2: other(model)})}).decide(asked)
        by_stage[stage] = {at for at, one in enumerate(choices) if one.policy_version.endswith("@2")}
    assert 0.03 < len(by_stage["5"]) / 2_000 < 0.07
    assert 0.22 < len(by_stage["25"]) / 2_000 < 0.28
    assert by_stage["5"] < by_stage["25"]


async def test_the_groups_rules_keep_their_names_and_are_not_counted_for_a_version(model: ValueModel) -> None:
    replica = Replica({KEY: Serving(Rollout(live=1), {1: model})})
    held, uniform = await replica.decide([*people(1, group=Group.HOLDOUT), *people(1, group=Group.UNIFORM)])
    assert (held.policy_version, held.scores) == ("holdout", [])
    assert uniform.policy_version == "uniform"
    assert len(uniform.scores) == len(ARMS)  # the learner learns what scores are worth from them too
    assert replica.counts.report().served == [ServedVersion(*KEY, 0, 1, 0, 0, 0)]


async def test_a_missing_or_broken_model_is_decided_without_and_counted(model: ValueModel) -> None:
    asked = people(20)
    plain = await Replica({}).decide(asked)
    for models, reason in (({}, MISSING), ({1: other(model, Broken, 1)}, BROKEN)):
        replica = Replica({KEY: Serving(Rollout(live=1), models)})
        choices = await replica.decide(asked)
        assert {one.policy_version for one in choices} == {f"{NAME}@7!{NAME}@1"}
        assert [one.propensities for one in choices] == [one.propensities for one in plain]
        assert replica.counts.without[reason] == 20
        assert replica.counts.report().served == [ServedVersion(*KEY, 0, 1, 20, 20, 0)]


async def test_a_late_model_is_not_waited_for_and_what_it_says_later_is_dropped(model: ValueModel) -> None:
    go_on, ended = threading.Event(), threading.Event()

    class Slow(ValueModel):
        def scores(self, raw: Any, arms: Any) -> Any:
            go_on.wait(LONG_S)
            ended.set()
            return ValueModel.scores(self, raw, arms)

    replica = Replica({KEY: Serving(Rollout(live=1), {1: other(model, Slow, 1)})}, budget_s=0.01)
    try:
        # The second batch's turn does not come at all.
        choices = [*await replica.decide(people(3)), *await replica.decide(people(3))]
    finally:
        go_on.set()
    ended.wait(LONG_S)
    assert {(one.policy_version, tuple(one.scores)) for one in choices} == {(f"{NAME}@7!{NAME}@1", ())}
    assert replica.counts.without == {MISSING: 0, LATE: 6, BROKEN: 0}
    assert replica.counts.report().served == [ServedVersion(*KEY, 0, 1, 6, 0, 6)]


async def test_a_broken_shadow_harms_nobody_and_is_counted_against_it(model: ValueModel) -> None:
    state = Rollout(live=1, candidate=2, stage="shadow")
    replica = Replica({KEY: Serving(state, {1: model, 2: other(model, Broken)})})
    choices = await replica.decide(people(10))
    assert {(one.policy_version, one.shadow_version) for one in choices} == {(f"{NAME}@7+{NAME}@1", "")}
    assert sum(replica.counts.without.values()) == 0
    assert ServedVersion(*KEY, 0, 2, 10, 10, 0) in replica.counts.report().served


async def test_a_new_version_takes_over_between_two_batches_without_a_restart(shelf: Shelf) -> None:
    plane = FakePlane(Rollout(live=1), shelf.digests)  # type: ignore[attr-defined]
    models = Models(plane, fetching(shelf.store))
    await models.poll()
    asked = people(30)
    before = await Replica(models.serving).decide(asked)
    plane.to(live=2, since=9)
    await models.poll()
    after = await Replica(models.serving).decide(asked)
    assert {one.policy_version for one in before} == {f"{NAME}@7+{NAME}@1"}
    assert {one.policy_version for one in after} == {f"{NAME}@7+{NAME}@2"}
    assert [one.scores for one in before] != [one.scores for one in after]
    assert models.status().loaded == [f"{NAME}@2"]
    plane.to(live=BUILT_IN, since=10)
    await models.poll()
    assert {one.policy_version for one in await Replica(models.serving).decide(asked)} == {f"{NAME}@7"}
    await models.poll()
    assert plane.n_reads == 3


async def test_an_artifact_that_is_not_the_one_registered_never_scores(shelf: Shelf) -> None:
    plane = FakePlane(Rollout(live=1), {1: "0" * 64})
    models = Models(plane, fetching(shelf.store))
    await models.poll()
    assert list(models.serving[KEY].models) == []
    assert "not the one registered" in models.status().refused[f"{NAME}@1"]
    (choice,) = await Replica(models.serving).decide(people(1))
    assert choice.policy_version == f"{NAME}@7!{NAME}@1"


async def test_a_store_that_is_away_is_asked_again_and_what_is_here_goes_on(model: ValueModel) -> None:
    plane, clock, away = FakePlane(Rollout(live=1), {1: "a", 2: "b"}), Clock(), {2}

    def fetch(tenant: str, name: str, version: int, digest: str) -> ValueModel:
        if version in away:
            raise UnavailableError("away")
        return other(model, version=version)

    models = Models(plane, fetch, clock)
    await models.poll()
    plane.to(live=1, candidate=2, stage="5")
    await models.poll()
    await models.poll()
    assert (list(models.serving[KEY].models), plane.n_reads) == ([1], 2)
    away.clear()
    clock.now += RETRY_S
    await models.poll()
    assert list(models.serving[KEY].models) == [1, 2]


async def test_what_loading_takes_is_made_ready_once_when_a_policy_is_registered_before_any_version_serves() -> None:
    plane, prepared = FakePlane(Rollout(), {}), []
    models = Models(plane, fetch=lambda *_: pytest.fail("nothing serves"), prepare=lambda: prepared.append(1))
    for since in range(3):
        plane.to(live=BUILT_IN, since=since)
        await models.poll()
    assert prepared == [1]


async def test_a_policy_goes_on_as_it_was_while_its_next_version_is_loaded(model: ValueModel) -> None:
    plane, seen = FakePlane(Rollout(live=1), {1: "a", 2: "b"}), []

    def fetch(tenant: str, name: str, version: int, digest: str) -> ValueModel:
        seen.append({policy: held.rollout.live for policy, held in models.serving.items()})
        return other(model, version=version)

    models = Models(plane, fetch)
    await models.poll()
    plane.to(live=2)
    await models.poll()
    assert seen == [{}, {KEY: 1}]
    assert models.serving[KEY].rollout.live == 2


async def test_a_candidate_whose_answers_fail_is_rolled_back_by_the_round_of_tallies(model: ValueModel) -> None:
    plane = FakePlane(Rollout(live=1, candidate=2, stage="5", since=5), {})
    replica = Replica({KEY: Serving(plane.state, {1: model})})
    tallies = Tallies()

    async def learner(report: VersionsReport) -> bytes:
        tallies.told("r1", report)
        return msgspec.msgpack.encode(tallies.totals())

    tallying = Tallying(replica.counts, learner, plane)
    await replica.decide(people(2_000))
    found = await tallying.round(replica.serving)
    assert [one.guardrail for one in found] == ["failed"]
    assert (plane.state.live, plane.state.candidate) == (1, None)
    (since, told), *_ = plane.told
    assert (since, sum(one.decisions for one in told.values()), told[2].failed) == (5, 2_000, told[2].decisions)
    # The stage is over: what was counted in it is not told of the next.
    replica.serving = {KEY: Serving(plane.state, {1: model})}
    assert await tallying.round(replica.serving) == []
    assert len(plane.told) == 1


async def test_a_round_with_nothing_new_does_not_write_to_the_control_plane(model: ValueModel) -> None:
    plane = FakePlane(Rollout(live=1, since=5), {})
    replica = Replica({KEY: Serving(plane.state, {1: model})})
    tallies = Tallies()

    async def learner(report: VersionsReport) -> bytes:
        tallies.told("r1", report)
        return msgspec.msgpack.encode(tallies.totals())

    tallying = Tallying(replica.counts, learner, plane)
    await replica.decide(people(10))
    for _ in range(3):
        await tallying.round(replica.serving)
    assert len(plane.told) == 1

"""A trained churn model comes to score a tenant's users: trained, registered, judged, live on every shard, and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

pytest.importorskip("xgboost")
pytest.importorskip("shap")

from actors.shard.scoring import Scoring
from cluster.control_plane import tenants
from cluster.control_plane.score_steps import evidence_for
from tests.support.gateway_world import Caller, World
from tests.support.shard_world import DAY, T0, TENANT, event
from tests.support.shard_world import World as Users
from tests.unit.training.making_rows import score_table, written
from tests.unit.training.test_finish import Made
from tests.unit.whisperer.models.artifacts import artifact
from training.dataset import read
from whisperer.models.artifact import MANIFEST, TEST_ROWS, Manifest, decode, encode
from whisperer.models.loading import load
from whisperer.models.scores import open_model
from whisperer.profiles.scores import CHURN, BgNbdScores
from whisperer.settings import ScoringSettings
from whisperer.shard import inspection
from whisperer.shard.records import RecordBody, ScoreModelChosen

PROMOTE = ("POST", "/policies/churn/promote")


def trained(folder: Path, version: int, n: int = 3_000) -> Path:
    """A churn model of so many rows; the fewer, the worse."""
    folder.mkdir()
    data = read(written(score_table(n, seed=version), folder), "churn")
    return Made("churn", data, folder / "model", version, window_days=30).folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("trained") / "1", 1)


@pytest.fixture
def caller(world: World, monkeypatch: pytest.MonkeyPatch) -> Caller:
    """Of the tenant whose users the shards of the tests have."""
    monkeypatch.setattr(tenants, "new_id", lambda _: TENANT)
    return world.tenant("acme")


def put(world: World, folder: Path) -> Manifest:
    manifest = load(folder).manifest
    world.models.put(TENANT, folder, manifest)
    return manifest


def changed(folder: Path, place: Path, change: Callable[[Manifest], Manifest]) -> Path:
    """The same files under another manifest."""
    place.mkdir()
    manifest = change(decode((folder / MANIFEST).read_bytes()))
    for file in manifest.files:
        (place / file.path).write_bytes((folder / file.path).read_bytes())
    (place / MANIFEST).write_bytes(encode(manifest))
    return place


async def registered(world: World, caller: Caller, folder: Path) -> int:
    version = put(world, folder).version
    await caller.ok("POST", "/policies", {"name": "churn", "version": version})
    return version


async def live(world: World, caller: Caller, folder: Path) -> Any:
    version = await registered(world, caller, folder)
    await caller.ok(*PROMOTE, {"version": version})
    return await caller.ok(*PROMOTE, {"version": version})


def people() -> Users:
    users = Users(n=1)
    for number in range(40):
        users.send(*(event(f"user{number}", at=T0 + day * DAY) for day in range(number % 7 + 1)))
    users.now = T0 + 30 * DAY
    return users


def sweeping(users: Users, cache: Path) -> Scoring:
    async def submit(body: RecordBody) -> None:
        users.write(0, body)

    return Scoring(users.shards[0], submit, lambda: users.now, cache, ScoringSettings())


async def test_a_model_that_is_promoted_scores_users_and_a_rollback_brings_the_formula_back(
    world: World, caller: Caller, model: Path, tmp_path: Path
) -> None:
    users = people()
    swept = sweeping(users, tmp_path / "spool")
    await swept.sweep()
    by_formula = inspection.user(users.shards[0], TENANT, "u:user1")
    assert by_formula is not None
    assert by_formula.scores is not None
    assert (by_formula.scores.model, by_formula.scores.at) == ("bgnbd@cdnow", users.now)

    version = await registered(world, caller, model)
    at_shadow = await caller.ok(*PROMOTE, {"version": version})
    assert (at_shadow["stage"], at_shadow["needs"]) == ("shadow", {"hours": 0.0, "decisions": 0})
    assert world.shards.scoring[0, TENANT] == ScoreModelChosen(TENANT)
    assert (await caller.ok(*PROMOTE, {"version": version}))["live"] == version
    newest = (await caller.ok("GET", "/policies/churn/history"))["data"][0]
    figures = newest["evidence"]["figures"]
    assert figures["against"]["the formula"]["log_loss"]["high"] < 0
    assert figures["candidate"]["auc"] > figures["against"]["the formula"]["quality"]["auc"]
    told = world.shards.scoring[0, TENANT]
    assert world.shards.scoring == {(0, TENANT): told, (1, TENANT): told}

    users.publish(1, leaving={"feature": CHURN, "op": "gte", "value": 0.6})
    await swept.choose(told)
    users.now += DAY
    await swept.sweep()
    users.tick()
    found = inspection.user(users.shards[0], TENANT, "u:user1")
    assert found is not None
    assert found.scores is not None
    assert (found.scores.model, found.scores.at) == (f"churn@{version}", users.now)
    assert abs((found.scores.churn or 0) - (by_formula.scores.churn or 0)) > 0.02
    table = users.shards[0].tenant(TENANT).people.table
    said = {f"u:user{n}" for n in range(40) if table[CHURN][n] >= 0.6}
    assert said
    assert {change.user for change in users.changes if change.entered} == said
    state = swept.state()
    assert (state.fallbacks, state.models[TENANT].digest) == (0, told.digest)

    await caller.ok("POST", "/policies/churn/rollback", {"reason": "complaints"})
    await swept.choose(world.shards.scoring[1, TENANT])
    await swept.sweep()
    back = inspection.user(users.shards[0], TENANT, "u:user1")
    assert back is not None
    assert back.scores is not None
    assert back.scores.model == "bgnbd@cdnow"
    users.check()


async def test_what_a_gateway_did_not_live_to_tell_the_next_one_tells(
    world: World, caller: Caller, model: Path
) -> None:
    version = await registered(world, caller, model)
    for _ in range(2):  # in the control plane alone: whoever promoted ended before the shards heard of it
        evidence = evidence_for(world.plane, world.models, TENANT, "churn", version, None)
        world.plane.promote_policy(TENANT, "churn", version, by="operator", evidence=evidence)
    assert world.shards.scoring == {}
    await world.parts.publishing.spread()
    assert {chosen.number for chosen in world.shards.scoring.values()} == {version}


async def test_a_shard_that_is_away_keeps_nobody_waiting_and_hears_of_it_later(
    world: World, caller: Caller, model: Path
) -> None:
    world.shards.away = {1}
    assert (await live(world, caller, model))["live"] == 1
    world.shards.away = set()
    await world.parts.publishing.spread()
    assert world.shards.scoring[1, TENANT].number == 1


async def test_a_model_that_is_worse_than_the_live_one_stays_in_shadow(
    world: World, caller: Caller, model: Path, tmp_path: Path
) -> None:
    await live(world, caller, model)
    version = await registered(world, caller, trained(tmp_path / "2", 2, n=900))
    await caller.ok(*PROMOTE, {"version": version})
    answer = await caller(*PROMOTE, {"version": version})
    assert (answer.status_code, answer.json()["code"]) == (409, "gate_refused")
    assert "version 1" in answer.json()["detail"]
    assert world.shards.scoring[0, TENANT].number == 1
    taken_back = await caller.ok("POST", "/policies/churn/rollback", {})
    assert (taken_back["live"], taken_back["candidate"]) == (1, None)


async def test_nobodys_word_is_taken_for_the_verdict(world: World, caller: Caller, model: Path) -> None:
    version = await registered(world, caller, model)
    await caller.ok(*PROMOTE, {"version": version})
    told = {"promote": True, "against": 0, "judged_at": "2026-01-31T09:00:00Z"}
    body = {"version": version, "evidence": told}
    assert await caller.problem(*PROMOTE, body) == (400, "evidence_not_taken")


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (lambda m: msgspec.structs.replace(m, feature_registry="0"), "invalid_manifest", "definitions changed"),
        (lambda m: msgspec.structs.replace(m, features=["karma"]), "invalid_manifest", "no 'karma' here"),
        (lambda m: msgspec.structs.replace(m, kind="uplift"), "invalid_manifest", "no other is"),
        (lambda m: msgspec.structs.replace(m, parameters={"window_days": -1}), "invalid_manifest", "window_days"),
        (
            lambda m: msgspec.structs.replace(m, files=[f for f in m.files if f.path != TEST_ROWS]),
            "missing_file",
            TEST_ROWS,
        ),
    ],
)
async def test_what_could_not_score_is_not_registered(
    world: World, caller: Caller, model: Path, tmp_path: Path, change: Any, code: str, said: str
) -> None:
    put(world, changed(model, tmp_path / "other", change))
    answer = await caller("POST", "/policies", {"name": "churn", "version": 1})
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert said in answer.json()["detail"]
    assert (await caller.ok("GET", "/policies"))["data"] == []


async def test_a_model_of_scores_decides_for_nobody(world: World, caller: Caller, model: Path, tmp_path: Path) -> None:
    await live(world, caller, model)
    put(world, artifact(tmp_path / "offers", "offers", 1))
    await caller.ok("POST", "/policies", {"name": "offers", "version": 1})
    assert {name for _, name in world.plane.rollouts()} == {"offers"}


def test_a_model_without_engagement_leaves_that_to_the_formula(model: Path, tmp_path: Path) -> None:
    def without(manifest: Manifest) -> Manifest:
        kept = [file for file in manifest.files if file.path != "engagement.ubj"]
        return msgspec.structs.replace(manifest, files=kept)

    whole, half = open_model(load(model)), open_model(load(changed(model, tmp_path / "half", without)))
    data = score_table(50, seed=9)
    x = np.stack([data[name].to_numpy() for name in half.features], axis=1)
    assert half.score(x)[0].tolist() == whole.score(x)[0].tolist()
    inputs = np.stack([data[name].to_numpy() for name in BgNbdScores.features], axis=1)
    assert half.score(x)[1].tolist() == BgNbdScores().score(inputs)[1].tolist()
    assert whole.score(x)[1].tolist() != half.score(x)[1].tolist()
    assert json.loads((model / "calibration.json").read_text()).keys() == {"churn"}

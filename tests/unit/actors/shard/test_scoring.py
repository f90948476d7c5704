"""Sweeps as the shard's actor makes them: chunk by chunk, with a learned model or without, never in the way."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.calls.retry import Pauses
from actors.shard import scoring as actor
from actors.shard.scoring import Scoring
from tests.support.shard_world import DAY, T0, TENANT, World, event
from whisperer.errors import OverloadError
from whisperer.models.artifact import MANIFEST, DataRange, Manifest, encode, manifest_of
from whisperer.models.errors import ArtifactError
from whisperer.models.loading import load
from whisperer.models.rollout import SCORES
from whisperer.models.scores import open_model
from whisperer.models.store import ArtifactStore
from whisperer.profiles.features import FEATURES, feature_hash
from whisperer.profiles.scores import CHURN, ENGAGEMENT
from whisperer.settings import ScoringSettings
from whisperer.shard.people import scoring
from whisperer.shard.records import RecordBody, Scored, ScoreModelChosen

xgboost = pytest.importorskip("xgboost")
NAMES = ("recency_days", "events_30d")


def a_world(n: int = 40) -> World:
    world = World(n=1)
    for number in range(n):
        world.send(*(event(f"user{number}", at=T0 + day * DAY) for day in range(0, number % 7 + 1)))
    world.now = T0 + 30 * DAY
    return world


def scoring_of(world: World, submit: Callable[[RecordBody], Any] | None = None, cache: Path = Path()) -> Scoring:
    async def write(body: RecordBody) -> None:
        world.write(0, body)

    return Scoring(world.shards[0], submit or write, lambda: world.now, cache, ScoringSettings())


def written(folder: Path, names: Sequence[str] = NAMES, version: int = 1, registry: str = "", **files: str) -> Manifest:
    """A model of two forests that knows lazy users from busy ones."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    x = rng.exponential(10, (400, len(names)))
    for part in ("churn", "engagement"):
        y = (x[:, 0] > 10) == (part == "churn")
        matrix = xgboost.DMatrix(x, label=y.astype(float))
        settings = {"objective": "binary:logistic", "max_depth": 2, "nthread": 1}
        xgboost.train(settings, matrix, 5).save_model(folder / f"{part}.ubj")
    for name, text in files.items():
        (folder / f"{name}.json").write_text(text)
    manifest = manifest_of(
        folder,
        name="fare",
        version=version,
        kind=SCORES,
        created_at=T0,
        data=DataRange(0, T0, 400),
        code_version="test",
        features=names,
        feature_registry=registry or feature_hash(FEATURES[name] for name in names if name in FEATURES),
    )
    (folder / MANIFEST).write_bytes(encode(manifest))
    return manifest


def test_every_user_is_scored_chunk_by_chunk_and_what_stands_still_is_not_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scoring, "CHUNK", 7)
    world = a_world()
    swept = scoring_of(world)
    assert asyncio.run(swept.sweep()) == 40
    assert swept.state().chunks == 6
    table = world.shards[0].tenant(TENANT).people.table
    assert not np.isnan(table[CHURN][:40]).any()
    assert not np.isnan(table[ENGAGEMENT][:40]).any()
    n_records = len(world.journals[0])
    assert asyncio.run(swept.sweep()) == 40
    assert len(world.journals[0]) == n_records
    world.check()


def test_a_full_queue_is_waited_for_and_loses_no_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor, "AGAIN", Pauses(0.0))
    world, n_refused = a_world(), 0

    async def submit(body: RecordBody) -> None:
        nonlocal n_refused
        if n_refused < 3:
            n_refused += 1
            raise OverloadError("full", retry_after_s=1.0)
        world.write(0, body)

    asyncio.run(scoring_of(world, submit).sweep())
    assert n_refused == 3
    assert not np.isnan(world.shards[0].tenant(TENANT).people.table[CHURN][:40]).any()


def test_ingestion_goes_on_between_two_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "CHUNK", 7)
    world, steps = a_world(), []

    async def submit(body: RecordBody) -> None:
        steps.append("chunk")
        world.write(0, body)

    async def both() -> None:
        async def ingest() -> None:
            while steps.count("chunk") < 6:
                steps.append("event")
                await asyncio.sleep(0)

        await asyncio.gather(scoring_of(world, submit).sweep(), ingest())

    asyncio.run(both())
    chunks = [place for place, step in enumerate(steps) if step == "chunk"]
    assert all("event" in steps[a:b] for a, b in itertools.pairwise(chunks))


def test_a_learned_model_is_fetched_from_its_store_and_scores(tmp_path: Path) -> None:
    world = a_world()
    manifest = written(tmp_path / "made")
    digest = ArtifactStore(tmp_path / "store", tmp_path / "c0").put(TENANT, tmp_path / "made", manifest)
    world.write(0, ScoreModelChosen(TENANT, str(tmp_path / "store"), "fare", 1, digest))
    swept = scoring_of(world, cache=tmp_path / "cache")
    asyncio.run(swept.sweep())
    tenant = world.shards[0].tenant(TENANT)
    assert (tenant.scored_by, swept.state().fallbacks) == ("fare@1", 0)
    assert (tenant.people.table[CHURN][:40] > 0.5).all()  # silent for over three weeks
    world.check()


def test_without_its_model_the_formula_scores_and_that_is_counted(tmp_path: Path) -> None:
    world = a_world()
    world.write(0, ScoreModelChosen(TENANT, str(tmp_path / "nowhere"), "fare", 1, "0" * 64))
    swept = scoring_of(world, cache=tmp_path / "cache")
    asyncio.run(swept.sweep())
    assert world.shards[0].tenant(TENANT).scored_by == "bgnbd@cdnow"
    assert swept.state().fallbacks == 1


def test_a_calibration_bends_what_the_forest_says(tmp_path: Path) -> None:
    written(tmp_path / "plain")
    written(tmp_path / "bent", calibration='{"churn": {"x": [0, 1], "y": [0.5, 0.5]}}')
    x = np.array([[30.0, 0.0], [0.0, 9.0]])
    plain, bent = (open_model(load(tmp_path / name)) for name in ("plain", "bent"))
    assert plain.score(x)[0].tolist() != [0.5, 0.5]
    assert bent.score(x)[0].tolist() == [0.5, 0.5]
    assert bent.score(x)[1].tolist() == plain.score(x)[1].tolist()


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ({"names": ("recency_days", "karma")}, "no 'karma' here"),
        ({"registry": "of another release"}, "definitions changed"),
        ({"calibration": '{"churn": {"x": [1, 0], "y": [0, 1]}}'}, "ascending"),
        ({"calibration": '{"churn": {"x": "many"}}'}, "calibration.json"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(tmp_path: Path, made: dict[str, Any], why: str) -> None:
    written(tmp_path / "made", **made)
    with pytest.raises(ArtifactError, match=why):
        open_model(load(tmp_path / "made"))


def test_a_record_holds_four_bytes_a_row_and_score() -> None:
    world = a_world()
    bodies: list[RecordBody] = []

    async def submit(body: RecordBody) -> None:
        bodies.append(body)

    asyncio.run(scoring_of(world, submit).sweep())
    (body,) = bodies
    assert isinstance(body, Scored)
    assert (len(body.churn), len(body.engagement)) == (160, 160)

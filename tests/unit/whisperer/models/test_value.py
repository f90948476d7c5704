from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.training.making_rows import decision_table, written
from tests.unit.whisperer.decisions.making import ARMS
from tests.unit.whisperer.decisions.valuing import DEVIATION_OF_REWARD, FEATURES, NAME, TENANT, Shelf, a_mix, logged
from training.dataset import _registry, read
from training.rows.decisions import HASH_KEY
from training.uplift.bases import Boosted, Logit
from training.uplift.learners import DR, S, T
from training.uplift.trial import Trial
from whisperer.decisions.context import NAMES
from whisperer.models.effects import Effects
from whisperer.models.errors import ArtifactError
from whisperer.models.value import ARM_ITSELF, DEVIATION, ValueModel, open_model, registry_of
from whisperer.shard.decision.features import FEATURE_HASH

X = np.abs(np.random.default_rng(5).normal(size=(40, len(FEATURES)))) * 8


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def opened(shelf: Shelf, digest: str) -> ValueModel:
    return open_model(shelf.store.fetch(TENANT, NAME, 1, digest), FEATURE_HASH)


def test_a_stored_model_scores_as_the_one_that_was_trained_in_deviations_of_the_reward(shelf: Shelf) -> None:
    mix = a_mix()
    model = opened(shelf, shelf.put(1, mix=mix))
    scores = model.scores(logged(X), ARMS)
    # Products of matrices may be added up in another order: that of the processor.
    np.testing.assert_allclose(scores, mix.effects(X) / DEVIATION_OF_REWARD, rtol=1e-12, atol=1e-14)
    assert (scores[:, 0] == 0).all()
    assert np.ptp(scores[:, 1]) > 0.5


def test_arms_are_scored_by_name_and_one_the_model_never_met_has_no_score(shelf: Shelf) -> None:
    model = opened(shelf, shelf.put(1))
    by_name = model.scores(logged(X), ["sms", "call", "no_send"])
    np.testing.assert_array_equal(by_name[:, 0], model.scores(logged(X), ARMS)[:, 2])
    assert np.isnan(by_name[:, 1]).all()
    assert model.scores(logged(X), ["call"]).shape == (40, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "churn"},
        {"features": ("recency_days", "shoe_size")},
        {"feature_registry": registry_of("another release", FEATURES)},
        {"features": FEATURES[::-1]},
        {"parameters": {"arms": ARMS}},
        {"parameters": {"arms": ARMS[::-1], DEVIATION: 2.0}},
        {"parameters": {"arms": ARMS, DEVIATION: 0.0}},
        {"parameters": {"arms": ARMS[:2], DEVIATION: 2.0}},
    ],
)
def test_a_model_that_cannot_score_what_is_logged_is_refused(shelf: Shelf, changes: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError):
        opened(shelf, shelf.put(1, **changes))


def test_the_registry_of_a_choice_of_features_is_what_training_writes(tmp_path: Path) -> None:
    extra = {name: np.random.default_rng(1).normal(size=400) for name in NAMES}
    table = decision_table(400, **extra).drop_columns(["wealth", "age"])
    table = table.replace_schema_metadata({HASH_KEY: FEATURE_HASH.encode()})
    whole = read(written(table, tmp_path), "uplift")
    assert whole.registry == registry_of(FEATURE_HASH, whole.names) == FEATURE_HASH
    assert _registry(table.schema, FEATURES) == registry_of(FEATURE_HASH, FEATURES) != FEATURE_HASH


def a_binary_trial() -> Trial:
    rng = np.random.default_rng(2)
    x, action = rng.normal(size=(500, 2)), rng.integers(0, 3, 500)
    chance = 1 / (1 + np.exp(-(x[:, 0] * (action == 1) + 0.5 * x[:, 1] - 0.3)))
    return Trial(x, action, (rng.random(500) < chance).astype(float), np.full(3, 1 / 3))


def members() -> list[Effects]:
    binary = a_binary_trial()
    logistic, money = Boosted("binary:logistic", rounds=15), Boosted("reg:tweedie", rounds=15)
    return [
        a_mix(), S(logistic).fit(binary), T(Logit()).fit(binary), S(money).fit(binary),
        DR(Logit(), Boosted(rounds=5)).fit(binary),
    ]  # fmt: skip


@pytest.mark.parametrize("model", members(), ids=["mix", "logistic", "logit", "tweedie", "dr"])
def test_contributions_add_up_to_the_effect(model: Effects) -> None:
    effects = model.effects(X)
    for arm in range(3):
        told = model.contributions(X, arm)
        assert told.shape == (len(X), len(FEATURES) + 1)
        np.testing.assert_allclose(told.sum(axis=1), effects[:, arm], atol=2e-5)


def test_an_explanation_names_the_feature_that_made_the_difference(shelf: Shelf) -> None:
    model = opened(shelf, shelf.put(1))
    recent = model.explain({"recency_days": 1.0, "events_30d": 6.0}, "mail")
    assert list(recent) == [*FEATURES, ARM_ITSELF]
    score = model.scores(logged(np.array([[1.0, 6.0]])), ["mail"]).item()
    assert sum(recent.values()) == pytest.approx(score * DEVIATION_OF_REWARD, abs=2e-5)
    gone = model.explain({"recency_days": 12.0, "events_30d": None}, "mail")
    assert recent["recency_days"] > 0 > gone["recency_days"]
    assert abs(recent["recency_days"]) > abs(recent["events_30d"])
    with pytest.raises(KeyError):
        model.explain({}, "call")

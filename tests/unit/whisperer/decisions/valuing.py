"""A value model that is worth scoring with, as an artifact in a store: trees and ridge over two logged features."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.unit.whisperer.decisions.making import ARMS, KEY
from training.uplift import storage
from training.uplift.bases import Boosted, Ridge
from training.uplift.learners import Average, S, T
from training.uplift.mix import Mix
from training.uplift.trial import Trial
from whisperer.decisions.context import NAMES
from whisperer.models.artifact import MANIFEST, DataRange, Manifest, encode, manifest_of
from whisperer.models.store import ArtifactStore
from whisperer.models.value import DEVIATION, KIND, registry_of
from whisperer.shard.decision.features import FEATURE_HASH

FEATURES = ("recency_days", "events_30d")
TENANT, NAME = KEY
DEVIATION_OF_REWARD = 2.0


@lru_cache
def a_mix(seed: int = 0, n: int = 600) -> Mix:
    """Mail does good to users who were here lately, sms the same to all."""
    rng = np.random.default_rng(seed)
    x = np.abs(rng.normal(size=(n, len(FEATURES)))) * 8
    action = rng.integers(0, len(ARMS), n)
    effect = np.stack([np.zeros(n), np.where(x[:, 0] < 4, 3.0, -1.0), np.full(n, 0.5)], axis=1)
    reward = 0.1 * x[:, 1] + effect[np.arange(n), action] + rng.normal(size=n)
    trial = Trial(x, action, reward, np.full(len(ARMS), 1 / len(ARMS)))
    learners = (S(Boosted(rounds=20)), T(Ridge()), Average(Ridge()))
    return Mix((0.6, 0.3, 0.1), [learner.fit(trial) for learner in learners])


def write_model(folder: Path, version: int = 1, mix: Mix | None = None, **changes: Any) -> Manifest:
    storage.save(mix or a_mix(version), folder)
    stated: dict[str, Any] = {
        "name": NAME,
        "kind": KIND,
        "created_at": 1,
        "data": DataRange(0, 1, 600),
        "code_version": "test",
        "features": FEATURES,
        "feature_registry": registry_of(FEATURE_HASH, FEATURES),
        "parameters": {"arms": ARMS, DEVIATION: DEVIATION_OF_REWARD},
    }
    made = manifest_of(folder, version=version, **(stated | changes))
    (folder / MANIFEST).write_bytes(encode(made))
    return made


class Shelf:
    """A store in a folder; ``put`` gives the digest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = ArtifactStore(folder / "store", folder / "cache")

    def put(self, version: int, **changes: Any) -> str:
        made = self.folder / f"made-{version}"
        return self.store.put(TENANT, made, write_model(made, version, **changes))


def logged(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows as they are logged, with ``x`` in the columns of FEATURES."""
    raw = np.full((len(x), len(NAMES)), np.nan)
    raw[:, [NAMES.index(name) for name in FEATURES]] = x
    return raw

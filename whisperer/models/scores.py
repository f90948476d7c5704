"""Open a learned score model: an artifact of kind `churn`, as `python -m training.train --kind churn` writes it.

    churn.ubj          XGBoost: probability that a user leaves, before calibration
    engagement.ubj     XGBoost: share of the window's days with activity; without it the formula gives engagement
    calibration.json   {"churn": {"x": [...], "y": [...]}, ...}: a curve through these points, x ascending
    test.arrow         rows that no part of the model has seen: `label` (1: left), `user`, and a column per feature

Guarantees: only verified plain data is loaded (:mod:`whisperer.models.loading`), and a model trained on other features
than a shard computes is refused. XGBoost is imported when the first model is opened. Leaves to others: whether the
model is good enough (:mod:`.score_evidence`), and when it scores (:mod:`actors.shard.scoring`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from whisperer.models.artifact import Manifest
from whisperer.models.errors import ArtifactError
from whisperer.models.loading import Artifact
from whisperer.models.rollout import SCORES
from whisperer.models.value import registry_of
from whisperer.profiles.features import FEATURES, REPLAYED, feature_hash
from whisperer.profiles.scores import BgNbdScores

if TYPE_CHECKING:
    import xgboost

CHURN, ENGAGEMENT = PARTS = ("churn", "engagement")
CALIBRATION = "calibration.json"
LABEL, USER = "label", "user"
WINDOW_DAYS = "window_days"
"""Name of the manifest's parameter for how many days the label looks ahead."""


class Curve(msgspec.Struct, frozen=True):
    """A piecewise linear curve, constant beyond its ends."""

    x: list[float]
    y: list[float]

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.interp(values, self.x, self.y)


@dataclass(frozen=True, slots=True)
class ScorePart:
    """One of PARTS; its output is a share within [0, 1]."""

    booster: xgboost.Booster
    curve: Curve | None

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        if not len(x):
            return np.empty(0)
        found = np.asarray(self.booster.inplace_predict(x, validate_features=False), np.float64)
        return found if self.curve is None else self.curve(found)


@dataclass(frozen=True, slots=True)
class BoosterScores:
    """Score users with an artifact: a :class:`whisperer.profiles.scores.ScoreModel`.

    Attributes
    ----------
    features : those that the boosters take, followed by those that only the formula takes
    n_inputs : number of features that the boosters take
    """

    version: str
    features: tuple[str, ...]
    n_inputs: int
    churn: ScorePart
    engagement: ScorePart | None

    def score(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the probability that each user leaves, and their engagement; ``x`` has a column per feature."""
        inputs = x[:, : self.n_inputs]
        if self.engagement is not None:
            return self.churn(inputs), self.engagement(inputs)
        places = [self.features.index(name) for name in BgNbdScores.features]
        return self.churn(inputs), BgNbdScores().score(x[:, places])[1]


def check_features(manifest: Manifest) -> None:
    """Check that a model takes features that shards compute, by their current definitions. Raises ArtifactError."""
    names = manifest.features
    unknown = [name for name in names if name not in REPLAYED]
    known = () if unknown else (_hash(tuple(names)), registry_of(_hash(REPLAYED), names))
    if manifest.feature_registry not in known:
        why = f"no {unknown[0]!r} here" if unknown else "their definitions changed"
        raise _refused(f"{manifest.name} {manifest.version} was trained on other features: {why}")


def open_model(artifact: Artifact) -> BoosterScores:
    """Open an artifact's score model.

    Raises ArtifactError for one that is no score model or was trained on other features, and UnavailableError.
    """
    manifest = artifact.manifest
    if manifest.kind != SCORES:
        raise _refused(f"users are scored by an artifact of kind {SCORES!r}, not {manifest.kind!r}")
    check_features(manifest)
    stated = artifact.document(CALIBRATION) if CALIBRATION in artifact.paths() else {}
    parts = {
        part: ScorePart(artifact.booster(f"{part}.ubj"), _curve(stated[part]) if part in stated else None)
        for part in PARTS
        if part == CHURN or f"{part}.ubj" in artifact.paths()
    }
    for name, part in parts.items():
        if part.booster.num_features() != len(manifest.features):
            raise ArtifactError(f"{name}.ubj takes {part.booster.num_features()} features", code="broken_model")
    inputs = tuple(manifest.features)
    more = () if ENGAGEMENT in parts else tuple(name for name in BgNbdScores.features if name not in inputs)
    named = f"{manifest.name}@{manifest.version}"
    return BoosterScores(named, inputs + more, len(inputs), parts[CHURN], parts.get(ENGAGEMENT))


def _hash(names: tuple[str, ...]) -> str:
    return feature_hash(FEATURES[name] for name in names)


def _refused(why: str) -> ArtifactError:
    return ArtifactError(why, code="invalid_manifest")


def _curve(stated: Any) -> Curve:
    try:
        curve = msgspec.convert(stated, Curve)
    except msgspec.ValidationError as error:
        raise ArtifactError(f"{CALIBRATION}: {error}", code="broken_model") from None
    x, y = np.array(curve.x), np.array(curve.y)
    if not len(x) or len(x) != len(y) or not np.isfinite([*x, *y]).all() or (np.diff(x) < 0).any():
        raise ArtifactError(f"{CALIBRATION}: points of a curve, x ascending, are needed", code="broken_model")
    return curve

"""A learned score model: an artifact of kind `scores` with two forests, one a score, and perhaps their calibration.

    churn.ubj, engagement.ubj    XGBoost; what each predicts is a share within [0, 1] before or after calibration
    calibration.json             {"churn": {"x": [...], "y": [...]}, ...}: a curve through these points, x ascending

Guarantees: nothing but verified plain data is loaded (:mod:`whisperer.models`), and a model that was trained on other
features than this code computes is refused. XGBoost is imported when the first model is loaded, in a thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from whisperer.models.errors import ArtifactError
from whisperer.models.loading import Artifact
from whisperer.models.store import ArtifactStore
from whisperer.profiles.features import FEATURES, REPLAYED, feature_hash
from whisperer.shard.records import ScoreModelChosen

if TYPE_CHECKING:
    import xgboost

KIND = "scores"
PARTS = ("churn", "engagement")
CALIBRATION = "calibration.json"


class Curve(msgspec.Struct, frozen=True):
    """Piecewise linear, level beyond its ends."""

    x: list[float]
    y: list[float]

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.interp(values, self.x, self.y)


@dataclass(frozen=True, slots=True)
class BoosterScores:
    """:class:`whisperer.profiles.scores.ScoreModel` of an artifact; ``boosters`` and ``curves`` in order of PARTS."""

    version: str
    features: tuple[str, ...]
    boosters: tuple[xgboost.Booster, ...]
    curves: tuple[Curve | None, ...]

    def score(self, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        churn, engagement = (self._predict(place, x) for place in range(len(PARTS)))
        return churn, engagement

    def _predict(self, place: int, x: NDArray[np.float64]) -> NDArray[np.float64]:
        if not len(x):
            return np.empty(0)
        curve = self.curves[place]
        found = np.asarray(self.boosters[place].inplace_predict(x, validate_features=False), np.float64)
        return found if curve is None else curve(found)


def open_model(artifact: Artifact) -> BoosterScores:
    """Raises ArtifactError for one that is no score model or was trained on other features, UnavailableError."""
    manifest = artifact.manifest
    if manifest.kind != KIND:
        raise ArtifactError(f"an artifact of kind {KIND!r} is needed, not {manifest.kind!r}", code="invalid_manifest")
    unknown = [name for name in manifest.features if name not in REPLAYED]
    other = f"no {unknown[0]!r} here" if unknown else "their definitions changed"
    if unknown or manifest.feature_registry != feature_hash(FEATURES[name] for name in manifest.features):
        raise ArtifactError(
            f"{manifest.name} {manifest.version} was trained on other features: {other}",
            code="invalid_manifest",
        )
    boosters = tuple(artifact.booster(f"{part}.ubj") for part in PARTS)
    for part, booster in zip(PARTS, boosters, strict=True):
        if booster.num_features() != len(manifest.features):
            raise ArtifactError(f"{part}.ubj takes {booster.num_features()} features", code="broken_model")
    stated = artifact.document(CALIBRATION) if CALIBRATION in artifact.paths() else {}
    curves = tuple(_curve(stated[part]) if part in stated else None for part in PARTS)
    return BoosterScores(f"{manifest.name}@{manifest.version}", tuple(manifest.features), boosters, curves)


def fetch(chosen: ScoreModelChosen, cache: Path) -> BoosterScores:
    """The model that a tenant's sweeps are to use. Raises ArtifactError, NotFoundError, UnavailableError."""
    store = ArtifactStore(chosen.store, cache)
    return open_model(store.fetch(chosen.tenant, chosen.name, chosen.number, chosen.digest or None))


def _curve(stated: Any) -> Curve:
    try:
        curve = msgspec.convert(stated, Curve)
    except msgspec.ValidationError as error:
        raise ArtifactError(f"{CALIBRATION}: {error}", code="broken_model") from None
    x, y = np.array(curve.x), np.array(curve.y)
    if not len(x) or len(x) != len(y) or not np.isfinite([*x, *y]).all() or (np.diff(x) < 0).any():
        raise ArtifactError(f"{CALIBRATION}: points of a curve, x ascending, are needed", code="broken_model")
    return curve

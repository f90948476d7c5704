"""Score decisions with a value model: an artifact of kind `uplift`, evaluated on logged features.

    score = effect of the arm over `no_send` / standard deviation of the reward among the training rows

which is the unit of :data:`whisperer.decisions.context.SCORE`. Guarantees: a model trained on features that this code
does not log, or defines differently, is refused; an arm the model has not seen has no score (NaN). Leaves to others:
which version scores for whom (:mod:`.rollout`), how the policy uses scores.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from whisperer.decisions.context import NAMES
from whisperer.decisions.decision import NO_SEND
from whisperer.models import effects
from whisperer.models.effects import DOCUMENT, FORM, BadModelError, Effects
from whisperer.models.errors import ArtifactError
from whisperer.models.loading import Artifact

KIND = "uplift"
DEVIATION = "reward_sd"
"""Name of the manifest's parameter for the standard deviation of the reward among the training rows."""
ARM_ITSELF = "the arm itself"
"""The part of an effect that no feature of the user accounts for."""


class _Parameters(msgspec.Struct):
    arms: list[str]
    reward_sd: float


@dataclass(frozen=True, slots=True, eq=False)
class ValueModel:
    """A value model, ready to score.

    Attributes
    ----------
    arms : names, `no_send` first
    features : input columns in the model's order, some of :data:`whisperer.decisions.context.NAMES`
    deviation : of the reward, in the goal's unit, above 0
    """

    name: str
    version: int
    arms: tuple[str, ...]
    features: tuple[str, ...]
    deviation: float
    effects: Effects
    _places: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        places = [NAMES.index(name) for name in self.features]
        object.__setattr__(self, "_places", np.array(places, np.int64))

    def scores(self, raw: NDArray[np.float64], arms: Sequence[str]) -> NDArray[np.float64]:
        """Score each arm over `no_send`, in standard deviations of the reward.

        Parameters
        ----------
        raw : float64, shape (n, len(NAMES)), as logged
        arms : k names

        Returns
        -------
        float64, shape (n, k), NaN for arms the model does not know
        """
        found = np.full((len(raw), len(arms)), np.nan)
        known = [(at, self.arms.index(arm)) for at, arm in enumerate(arms) if arm in self.arms]
        if known and len(raw):
            mine, theirs = zip(*known, strict=True)
            found[:, list(mine)] = self.effects.effects(raw[:, self._places])[:, list(theirs)] / self.deviation
        return found

    def explain(self, features: Mapping[str, float | None], arm: str) -> dict[str, float]:
        """Return each feature's share of ``arm``'s effect over `no_send`, in the reward's unit; they add up to it.

        What the arm brings everybody is under :data:`ARM_ITSELF`. Raises KeyError for an arm the model has not seen.
        """
        if arm not in self.arms:
            raise KeyError(arm)
        raw = [features.get(name) for name in self.features]
        x = np.array([[math.nan if value is None else value for value in raw]], np.float64)
        told = self.effects.contributions(x, self.arms.index(arm))[0]
        return dict(zip((*self.features, ARM_ITSELF), told.tolist(), strict=True))


def registry_of(definitions: str, names: Sequence[str]) -> str:
    """Return what a manifest must state about its features: ``definitions``, the hash of all logged ones, if it takes
    all of them in order, otherwise a hash that also covers its selection."""
    if tuple(names) == NAMES:
        return definitions
    return hashlib.blake2b("\n".join([definitions, *names]).encode(), digest_size=16).hexdigest()


def open_model(artifact: Artifact, definitions: str) -> ValueModel:
    """Open an artifact's value model.

    Parameters
    ----------
    definitions : hash of the features' definitions (:data:`whisperer.shard.decision.features.FEATURE_HASH`)

    Raises
    ------
    ArtifactError
        For an artifact that is not a value model, or was trained on other features.
    UnavailableError
        If it has boosters and xgboost is not installed.
    """
    manifest = artifact.manifest
    named = f"{manifest.name} {manifest.version}"
    if manifest.kind != KIND:
        raise _refused(f"{named} is of kind {manifest.kind!r}; decisions are scored by {KIND!r}")
    if unknown := [name for name in manifest.features if name not in NAMES]:
        raise _refused(f"{named} was trained on other features: no {unknown[0]!r} is logged")
    if manifest.feature_registry != registry_of(definitions, manifest.features):
        raise _refused(f"{named} was trained on other features: their definitions changed")
    try:
        stated = msgspec.convert(manifest.parameters, _Parameters)
    except msgspec.ValidationError as error:
        raise _refused(f"{named}: parameters: {error}") from None
    if stated.arms[:1] != [NO_SEND] or not (math.isfinite(stated.reward_sd) and stated.reward_sd > 0):
        raise _refused(f"{named}: {NO_SEND} is not its first arm, or its rewards did not vary")
    held = artifact.document(DOCUMENT)
    try:
        if held["form"] != FORM:
            raise BadModelError(f"form {held['form']!r}; this release reads {FORM}")
        boosters = [artifact.booster(f"{number}.ubj") for number in range(len(held["digests"]))]
        read = effects.read(held["model"], boosters)
        model = ValueModel(
            manifest.name,
            manifest.version,
            tuple(stated.arms),
            tuple(manifest.features),
            stated.reward_sd,
            read,
        )
        # One row: a model whose parts do not fit together is refused here, not while a caller waits.
        if model.effects.effects(np.zeros((1, len(model.features)))).shape != (1, len(model.arms)):
            raise BadModelError("it does not give one effect an arm")
    except ArtifactError:
        raise
    except (BadModelError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise ArtifactError(f"{named}: {type(error).__name__}: {error}", code="broken_model") from error
    return model


def _refused(why: str) -> ArtifactError:
    return ArtifactError(why, code="invalid_manifest")

"""Explains in figures why an arm was chosen: what each feature added to it over `no_send`.

There are two parts, according to who decided (:mod:`whisperer.decisions.versions`): the value model's SHAP values, from
the very version that scored, verified again, on the features that were logged; and the linear model's terms,
coefficient times feature. Guarantees: each part adds up to what it explains. The learner keeps only the newest
coefficients, so the linear part carries the number of its publication. Finding the decision is left to
:mod:`.decisions`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping

import msgspec
import numpy as np

from actors.calls.learner import LearnerCalls
from cluster.control_plane import ControlPlane
from serve_apps.gateway.services.decisions import DecisionQueries
from whisperer.decisions.context import COLUMNS, NAMES, SCORE, bounded_scores, transform
from whisperer.decisions.decision import NO_SEND
from whisperer.decisions.posterior import decode
from whisperer.decisions.versions import Decider, parsed
from whisperer.errors import ConflictError, NotFoundError
from whisperer.ids import DecisionId, TenantId
from whisperer.models.store import ArtifactStore
from whisperer.models.value import ValueModel, open_model
from whisperer.shard.decision.features import FEATURE_HASH

Features = Mapping[str, float | None]


class ExplainedPart(msgspec.Struct):
    """What one model made of it; ``contributions`` by feature, greatest first, add up to ``effect``."""

    version: str
    effect: float
    contributions: dict[str, float]


class Explanation(msgspec.Struct, kw_only=True):
    """What each feature added to an arm; a part is None if nothing of its kind had a say."""

    decision_id: DecisionId
    policy_version: str
    arm: str
    over: str
    model: ExplainedPart | None
    linear: ExplainedPart | None


class Explanations:
    def __init__(
        self, decisions: DecisionQueries, plane: ControlPlane, store: ArtifactStore, learner: LearnerCalls
    ) -> None:
        self._decisions = decisions
        self._plane = plane
        self._store = store
        self._learner = learner

    async def show(self, tenant: TenantId, decision_id: DecisionId) -> Explanation:
        """Return both parts; one is None if nothing of that kind had a say.

        Raises NotFoundError; ConflictError (`nothing_to_explain`) for a decision without a choice, of an erased user or
        by a group's rule; ArtifactError if the version's files are no longer those registered; UnavailableError.
        """
        view = await self._decisions.show(tenant, decision_id)
        version, arm, features = view.policy_version, view.arm, view.features
        decider = parsed(version) if version else None
        if decider is None or version is None or not arm or not features:
            message = "nothing was weighed: it has no choice, is by a group's rule, or of a user who was erased"
            raise ConflictError(message, code="nothing_to_explain")
        model = await asyncio.to_thread(self._model, tenant, decider) if decider.version and decider.answered else None
        told = None if model is None or arm not in model.arms else model.explain(features, arm)
        score = sum(told.values()) / model.deviation if model is not None and told is not None else math.nan
        return Explanation(
            decision_id=decision_id,
            policy_version=version,
            arm=arm,
            over=NO_SEND,
            model=None if model is None or told is None else _part(f"{model.name}@{model.version}", told),
            linear=await self._linear(tenant, decider, arm, features, score),
        )

    def _model(self, tenant: TenantId, decider: Decider) -> ValueModel:
        """Open the registered version. Call in a thread: it reads files."""
        policy = self._plane.get_policy(tenant, decider.model)
        digest = next((one.digest for one in policy.versions if one.version == decider.version), None)
        if digest is None:
            message = f"{decider.model} has no version {decider.version}"
            raise NotFoundError(message, code="policy_version_not_found")
        return open_model(self._store.fetch(tenant, decider.model, decider.version, digest), FEATURE_HASH)

    async def _linear(
        self, tenant: TenantId, decider: Decider, arm: str, features: Features, score: float
    ) -> ExplainedPart | None:
        policy = decode(await self._learner.learned()).get((tenant, decider.campaign))
        if policy is None:
            return None
        raw = [features.get(name) for name in NAMES]
        x = transform(np.array([[math.nan if value is None else value for value in raw]], np.float64))[0]
        mine, none = (policy.mean[row] for row in policy.rows([arm, NO_SEND]))
        terms = (mine - none) * x
        # Only the arm has a score: that of `no_send`, the baseline, is 0.
        terms[SCORE] = float(mine[SCORE] * bounded_scores(np.array(score))) if arm != NO_SEND else 0.0
        told = dict(zip(COLUMNS, terms.tolist(), strict=True))
        return _part(f"{decider.campaign}@{policy.number}", told)


def _part(version: str, told: dict[str, float]) -> ExplainedPart:
    ordered = dict(sorted(told.items(), key=lambda one: -abs(one[1])))
    return ExplainedPart(version, sum(told.values()), ordered)

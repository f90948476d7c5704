"""Decides the evidence for a policy's step: the caller's or, for a model that scores users, our own verdict.

Guarantees that the files judged are those registered, and that no caller's claim replaces the verdict. Leaves to others
the verdict (:mod:`whisperer.models.score_evidence`), and the step itself, which refuses a verdict that compares with a
version that is no longer live.
"""

from __future__ import annotations

from cluster.control_plane.policies import PolicyVersion
from cluster.control_plane.repository import ControlPlane
from cluster.control_plane.transactions import now_ms
from whisperer.errors import RequestError
from whisperer.models.loading import Artifact
from whisperer.models.rollout import BUILT_IN, SCORES, Evidence
from whisperer.models.score_evidence import judged
from whisperer.models.store import ArtifactStore


def evidence_for(
    plane: ControlPlane, store: ArtifactStore, tenant: str, name: str, version: int, told: Evidence | None
) -> Evidence | None:
    """Return the evidence for :meth:`cluster.control_plane.policies.Policies.promote_policy`, or None if the step needs
    none.

    Raises RequestError (`evidence_not_taken`) for evidence about a score model; NotFoundError, ArtifactError and
    UnavailableError if it cannot be judged.
    """
    if name != SCORES:
        return told
    if told is not None:
        message = f"versions of {SCORES!r} are judged here, on the rows in the artifact: promote without evidence"
        raise RequestError(message, code="evidence_not_taken")
    policy = plane.get_policy(tenant, name)
    state, versions = policy.rollout, {one.version: one for one in policy.versions}
    if state.candidate != version:
        return None

    def fetched(one: PolicyVersion) -> Artifact:
        return store.fetch(policy.tenant_id, name, one.version, one.digest)

    live = None if state.live == BUILT_IN else fetched(versions[state.live])
    return judged(fetched(versions[version]), live, now_ms())

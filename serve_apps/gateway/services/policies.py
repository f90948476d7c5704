"""Takes policies' versions from the model store to users, and back.

A version is registered only from the store, never from a body: its files are fetched and verified first, and again
before each step, so that what goes live is what was registered. A version that scores users is also opened, goes live
on the product's own verdict, and is sent to the shards. The steps themselves are the control plane's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from cluster.control_plane import ControlPlane, Policy
from cluster.control_plane.documents import (
    ListedPolicy,
    PolicyDocument,
    PolicyEventDocument,
    VersionDocument,
    event_document,
    listed_policy,
    policy_document,
    version_document,
)
from cluster.control_plane.score_steps import evidence_for
from serve_apps.gateway.services.segments import Publishing
from whisperer.errors import NotFoundError
from whisperer.ids import TenantId
from whisperer.models.guardrails import Breach, VersionTally
from whisperer.models.rollout import SCORES, Evidence
from whisperer.models.score_evidence import check
from whisperer.models.store import ArtifactStore

VERSIONS_SHOWN = 20
"""Newest versions shown with the policy; each of them has its own address."""
EVENTS_ON_PAGE = 20


class Tallied(msgspec.Struct):
    """Which guardrails were breached and rolled back, if any, and the policy as it is now."""

    breaches: list[Breach]
    policy: PolicyDocument


class PolicyRecord(PolicyDocument, kw_only=True):
    """A policy with its newest history, newest first."""

    history: list[PolicyEventDocument]


class Policies:
    """Policies as callers see and change them."""

    def __init__(self, plane: ControlPlane, store: ArtifactStore, publishing: Publishing) -> None:
        self._plane = plane
        self._store = store
        self._publishing = publishing

    async def listed(self, tenant: TenantId) -> list[ListedPolicy]:
        """Return all of a tenant's policies, without their versions."""
        return [listed_policy(policy) for policy in await asyncio.to_thread(self._plane.list_policies, tenant)]

    async def show(self, tenant: TenantId, name: str) -> PolicyDocument:
        """Return a policy with its newest versions. Raises NotFoundError (`policy_not_found`)."""
        return _shown(policy_document(await asyncio.to_thread(self._plane.get_policy, tenant, name)))

    async def version(self, tenant: TenantId, name: str, version: int) -> VersionDocument:
        """Return one version. Raises NotFoundError (`policy_not_found`, `policy_version_not_found`)."""
        policy = await asyncio.to_thread(self._plane.get_policy, tenant, name)
        for one in policy.versions:
            if one.version == version:
                return version_document(one)
        raise NotFoundError(f"{name} has no version {version}", code="policy_version_not_found")

    async def register(self, tenant: TenantId, name: str, version: int, by: str) -> PolicyDocument:
        """Register a stored version. Raises NotFoundError (`artifact_not_found`), ArtifactError, UnavailableError."""

        def verified() -> Policy:
            artifact = self._store.fetch(tenant, name, version)
            if artifact.manifest.kind == SCORES:
                check(artifact)
            return self._plane.register_policy(tenant, artifact.manifest, by=by)

        return _shown(policy_document(await asyncio.to_thread(verified)))

    async def promote(
        self,
        tenant: TenantId,
        name: str,
        version: int,
        *,
        by: str,
        evidence: Evidence | None,
        reason: str,
        if_match: str | None,
    ) -> PolicyDocument:
        """Promote a version by one step.

        Raises RolloutError and StaleError, and ArtifactError if the store's files are no longer those registered.
        """
        registered = await self.version(tenant, name, version)
        await asyncio.to_thread(self._store.fetch, tenant, name, version, registered.digest)
        evidence = await asyncio.to_thread(evidence_for, self._plane, self._store, tenant, name, version, evidence)
        step = partial(self._plane.promote_policy, by=by, evidence=evidence, reason=reason, if_match=if_match)
        return await self._stepped(tenant, name, partial(step, tenant, name, version))

    async def roll_back(
        self, tenant: TenantId, name: str, *, by: str, version: int | None, reason: str, if_match: str | None
    ) -> PolicyDocument:
        """Roll a version back. Needs no store, so a way back remains while models cannot be read."""
        step = partial(self._plane.roll_back_policy, by=by, version=version, reason=reason, if_match=if_match)
        return await self._stepped(tenant, name, partial(step, tenant, name))

    async def _stepped(self, tenant: TenantId, name: str, step: Callable[[], Policy]) -> PolicyDocument:
        document = _shown(policy_document(await asyncio.to_thread(step)))
        if name == SCORES:
            await self._publishing.bring(tenant)
        return document

    async def tally(self, tenant: TenantId, name: str, since: int, tallies: Mapping[int, VersionTally]) -> Tallied:
        """Take the tallies of a stage, and roll back what breached a guardrail."""
        found = await asyncio.to_thread(self._plane.tally_policy, tenant, name, since, tallies)
        return Tallied(found, await self.show(tenant, name))

    async def history(self, tenant: TenantId, name: str) -> list[PolicyEventDocument]:
        """Return a policy's record, newest first."""
        return [event_document(one) for one in await asyncio.to_thread(self._plane.policy_history, tenant, name)]

    async def page(self, tenant: TenantId) -> list[PolicyRecord]:
        """Return every policy with its versions and its newest history."""
        found = []
        for policy in await asyncio.to_thread(self._plane.list_policies, tenant):
            document = _shown(policy_document(policy))
            history = (await self.history(tenant, document.name))[:EVENTS_ON_PAGE]
            found.append(PolicyRecord(**msgspec.structs.asdict(document), history=history))
        return found


def _shown(document: PolicyDocument) -> PolicyDocument:
    return msgspec.structs.replace(document, versions=document.versions[:VERSIONS_SHOWN])

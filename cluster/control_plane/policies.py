"""Policies: their versions, which of them decide, and the record of every step with its evidence.

    registered -> shadow -> 5 -> 25 -> live;   from any of these back, by hand or by a guardrail

:mod:`whisperer.models.rollout` decides what is allowed, :mod:`whisperer.models.guardrails` what counts as a breach. A
step and its entry in the record are one transaction; entries never change. Tallies are not configuration: they come
often, and increment the control plane's version only when they cause a rollback.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.control_plane.approval import Kind, close, content_tag, outdate_content, permit
from cluster.control_plane.etags import check, etag
from cluster.control_plane.models import PolicyRow, PolicyVersionRow
from cluster.control_plane.policy_record import (
    PROMOTED,
    REGISTERED,
    ROLLED_BACK,
    PolicyEvent,
    history,
    record,
    status_of,
)
from cluster.control_plane.transactions import Transactions, check_name, find_tenant, now_ms
from whisperer.errors import ConflictError, NotFoundError, RequestError
from whisperer.ids import TenantId
from whisperer.models.artifact import Manifest, decode, digest, encode
from whisperer.models.errors import ArtifactError, RolloutError
from whisperer.models.guardrails import Breach, VersionTally, breaches
from whisperer.models.rollout import BUILT_IN, SCORES, Evidence, Rollout, promote, roll_back, stages_of

GUARDRAIL = "guardrail"
"""Who rolled back, when no person did."""
MAX_EVIDENCE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """``status`` is a stage, ``live``, ``registered``, ``retired`` (replaced by another version) or ``rolled_back``."""

    version: int
    status: str
    digest: str
    manifest: Manifest
    registered_at: int


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy with its versions and rollout.

    Attributes
    ----------
    versions : newest first
    tallies : by version, since the stage began; empty until the first report
    """

    tenant_id: TenantId
    name: str
    rollout: Rollout
    versions: list[PolicyVersion]
    tallies: dict[int, VersionTally]
    tallied_at: int | None
    etag: str


@dataclass(frozen=True, slots=True)
class ScoreVersion:
    """The model version that scores a tenant's users; version 0 is the formula."""

    version: int = BUILT_IN
    digest: str = ""


class Policies(Transactions):
    """Registers, promotes, rolls back and reads policies."""

    def register_policy(self, tenant: str, manifest: Manifest, *, by: str) -> Policy:
        """Register an artifact, already verified by the caller, as a version of the policy it names.

        Repeating it changes nothing. Raises ConflictError (`version_exists`) if another artifact already has the
        version. Raises ArtifactError if the artifact scores users but lacks the reserved name, has the name but does
        not score users, or uses features that shards do not compute.
        """
        name, made = manifest.name, digest(manifest)
        check_name(name, "policy")
        _check_use(manifest)
        with self._writing() as session:
            owner = find_tenant(session, tenant)
            if session.get(PolicyRow, (owner.id, name)) is None:
                session.add(_new_row(owner.id, name))
            held = session.get(PolicyVersionRow, (owner.id, name, manifest.version))
            if held is not None and held.digest != made:
                message = f"{name} version {manifest.version} is registered, and another artifact"
                raise ConflictError(message, code="version_exists")
            if held is None:
                row = PolicyVersionRow(tenant_id=owner.id, name=name, version=manifest.version, kind=manifest.kind)
                row.digest, row.manifest, row.registered_at = made, encode(manifest).decode(), now_ms()
                session.add(row)
                session.flush()
                record(session, require(session, owner.id, name), REGISTERED, manifest.version, "", by, "", None)
            return _policy(session, require(session, owner.id, name))

    def get_policy(self, tenant: str, name: str) -> Policy:
        """Return a policy. Raises NotFoundError (`policy_not_found`)."""
        with self._reading() as session:
            return _policy(session, require(session, find_tenant(session, tenant).id, name))

    def list_policies(self, tenant: str) -> list[Policy]:
        """Return a tenant's policies by name."""
        with self._reading() as session:
            owner = find_tenant(session, tenant)
            rows = session.scalars(select(PolicyRow).where(PolicyRow.tenant_id == owner.id).order_by(PolicyRow.name))
            return [_policy(session, row) for row in rows]

    def rollouts(self) -> dict[tuple[TenantId, str], tuple[Rollout, dict[int, str]]]:
        """Return what replicas decide by: every tenant's rollouts and the digests of the versions that decide.

        Keyed by (tenant id, policy); the policy of scores is left out. :meth:`version` shows when to read it again.
        """
        of = PolicyVersionRow.tenant_id, PolicyVersionRow.name, PolicyVersionRow.version, PolicyVersionRow.digest
        with self._reading() as session:
            found: dict[tuple[TenantId, str], tuple[Rollout, dict[int, str]]] = {
                (row.tenant_id, row.name): (_rollout(row), {})
                for row in session.scalars(select(PolicyRow).where(PolicyRow.name != SCORES))
            }
            for tenant_id, name, version, made in session.execute(select(*of).where(PolicyVersionRow.name != SCORES)):
                state, digests = found[tenant_id, name]
                if version in (state.live, state.candidate):
                    digests[version] = made
        return found

    def promote_policy(
        self,
        tenant: str,
        name: str,
        version: int,
        *,
        by: str,
        evidence: Evidence | None = None,
        reason: str = "",
        if_match: str | None = None,
    ) -> Policy:
        """Promote a registered version by one step.

        One approved review of the version is good for all its steps, until it is live or rolled back. Raises
        NotFoundError (`policy_not_found`, `policy_version_not_found`), StaleError, ConflictError (`approval_required`),
        and RolloutError, which says what the step lacks.
        """
        told = None if evidence is None else _bounded(msgspec.to_builtins(evidence))
        with self._writing() as session:
            row = require(session, find_tenant(session, tenant).id, name, lock=True)
            check(if_match, _etag(row))
            if session.get(PolicyVersionRow, (row.tenant_id, name, version)) is None:
                raise NotFoundError(f"{name} has no version {version}", code="policy_version_not_found")
            before = status_of(session, row, version)
            n_decisions = _tallies(row).get(version, VersionTally()).decisions
            stages = stages_of(name)
            state = promote(_rollout(row), version, now_ms(), evidence=evidence, n_decisions=n_decisions, stages=stages)
            tag = content_tag(Kind.POLICY, name, proposal(version))
            review_id = permit(session, row.tenant_id, Kind.POLICY, name, tag)
            _set_rollout(row, state)
            record(session, row, PROMOTED, version, before, by, reason, told, review_id)
            if state.live == version:
                close(session, row.tenant_id, Kind.POLICY, name, tag)
            return _policy(session, row)

    def roll_back_policy(
        self,
        tenant: str,
        name: str,
        *,
        by: str,
        version: int | None = None,
        reason: str = "",
        if_match: str | None = None,
    ) -> Policy:
        """Take a version out at once: the one named, else the candidate, else the live one. Raises RolloutError."""
        with self._writing() as session:
            row = require(session, find_tenant(session, tenant).id, name, lock=True)
            check(if_match, _etag(row))
            _roll_back(session, row, version, by, reason, None)
            return _policy(session, row)

    def tally_policy(self, tenant: str, name: str, since: int, tallies: Mapping[int, VersionTally]) -> list[Breach]:
        """Store what the versions have added up to in the stage that began at ``since``; a breach rolls back at once.

        Raises RolloutError (`tallies_of_another_stage`) if the stage is over or a version does not take part.
        """
        with self._noting() as session:
            row = require(session, find_tenant(session, tenant).id, name, lock=True)
            state = _rollout(row)
            if since != state.since or not set(tallies) <= {state.live, state.candidate}:
                message = f"{name} is at a stage that began at {state.since}, with other versions"
                raise RolloutError(message, code="tallies_of_another_stage")
            told = {str(version): msgspec.to_builtins(tally) for version, tally in tallies.items()}
            row.tallies, row.tallied_at = told, now_ms()
        failed, found = _breached(state, tallies)
        if failed is None:
            return []
        evidence = {"breaches": msgspec.to_builtins(found), "tallies": told}
        reason = "; ".join(breach.reason for breach in found)
        with self._writing() as session:
            row = require(session, find_tenant(session, tenant).id, name, lock=True)
            if _rollout(row) == state:  # otherwise somebody changed it first
                _roll_back(session, row, failed, GUARDRAIL, reason, evidence)
        return found

    def policy_history(self, tenant: str, name: str) -> list[PolicyEvent]:
        """Return the policy's record, newest first. Raises NotFoundError."""
        with self._reading() as session:
            row = require(session, find_tenant(session, tenant).id, name)
            return history(session, row)


def proposal(version: int) -> dict[str, Any]:
    """Return what is reviewed of a policy: that this version, which never changes, is rolled out."""
    return {"version": version}


def score_version_of(session: Session, tenant_id: TenantId) -> ScoreVersion | None:
    """Return the version that scores a tenant's users.

    None if the tenant has never had a score model, so shards have nothing to take back.
    """
    row = session.get(PolicyRow, (tenant_id, SCORES))
    if row is None or row.live == BUILT_IN:
        return None if row is None else ScoreVersion()
    held = session.get(PolicyVersionRow, (tenant_id, SCORES, row.live))
    assert held is not None
    return ScoreVersion(row.live, held.digest)


def _check_use(manifest: Manifest) -> None:
    scores = manifest.kind == SCORES
    if scores != (manifest.name == SCORES):
        message = f"a model that scores users is of kind and name {SCORES!r}, and no other is: not {manifest.kind!r}, "
        raise ArtifactError(f"{message}{manifest.name!r}", code="invalid_manifest")
    if scores:
        from whisperer.models.scores import check_features  # loads pyarrow, which few commands need

        check_features(manifest)


def _breached(state: Rollout, tallies: Mapping[int, VersionTally]) -> tuple[int | None, list[Breach]]:
    """Return the version to roll back, and why. The candidate goes first: it may be what harms the live one."""
    live = tallies.get(state.live)
    mine = None if state.candidate is None else tallies.get(state.candidate)
    if mine is not None and (found := breaches(mine, live if state.share else None)):
        return state.candidate, found
    if state.live != BUILT_IN and live is not None and (found := breaches(live)):
        return state.live, found
    return None, []


def _roll_back(
    session: Session, row: PolicyRow, version: int | None, by: str, reason: str, evidence: dict[str, Any] | None
) -> None:
    state = _rollout(row)
    failed = version if version is not None else state.live if state.candidate is None else state.candidate
    before = status_of(session, row, failed)
    _set_rollout(row, roll_back(state, now_ms(), version))
    outdate_content(session, row.tenant_id, Kind.POLICY, row.name, content_tag(Kind.POLICY, row.name, proposal(failed)))
    record(session, row, ROLLED_BACK, failed, before, by, reason, evidence)
    if state.candidate is not None and failed == state.live:
        why = f"version {failed}, which it was judged against, was rolled back"
        record(session, row, ROLLED_BACK, state.candidate, state.stage, by, why, None)


def _new_row(tenant_id: TenantId, name: str) -> PolicyRow:
    row = PolicyRow(tenant_id=tenant_id, name=name)
    _set_rollout(row, Rollout(since=now_ms()))
    return row


def require(session: Session, tenant_id: TenantId, name: str, *, lock: bool = False) -> PolicyRow:
    """Return a policy's row. ``lock`` takes a row lock where the database can, so that of two simultaneous promotions
    the second sees the first.
    """
    row = session.get(PolicyRow, (tenant_id, name), with_for_update=lock)
    if row is None:
        raise NotFoundError(f"there is no policy {name[:80]!r}", code="policy_not_found")
    return row


def _rollout(row: PolicyRow) -> Rollout:
    return Rollout(row.live, row.candidate, row.stage, row.since, tuple(row.past))


def _set_rollout(row: PolicyRow, state: Rollout) -> None:
    row.live, row.candidate, row.stage, row.since, row.past = (
        state.live,
        state.candidate,
        state.stage,
        state.since,
        list(state.past),
    )
    row.tallies, row.tallied_at = {}, None


def _tallies(row: PolicyRow) -> dict[int, VersionTally]:
    return {int(version): msgspec.convert(tally, VersionTally) for version, tally in row.tallies.items()}


def _etag(row: PolicyRow) -> str:
    return etag(row.name, row.live, row.candidate or 0, row.stage, row.since)


def _policy(session: Session, row: PolicyRow) -> Policy:
    of = PolicyVersionRow.tenant_id == row.tenant_id, PolicyVersionRow.name == row.name
    rows = session.scalars(select(PolicyVersionRow).where(*of).order_by(PolicyVersionRow.version.desc()))
    versions = [
        PolicyVersion(
            one.version,
            status_of(session, row, one.version),
            one.digest,
            decode(one.manifest.encode()),
            one.registered_at,
        )
        for one in rows
    ]
    return Policy(row.tenant_id, row.name, _rollout(row), versions, _tallies(row), row.tallied_at, _etag(row))


def _bounded(evidence: dict[str, Any]) -> dict[str, Any]:
    """Return the evidence. Raises RequestError (`evidence_too_large`)."""
    if len(msgspec.json.encode(evidence)) > MAX_EVIDENCE_BYTES:
        message = f"evidence over {MAX_EVIDENCE_BYTES // 1024} KB: give its figures, not its data"
        raise RequestError(message, code="evidence_too_large")
    return evidence

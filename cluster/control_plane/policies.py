"""Policies: their versions, which of them decide, and the record of every step, with the evidence it was taken on.

    registered -> shadow -> 5 -> 25 -> live;   from any of these back, by hand or by a guardrail

What is allowed is decided in :mod:`whisperer.models.rollout`, what is a breach in :mod:`whisperer.models.guardrails`.
A step and its entry in the record are one transaction; entries never change. Tallies are nobody's configuration: they
come often, and raise the version of the control plane only where they roll something back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

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
from whisperer.models.artifact import Manifest, decode, digest, encode
from whisperer.models.errors import ArtifactError, RolloutError
from whisperer.models.guardrails import Breach, Tally, breaches
from whisperer.models.rollout import BUILT_IN, SCORES, Evidence, Rollout, promote, roll_back, stages_of

GUARDRAIL = "guardrail"
"""Who rolled back, where nobody did."""
MAX_EVIDENCE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """``status``: a stage, ``live``, ``registered``, ``retired`` (another one took over) or ``rolled_back``."""

    version: int
    status: str
    digest: str
    manifest: Manifest
    registered_at: int


@dataclass(frozen=True, slots=True)
class Policy:
    """Attributes
    ----------
    versions : newest first
    tallies : by version, since the stage began; empty until somebody counted
    """

    tenant_id: str
    name: str
    rollout: Rollout
    versions: list[PolicyVersion]
    tallies: dict[int, Tally]
    tallied_at: int | None
    etag: str


@dataclass(frozen=True, slots=True)
class ScoreVersion:
    """What scores a tenant's users; version 0 is the formula."""

    version: int = BUILT_IN
    digest: str = ""


class Policies(Transactions):
    def register_policy(self, tenant: str, manifest: Manifest, *, by: str) -> Policy:
        """Make an artifact, verified by the caller, a version of the policy of its name. Again, it changes nothing.

        Raises ConflictError (`version_exists`) where the version is another artifact already; ArtifactError where it
        scores users and is not named so, or is and does not, or takes features that shards do not compute.
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
                record(session, _require(session, owner.id, name), REGISTERED, manifest.version, "", by, "", None)
            return _policy(session, _require(session, owner.id, name))

    def get_policy(self, tenant: str, name: str) -> Policy:
        """Raises NotFoundError (`policy_not_found`)."""
        with self._reading() as session:
            return _policy(session, _require(session, find_tenant(session, tenant).id, name))

    def list_policies(self, tenant: str) -> list[Policy]:
        """By name."""
        with self._reading() as session:
            owner = find_tenant(session, tenant)
            rows = session.scalars(select(PolicyRow).where(PolicyRow.tenant_id == owner.id).order_by(PolicyRow.name))
            return [_policy(session, row) for row in rows]

    def rollouts(self) -> dict[tuple[str, str], tuple[Rollout, dict[int, str]]]:
        """What replicas decide by: of every tenant's policy but that of scores, who decides, and the digests of the
        versions that do.

        By (tenant id, policy). :meth:`version` tells when to read it again.
        """
        of = PolicyVersionRow.tenant_id, PolicyVersionRow.name, PolicyVersionRow.version, PolicyVersionRow.digest
        with self._reading() as session:
            found: dict[tuple[str, str], tuple[Rollout, dict[int, str]]] = {
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
        """One step of a registered version towards everybody.

        Raises NotFoundError (`policy_not_found`, `policy_version_not_found`), StaleError, and RolloutError, which says
        what the step lacks.
        """
        told = None if evidence is None else _bounded(msgspec.to_builtins(evidence))
        with self._writing() as session:
            row = _require(session, find_tenant(session, tenant).id, name, lock=True)
            check(if_match, _etag(row))
            if session.get(PolicyVersionRow, (row.tenant_id, name, version)) is None:
                raise NotFoundError(f"{name} has no version {version}", code="policy_version_not_found")
            before = status_of(session, row, version)
            n_decisions = _tallies(row).get(version, Tally()).decisions
            stages = stages_of(name)
            state = promote(_rollout(row), version, now_ms(), evidence=evidence, n_decisions=n_decisions, stages=stages)
            _set_rollout(row, state)
            record(session, row, PROMOTED, version, before, by, reason, told)
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
        """Take a version out at once: the candidate, else the live one, or the one named. Raises RolloutError."""
        with self._writing() as session:
            row = _require(session, find_tenant(session, tenant).id, name, lock=True)
            check(if_match, _etag(row))
            _roll_back(session, row, version, by, reason, None)
            return _policy(session, row)

    def tally_policy(self, tenant: str, name: str, since: int, tallies: Mapping[int, Tally]) -> list[Breach]:
        """Say what the versions came to since the stage that began at ``since``; a breach rolls back at once.

        Raises RolloutError (`tallies_of_another_stage`) where the stage is over, or a version does not take part.
        """
        with self._noting() as session:
            row = _require(session, find_tenant(session, tenant).id, name, lock=True)
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
            row = _require(session, find_tenant(session, tenant).id, name, lock=True)
            if _rollout(row) == state:  # else somebody was quicker
                _roll_back(session, row, failed, GUARDRAIL, reason, evidence)
        return found

    def policy_history(self, tenant: str, name: str) -> list[PolicyEvent]:
        """The record, newest first. Raises NotFoundError."""
        with self._reading() as session:
            row = _require(session, find_tenant(session, tenant).id, name)
            return history(session, row)


def score_version_of(session: Session, tenant_id: str) -> ScoreVersion | None:
    """None where the tenant has never had a score model: there is nothing to take back from shards."""
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
        from whisperer.models.scores import check_features  # models bring pyarrow, which few commands need

        check_features(manifest)


def _breached(state: Rollout, tallies: Mapping[int, Tally]) -> tuple[int | None, list[Breach]]:
    """The version that has to go, and why. The candidate goes first: what it does may weigh on the live one too."""
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
    record(session, row, ROLLED_BACK, failed, before, by, reason, evidence)
    if state.candidate is not None and failed == state.live:
        why = f"version {failed}, which it was judged against, was rolled back"
        record(session, row, ROLLED_BACK, state.candidate, state.stage, by, why, None)


def _new_row(tenant_id: str, name: str) -> PolicyRow:
    row = PolicyRow(tenant_id=tenant_id, name=name)
    _set_rollout(row, Rollout(since=now_ms()))
    return row


def _require(session: Session, tenant_id: str, name: str, *, lock: bool = False) -> PolicyRow:
    """``lock``, where the database can: of two who promote at once, the second sees what the first did."""
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


def _tallies(row: PolicyRow) -> dict[int, Tally]:
    return {int(version): msgspec.convert(tally, Tally) for version, tally in row.tallies.items()}


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
    """Raises RequestError (`evidence_too_large`)."""
    if len(msgspec.json.encode(evidence)) > MAX_EVIDENCE_BYTES:
        message = f"evidence over {MAX_EVIDENCE_BYTES // 1024} KB: give its figures, not its data"
        raise RequestError(message, code="evidence_too_large")
    return evidence

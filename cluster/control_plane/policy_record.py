"""Records each registration, promotion and rollback of a policy: by whom, why, and on what evidence.

An entry is written in the transaction of its step and never changes; the table's rows refuse changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sqlalchemy.sql import Select

from cluster.control_plane.models import PolicyEventRow, PolicyRow
from cluster.control_plane.transactions import now_ms

REGISTERED, PROMOTED, ROLLED_BACK, RETIRED = "registered", "promoted", "rolled_back", "retired"
LIVE = "live"
MAX_REASON = 1_000
MAX_BY = 200


@dataclass(frozen=True, slots=True)
class PolicyEvent:
    """``before`` and ``after`` are the version's status; ``live`` is the version that decided afterwards."""

    serial: int
    at: int
    action: str
    version: int
    before: str
    after: str
    live: int
    by: str
    reason: str
    evidence: dict[str, Any] | None
    review_id: str | None = None


def record(
    session: Session,
    row: PolicyRow,
    action: str,
    version: int,
    before: str,
    by: str,
    reason: str,
    evidence: dict[str, Any] | None,
    review_id: str | None = None,
) -> None:
    """Add an entry; ``row`` is the policy after the step."""
    session.flush()
    newest = _entries(row).with_only_columns(func.max(PolicyEventRow.serial))
    session.add(
        PolicyEventRow(
            tenant_id=row.tenant_id,
            name=row.name,
            serial=(session.scalar(newest) or 0) + 1,
            at=now_ms(),
            action=action,
            version=version,
            before=before,
            after=ROLLED_BACK if action == ROLLED_BACK else _part_of(row, version) or REGISTERED,
            live=row.live,
            by=by[:MAX_BY],
            reason=reason[:MAX_REASON],
            evidence=evidence,
            review_id=review_id,
        )
    )
    session.flush()


def history(session: Session, row: PolicyRow) -> list[PolicyEvent]:
    """Return a policy's entries, newest first."""
    names = PolicyEvent.__dataclass_fields__
    entries = session.scalars(_entries(row).order_by(PolicyEventRow.serial.desc()))
    return [PolicyEvent(**{name: getattr(entry, name) for name in names}) for entry in entries]


def status_of(session: Session, row: PolicyRow, version: int) -> str:
    """Return a version's status: a stage or ``live`` while it takes part, else ``registered``, ``retired`` or
    ``rolled_back``.
    """
    if part := _part_of(row, version):
        return part
    of_version = _entries(row).where(PolicyEventRow.version == version).order_by(PolicyEventRow.serial.desc())
    last = session.scalars(of_version.limit(1)).one_or_none()
    return REGISTERED if last is None else RETIRED if last.after == LIVE else last.after


def _part_of(row: PolicyRow, version: int) -> str:
    return LIVE if version == row.live else row.stage if version == row.candidate else ""


def _entries(row: PolicyRow) -> Select[Any]:
    return select(PolicyEventRow).where(PolicyEventRow.tenant_id == row.tenant_id, PolicyEventRow.name == row.name)

"""Finds in the audit log who wrote a row."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.control_plane.models import AuditRow
from whisperer.ids import TenantId

WITHIN_MS = 60_000
"""An entry is made at the end of the transaction that wrote the row, which takes less than this."""


def entry_of(session: Session, tenant_id: TenantId, resource: str, resource_id: str, at: int) -> AuditRow | None:
    """Return the entry of a row that was written at ``at`` (ms UTC); None if it is older than the log."""
    query = select(AuditRow).where(
        AuditRow.tenant_id == tenant_id,
        AuditRow.at.between(at, at + WITHIN_MS),
        AuditRow.resource == resource,
        AuditRow.resource_id == resource_id,
    )
    return session.scalars(query.order_by(AuditRow.serial).limit(1)).one_or_none()

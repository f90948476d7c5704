"""Saved reports: a question about campaigns, kept under a name. What may be asked is decided by the caller's layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cluster.control_plane import etags
from cluster.control_plane.listing import Part, Place, rows_of
from cluster.control_plane.models import SavedReportRow
from cluster.control_plane.transactions import Transactions, check_name, find_tenant, locked_tenant, now_ms
from whisperer.errors import ConflictError, NotFoundError
from whisperer.ids import TenantId

MAX_REPORTS = 200


@dataclass(frozen=True, slots=True)
class SavedReport:
    """A report's question; times are ms UTC."""

    name: str
    definition: dict[str, Any]
    created_at: int
    changed_at: int

    @property
    def etag(self) -> str:
        return etags.etag("report", self.name, self.created_at, self.changed_at, repr(self.definition))


class SavedReports(Transactions):
    """Saves, lists and deletes reports."""

    def create_report(self, tenant: str, name: str, definition: dict[str, Any]) -> SavedReport:
        """Save a new report. Raises RequestError (`invalid_name`), NotFoundError (`tenant_not_found`) and ConflictError
        (`report_exists`, `too_many_reports`).
        """
        with self._writing() as session:
            owner = locked_tenant(session, tenant)
            check_name(name, "report")
            if session.get(SavedReportRow, (owner.id, name)) is not None:
                raise ConflictError(f"there is a report {name!r} already", code="report_exists")
            return _write(session, owner.id, name, definition)

    def put_report(
        self, tenant: str, name: str, definition: dict[str, Any], if_match: str | None = None
    ) -> SavedReport:
        """Save a report or replace one. Raises StaleError in addition to what :meth:`create_report` raises."""
        with self._writing() as session:
            owner = locked_tenant(session, tenant)
            check_name(name, "report")
            row = session.get(SavedReportRow, (owner.id, name))
            etags.check(if_match, None if row is None else _report(row).etag)
            return _write(session, owner.id, name, definition)

    def page_of_reports(self, tenant: str, place: Place) -> Part[SavedReport]:
        """Return a part of a tenant's reports, by name or time."""
        with self._reading() as session:
            query = select(SavedReportRow).where(SavedReportRow.tenant_id == find_tenant(session, tenant).id)
            sorts = {"created_at": SavedReportRow.created_at, "changed_at": SavedReportRow.changed_at}
            rows, last = rows_of(session, query, SavedReportRow.name, place, sorts)
            return Part([_report(row[0]) for row in rows], last)

    def get_report(self, tenant: str, name: str) -> SavedReport:
        """Return a report. Raises NotFoundError (`report_not_found`)."""
        with self._reading() as session:
            return _report(_found(session, find_tenant(session, tenant).id, name))

    def delete_report(self, tenant: str, name: str) -> None:
        """Delete a report. Raises NotFoundError (`report_not_found`)."""
        with self._writing() as session:
            session.delete(_found(session, find_tenant(session, tenant).id, name))


def _write(session: Session, tenant_id: TenantId, name: str, definition: dict[str, Any]) -> SavedReport:
    now = now_ms()
    row = session.get(SavedReportRow, (tenant_id, name))
    if row is None:
        mine = select(func.count()).where(SavedReportRow.tenant_id == tenant_id)
        if session.scalars(mine).one() >= MAX_REPORTS:
            raise ConflictError(f"a tenant has at most {MAX_REPORTS} saved reports", code="too_many_reports")
        row = SavedReportRow(tenant_id=tenant_id, name=name, definition=definition, created_at=now, changed_at=now)
        session.add(row)
    elif row.definition != definition:
        row.definition, row.changed_at = definition, now
    return _report(row)


def _found(session: Session, tenant_id: TenantId, name: str) -> SavedReportRow:
    row = session.get(SavedReportRow, (tenant_id, name)) if "\x00" not in name else None
    if row is None:
        raise NotFoundError(f"there is no report {name[:80]!r}", code="report_not_found")
    return row


def _report(row: SavedReportRow) -> SavedReport:
    return SavedReport(row.name, row.definition, row.created_at, row.changed_at)

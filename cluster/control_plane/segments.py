"""Segments: a published version never changes; a new predicate becomes a new version.

Each live segment is evaluated for every event of the tenant, so a tenant has at most :data:`MOST_LIVE`, with at most
:data:`MOST_CONDITIONS` conditions together. What a predicate may contain is decided in ``whisperer/segments``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cluster.control_plane.models import SegmentRow
from cluster.control_plane.transactions import Transactions, check_name, find_tenant, now_ms
from whisperer.errors import ConflictError, NotFoundError
from whisperer.ids import TenantId

MOST_LIVE = 200
MOST_CONDITIONS = 1_000


@dataclass(frozen=True, slots=True)
class Segment:
    """One version of a segment; ``archived_at`` is None while it is live."""

    tenant_id: TenantId
    name: str
    version: int
    predicate: dict[str, Any]
    published_at: int
    archived_at: int | None


class Segments(Transactions):
    """Publishes, lists and archives segments."""

    def publish_segment(self, tenant: str, name: str, predicate: dict[str, Any]) -> int:
        """Publish a predicate as a segment's next version and return the version's number. Revives an archived segment.

        Raises ConflictError (`too_many_segments`).
        """
        check_name(name, "segment")
        with self._writing() as session:
            owner = find_tenant(session, tenant)
            live = {segment.name: segment for segment in segments_of(session, owner.id)}
            if name not in live and len(live) >= MOST_LIVE:
                raise ConflictError(f"{MOST_LIVE} segments are live: archive one first", code="too_many_segments")
            others = sum(_n_conditions(segment.predicate) for segment in live.values() if segment.name != name)
            if others + _n_conditions(predicate) > MOST_CONDITIONS:
                raise ConflictError(
                    f"the live segments would have {others + _n_conditions(predicate)} conditions, of at most"
                    f" {MOST_CONDITIONS}: archive one, or say it in fewer",
                    code="too_many_segments",
                )
            last = session.scalar(
                select(func.max(SegmentRow.version)).where(SegmentRow.tenant_id == owner.id, SegmentRow.name == name)
            )
            version = (last or 0) + 1
            session.add(
                SegmentRow(tenant_id=owner.id, name=name, version=version, predicate=predicate, published_at=now_ms())
            )
            return version

    def list_segments(
        self, tenant: str, *, include_archived: bool = False, all_versions: bool = False
    ) -> list[Segment]:
        """Return a tenant's segments by name: the newest version of each, or all; archived ones if asked for."""
        with self._reading() as session:
            return segments_of(session, find_tenant(session, tenant).id, include_archived, all_versions)

    def archive_segment(self, tenant: str, name: str) -> None:
        """Archive a segment: its newest version is marked and nothing is deleted. Archiving twice changes nothing.

        Raises NotFoundError (`segment_not_found`).
        """
        with self._writing() as session:
            owner = find_tenant(session, tenant)
            query = select(SegmentRow).where(SegmentRow.tenant_id == owner.id, SegmentRow.name == name)
            row = session.scalars(query.order_by(SegmentRow.version.desc()).limit(1)).one_or_none()
            if row is None:
                raise NotFoundError(f"tenant {owner.name!r} has no segment {name[:80]!r}", code="segment_not_found")
            if row.archived_at is None:
                row.archived_at = now_ms()


def segments_of(
    session: Session, tenant_id: TenantId, include_archived: bool = False, all_versions: bool = False
) -> list[Segment]:
    """Return the segments of a tenant, given by id; see :meth:`Segments.list_segments`."""
    query = select(SegmentRow).where(SegmentRow.tenant_id == tenant_id)
    newest = (
        select(SegmentRow.name, func.max(SegmentRow.version).label("version"))
        .where(SegmentRow.tenant_id == tenant_id)
        .group_by(SegmentRow.name)
        .subquery()
    )
    same = (SegmentRow.name == newest.c.name) & (SegmentRow.version == newest.c.version)
    of_newest = session.scalars(query.join(newest, same).order_by(SegmentRow.name)).all()
    rows = session.scalars(query.order_by(SegmentRow.name, SegmentRow.version)) if all_versions else of_newest
    live = {row.name for row in of_newest if row.archived_at is None}
    return [_segment(row) for row in rows if include_archived or row.name in live]


def _n_conditions(node: dict[str, Any]) -> int:
    """Count the conditions of a predicate: its nodes other than `all`, `any` and `not`."""
    parts = [*node.get("all", ()), *node.get("any", ()), *([node["not"]] if "not" in node else ())]
    return sum(map(_n_conditions, parts)) if parts else 1


def _segment(row: SegmentRow) -> Segment:
    return Segment(row.tenant_id, row.name, row.version, row.predicate, row.published_at, row.archived_at)

"""Segments: a published version never changes; a new predicate becomes a new version.

Each live segment is evaluated for every event of the tenant, so a tenant has at most :data:`MOST_LIVE`, with at most
:data:`MOST_CONDITIONS` conditions together. What a predicate may contain is decided in ``whisperer/segments``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cluster.control_plane.approval import Kind, content_tag, permit, permit_again, went_live
from cluster.control_plane.etags import check, etag
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

    @property
    def etag(self) -> str:
        return segment_etag(self.name, self.version)


class Segments(Transactions):
    """Publishes, lists and archives segments."""

    def publish_segment(self, tenant: str, name: str, predicate: dict[str, Any], *, if_match: str | None = None) -> int:
        """Publish a predicate as a segment's next version and return the version's number. Revives an archived segment.

        Raises ConflictError (`too_many_segments`, `approval_required`), and StaleError if ``if_match`` names tags and
        none of them is the live version's.
        """
        check_name(name, "segment")
        with self._writing() as session:
            owner = find_tenant(session, tenant)
            check(if_match, live_etag(session, owner.id, name))
            return publish(session, owner.id, name, predicate)

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
            row = newest_segment(session, owner.id, name)
            if row is None:
                raise NotFoundError(f"tenant {owner.name!r} has no segment {name[:80]!r}", code="segment_not_found")
            if row.archived_at is None:
                row.archived_at = now_ms()


def segment_etag(name: str, version: int) -> str:
    """Return the entity tag of a version of a segment."""
    return etag(name, version)


def newest_segment(session: Session, tenant_id: TenantId, name: str) -> SegmentRow | None:
    """Return the newest version of a segment, live or archived."""
    query = select(SegmentRow).where(SegmentRow.tenant_id == tenant_id, SegmentRow.name == name)
    return session.scalars(query.order_by(SegmentRow.version.desc()).limit(1)).one_or_none()


def live_etag(session: Session, tenant_id: TenantId, name: str) -> str | None:
    """Return the tag of a segment's live version; None if there is none."""
    row = newest_segment(session, tenant_id, name)
    return None if row is None or row.archived_at is not None else segment_etag(name, row.version)


def publish(session: Session, tenant_id: TenantId, name: str, predicate: dict[str, Any]) -> int:
    """Publish a segment's next version; see :meth:`Segments.publish_segment`."""
    tag = content_tag(Kind.SEGMENT, name, {"predicate": predicate})
    _check_room(session, tenant_id, name, predicate)
    review_id = permit(session, tenant_id, Kind.SEGMENT, name, tag)
    version = _next(session, tenant_id, name, predicate)
    went_live(session, tenant_id, Kind.SEGMENT, name, version, tag, review_id)
    return version


def roll_back(session: Session, tenant_id: TenantId, name: str, to: int, if_match: str | None) -> int:
    """Publish the predicate of an older version as a new one, and return its number. Revives an archived segment.

    Raises NotFoundError (`segment_not_found`, `version_not_found`), StaleError, and ConflictError
    (`nothing_to_roll_back`, `approval_required`, `too_many_segments`).
    """
    newest = newest_segment(session, tenant_id, name)
    if newest is None:
        raise NotFoundError(f"there is no segment {name[:80]!r}", code="segment_not_found")
    check(if_match, live_etag(session, tenant_id, name))
    older = session.get(SegmentRow, (tenant_id, name, to))
    if older is None:
        raise NotFoundError(f"segment {name!r} has no version {to}", code="version_not_found")
    if older is newest and older.archived_at is None:
        raise ConflictError(f"version {to} of {name} is live already", code="nothing_to_roll_back")
    _check_room(session, tenant_id, name, older.predicate)
    review_id = permit_again(session, tenant_id, Kind.SEGMENT, name, to)
    version = _next(session, tenant_id, name, older.predicate)
    tag = content_tag(Kind.SEGMENT, name, {"predicate": older.predicate})
    went_live(session, tenant_id, Kind.SEGMENT, name, version, tag, review_id, rolled_back_to=to)
    return version


def _check_room(session: Session, tenant_id: TenantId, name: str, predicate: dict[str, Any]) -> None:
    """Raise ConflictError (`too_many_segments`) if the tenant's live segments would be too many, or too large."""
    live = {segment.name: segment for segment in segments_of(session, tenant_id)}
    if name not in live and len(live) >= MOST_LIVE:
        raise ConflictError(f"{MOST_LIVE} segments are live: archive one first", code="too_many_segments")
    others = sum(_n_conditions(segment.predicate) for segment in live.values() if segment.name != name)
    if others + _n_conditions(predicate) > MOST_CONDITIONS:
        raise ConflictError(
            f"the live segments would have {others + _n_conditions(predicate)} conditions, of at most"
            f" {MOST_CONDITIONS}: archive one, or say it in fewer",
            code="too_many_segments",
        )


def _next(session: Session, tenant_id: TenantId, name: str, predicate: dict[str, Any]) -> int:
    newest = newest_segment(session, tenant_id, name)
    version = 1 if newest is None else newest.version + 1
    row = SegmentRow(tenant_id=tenant_id, name=name, version=version, predicate=predicate, published_at=now_ms())
    session.add(row)
    return version


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

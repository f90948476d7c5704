"""Segments as drafts: their content is an object with the predicate, as callers write it."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from cluster.control_plane import segments
from cluster.control_plane.approval import Kind
from cluster.control_plane.drafts.kind import PublishedKind, PublishedVersion, published_versions
from cluster.control_plane.models import SegmentRow
from cluster.control_plane.transactions import check_name
from whisperer.ids import TenantId
from whisperer.profiles.features import FEATURES
from whisperer.segments import parse_predicate, to_json


class SegmentKind(PublishedKind):
    kind = Kind.SEGMENT
    plural = "segments"

    def checked(self, name: str, body: Any) -> dict[str, Any]:
        check_name(name, "segment")
        return {"predicate": to_json(parse_predicate(body["predicate"], FEATURES))}

    def live(self, session: Session, tenant_id: TenantId, name: str) -> int | None:
        row = segments.newest_segment(session, tenant_id, name)
        return None if row is None or row.archived_at is not None else row.version

    def content(self, session: Session, tenant_id: TenantId, name: str, version: int) -> dict[str, Any] | None:
        row = session.get(SegmentRow, (tenant_id, name, version))
        return None if row is None else {"predicate": row.predicate}

    def exists(self, session: Session, tenant_id: TenantId, name: str) -> bool:
        there = segments.newest_segment(session, tenant_id, name) is not None
        return there or self.draft(session, tenant_id, name) is not None

    def versions(
        self, session: Session, tenant_id: TenantId, name: str, before: int | None, limit: int
    ) -> list[PublishedVersion]:
        return published_versions(session, SegmentRow, tenant_id, name, before, limit)

    def publish(self, session: Session, tenant_id: TenantId, name: str, content: dict[str, Any]) -> int:
        return segments.publish(session, tenant_id, name, content["predicate"])

    def roll_back(self, session: Session, tenant_id: TenantId, name: str, to: int, if_match: str | None) -> int:
        return segments.roll_back(session, tenant_id, name, to, if_match)

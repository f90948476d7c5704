"""Templates as drafts."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from cluster.control_plane import templates
from cluster.control_plane.approval import Kind
from cluster.control_plane.drafts.kind import PublishedKind, PublishedVersion, published_versions
from cluster.control_plane.models import TemplateRow
from cluster.control_plane.transactions import check_name
from whisperer.ids import TenantId


class TemplateKind(PublishedKind):
    kind = Kind.TEMPLATE
    plural = "templates"

    def checked(self, name: str, body: Any) -> dict[str, Any]:
        from whisperer.content.blocks import filled_in  # loads Liquid, which only changing a template needs
        from whisperer.content.template import parse_template

        check_name(name, "template")
        parse_template(filled_in(body, None).body)  # what its blocks are counts when it goes live
        assert isinstance(body, dict), "the parser takes objects only"
        return body

    def live(self, session: Session, tenant_id: TenantId, name: str) -> int | None:
        return templates.newest_version(session, tenant_id, name)

    def content(self, session: Session, tenant_id: TenantId, name: str, version: int) -> dict[str, Any] | None:
        row = session.get(TemplateRow, (tenant_id, name, version))
        return None if row is None else row.body

    def versions(
        self, session: Session, tenant_id: TenantId, name: str, before: int | None, limit: int
    ) -> list[PublishedVersion]:
        return published_versions(session, TemplateRow, tenant_id, name, before, limit)

    def publish(self, session: Session, tenant_id: TenantId, name: str, content: dict[str, Any]) -> int:
        # Its form was checked when the draft was written; a draft may hold what its lint does not let go live.
        templates.check_template(session, tenant_id, name, content)
        return templates.publish_template(session, tenant_id, name, content, content["channel"]).version

    def roll_back(self, session: Session, tenant_id: TenantId, name: str, to: int, if_match: str | None) -> int:
        return templates.roll_back(session, tenant_id, name, to, if_match).version

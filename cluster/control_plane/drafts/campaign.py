"""Campaigns as drafts: theirs is the newest of their versions, and they are compared with the templates they pin."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from cluster.control_plane import campaigns
from cluster.control_plane.approval import Kind
from cluster.control_plane.drafts.kind import Draft, PublishedKind, PublishedVersion, published_versions
from cluster.control_plane.models import CampaignRow
from cluster.control_plane.pinning import pin
from whisperer.ids import TenantId
from whisperer.journeys.caller import template_versions, to_caller
from whisperer.journeys.campaign import Campaign, CampaignStatus, from_json
from whisperer.journeys.errors import CampaignError
from whisperer.journeys.parse import parse_campaign


class CampaignKind(PublishedKind):
    kind = Kind.CAMPAIGN
    plural = "campaigns"

    def checked(self, name: str, body: Any) -> dict[str, Any]:
        return to_caller(parse_campaign(body, name))

    def live(self, session: Session, tenant_id: TenantId, name: str) -> int | None:
        row = campaigns.in_force(campaigns.versions_of(session, tenant_id, name))
        return None if row is None else row.version

    def content(self, session: Session, tenant_id: TenantId, name: str, version: int) -> dict[str, Any] | None:
        row = session.get(CampaignRow, (tenant_id, name, version))
        return None if row is None or row.published_at is None else to_caller(from_json(row.definition))

    def compared(
        self, session: Session, tenant_id: TenantId, name: str, content: dict[str, Any], version: int | None
    ) -> dict[str, Any]:
        return content | {"template_versions": _pins(session, tenant_id, name, content, version)}

    def exists(self, session: Session, tenant_id: TenantId, name: str) -> bool:
        return bool(campaigns.versions_of(session, tenant_id, name))

    def draft(self, session: Session, tenant_id: TenantId, name: str) -> Draft | None:
        rows = campaigns.versions_of(session, tenant_id, name)
        if not rows or rows[-1].status != CampaignStatus.DRAFT:
            return None
        row = rows[-1]
        return Draft(to_caller(from_json(row.definition)), row.created_at, row.changed_at, row.written_by)

    def write(self, session: Session, tenant_id: TenantId, name: str, content: dict[str, Any]) -> None:
        campaigns.write_draft(session, tenant_id, parse_campaign(content, name))

    def drop(self, session: Session, tenant_id: TenantId, name: str) -> None:
        campaigns.drop_draft(session, tenant_id, name)

    def versions(
        self, session: Session, tenant_id: TenantId, name: str, before: int | None, limit: int
    ) -> list[PublishedVersion]:
        return published_versions(session, CampaignRow, tenant_id, name, before, limit)

    def publish(self, session: Session, tenant_id: TenantId, name: str, content: dict[str, Any]) -> int:
        return campaigns.publish_draft(session, tenant_id, name).version

    def roll_back(self, session: Session, tenant_id: TenantId, name: str, to: int, if_match: str | None) -> int:
        return campaigns.roll_back(session, tenant_id, name, to, if_match).version


def _pins(
    session: Session, tenant_id: TenantId, name: str, content: dict[str, Any], version: int | None
) -> dict[str, int]:
    """Return the template versions of a published version, or those that a draft would get now."""
    if version is not None:
        row = session.get_one(CampaignRow, (tenant_id, name, version))
        return template_versions(from_json(row.definition))
    campaign: Campaign = parse_campaign(content, name)
    try:
        return template_versions(pin(session, tenant_id, campaign))
    except CampaignError:  # it cannot be published as things are; publishing says why
        return {}

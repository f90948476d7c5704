"""What the control plane holds, as plain documents for callers, the command line and pages. Times are ISO 8601."""

from __future__ import annotations

from typing import Any

from cluster.control_plane.campaigns import CampaignVersion
from cluster.control_plane.channels import ChannelConfig
from cluster.control_plane.templates import TemplateVersion
from cluster.times import iso
from whisperer.delivery.channels import redacted
from whisperer.journeys.caller import describe, template_versions, to_caller

COMPRESSED_S = 900.0
"""A goal's window below this is no real campaign's: its time is compressed, as in the demo."""


def campaign_document(row: CampaignVersion) -> dict[str, Any]:
    """``definition`` is what its author may send back."""
    campaign = row.campaign
    return {
        "name": row.name,
        "version": row.version,
        "status": row.status,
        "draft_version": row.draft_version,
        "etag": row.etag or None,
        "description": describe(campaign),
        "compressed": campaign.goal.window_s < COMPRESSED_S,
        "created_at": iso(row.created_at),
        "published_at": iso(row.published_at),
        "changed_at": iso(row.changed_at),
        "definition": to_caller(campaign),
        "template_versions": template_versions(campaign),
    }


def template_document(row: TemplateVersion) -> dict[str, Any]:
    """``template`` is what its author may send back."""
    return {
        "name": row.name,
        "version": row.version,
        "channel": row.channel,
        "etag": row.etag,
        "published_at": iso(row.published_at),
        "template": row.body,
    }


def channel_document(channel: str, found: ChannelConfig) -> dict[str, Any]:
    """Without its secrets."""
    return {"channel": channel, "provider": found.provider, "config": redacted(found.config)}

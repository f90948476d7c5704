"""Turns the control plane's rows into plain documents for callers, the command line and pages. Times are ISO 8601."""

from __future__ import annotations

from typing import Any

import msgspec

from cluster.control_plane.campaigns import CampaignVersion
from cluster.control_plane.channels import ChannelConfig
from cluster.control_plane.policies import Policy, PolicyVersion
from cluster.control_plane.policy_record import PolicyEvent
from cluster.control_plane.templates import TemplateVersion
from cluster.times import iso
from whisperer.delivery.channels import redacted
from whisperer.journeys.caller import describe, template_versions, to_caller
from whisperer.models.rollout import stage_named

COMPRESSED_S = 900.0
"""A goal window shorter than this means compressed time, as in the demo; no real campaign has one."""


def campaign_document(row: CampaignVersion) -> dict[str, Any]:
    """Return a campaign's document; ``definition`` can be sent back as it is."""
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
    """Return a template's document; ``template`` can be sent back as it is."""
    return {
        "name": row.name,
        "version": row.version,
        "channel": row.channel,
        "etag": row.etag,
        "published_at": iso(row.published_at),
        "template": row.body,
    }


def channel_document(channel: str, found: ChannelConfig) -> dict[str, Any]:
    """Return a channel's document without its secrets."""
    return {"channel": channel, "provider": found.provider, "config": redacted(found.provider, found.config)}


def policy_document(policy: Policy) -> dict[str, Any]:
    """Return a policy's document. ``needs`` is what the candidate's next step requires; ``since`` identifies the stage
    of the tallies.
    """
    state = policy.rollout
    stage = stage_named(state.stage, policy.name) if state.stage else None
    return {
        "name": policy.name,
        "live": state.live,
        "candidate": state.candidate,
        "stage": state.stage or None,
        "share": state.share,
        "since": iso(state.since),
        "past": list(state.past),
        "needs": None if stage is None else {"hours": stage.min_ms / 3_600_000, "decisions": stage.min_decisions},
        "tallies": {str(version): msgspec.to_builtins(tally) for version, tally in policy.tallies.items()},
        "tallied_at": iso(policy.tallied_at),
        "etag": policy.etag,
        "versions": [version_document(version) for version in policy.versions],
    }


def version_document(version: PolicyVersion) -> dict[str, Any]:
    """Return the document of one version, with its lineage."""
    manifest = version.manifest
    return {
        "version": version.version,
        "status": version.status,
        "digest": version.digest,
        "kind": manifest.kind,
        "created_at": iso(manifest.created_at),
        "registered_at": iso(version.registered_at),
        "data": {"from": iso(manifest.data.first), "to": iso(manifest.data.last), "rows": manifest.data.n_rows},
        "code_version": manifest.code_version,
        "features": manifest.features,
        "feature_registry": manifest.feature_registry,
        "parameters": manifest.parameters,
        "metrics": manifest.metrics,
        "files": msgspec.to_builtins(manifest.files),
    }


def event_document(event: PolicyEvent) -> dict[str, Any]:
    """Return the document of one entry in a policy's record."""
    return {
        "serial": event.serial,
        "at": iso(event.at),
        "action": event.action,
        "version": event.version,
        "before": event.before or None,
        "after": event.after,
        "live": event.live,
        "by": event.by,
        "reason": event.reason or None,
        "evidence": event.evidence,
    }

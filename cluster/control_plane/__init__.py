"""Control plane: tenants, API keys and published configuration, in SQLite or PostgreSQL.

The rows are few, change rarely and are read by everything. Hence a relational database behind one repository class,
with one version counter that readers poll instead of the tables, and a record of what each version concerned.
"""

from cluster.control_plane.audit_log import AuditEntry, AuditQuery, Broken, Verification
from cluster.control_plane.campaigns import CampaignVersion
from cluster.control_plane.changes import Changes
from cluster.control_plane.channels import ChannelConfig
from cluster.control_plane.key_records import KeyInfo, KeyRecord, NewKey
from cluster.control_plane.policies import Policy
from cluster.control_plane.repository import ControlPlane, Published
from cluster.control_plane.segments import Segment, segment_etag
from cluster.control_plane.short_links import ShortLink
from cluster.control_plane.templates import TemplateVersion
from cluster.control_plane.tenants import KeptSettings, Tenant

__all__ = [
    "AuditEntry",
    "AuditQuery",
    "Broken",
    "CampaignVersion",
    "Changes",
    "ChannelConfig",
    "ControlPlane",
    "KeptSettings",
    "KeyInfo",
    "KeyRecord",
    "NewKey",
    "Policy",
    "Published",
    "Segment",
    "ShortLink",
    "TemplateVersion",
    "Tenant",
    "Verification",
    "segment_etag",
]

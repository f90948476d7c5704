"""Defines the control plane's tables. The migrations next to this room create them; a test compares the two.

Times are int64 milliseconds UTC, as everywhere. Text ids come from :func:`whisperer.ids.new_id` and sort by creation.
"""

from cluster.control_plane.models.base import SECRET, Base
from cluster.control_plane.models.identity import (
    InvitationRow,
    IssuerRow,
    MembershipRow,
    PersonRow,
    RecoveryCodeRow,
    RoleRow,
    SigningKeyRow,
    TokenFamilyRow,
)
from cluster.control_plane.models.published import (
    CampaignRow,
    DraftRow,
    PolicyEventRow,
    PolicyRow,
    PolicyVersionRow,
    ReviewRow,
    RevisionRow,
    SegmentRow,
    TemplateRow,
)
from cluster.control_plane.models.records import AuditHeadRow, AuditRow, ChangeRow, MetaRow, ReplayRow, ShortLinkRow
from cluster.control_plane.models.supplies import (
    CatalogueItemRow,
    CatalogueRow,
    CouponCodeRow,
    CouponErasureRow,
    CouponPoolRow,
)
from cluster.control_plane.models.tenancy import (
    ApiKeyRow,
    ChannelRow,
    ExperimentRow,
    GeneratorRow,
    GeneratorUseRow,
    KeyUseRow,
    SavedReportRow,
    TenantRow,
    TenantSettingsRow,
)

__all__ = [
    "SECRET",
    "ApiKeyRow",
    "AuditHeadRow",
    "AuditRow",
    "Base",
    "CampaignRow",
    "CatalogueItemRow",
    "CatalogueRow",
    "ChangeRow",
    "ChannelRow",
    "CouponCodeRow",
    "CouponErasureRow",
    "CouponPoolRow",
    "DraftRow",
    "ExperimentRow",
    "GeneratorRow",
    "GeneratorUseRow",
    "InvitationRow",
    "IssuerRow",
    "KeyUseRow",
    "MembershipRow",
    "MetaRow",
    "PersonRow",
    "PolicyEventRow",
    "PolicyRow",
    "PolicyVersionRow",
    "RecoveryCodeRow",
    "ReplayRow",
    "ReviewRow",
    "RevisionRow",
    "RoleRow",
    "SavedReportRow",
    "SegmentRow",
    "ShortLinkRow",
    "SigningKeyRow",
    "TemplateRow",
    "TenantRow",
    "TenantSettingsRow",
    "TokenFamilyRow",
]

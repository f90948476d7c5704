"""Define the built-in roles of a tenant's members. Custom roles, sets of permissions, are the control plane's."""

from __future__ import annotations

from whisperer.access.permissions import EVERYTHING, OF_WRITE_KEYS, PERSONAL, Permission, Permissions
from whisperer.vocabulary.named import Named


class Role(Named):
    OWNER = "owner"
    ADMIN = "admin"
    MARKETER = "marketer"
    ANALYST = "analyst"
    VIEWER = "viewer"
    INGEST = "ingest"


_READ: Permissions = frozenset(one for one in Permission if one.endswith(":read"))
_ADMINISTRATION: Permissions = frozenset(
    {
        Permission.AUDIT_READ,
        Permission.EXPORTS_READ,
        Permission.KEYS_READ,
        Permission.MEMBERS_READ,
        Permission.ISSUERS_READ,
    }
)
_LOOK: Permissions = _READ - _ADMINISTRATION - PERSONAL

BUILT_IN: dict[Role, Permissions] = {
    Role.OWNER: EVERYTHING,
    Role.ADMIN: EVERYTHING - {Permission.OWNERS_WRITE},
    Role.MARKETER: _LOOK
    | {
        Permission.USERS_READ,
        Permission.USERS_WRITE,
        Permission.DECISIONS_READ,
        Permission.MESSAGES_READ,
        Permission.MESSAGES_WRITE,
        Permission.SEGMENTS_WRITE,
        Permission.SEGMENTS_PUBLISH,
        Permission.TEMPLATES_WRITE,
        Permission.TEMPLATES_PUBLISH,
        Permission.CATALOGUES_WRITE,
        Permission.COUPONS_WRITE,
        Permission.CAMPAIGNS_WRITE,
        Permission.CAMPAIGNS_PUBLISH,
        Permission.SIMULATIONS_RUN,
        Permission.REPORTS_WRITE,
        Permission.REVIEWS_WRITE,
        Permission.MEMBERS_READ,
    },
    Role.ANALYST: _LOOK
    | {
        Permission.USERS_READ,
        Permission.DECISIONS_READ,
        Permission.SIMULATIONS_RUN,
        Permission.REPORTS_WRITE,
        Permission.MEMBERS_READ,
    },
    Role.VIEWER: _LOOK,
    Role.INGEST: OF_WRITE_KEYS,
}
"""What each role may do; docs/access.md shows the same table, and a test compares the two."""

"""The demo's tenant and write key: made once, kept in the installation's record so that its page can show them."""

from __future__ import annotations

from typing import Any

from cluster.control_plane import ControlPlane
from cluster.installation import DemoAccess
from whisperer.errors import NotFoundError

SEGMENTS: dict[str, dict[str, Any]] = {
    "paying": {"feature": "revenue", "op": "gt", "value": 0},
    "regular-exporters": {"event": "Report Exported", "op": "gte", "count": 3, "days": 7},
    "trial-not-onboarded": {
        "all": [{"event": "Trial Started"}, {"event": "Onboarding Completed", "op": "eq", "count": 0, "days": 90}]
    },
    "needs-help": {
        "all": [
            {"event": "Ticket Opened", "days": 7},
            {"not": {"event": "Ticket Resolved", "days": 7}},
            {"trait": "email", "op": "exists"},
        ]
    },
}
"""Published with the demo's tenant: a feature, a count within days, the absence of an event, a trait."""


def access(plane: ControlPlane, tenant_name: str, known: DemoAccess | None) -> DemoAccess:
    """The demo's access: the known one while its key is valid, else a new key."""
    if known is not None and known.tenant == tenant_name and plane.find_key(known.write_key) is not None:
        return known
    try:
        tenant = plane.get_tenant(tenant_name)
    except NotFoundError:
        tenant = plane.create_tenant(tenant_name)
        for name, predicate in SEGMENTS.items():
            plane.publish_segment(tenant.id, name, predicate)
    key = plane.create_key(tenant.id, "write", label="demo")
    return DemoAccess(tenant=tenant.name, tenant_id=tenant.id, write_key=key.key)

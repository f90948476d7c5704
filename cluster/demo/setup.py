"""Sets up the demo's tenant: its keys, segments, templates and one campaign.

The keys are kept in the installation's record, so that the demo's page can show them and its simulator can use them.
Both functions may be repeated: whatever exists stays as its owner changed it, including a paused or ended campaign.
"""

from __future__ import annotations

from typing import Any

from cluster.control_plane import ControlPlane
from cluster.demo.access import DemoAccess
from cluster.demo.campaign import CAMPAIGN, HOLDOUT, NAME, UNIFORM
from cluster.demo.templates import demo_templates
from whisperer.errors import NotFoundError
from whisperer.ids import TenantId

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
"""Published with the demo's tenant: one segment each for a feature, a count within days, an absent event and a trait.
"""


def access(plane: ControlPlane, tenant_name: str, known: DemoAccess | None) -> DemoAccess:
    """Return the demo's access: the known keys while they are valid, otherwise new ones. The tenant is ready to run."""
    try:
        tenant = plane.get_tenant(tenant_name)
    except NotFoundError:
        tenant = plane.create_tenant(tenant_name)
        for name, predicate in SEGMENTS.items():
            plane.publish_segment(tenant.id, name, predicate)
    ensure(plane, tenant.id)
    if known is None or known.tenant_id != tenant.id:
        known = DemoAccess(tenant=tenant.name, tenant_id=tenant.id, write_key="")
    return DemoAccess(
        tenant=tenant.name,
        tenant_id=tenant.id,
        write_key=_key(plane, tenant.id, "write", known.write_key),
        secret_key=_key(plane, tenant.id, "secret", known.secret_key),
    )


def ensure(plane: ControlPlane, tenant: TenantId) -> None:
    """Publish the demo's templates and its campaign, live, and set the experiment's shares with it."""
    found = {campaign.name: campaign for campaign in plane.list_campaigns(tenant)}.get(NAME)
    if found is not None and found.first_published_at is not None:
        return
    there = {template.name for template in plane.list_templates(tenant)}
    for name, body in demo_templates().items():
        if name not in there:
            plane.put_template(tenant, name, body)
    plane.set_experiment(tenant, holdout=HOLDOUT, uniform=UNIFORM)
    plane.put_campaign(tenant, NAME, CAMPAIGN)
    plane.publish_campaign(tenant, NAME)


def _key(plane: ControlPlane, tenant: TenantId, kind: str, known: str) -> str:
    if known:
        record = plane.find_key(known)
        if record is not None and (record.tenant_id, record.kind) == (tenant, kind):
            return known
    return plane.create_key(tenant, kind, label="demo").key

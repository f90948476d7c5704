"""Tenants that ask for a second person, and the people who act."""

from __future__ import annotations

from cluster.control_plane import ControlPlane
from cluster.control_plane.audit.acting import Actor, ActorKind
from cluster.control_plane.models import TenantSettingsRow

ADA = Actor(ActorKind.PERSON, "pn_ada", "Ada")
GRACE = Actor(ActorKind.PERSON, "pn_grace", "Grace")


def ask_for_approval(plane: ControlPlane, tenant: str, wanted: bool = True) -> None:
    tenant_id = plane.get_tenant(tenant).id
    with plane._writing() as session:
        row = session.get(TenantSettingsRow, tenant_id)
        if row is None:
            row = TenantSettingsRow(tenant_id=tenant_id, second_factor=False, origins=[], changed_at=0)
            session.add(row)
        row.approval = wanted

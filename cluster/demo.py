"""The demo's tenant and write key: made once, kept in the installation's record so that its page can show them."""

from __future__ import annotations

from cluster.control_plane import ControlPlane
from cluster.installation import DemoAccess
from whisperer.errors import NotFoundError


def access(plane: ControlPlane, tenant_name: str, known: DemoAccess | None) -> DemoAccess:
    """The demo's access: the known one while its key is valid, else a new key."""
    if known is not None and known.tenant == tenant_name and plane.find_key(known.write_key) is not None:
        return known
    try:
        tenant = plane.get_tenant(tenant_name)
    except NotFoundError:
        tenant = plane.create_tenant(tenant_name)
    key = plane.create_key(tenant.id, "write", label="demo")
    return DemoAccess(tenant=tenant.name, tenant_id=tenant.id, write_key=key.key)

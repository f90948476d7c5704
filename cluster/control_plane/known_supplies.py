"""Says what a tenant has of what its templates may name: catalogues with their fields, coupon pools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from cluster.control_plane.catalogues import fields_by_catalogue
from cluster.control_plane.coupons import left_by_pool
from cluster.control_plane.transactions import Transactions, find_tenant
from whisperer.ids import TenantId

if TYPE_CHECKING:
    from whisperer.content.lint.supplies import Known


class KnownSupplies(Transactions):
    def known_supplies(self, tenant: str) -> Known:
        """Return what a tenant's templates may name."""
        with self._reading() as session:
            return known_supplies(session, find_tenant(session, tenant).id)


def known_supplies(session: Session, tenant_id: TenantId) -> Known:
    """Return what a tenant's templates may name."""
    from whisperer.content.lint.supplies import Known  # loads Liquid, which only changing a template needs

    return Known(fields_by_catalogue(session, tenant_id), left_by_pool(session, tenant_id))

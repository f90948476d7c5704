"""Tenants: the isolated customers of this installation. Each is created together with its experiment's settings."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from cluster.control_plane.experiments import new_experiment
from cluster.control_plane.models import TenantRow
from cluster.control_plane.transactions import ID_PREFIX, Transactions, check_name, find_tenant, now_ms
from whisperer.errors import ConflictError, RequestError
from whisperer.ids import TenantId, new_id


@dataclass(frozen=True, slots=True)
class Tenant:
    """An isolated customer of the installation; ``created_at`` is ms UTC."""

    id: TenantId
    name: str
    created_at: int


class Tenants(Transactions):
    """Creates and finds tenants."""

    def create_tenant(self, name: str) -> Tenant:
        """Create a tenant. Raises RequestError (`invalid_name`) and ConflictError (`tenant_exists`)."""
        check_name(name, "tenant")
        if name.startswith(ID_PREFIX):
            raise RequestError(f"a tenant name may not start with {ID_PREFIX!r}: ids do", code="invalid_name")
        row = TenantRow(id=TenantId(new_id("tn")), name=name, folded_name=name.lower(), created_at=now_ms())
        try:
            with self._writing() as session:
                session.add(row)
                session.flush()
                session.add(new_experiment(row.id))
                return _tenant(row)
        except IntegrityError:
            raise ConflictError(f"tenant {name!r} exists already", code="tenant_exists") from None

    def list_tenants(self) -> list[Tenant]:
        """Return all tenants, ordered by name."""
        with self._reading() as session:
            return [_tenant(row) for row in session.scalars(select(TenantRow).order_by(TenantRow.folded_name))]

    def get_tenant(self, name_or_id: str) -> Tenant:
        """Return a tenant, given by name or id. Raises NotFoundError (`tenant_not_found`)."""
        with self._reading() as session:
            return _tenant(find_tenant(session, name_or_id))


def _tenant(row: TenantRow) -> Tenant:
    return Tenant(row.id, row.name, row.created_at)

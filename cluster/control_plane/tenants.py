"""Tenants: the isolated customers of this installation. Each is created together with its experiment's settings."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cluster.control_plane.experiments import new_experiment
from cluster.control_plane.models import TenantRow, TenantSettingsRow
from cluster.control_plane.transactions import ID_PREFIX, Transactions, check_name, find_tenant, now_ms
from whisperer.errors import ConflictError, RequestError
from whisperer.ids import TenantId, new_id


@dataclass(frozen=True, slots=True)
class Tenant:
    """An isolated customer of the installation, or one of its environments; ``created_at`` is ms UTC.

    ``environment_of`` is the id of the tenant whose environment it is; None for the tenant itself.
    """

    id: TenantId
    name: str
    created_at: int
    environment: str = "live"
    environment_of: TenantId | None = None


@dataclass(frozen=True, slots=True)
class KeptSettings:
    """What gateways keep of a tenant's settings.

    Attributes
    ----------
    tier : None: in none
    origins : of web pages that may call the API
    """

    tier: str | None = None
    origins: tuple[str, ...] = ()


class Tenants(Transactions):
    """Creates and finds tenants."""

    def create_tenant(self, name: str) -> Tenant:
        """Create a tenant. Raises RequestError (`invalid_name`) and ConflictError (`tenant_exists`)."""
        check_name(name, "tenant")
        if name.startswith(ID_PREFIX):
            raise RequestError(f"a tenant name may not start with {ID_PREFIX!r}: ids do", code="invalid_name")
        try:
            with self._writing() as session:
                return tenant_of(add_tenant(session, name))
        except IntegrityError:
            raise ConflictError(f"tenant {name!r} exists already", code="tenant_exists") from None

    def list_tenants(self) -> list[Tenant]:
        """Return all tenants, ordered by name."""
        with self._reading() as session:
            return [tenant_of(row) for row in session.scalars(select(TenantRow).order_by(TenantRow.folded_name))]

    def get_tenant(self, name_or_id: str) -> Tenant:
        """Return a tenant, given by name or id. Raises NotFoundError (`tenant_not_found`)."""
        with self._reading() as session:
            return tenant_of(find_tenant(session, name_or_id))

    def kept_settings(self, concerned: Collection[TenantId] | None = None) -> dict[TenantId, KeptSettings]:
        """Return the settings of each tenant named, and of their environments, whose settings are their tenant's;
        without names, of all who have settings.
        """
        with self._reading() as session:
            owner = func.coalesce(TenantRow.environment_of, TenantRow.id)
            query = select(TenantRow.id, TenantSettingsRow.tier, TenantSettingsRow.origins).outerjoin(
                TenantSettingsRow, TenantSettingsRow.tenant_id == owner
            )
            if concerned is None:
                query = query.where(TenantSettingsRow.tenant_id.is_not(None))
            else:
                query = query.where(owner.in_(concerned) | TenantRow.id.in_(concerned))
            return {id: KeptSettings(tier, tuple(origins or ())) for id, tier, origins in session.execute(query)}


def tenant_of(row: TenantRow) -> Tenant:
    """Return a tenant, given its row."""
    return Tenant(row.id, row.name, row.created_at, row.environment, row.environment_of)


def add_tenant(session: Session, name: str) -> TenantRow:
    """Add a tenant's rows within a transaction."""
    row = TenantRow(id=TenantId(new_id("tn")), name=name, folded_name=name.lower(), created_at=now_ms())
    session.add(row)
    session.flush()
    session.add(new_experiment(row.id))
    return row

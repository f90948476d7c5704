"""Environments: further places of a tenant, such as `acme.test` next to `acme`, each with its own data, keys, channels.

To everything that counts, sends or stores, an environment is a tenant like any other, which is why nothing leaks from
one into the next. Members, roles and settings are the tenant's. None is deleted: its journal and files would remain.
"""

from __future__ import annotations

import re

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from cluster.control_plane.experiments import new_experiment
from cluster.control_plane.models import TenantRow
from cluster.control_plane.tenants import Tenant, tenant_of
from cluster.control_plane.transactions import Transactions, changed_home, check_name, home_of, now_ms
from whisperer.errors import ConflictError, NotFoundError, RequestError
from whisperer.ids import TenantId, new_id

LIVE = "live"
"""The environment that is the tenant itself."""
MAX_ENVIRONMENTS = 10
"""Of a tenant, besides `live`."""
ENVIRONMENT_PATTERN = r"[a-z][a-z0-9-]{0,15}"


class Environments(Transactions):
    """Creates and lists environments."""

    def create_environment(self, tenant: str, name: str) -> Tenant:
        """Create an environment of a tenant; its whole name is ``<tenant>.<name>``.

        Raises NotFoundError (`tenant_not_found`), RequestError (`invalid_name`) and ConflictError
        (`environment_exists`, `too_many_environments`, `belongs_to_tenant`).
        """
        if not re.fullmatch(ENVIRONMENT_PATTERN, name):
            message = "an environment's name is 1 to 16 lower-case letters, digits and '-', starting with a letter"
            raise RequestError(message, code="invalid_name")
        try:
            with self._writing() as session:
                home = changed_home(session, tenant)
                whole = f"{home.name}.{name}"
                check_name(whole, "environment")
                others = list(session.scalars(select(TenantRow).where(TenantRow.environment_of == home.id)))
                if name == LIVE or name in [other.environment for other in others]:
                    raise ConflictError(f"{home.name} has an environment {name!r} already", code="environment_exists")
                if len(others) >= MAX_ENVIRONMENTS:
                    message = f"a tenant has at most {MAX_ENVIRONMENTS} environments besides {LIVE}"
                    raise ConflictError(message, code="too_many_environments")
                row = TenantRow(
                    id=TenantId(new_id("tn")),
                    name=whole,
                    folded_name=whole.lower(),
                    created_at=now_ms(),
                    environment=name,
                    environment_of=home.id,
                )
                session.add(row)
                session.flush()
                session.add(new_experiment(row.id))
                return tenant_of(row)
        except IntegrityError:  # a tenant of its own has this name
            raise ConflictError(
                f"there is a tenant of this name already: {name!r}", code="environment_exists"
            ) from None

    def list_environments(self, tenant: str) -> list[Tenant]:
        """Return the environments of a tenant, given by any of them: `live`, which is the tenant itself, first."""
        with self._reading() as session:
            home = home_of(session, tenant)
            further = select(TenantRow).where(TenantRow.environment_of == home.id).order_by(TenantRow.environment)
            return [tenant_of(home), *map(tenant_of, session.scalars(further))]

    def get_environment(self, tenant: str, name: str) -> Tenant:
        """Return one by its short name. Raises NotFoundError (`environment_not_found`)."""
        for found in self.list_environments(tenant):
            if found.environment == name:
                return found
        raise NotFoundError(f"there is no environment {name[:80]!r}", code="environment_not_found")

"""Stores how each tenant's users are divided into holdout, uniform and policy, and whether they consent by default.

The salt is drawn when the tenant is created and never changes: it assigns users to groups, and another one would
reshuffle them all. Changing a share affects only users without a decision: a group once drawn is stored with the user.
"""

from __future__ import annotations

import math
import secrets
from typing import Any

from sqlalchemy.orm import Session

from cluster.control_plane.models import ExperimentRow
from cluster.control_plane.transactions import Transactions, find_tenant
from whisperer.errors import RequestError
from whisperer.ids import TenantId
from whisperer.shard.records import Experiment

MAX_SHARE = 0.5
"""For holdout and uniform each: a larger share would make the tenant mostly an experiment."""


class Experiments(Transactions):
    """Reads and changes the experiment's settings."""

    def experiment(self, tenant: str) -> Experiment:
        """Return a tenant's experiment. Raises NotFoundError (`tenant_not_found`)."""
        with self._reading() as session:
            return experiment_of(session, find_tenant(session, tenant).id)

    def set_experiment(
        self,
        tenant: str,
        *,
        holdout: float | None = None,
        uniform: float | None = None,
        consent_default: bool | None = None,
    ) -> Experiment:
        """Change the values given and keep the rest. Raises RequestError (`invalid_experiment`)."""
        for name, share in (("holdout", holdout), ("uniform", uniform)):
            _check_share(name, share)
        if consent_default is not None and type(consent_default) is not bool:
            raise RequestError("consent_default is true or false", code="invalid_experiment")
        with self._writing() as session:
            row = session.get_one(ExperimentRow, find_tenant(session, tenant).id)
            changes = {"holdout": holdout, "uniform": uniform, "consent_default": consent_default}
            for name, value in changes.items():
                if value is not None and value != getattr(row, name):  # writing equal values would count as a change
                    setattr(row, name, value)
            return _experiment(row)


def new_experiment(tenant_id: TenantId) -> ExperimentRow:
    """Return a new tenant's row: defaults, and a salt of its own."""
    default = Experiment()
    return ExperimentRow(
        tenant_id=tenant_id,
        salt=secrets.token_hex(16),
        holdout=default.holdout,
        uniform=default.uniform,
        consent_default=default.consent_default,
    )


def experiment_of(session: Session, tenant_id: TenantId) -> Experiment:
    """Return the experiment of a tenant, given by id."""
    return _experiment(session.get_one(ExperimentRow, tenant_id))


def _check_share(name: str, share: Any) -> None:
    if share is None:
        return
    if type(share) not in (int, float) or not math.isfinite(share) or not 0 <= share <= MAX_SHARE:
        raise RequestError(f"{name} is a share of users from 0 to {MAX_SHARE}", code="invalid_experiment")


def _experiment(row: ExperimentRow) -> Experiment:
    return Experiment(row.salt, row.holdout, row.uniform, row.consent_default)

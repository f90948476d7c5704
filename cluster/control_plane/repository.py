"""The only way to read and change the control plane: one class per resource, joined here behind one database URL.

Every change increments :meth:`ControlPlane.version` in its own transaction; see
:mod:`cluster.control_plane.transactions`. ``whisperer`` decides what predicates, campaigns, templates and channels may
contain; the applications decide who may call what.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from cluster.control_plane.api_keys import ApiKeys
from cluster.control_plane.audit.witness import Witness
from cluster.control_plane.audit_log import AuditLog
from cluster.control_plane.campaigns import Campaigns, CampaignVersion, campaigns_of
from cluster.control_plane.catalogues import Catalogues
from cluster.control_plane.channels import Channels
from cluster.control_plane.coupons import CouponPools
from cluster.control_plane.database import migrate, open_engine, parse
from cluster.control_plane.drafts.drafts import Drafts
from cluster.control_plane.drafts.reviews import Reviews
from cluster.control_plane.experiments import Experiments, experiment_of
from cluster.control_plane.identity.grants import Grants
from cluster.control_plane.identity.issuers import Issuers
from cluster.control_plane.identity.people import People
from cluster.control_plane.identity.second_factor import SecondFactors
from cluster.control_plane.keyring import Keyring
from cluster.control_plane.known_supplies import KnownSupplies
from cluster.control_plane.models.sealed import sealing
from cluster.control_plane.people.invitations import Invitations
from cluster.control_plane.people.members import Members
from cluster.control_plane.people.roles import Roles
from cluster.control_plane.policies import Policies, ScoreVersion, score_version_of
from cluster.control_plane.reach import Reach, is_absence
from cluster.control_plane.replays import Replays
from cluster.control_plane.sealing import Sealing
from cluster.control_plane.segments import Segment, Segments, segments_of
from cluster.control_plane.short_links import ShortLinks
from cluster.control_plane.templates import Templates
from cluster.control_plane.tenancy.environments import Environments
from cluster.control_plane.tenancy.generators import TenantsGenerators
from cluster.control_plane.tenancy.saved_reports import SavedReports
from cluster.control_plane.tenancy.tenant_settings import TenantsSettings
from cluster.control_plane.tenancy.user_secrets import UsersSecrets
from cluster.control_plane.tenants import Tenants
from cluster.control_plane.transactions import find_tenant
from cluster.errors import InstallationError
from whisperer.errors import UnavailableError
from whisperer.ids import TenantId
from whisperer.shard.records import Experiment


@dataclass(frozen=True, slots=True)
class Published:
    """What a tenant's shards run on: live segments, each campaign's version in force (never a draft), and the score
    model.

    ``scores`` is None if no score model was ever registered.
    """

    segments: list[Segment]
    campaigns: list[CampaignVersion]
    experiment: Experiment
    score_version: ScoreVersion | None = None


class ControlPlane(
    Tenants,
    Environments,
    TenantsSettings,
    UsersSecrets,
    TenantsGenerators,
    ApiKeys,
    Roles,
    Members,
    Invitations,
    Segments,
    Templates,
    Campaigns,
    Channels,
    Catalogues,
    CouponPools,
    KnownSupplies,
    Experiments,
    Policies,
    SavedReports,
    Replays,
    ShortLinks,
    Grants,
    People,
    SecondFactors,
    Issuers,
    AuditLog,
    Drafts,
    Reviews,
    Sealing,
):
    """Tenants, keys and published configuration behind one database URL.

    Opening it migrates the schema, unless ``migrated``: whoever runs in an installation relies on its launcher for
    that, and may start while the database is away. ``witness`` is the file for heads of audit logs, ``keyring`` opens
    and seals secrets: without it none can be kept. Raises SettingsError, UnavailableError and, where the database is
    there but refuses, InstallationError.
    """

    def __init__(
        self, url: str, witness: Path | None = None, keyring: Keyring | None = None, *, migrated: bool = False
    ) -> None:
        self._keyring = keyring or Keyring(())
        self._engine = sealing(open_engine(url), self._keyring)
        self._witness = Witness(witness)
        self._reach_to_read, self._reach_to_write = Reach(), Reach()
        if not migrated:
            try:
                migrate(self._engine)
            except DBAPIError as error:
                self.close()
                raise _not_opened(url, error) from error

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> ControlPlane:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_away(self) -> bool:
        """Whether the database did not answer whoever read last."""
        return self._reach_to_read.is_away

    def published(self, tenant_id: TenantId) -> Published:
        """Return what a tenant's shards run on, read in one transaction. Raises NotFoundError (`tenant_not_found`)."""
        with self._reading() as session:
            owner = find_tenant(session, tenant_id)
            return Published(
                segments=segments_of(session, owner.id),
                campaigns=[c for c in campaigns_of(session, owner.id) if c.published_at is not None],
                experiment=experiment_of(session, owner.id),
                score_version=score_version_of(session, owner.id),
            )


def _not_opened(url: str, error: DBAPIError) -> UnavailableError | InstallationError:
    """Return what an operator is told: where it is, without the password, and the driver's own words."""
    where = parse(url).render_as_string(hide_password=True)
    why = " ".join(str(error.orig).split()).rstrip("?.") or type(error.orig).__name__
    if is_absence(error):
        return UnavailableError(
            f"the control plane's database {where} cannot be opened: {why}. Check that it runs and is reached from "
            "here, and that control_plane.url (`whisperer up --database`) is right; then repeat the command"
        )
    return InstallationError(
        f"the control plane's database {where} cannot be used: {why}. Its role needs the rights to create and change "
        "tables there (docs/operations.md, The database)"
    )

"""The only way to read and change the control plane: one class per resource, joined here behind one database URL.

Every change increments :meth:`ControlPlane.version` in its own transaction; see
:mod:`cluster.control_plane.transactions`. ``whisperer`` decides what predicates, campaigns, templates and channels may
contain; the applications decide who may call what.
"""

from __future__ import annotations

from dataclasses import dataclass

from cluster.control_plane.api_keys import ApiKeys
from cluster.control_plane.campaigns import Campaigns, CampaignVersion, campaigns_of
from cluster.control_plane.channels import Channels
from cluster.control_plane.database import migrate, open_engine
from cluster.control_plane.experiments import Experiments, experiment_of
from cluster.control_plane.policies import Policies, ScoreVersion, score_version_of
from cluster.control_plane.replays import Replays
from cluster.control_plane.segments import Segment, Segments, segments_of
from cluster.control_plane.templates import Templates
from cluster.control_plane.tenants import Tenants
from cluster.control_plane.transactions import find_tenant
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


class ControlPlane(Tenants, ApiKeys, Segments, Templates, Campaigns, Channels, Experiments, Policies, Replays):
    """Tenants, keys and published configuration behind one database URL. Opening it migrates the schema."""

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url)
        migrate(self._engine)

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> ControlPlane:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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

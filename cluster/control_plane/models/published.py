"""Defines the tables of what is published, of the drafts and reviews before that, and what may never change in them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, event
from sqlalchemy.orm import Mapped, Mapper, mapped_column
from sqlalchemy.orm.attributes import get_history

from cluster.control_plane.models.base import Base
from cluster.control_plane.models.tenancy import ExperimentRow
from whisperer.errors import InvariantError
from whisperer.ids import TenantId


class SegmentRow(Base):
    """One published version of a segment. Only ``archived_at`` may change."""

    __tablename__ = "segments"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    predicate: Mapped[dict[str, Any]]
    published_at: Mapped[int]
    archived_at: Mapped[int | None]

    __table_args__ = (Index("ix_segments_tenant_id", "tenant_id"),)


class TemplateRow(Base):
    """One published version of a template, which never changes."""

    __tablename__ = "templates"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    channel: Mapped[str] = mapped_column(String(16))
    body: Mapped[dict[str, Any]]
    published_at: Mapped[int]


class CampaignRow(Base):
    """One version of a campaign. Once it is published, only ``status`` and ``changed_at`` may change."""

    __tablename__ = "campaigns"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    status: Mapped[str] = mapped_column(String(8))
    definition: Mapped[str] = mapped_column(Text)
    """JSON text, byte for byte what the shards get: a JSON column might return it spelled differently."""
    created_at: Mapped[int]
    published_at: Mapped[int | None]
    changed_at: Mapped[int]
    written_by: Mapped[str | None] = mapped_column(String(320))
    """Who wrote the definition last, as a draft."""


class PolicyRow(Base):
    """Which versions of a tenant's policy decide (:class:`whisperer.models.rollout.Rollout`), with their tallies."""

    __tablename__ = "policies"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    live: Mapped[int]
    candidate: Mapped[int | None]
    stage: Mapped[str] = mapped_column(String(8))
    since: Mapped[int]
    past: Mapped[list[int]] = mapped_column(JSON)
    tallies: Mapped[dict[str, Any]]
    """By version, since the stage began; not part of the configuration."""
    tallied_at: Mapped[int | None]


class PolicyVersionRow(Base):
    """One registered version, which never changes."""

    __tablename__ = "policy_versions"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(63))
    digest: Mapped[str] = mapped_column(String(64))
    manifest: Mapped[str] = mapped_column(Text)
    registered_at: Mapped[int]


class PolicyEventRow(Base):
    """One entry in a policy's audit record, which never changes."""

    __tablename__ = "policy_history"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    serial: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[int]
    action: Mapped[str] = mapped_column(String(16))
    version: Mapped[int]
    before: Mapped[str] = mapped_column(String(16))
    after: Mapped[str] = mapped_column(String(16))
    live: Mapped[int]
    by: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(Text)
    evidence: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    review_id: Mapped[str | None] = mapped_column(String(32))


class DraftRow(Base):
    """What somebody is writing and users do not receive yet; campaigns keep theirs among their versions."""

    __tablename__ = "drafts"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    body: Mapped[dict[str, Any]]
    created_at: Mapped[int]
    changed_at: Mapped[int]
    changed_by: Mapped[str] = mapped_column(String(320))


class ReviewRow(Base):
    """A request that somebody else looks at a draft and lets it go live."""

    __tablename__ = "reviews"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"))
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(63))
    etag: Mapped[str] = mapped_column(String(40))
    """Of the draft that was submitted: a change afterwards needs a new review."""
    content: Mapped[dict[str, Any]]
    """The draft that was submitted, so that what was looked at can be shown for good."""
    base: Mapped[int | None]
    """The version that was live when it was submitted."""
    note: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16))
    requested_by: Mapped[str] = mapped_column(String(320))
    requested_by_id: Mapped[str] = mapped_column(String(64))
    requested_at: Mapped[int]
    decided_by: Mapped[str | None] = mapped_column(String(320))
    decided_by_id: Mapped[str | None] = mapped_column(String(64))
    decided_at: Mapped[int | None]
    reason: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (Index("ix_reviews_tenant_id", "tenant_id", "kind", "name"),)


class RevisionRow(Base):
    """Who took a version live, and from what: the history that all kinds share."""

    __tablename__ = "revisions"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[int]
    by: Mapped[str] = mapped_column(String(320))
    review_id: Mapped[str | None] = mapped_column(String(32))
    rolled_back_to: Mapped[int | None]
    """The older version whose content this one repeats."""


_MAY_CHANGE: dict[type[Base], set[str]] = {
    SegmentRow: {"archived_at"},
    TemplateRow: set(),
    CampaignRow: {"status", "changed_at"},
}
"""The columns of published rows that may still change."""


@event.listens_for(SegmentRow, "before_update")
@event.listens_for(TemplateRow, "before_update")
@event.listens_for(CampaignRow, "before_update")
def _published_is_immutable(
    _mapper: Mapper[Any], _connection: object, row: SegmentRow | TemplateRow | CampaignRow
) -> None:
    histories = {c.key: get_history(row, c.key) for c in row.__table__.columns}
    published = histories["published_at"]
    if published.added and not any(published.deleted):
        return  # this write publishes the row
    changed = {name for name, history in histories.items() if history.has_changes()}
    if row.published_at is not None and (forbidden := changed - _MAY_CHANGE[type(row)]):
        raise InvariantError(
            f"{row.__tablename__} {row.name} v{row.version} is published; {sorted(forbidden)} may not change"
        )


@event.listens_for(ExperimentRow, "before_update")
def _salt_is_immutable(_mapper: Mapper[ExperimentRow], _connection: object, row: ExperimentRow) -> None:
    if get_history(row, "salt").has_changes():
        raise InvariantError(f"the salt of {row.tenant_id} may not change: every user would change groups")


@event.listens_for(PolicyVersionRow, "before_update")
@event.listens_for(PolicyVersionRow, "before_delete")
@event.listens_for(PolicyEventRow, "before_update")
@event.listens_for(PolicyEventRow, "before_delete")
def _the_record_is_kept(_mapper: Mapper[Any], _connection: object, row: PolicyVersionRow | PolicyEventRow) -> None:
    raise InvariantError(f"{row.__tablename__} of {row.name} is a record: no entry may be changed or go")

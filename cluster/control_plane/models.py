"""Defines the control plane's tables. The migrations next to this module create them; a test compares the two.

Times are int64 milliseconds UTC, as everywhere. Text ids come from :func:`whisperer.ids.new_id` and sort by creation.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Index, LargeBinary, String, Text, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Mapper, mapped_column
from sqlalchemy.orm.attributes import get_history

from whisperer.errors import InvariantError
from whisperer.ids import TenantId


class Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: JSON, int: BigInteger}  # noqa: RUF012  SQLAlchemy's own declaration


class TenantRow(Base):
    """An isolated customer of the installation."""

    __tablename__ = "tenants"

    id: Mapped[TenantId] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(63))
    folded_name: Mapped[str] = mapped_column(String(63), unique=True)
    """Lower-cased name: two tenants must not differ by case alone."""
    created_at: Mapped[int]


class ApiKeyRow(Base):
    """A tenant's key, stored by its hash."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), index=True)
    kind: Mapped[str] = mapped_column(String(8))
    shown: Mapped[str] = mapped_column(String(16))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    label: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[int]
    revoked_at: Mapped[int | None]


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


class ChannelRow(Base):
    """The provider of one tenant's channel; without a row, messages go to the sink."""

    __tablename__ = "channels"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    channel: Mapped[str] = mapped_column(String(16), primary_key=True)
    provider: Mapped[str] = mapped_column(String(32))
    config: Mapped[dict[str, Any]]
    changed_at: Mapped[int]


class ExperimentRow(Base):
    """How one tenant's users are divided into groups. ``salt`` never changes."""

    __tablename__ = "experiments"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    salt: Mapped[str] = mapped_column(String(32))
    holdout: Mapped[float] = mapped_column(Double)
    uniform: Mapped[float] = mapped_column(Double)
    consent_default: Mapped[bool]


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


class ReplayRow(Base):
    """A call that carried an Idempotency-Key; ``status``, ``headers`` and ``body`` are None while it is running."""

    __tablename__ = "replays"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    begun_at: Mapped[int]
    status: Mapped[int | None]
    headers: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    body: Mapped[bytes | None] = mapped_column(LargeBinary)

    __table_args__ = (Index("ix_replays_begun_at", "begun_at"),)


class MetaRow(Base):
    """One row: the counter that every change increments."""

    __tablename__ = "meta"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int]


class ChangeRow(Base):
    """What one version concerned: a tenant ("" if unnamed) and which of its keys: one by its hash, all ("*") or none
    ("").
    """

    __tablename__ = "changes"

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    tenant_id: Mapped[TenantId] = mapped_column(String(32))
    key: Mapped[str] = mapped_column(String(64))


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

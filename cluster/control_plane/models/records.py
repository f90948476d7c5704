"""Defines the tables of what happened: versions and what they concerned, answered calls, and the audit log."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from cluster.control_plane.models.base import Base
from whisperer.ids import TenantId


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


class ShortLinkRow(Base):
    """A short link of an SMS: ``token`` is what a long one would say, sealed; ``user_hash`` is of the user's key."""

    __tablename__ = "short_links"

    code: Mapped[str] = mapped_column(String(12), primary_key=True)
    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"))
    user_hash: Mapped[bytes] = mapped_column(LargeBinary)
    token: Mapped[str] = mapped_column(Text)
    expires_at: Mapped[int]

    __table_args__ = (
        Index("ix_short_links_expires_at", "expires_at"),
        Index("ix_short_links_user", "tenant_id", "user_hash"),
    )


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


class AuditRow(Base):
    """One entry of the audit log. Nothing may change or delete it: the database refuses, too."""

    __tablename__ = "audit"

    tenant_id: Mapped[TenantId] = mapped_column(String(32), primary_key=True)
    """"" for what concerns the whole installation."""
    serial: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """1, 2, 3 … within its tenant's log."""
    at: Mapped[int]
    actor_kind: Mapped[str] = mapped_column(String(16))
    actor_id: Mapped[str] = mapped_column(String(64))
    actor_name: Mapped[str] = mapped_column(String(320))
    operation: Mapped[str] = mapped_column(String(200))
    """The call: method and route, or the command."""
    verb: Mapped[str] = mapped_column(String(16))
    resource: Mapped[str] = mapped_column(String(32))
    resource_id: Mapped[str] = mapped_column(String(320))
    before: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    after: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    address: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str] = mapped_column(String(200))
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))

    __table_args__ = (Index("ix_audit_tenant_id_at", "tenant_id", "at"),)


class AuditHeadRow(Base):
    """The newest entry of each log: locked by whoever appends."""

    __tablename__ = "audit_heads"

    tenant_id: Mapped[TenantId] = mapped_column(String(32), primary_key=True)
    serial: Mapped[int]
    hash: Mapped[str] = mapped_column(String(64))

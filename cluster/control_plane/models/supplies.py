"""Defines the tables of what templates draw on besides their users: catalogues with their items, and coupon codes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from cluster.control_plane.models.base import SECRET, Base
from whisperer.ids import TenantId

_LEFT = text("given_at IS NULL")


class CatalogueRow(Base):
    """A named set of items. The row changes with every change of an item, so that readers see that there is one."""

    __tablename__ = "catalogues"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    fields: Mapped[dict[str, Any]]
    """Field -> kind: ``whisperer.content.catalogue.fields.KINDS``."""
    revision: Mapped[int]
    n_items: Mapped[int]
    n_bytes: Mapped[int]
    created_at: Mapped[int]
    changed_at: Mapped[int]


class CatalogueItemRow(Base):
    """An item: JSON text with its id, as templates get it."""

    __tablename__ = "catalogue_items"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    catalogue: Mapped[str] = mapped_column(String(63), primary_key=True)
    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    body: Mapped[str] = mapped_column(Text)
    n_bytes: Mapped[int]
    changed_at: Mapped[int]


class CouponPoolRow(Base):
    """A named supply of codes. ``n_given`` counts with the codes that are given, which is no change of the pool."""

    __tablename__ = "coupon_pools"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    description: Mapped[str] = mapped_column(String(200))
    n_codes: Mapped[int]
    n_given: Mapped[int]
    code_chars: Mapped[int]
    """Characters of its longest code."""
    created_at: Mapped[int]
    changed_at: Mapped[int]


class CouponCodeRow(Base):
    """A code. It is given once: what it was given for and when stays, and of an erased user nothing else."""

    __tablename__ = "coupon_codes"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    pool: Mapped[str] = mapped_column(String(63), primary_key=True)
    code: Mapped[str] = mapped_column(String(64), primary_key=True, info=SECRET)
    number: Mapped[int]
    """In the order in which codes are given."""
    campaign: Mapped[str | None] = mapped_column(String(63))
    user_hash: Mapped[str | None] = mapped_column(String(32))
    """Of the user's key, which may be too long for an index."""
    user_key: Mapped[bytes | None]
    """UTF-8: PostgreSQL has no text with a NUL, and a key may have one."""
    given_at: Mapped[int | None]

    __table_args__ = (
        # NULLs differ from each other: this is about codes that were given.
        Index("uq_coupon_codes_user", "tenant_id", "user_hash", "pool", "campaign", unique=True),
        Index(
            "ix_coupon_codes_left",
            "tenant_id",
            "pool",
            "number",
            sqlite_where=_LEFT,
            postgresql_where=_LEFT,
        ),
        Index("ix_coupon_codes_given", "tenant_id", "pool", "given_at", "code"),
    )


class CouponErasureRow(Base):
    """A user who was erased just now, by a hash of the key: a message still being made takes no code for them."""

    __tablename__ = "coupon_erasures"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    user_hash: Mapped[str] = mapped_column(String(32), primary_key=True)
    until: Mapped[int]

"""Tables of the control plane. The migrations beside this module create them; a test compares the two.

Times are int64 milliseconds UTC, as everywhere. Text ids come from :func:`whisperer.ids.new_id` and sort by creation.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Mapper, mapped_column
from sqlalchemy.orm.attributes import get_history

from whisperer.errors import InvariantError


class Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: JSON, int: BigInteger}  # noqa: RUF012  SQLAlchemy's own declaration


class TenantRow(Base):
    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(63))
    folded_name: Mapped[str] = mapped_column(String(63), unique=True)
    """Lower-cased name: two tenants may not differ by case alone."""
    created_at: Mapped[int]


class ApiKeyRow(Base):
    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), index=True)
    kind: Mapped[str] = mapped_column(String(8))
    shown: Mapped[str] = mapped_column(String(16))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    label: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[int]
    revoked_at: Mapped[int | None]


class SegmentRow(Base):
    """One published version of a segment. Only ``archived_at`` may ever change."""

    __tablename__ = "segments"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    predicate: Mapped[dict[str, Any]]
    published_at: Mapped[int]
    archived_at: Mapped[int | None]

    __table_args__ = (Index("ix_segments_tenant_id", "tenant_id"),)


class MetaRow(Base):
    """One row: the counter that every change raises."""

    __tablename__ = "meta"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int]


@event.listens_for(SegmentRow, "before_update")
def _published_is_immutable(_mapper: Mapper[SegmentRow], _connection: object, row: SegmentRow) -> None:
    changed = [c.key for c in SegmentRow.__table__.columns if get_history(row, c.key).has_changes()]
    if set(changed) - {"archived_at"}:
        raise InvariantError(f"segment {row.name} v{row.version} is published; {changed} may not change")

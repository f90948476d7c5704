"""The one way to read and change the control plane.

Every change raises :meth:`ControlPlane.version` in its own transaction, so a reader that sees an unchanged number may
keep what it cached, and one that sees a new number sees the change too. A published segment version never changes: a
new predicate is a new version. Methods block; an event loop calls them in a thread. Safe from several processes and
threads.

What a predicate may contain is decided in ``whisperer/segments``; who may call what, in the applications.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cluster.control_plane import keys
from cluster.control_plane.database import migrate, open_engine, writing
from cluster.control_plane.models import ApiKeyRow, MetaRow, SegmentRow, TenantRow
from whisperer.errors import ConflictError, NotFoundError, RequestError
from whisperer.ids import new_id

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_ID_PREFIX = "tn_"


@dataclass(frozen=True, slots=True)
class Tenant:
    id: str
    name: str
    created_at: int


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the only moment it can be seen whole."""

    id: str
    key: str
    kind: str
    tenant_id: str


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be shown of a key later: ``shown`` is ``wk_…last4``, ``revoked_at`` None while it is valid (ms UTC)."""

    id: str
    tenant_id: str
    tenant_name: str
    kind: str
    shown: str
    label: str
    created_at: int
    revoked_at: int | None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """Whom a presented key speaks for, and as what: ``kind`` is "write" or "secret"."""

    id: str
    tenant_id: str
    tenant_name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Segment:
    tenant_id: str
    name: str
    version: int
    predicate: dict[str, Any]
    published_at: int
    archived_at: int | None


class ControlPlane:
    """Tenants, keys and published configuration behind one database URL; migrates it when opened."""

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url)
        migrate(self._engine)

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> ControlPlane:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def version(self) -> int:
        """The change counter: equal numbers mean that nothing changed in between."""
        with self._reading() as session:
            return session.scalars(select(MetaRow.version)).one()

    # Tenants

    def create_tenant(self, name: str) -> Tenant:
        """Raises RequestError (`invalid_name`) and ConflictError (`tenant_exists`)."""
        _check_name(name, "tenant")
        if name.startswith(_ID_PREFIX):
            raise RequestError(f"a tenant name may not start with {_ID_PREFIX!r}: ids do", code="invalid_name")
        row = TenantRow(id=new_id("tn"), name=name, folded_name=name.lower(), created_at=_now_ms())
        try:
            with self._writing() as session:
                session.add(row)
                session.flush()
                return _tenant(row)
        except IntegrityError:
            raise ConflictError(f"tenant {name!r} exists already", code="tenant_exists") from None

    def list_tenants(self) -> list[Tenant]:
        with self._reading() as session:
            return [_tenant(row) for row in session.scalars(select(TenantRow).order_by(TenantRow.folded_name))]

    def get_tenant(self, name_or_id: str) -> Tenant:
        """Raises NotFoundError (`tenant_not_found`)."""
        with self._reading() as session:
            return _tenant(_find_tenant(session, name_or_id))

    # Keys

    def create_key(self, tenant: str, kind: str, label: str = "") -> NewKey:
        """Make a key for a tenant (name or id); its text is returned here and never again.

        Raises NotFoundError (`tenant_not_found`) and RequestError (`invalid_kind`).
        """
        if kind not in keys.KIND_TO_PREFIX:
            raise RequestError(f"kind of key must be write or secret, not {kind!r}", code="invalid_kind")
        key = keys.new_key(kind)
        with self._writing() as session:
            owner = _find_tenant(session, tenant)
            row = ApiKeyRow(
                id=new_id("key"),
                tenant_id=owner.id,
                kind=kind,
                shown=keys.shown(key),
                hash=keys.key_hash(key),
                label=label[:200],
                created_at=_now_ms(),
            )
            session.add(row)
            return NewKey(row.id, key, kind, owner.id)

    def revoke_key(self, key: str) -> KeyInfo:
        """Revoke a key, given whole or by its id. Revoking twice changes nothing.

        Raises NotFoundError (`key_not_found`).
        """
        with self._writing() as session:
            column = ApiKeyRow.id if key.startswith("key_") else ApiKeyRow.hash
            value = key if key.startswith("key_") else keys.key_hash(key)
            row = session.scalars(select(ApiKeyRow).where(column == value)).one_or_none()
            if row is None:
                raise NotFoundError("there is no such key", code="key_not_found")
            if row.revoked_at is None:
                row.revoked_at = _now_ms()
            return _key_info(row, session.get_one(TenantRow, row.tenant_id).name)

    def list_keys(self, tenant: str | None = None) -> list[KeyInfo]:
        """Keys of one tenant (name or id), or of all, oldest first."""
        with self._reading() as session:
            query = select(ApiKeyRow, TenantRow.name).join(TenantRow).order_by(ApiKeyRow.id)
            if tenant is not None:
                query = query.where(ApiKeyRow.tenant_id == _find_tenant(session, tenant).id)
            return [_key_info(row, name) for row, name in session.execute(query)]

    def find_key(self, presented: str) -> KeyRecord | None:
        """Whom a key speaks for; None when it is unknown or revoked.

        The index is searched by a hash that the caller cannot steer, and the final comparison takes constant time, so
        the time it takes says nothing about how near a guess was.
        """
        with self._reading() as session:
            query = (
                select(ApiKeyRow.id.label("key_id"), ApiKeyRow.hash, ApiKeyRow.kind, TenantRow.id, TenantRow.name)
                .join(TenantRow)
                .where(ApiKeyRow.hash == keys.key_hash(presented), ApiKeyRow.revoked_at.is_(None))
            )
            found = session.execute(query).one_or_none()
        if found is None or not keys.matches(presented, found.hash):
            return None
        return KeyRecord(id=found.key_id, tenant_id=found.id, tenant_name=found.name, kind=found.kind)

    # Segments

    def publish_segment(self, tenant: str, name: str, predicate: dict[str, Any]) -> int:
        """Publish a predicate as the next version of a segment; the version. Revives an archived segment."""
        _check_name(name, "segment")
        with self._writing() as session:
            owner = _find_tenant(session, tenant)
            last = session.scalar(
                select(func.max(SegmentRow.version)).where(SegmentRow.tenant_id == owner.id, SegmentRow.name == name)
            )
            version = (last or 0) + 1
            session.add(
                SegmentRow(tenant_id=owner.id, name=name, version=version, predicate=predicate, published_at=_now_ms())
            )
            return version

    def list_segments(
        self, tenant: str, *, include_archived: bool = False, all_versions: bool = False
    ) -> list[Segment]:
        """Segments of a tenant by name: the newest version of each, or every version; archived ones if asked for."""
        with self._reading() as session:
            owner = _find_tenant(session, tenant)
            query = select(SegmentRow).where(SegmentRow.tenant_id == owner.id)
            rows = session.scalars(query.order_by(SegmentRow.name, SegmentRow.version)).all()
            newest = {row.name: row for row in rows}
            chosen = rows if all_versions else list(newest.values())
            return [_segment(row) for row in chosen if include_archived or newest[row.name].archived_at is None]

    def archive_segment(self, tenant: str, name: str) -> None:
        """End a segment: its newest version is marked, nothing is deleted. Archiving twice changes nothing.

        Raises NotFoundError (`segment_not_found`).
        """
        with self._writing() as session:
            owner = _find_tenant(session, tenant)
            query = select(SegmentRow).where(SegmentRow.tenant_id == owner.id, SegmentRow.name == name)
            row = session.scalars(query.order_by(SegmentRow.version.desc()).limit(1)).one_or_none()
            if row is None:
                raise NotFoundError(f"tenant {owner.name!r} has no segment {name!r}", code="segment_not_found")
            if row.archived_at is None:
                row.archived_at = _now_ms()

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with Session(self._engine) as session:
            yield session

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        """One transaction that may change rows; raises the version counter when it did."""
        with writing(self._engine) as connection, Session(connection) as session:
            flushes: list[object] = []
            event.listen(session, "after_flush", lambda *_: flushes.append(1))
            yield session
            session.flush()
            if flushes:
                session.execute(update(MetaRow).values(version=MetaRow.version + 1))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _check_name(name: str, what: str) -> None:
    if not _NAME.fullmatch(name):
        raise RequestError(
            f"{what} name {name!r} is not usable: 1 to 63 letters, digits, '-', '_' or '.', starting with a letter or "
            "digit",
            code="invalid_name",
        )


def _find_tenant(session: Session, name_or_id: str) -> TenantRow:
    column = TenantRow.id if name_or_id.startswith(_ID_PREFIX) else TenantRow.folded_name
    value = name_or_id if name_or_id.startswith(_ID_PREFIX) else name_or_id.lower()
    row = session.scalars(select(TenantRow).where(column == value)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no tenant {name_or_id!r}", code="tenant_not_found")
    return row


def _tenant(row: TenantRow) -> Tenant:
    return Tenant(row.id, row.name, row.created_at)


def _key_info(row: ApiKeyRow, tenant_name: str) -> KeyInfo:
    return KeyInfo(row.id, row.tenant_id, tenant_name, row.kind, row.shown, row.label, row.created_at, row.revoked_at)


def _segment(row: SegmentRow) -> Segment:
    return Segment(row.tenant_id, row.name, row.version, row.predicate, row.published_at, row.archived_at)

"""API keys, which programs use to act for a tenant. :mod:`.keys` makes and recognises them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from cluster.control_plane import keys
from cluster.control_plane.models import ApiKeyRow, TenantRow
from cluster.control_plane.transactions import Transactions, find_tenant, now_ms
from whisperer.errors import NotFoundError, RequestError
from whisperer.ids import TenantId, new_id


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new key, at the only moment its whole text can be seen."""

    id: str
    key: str
    kind: str
    tenant_id: TenantId


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be shown of a key later: ``shown`` is ``wk_…last4``; ``revoked_at`` (ms UTC) is None while the key is
    valid.
    """

    id: str
    tenant_id: TenantId
    tenant_name: str
    kind: str
    shown: str
    label: str
    created_at: int
    revoked_at: int | None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """Which tenant a presented key acts for, and with which rights: ``kind`` is "write" or "secret"."""

    id: str
    tenant_id: TenantId
    tenant_name: str
    kind: str


class ApiKeys(Transactions):
    """Creates, revokes, lists and looks up API keys."""

    def create_key(self, tenant: str, kind: str, label: str = "") -> NewKey:
        """Create a key for a tenant (name or id); its text is returned here and never again.

        Raises NotFoundError (`tenant_not_found`) and RequestError (`invalid_kind`).
        """
        if kind not in keys.KIND_TO_PREFIX:
            raise RequestError(f"kind of key must be write or secret, not {kind!r}", code="invalid_kind")
        key = keys.new_key(kind)
        with self._writing() as session:
            owner = find_tenant(session, tenant)
            row = ApiKeyRow(
                id=new_id("key"),
                tenant_id=owner.id,
                kind=kind,
                shown=keys.shown(key),
                hash=keys.key_hash(key),
                label=label[:200],
                created_at=now_ms(),
            )
            session.add(row)
            return NewKey(row.id, key, kind, owner.id)

    def revoke_key(self, key: str) -> KeyInfo:
        """Revoke a key, given its text or its id. Revoking twice changes nothing.

        Raises NotFoundError (`key_not_found`).
        """
        with self._writing() as session:
            column = ApiKeyRow.id if key.startswith("key_") else ApiKeyRow.hash
            value = key if key.startswith("key_") else keys.key_hash(key)
            row = session.scalars(select(ApiKeyRow).where(column == value)).one_or_none()
            if row is None:
                raise NotFoundError("there is no such key", code="key_not_found")
            if row.revoked_at is None:
                row.revoked_at = now_ms()
            return _key_info(row, session.get_one(TenantRow, row.tenant_id).name)

    def list_keys(self, tenant: str | None = None) -> list[KeyInfo]:
        """Return the keys of one tenant (name or id), or of all, oldest first."""
        with self._reading() as session:
            query = select(ApiKeyRow, TenantRow.name).join(TenantRow).order_by(ApiKeyRow.id)
            if tenant is not None:
                query = query.where(ApiKeyRow.tenant_id == find_tenant(session, tenant).id)
            return [_key_info(row, name) for row, name in session.execute(query)]

    def find_key(self, presented: str) -> KeyRecord | None:
        """Return whom a key acts for, or None if it is unknown or revoked.

        The index is searched by a hash that the caller cannot steer, and the final comparison takes constant time, so
        the duration reveals nothing about how close a guess was.
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


def _key_info(row: ApiKeyRow, tenant_name: str) -> KeyInfo:
    return KeyInfo(row.id, row.tenant_id, tenant_name, row.kind, row.shown, row.label, row.created_at, row.revoked_at)

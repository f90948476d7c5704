"""API keys, which programs use to act for a tenant. :mod:`.keys` makes and recognises them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from cluster.control_plane import keys
from cluster.control_plane.granting import OPERATOR, Giver
from cluster.control_plane.key_limits import KeyLimits, check_giver, permissions_of
from cluster.control_plane.key_records import KeyInfo, KeyRecord, KeyState, NewKey
from cluster.control_plane.listing import Part, Place, rows_of
from cluster.control_plane.models import ApiKeyRow, KeyUseRow, MetaRow, TenantRow
from cluster.control_plane.transactions import Transactions, find_tenant, locked_tenant, now_ms
from whisperer.errors import ConflictError, NotFoundError, RequestError
from whisperer.ids import TenantId, new_id
from whisperer.vocabulary.units import DAY_MS

MAX_KEYS = 1_000
"""Good keys of a tenant."""
MAX_KEPT = 10_000
"""Keys of a tenant that are listed; older ones that have ended are only in the audit log."""
MAX_LABEL = 200
MAX_OVERLAP_MS = 90 * DAY_MS


class ApiKeys(Transactions):
    """Creates, rotates, revokes, lists and looks up API keys."""

    def create_key(
        self,
        tenant: str,
        kind: str,
        label: str = "",
        *,
        scopes: Sequence[object] | None = None,
        expires_at: int | None = None,
        addresses: Sequence[object] | None = None,
        giver: Giver = OPERATOR,
    ) -> NewKey:
        """Create a key for a tenant (name or id); its text is returned here and never again.

        ``scopes`` limit a secret key to some permissions, ``addresses`` any key to networks in CIDR notation, and
        ``expires_at`` is ms UTC. Raises NotFoundError (`tenant_not_found`), RequestError (`invalid_kind`),
        ConflictError (`too_many_keys`), ForbiddenError (`escalation`) and ProblemsError (`invalid_permissions`,
        `invalid_key_settings`).
        """
        if kind not in keys.KIND_TO_PREFIX:
            raise RequestError(f"kind of key must be write or secret, not {kind!r}", code="invalid_kind")
        limits = KeyLimits.checked(kind, scopes, expires_at, addresses)
        with self._writing() as session:
            owner = locked_tenant(session, tenant)
            check_giver(session, giver, kind, limits)
            return _add(session, owner.id, kind, label, limits)

    def rotate_key(
        self,
        key_id: str,
        overlap_ms: int,
        tenant: str | None = None,
        *,
        expires_at: int | None = None,
        giver: Giver = OPERATOR,
    ) -> NewKey:
        """Create a key that may do what an old one may; the old one ends after ``overlap_ms`` (at most 90 days).

        The new key ends at ``expires_at`` (ms UTC), or when the old one would have ended. Raises NotFoundError
        (`key_not_found`), RequestError (`invalid_overlap`), ConflictError (`key_ended`, `too_many_keys`),
        ForbiddenError (`escalation`) and KeySettingsError.
        """
        if not 0 <= overlap_ms <= MAX_OVERLAP_MS:
            raise RequestError(f"an overlap is 0 to {MAX_OVERLAP_MS // DAY_MS} days", code="invalid_overlap")
        now = now_ms()
        with self._writing() as session:
            old = _find(session, key_id, tenant)
            locked_tenant(session, old.tenant_id)
            session.refresh(old)  # another transaction may have rotated it meanwhile
            if old.revoked_at is not None or old.replaced_by is not None or _has_expired(old, now):
                raise ConflictError("this key has ended or was rotated already", code="key_ended")
            limits = KeyLimits(old.scopes, old.expires_at, old.addresses)
            if expires_at is not None:
                limits = replace(limits, expires_at=KeyLimits.checked(old.kind, None, expires_at, None).expires_at)
            check_giver(session, giver, old.kind, limits)
            made = _add(session, old.tenant_id, old.kind, old.label, limits)
            old.replaced_by = made.id
            old.expires_at = min(now + overlap_ms, old.expires_at or now + overlap_ms)
            return made

    def revoke_key(self, key: str, tenant: str | None = None) -> KeyInfo:
        """Revoke a key, given its text or its id. Revoking twice changes nothing.

        With ``tenant`` (name or id), another tenant's key is not there. Raises NotFoundError (`key_not_found`).
        """
        with self._writing() as session:
            row = _find(session, key, tenant)
            if row.revoked_at is None:
                row.revoked_at = now_ms()
            return _key_info(row, session.get_one(TenantRow, row.tenant_id).name, _last_use(session, row.id))

    def list_keys(self, tenant: str | None = None) -> list[KeyInfo]:
        """Return the keys of one tenant (name or id), or of all, oldest first."""
        with self._reading() as session:
            query = (
                select(ApiKeyRow, TenantRow.name, KeyUseRow.last_used_at)
                .join(TenantRow)
                .outerjoin(KeyUseRow, KeyUseRow.key_id == ApiKeyRow.id)
                .order_by(ApiKeyRow.id)
            )
            if tenant is not None:
                query = query.where(ApiKeyRow.tenant_id == find_tenant(session, tenant).id)
            return [_key_info(row, name, used) for row, name, used in session.execute(query)]

    def page_of_keys(
        self, tenant: str, place: Place, *, kind: str | None = None, state: KeyState | None = None
    ) -> Part[KeyInfo]:
        """Return a part of a tenant's keys in the order of their making, or by label."""
        with self._reading() as session:
            query = (
                select(ApiKeyRow, TenantRow.name, KeyUseRow.last_used_at)
                .join(TenantRow)
                .outerjoin(KeyUseRow, KeyUseRow.key_id == ApiKeyRow.id)
                .where(ApiKeyRow.tenant_id == find_tenant(session, tenant).id)
            )
            if kind is not None:
                query = query.where(ApiKeyRow.kind == kind)
            if state is not None:
                query = query.where(_is(state, now_ms()))
            rows, last = rows_of(session, query, ApiKeyRow.id, place, {"label": ApiKeyRow.label})
            return Part([_key_info(row[0], row[1], row[2]) for row in rows], last)

    def get_key(self, key_id: str, tenant: str) -> KeyInfo:
        """Return one key of a tenant, by its id. Raises NotFoundError (`key_not_found`)."""
        with self._reading() as session:
            row = _find(session, key_id, tenant)
            return _key_info(row, session.get_one(TenantRow, row.tenant_id).name, _last_use(session, row.id))

    def note_uses(self, used: Mapping[str, int]) -> None:
        """Write down when keys were last used (ms UTC, by id); several gateways report, and the latest counts."""
        if not used:
            return
        with self._noting() as session:
            for key_id, at in sorted(used.items()):
                row = session.get(KeyUseRow, key_id, with_for_update=True)
                if row is None:
                    session.add(KeyUseRow(key_id=key_id, last_used_at=at))
                else:
                    row.last_used_at = max(at, row.last_used_at)

    def find_key(self, presented: str) -> KeyRecord | None:
        """Return whom a key acts for, or None if it is unknown or revoked.

        The index is searched by a hash that the caller cannot steer, and the final comparison takes constant time, so
        the duration reveals nothing about how close a guess was.
        """
        with self._reading() as session:
            query = (
                select(ApiKeyRow, TenantRow.name)
                .join(TenantRow)
                .where(ApiKeyRow.hash == keys.key_hash(presented), ApiKeyRow.revoked_at.is_(None))
            )
            found = session.execute(query).one_or_none()
            if found is None or not keys.matches(presented, found[0].hash):
                return None
            return _record(*found)

    def find_key_by_id(self, key_id: str) -> KeyRecord | None:
        """Return whom a key acts for that its holder has proved to have; None if it is unknown or revoked."""
        with self._reading() as session:
            of_id = select(ApiKeyRow, TenantRow.name).join(TenantRow).where(ApiKeyRow.id == key_id)
            found = session.execute(of_id.where(ApiKeyRow.revoked_at.is_(None))).one_or_none()
            return None if found is None else _record(*found)

    def valid_keys(self, most: int) -> tuple[int, dict[str, KeyRecord]]:
        """Return the version and the newest valid keys of all tenants by their hash, read in one transaction."""
        with self._reading() as session:
            version = session.scalars(select(MetaRow.version)).one()
            query = (
                select(ApiKeyRow, TenantRow.name)
                .join(TenantRow)
                .where(ApiKeyRow.revoked_at.is_(None))
                .order_by(ApiKeyRow.id.desc())
                .limit(most)
            )
            rows = session.execute(query)
            return version, {row.hash: _record(row, name) for row, name in rows}


def _record(row: ApiKeyRow, tenant_name: str) -> KeyRecord:
    return KeyRecord(
        id=row.id,
        tenant_id=row.tenant_id,
        tenant_name=tenant_name,
        kind=row.kind,
        label=row.label,
        permissions=permissions_of(row.kind, row.scopes),
        expires_at=row.expires_at,
        networks=tuple(row.addresses or ()),
    )


def _is(state: KeyState, now: int) -> ColumnElement[bool]:
    if state is KeyState.REVOKED:
        return ApiKeyRow.revoked_at.is_not(None)
    ended = ApiKeyRow.expires_at.is_not(None) & (ApiKeyRow.expires_at <= now)
    return ApiKeyRow.revoked_at.is_(None) & (ended if state is KeyState.EXPIRED else ~ended)


def _key_info(row: ApiKeyRow, tenant_name: str, last_used_at: int | None) -> KeyInfo:
    return KeyInfo(
        row.id,
        row.tenant_id,
        tenant_name,
        row.kind,
        row.shown,
        row.label,
        row.created_at,
        row.revoked_at,
        row.expires_at,
        last_used_at,
        row.scopes,
        row.addresses,
        row.replaced_by,
    )


def _add(session: Session, tenant_id: TenantId, kind: str, label: str, limits: KeyLimits) -> NewKey:
    now = now_ms()
    mine = select(func.count()).select_from(ApiKeyRow).where(ApiKeyRow.tenant_id == tenant_id)
    _make_room(session, tenant_id, session.scalars(mine).one(), now)
    if session.scalars(mine.where(_is(KeyState.ACTIVE, now))).one() >= MAX_KEYS:
        raise ConflictError(f"a tenant has at most {MAX_KEYS} keys; revoke one that is not used", code="too_many_keys")
    key = keys.new_key(kind)
    row = ApiKeyRow(
        id=new_id("key"),
        tenant_id=tenant_id,
        kind=kind,
        shown=keys.shown(key),
        hash=keys.key_hash(key),
        label=label[:MAX_LABEL],
        created_at=now,
        scopes=limits.scopes,
        expires_at=limits.expires_at,
        addresses=limits.addresses,
    )
    session.add(row)
    return NewKey(row.id, key, kind, tenant_id)


def _make_room(session: Session, tenant_id: TenantId, n_kept: int, now: int) -> None:
    """Delete the oldest keys over the limit that have ended."""
    if n_kept < MAX_KEPT:
        return
    ended = select(ApiKeyRow).where(ApiKeyRow.tenant_id == tenant_id, ~_is(KeyState.ACTIVE, now))
    for row in session.scalars(ended.order_by(ApiKeyRow.id).limit(n_kept - MAX_KEPT + 1)):
        if (used := session.get(KeyUseRow, row.id)) is not None:
            session.delete(used)
            session.flush()
        session.delete(row)


def _find(session: Session, key: str, tenant: str | None) -> ApiKeyRow:
    """Return a key's row, given its text or its id. Raises NotFoundError (`key_not_found`)."""
    column = ApiKeyRow.id if key.startswith("key_") else ApiKeyRow.hash
    query = select(ApiKeyRow).where(column == (key if key.startswith("key_") else keys.key_hash(key)))
    if tenant is not None:
        query = query.where(ApiKeyRow.tenant_id == find_tenant(session, tenant).id)
    row = session.scalars(query).one_or_none()
    if row is None:
        raise NotFoundError("there is no such key", code="key_not_found")
    return row


def _last_use(session: Session, key_id: str) -> int | None:
    found = session.get(KeyUseRow, key_id)
    return None if found is None else found.last_used_at


def _has_expired(row: ApiKeyRow, now: int) -> bool:
    return row.expires_at is not None and row.expires_at <= now

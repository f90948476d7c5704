"""Token families: each sign-in is one, a chain of refresh tokens of which only the newest counts, or a session.

A refresh token is used once and answered with the next. One that was used before is in two hands: its whole family is
revoked, which the audit log shows. A family's token has a part that all of them share, so that only somebody who has,
or had, one can revoke the family by presenting it. A session is a family whose one token, a cookie, stays the same.
Using a family is not configuration: the control plane's version changes only when one is revoked.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Select, delete, select, update
from sqlalchemy.orm import Session

from cluster.control_plane.audit.chain import Head, append
from cluster.control_plane.audit.entries import Entry, Verb
from cluster.control_plane.keys import key_hash
from cluster.control_plane.models import MetaRow, PersonRow, TenantRow, TokenFamilyRow
from cluster.control_plane.transactions import Transactions, find_tenant, now_ms
from whisperer.errors import NotFoundError, RequestError
from whisperer.ids import TenantId, new_id
from whisperer.vocabulary.named import Named
from whisperer.vocabulary.units import DAY_MS, HOUR_MS, MINUTE_MS

REFRESH_PREFIX, SESSION_PREFIX = "rt_", "ss_"
MAX_TOKEN_CHARACTERS = 200
UNUSED_MS = {"refresh": 30 * DAY_MS, "operator": 30 * DAY_MS, "session": 24 * HOUR_MS}
"""A family ends when it was not used for this long,"""
LONGEST_MS = {"refresh": 180 * DAY_MS, "operator": 180 * DAY_MS, "session": 30 * DAY_MS}
"""and in any case this long after it began."""
USE_NOTED_MS = 5 * MINUTE_MS
"""A session's use is written down this often."""
KEPT_MS = 30 * DAY_MS
"""A family that has ended is shown for this long."""
MAX_OF_PERSON = 100
"""Families of one person that go on; beginning another ends the one longest out of use."""
MAX_OF_OPERATOR = 1_000
"""Families that operators began for one tenant and that go on."""


class FamilyKind(Named):
    REFRESH = "refresh"
    SESSION = "session"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Family:
    """What may be shown of a sign-in. Times are ms UTC.

    Attributes
    ----------
    person_id, email : None for one that an operator began, which has a role instead
    client : what signed in
    revoked_for : reuse, signed_out, revoked, password, crowded
    """

    id: str
    tenant_id: TenantId
    kind: str
    person_id: str | None
    email: str | None
    role: str | None
    client: str
    created_at: int
    used_at: int
    expires_at: int
    revoked_at: int | None
    revoked_for: str | None


@dataclass(frozen=True, slots=True)
class Begun:
    """A family and its newest token, at the only moment that can be seen."""

    family: Family
    token: str


class Families(Transactions):
    """Begins, continues, ends and lists token families."""

    def begin_family(
        self,
        tenant_id: TenantId,
        kind: FamilyKind,
        client: str,
        *,
        person_id: str | None = None,
        role: str | None = None,
    ) -> Begun:
        """Begin a family for a person, or, with a role instead, for whom an operator chooses.

        Raises RequestError (`too_many_tokens`).
        """
        now = now_ms()
        root, newest = secrets.token_urlsafe(16), secrets.token_urlsafe(32)
        row = TokenFamilyRow(
            id=new_id("fam"),
            tenant_id=tenant_id,
            person_id=person_id,
            role=role,
            kind=str(kind),
            client=client[:200],
            root_hash=key_hash(root),
            hash=key_hash(newest),
            number=0,
            created_at=now,
            used_at=now,
            expires_at=now + UNUSED_MS[kind],
        )
        if kind is FamilyKind.OPERATOR:
            self._make_room_for_operator(tenant_id, now)
        elif person_id is not None:
            self._make_room_for_person(person_id, now)
        with self._noting() as session:
            ended = TokenFamilyRow.expires_at <= now - KEPT_MS
            session.execute(delete(TokenFamilyRow).where(TokenFamilyRow.tenant_id == tenant_id, ended))
            session.add(row)
            session.flush()
            shown = {"kind": row.kind, "client": row.client, "person_id": person_id, "role": role}
            heads = enter(session, [Entry(tenant_id, Verb.CREATED, "token_families", row.id, None, shown)])
            begun = Begun(_family(row, _email(session, row)), _text(row, root, newest))
        self._witness.note(heads)
        return begun

    def refresh_family(self, token: str) -> Begun:
        """Take a refresh token and return the next one.

        A token that was used before revokes its family. Raises RequestError (`invalid_grant`).
        """
        id, root, newest = _parts(token, REFRESH_PREFIX)
        now = now_ms()
        with self._noting() as session:
            row = session.get(TokenFamilyRow, id, with_for_update=True)
            if row is None or row.kind == FamilyKind.SESSION or not _is(root, row.root_hash) or _has_ended(row, now):
                raise _not_good()
            if is_newest := _is(newest, row.hash):
                following = secrets.token_urlsafe(32)
                row.hash, row.number = key_hash(following), row.number + 1
                _note_use(row, now)
                return Begun(_family(row, _email(session, row)), _text(row, root, following))
        assert not is_newest
        self._revoke([id], "reuse")
        raise RequestError(
            "this refresh token was used before, so somebody else may have it: everything that came of this sign-in is "
            "revoked; sign in again",
            code="invalid_grant",
        )

    def find_session(self, token: str) -> Family | None:
        """Return the session that a cookie is of, and note its use; None if there is none, or it has ended."""
        try:
            id, root, newest = _parts(token, SESSION_PREFIX)
        except RequestError:
            return None
        now = now_ms()
        with self._reading() as session:
            row = session.get(TokenFamilyRow, id)
            if row is None or row.kind != FamilyKind.SESSION or _has_ended(row, now):
                return None
            if not (_is(root, row.root_hash) and _is(newest, row.hash)):
                return None
            found, is_noted = _family(row, _email(session, row)), now - row.used_at < USE_NOTED_MS
        if not is_noted:
            with self._noting() as session:
                used = session.get(TokenFamilyRow, id, with_for_update=True)
                if used is not None:
                    _note_use(used, now)
        return found

    def revoke_presented(self, token: str) -> None:
        """Revoke the family of a refresh token, whether or not it is the newest (RFC 7009); others change nothing."""
        try:
            id, root, _ = _parts(token, REFRESH_PREFIX)
        except RequestError:
            return
        with self._reading() as session:
            row = session.get(TokenFamilyRow, id)
            is_of_it = row is not None and _is(root, row.root_hash)
        if is_of_it:
            self._revoke([id], "revoked")

    def revoke_family(
        self, id: str, why: str = "revoked", *, tenant: str | None = None, person_id: str | None = None
    ) -> Family:
        """Revoke a family; with ``tenant`` or ``person_id``, one of others is not there. Twice changes nothing.

        Raises NotFoundError (`token_not_found`).
        """
        with self._reading() as session:
            row = session.get(TokenFamilyRow, id)
            is_theirs = row is not None and (person_id is None or row.person_id == person_id)
            if row is not None and tenant is not None:
                is_theirs = is_theirs and row.tenant_id == find_tenant(session, tenant).id
        if not is_theirs:
            raise NotFoundError(f"there is no sign-in {id[:80]!r}; the list names them", code="token_not_found")
        [revoked] = self._revoke([id], why)
        return revoked

    def revoke_families_of(self, person_id: str, why: str, *, keep: str | None = None) -> int:
        """Revoke every family of a person, except one; return how many went on."""
        now = now_ms()
        with self._reading() as session:
            of_person = select(TokenFamilyRow.id).where(
                TokenFamilyRow.person_id == person_id,
                TokenFamilyRow.revoked_at.is_(None),
                TokenFamilyRow.expires_at > now,
            )
            ids = [id for id in session.scalars(of_person) if id != keep]
        return len(self._revoke(ids, why))

    def list_families(self, tenant: str | None = None, person_id: str | None = None) -> list[Family]:
        """Return the families of a tenant (name or id), a person, both or all, oldest first."""
        query = (
            select(TokenFamilyRow, PersonRow.email)
            .outerjoin(PersonRow, PersonRow.id == TokenFamilyRow.person_id)
            .order_by(TokenFamilyRow.id)
        )
        with self._reading() as session:
            if tenant is not None:
                query = query.where(TokenFamilyRow.tenant_id == find_tenant(session, tenant).id)
            if person_id is not None:
                query = query.where(TokenFamilyRow.person_id == person_id)
            return [_family(row, email) for row, email in session.execute(query)]

    def _revoke(self, ids: Iterable[str], why: str) -> list[Family]:
        now = now_ms()
        with self._writing() as session:
            found = []
            for id in ids:
                row = session.get_one(TokenFamilyRow, id, with_for_update=True)
                if row.revoked_at is None:
                    row.revoked_at, row.revoked_for = now, why
                found.append(_family(row, _email(session, row)))
            return found

    def _make_room_for_person(self, person_id: str, now: int) -> None:
        with self._reading() as session:
            of_person = _going(now).where(TokenFamilyRow.person_id == person_id)
            crowded = list(session.scalars(of_person.order_by(TokenFamilyRow.used_at.desc())))[MAX_OF_PERSON - 1 :]
        if crowded:
            self._revoke(crowded, "crowded")

    def _make_room_for_operator(self, tenant_id: TenantId, now: int) -> None:
        with self._reading() as session:
            of_tenant = TokenFamilyRow.tenant_id == tenant_id, TokenFamilyRow.kind == str(FamilyKind.OPERATOR)
            n_going = len(list(session.scalars(_going(now).where(*of_tenant))))
        if n_going >= MAX_OF_OPERATOR:
            raise RequestError(
                f"this tenant has {n_going} tokens of operators; revoke one (`whisperer token list`)",
                code="too_many_tokens",
            )


def enter(session: Session, entries: Iterable[Entry]) -> list[Head]:
    """Enter in the audit log what is not configuration, within a transaction: the version stays the same."""
    # Of several that append, one waits: the version counter is the lock.
    session.execute(update(MetaRow).values(version=MetaRow.version))
    return append(session, entries, now_ms())


def going_on(session: Session, id: str, now: int) -> TokenFamilyRow | None:
    """Return a family that has not ended; None if there is none."""
    row = session.get(TokenFamilyRow, id)
    return None if row is None or _has_ended(row, now) else row


def tenant_and_root(session: Session, tenant_id: TenantId) -> tuple[TenantRow, TenantId] | None:
    """Return a tenant, and the id of the one whose members count for it: itself, or the one it is an environment of."""
    row = session.get(TenantRow, tenant_id)
    return None if row is None else (row, row.environment_of or row.id)


def _going(now: int) -> Select[str]:
    return select(TokenFamilyRow.id).where(TokenFamilyRow.revoked_at.is_(None), TokenFamilyRow.expires_at > now)


def _has_ended(row: TokenFamilyRow, now: int) -> bool:
    return row.revoked_at is not None or row.expires_at <= now


def _note_use(row: TokenFamilyRow, now: int) -> None:
    row.used_at = now
    row.expires_at = min(now + UNUSED_MS[row.kind], row.created_at + LONGEST_MS[row.kind])


def _text(row: TokenFamilyRow, root: str, newest: str) -> str:
    prefix = SESSION_PREFIX if row.kind == FamilyKind.SESSION else REFRESH_PREFIX
    return f"{prefix}{row.id}~{root}~{newest}"


def _parts(token: str, prefix: str) -> tuple[str, str, str]:
    parts = token.removeprefix(prefix).split("~")
    if len(token) > MAX_TOKEN_CHARACTERS or not token.startswith(prefix) or len(parts) != 3:
        raise _not_good()
    return parts[0], parts[1], parts[2]


def _is(part: str, stored: str) -> bool:
    return hmac.compare_digest(key_hash(part), stored)


def _not_good() -> RequestError:
    return RequestError("this refresh token is not good, or has ended; sign in again", code="invalid_grant")


def _email(session: Session, row: TokenFamilyRow) -> str | None:
    person = None if row.person_id is None else session.get(PersonRow, row.person_id)
    return None if person is None else person.email


def _family(row: TokenFamilyRow, email: str | None) -> Family:
    return Family(
        row.id,
        row.tenant_id or TenantId(""),
        row.kind,
        row.person_id,
        email,
        row.role,
        row.client,
        row.created_at,
        row.used_at,
        row.expires_at,
        row.revoked_at,
        row.revoked_for,
    )

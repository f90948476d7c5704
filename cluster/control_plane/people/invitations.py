"""Invitations: whoever presents the token of one becomes a member, once and before it expires.

A token is ``inv_`` and 256 random bits; the database has only its SHA-256, as of keys. The product sends no mail of its
own: whoever invites passes the token on. Nobody invites to a role that may do more than they may.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from cluster.control_plane.granting import OPERATOR, Giver
from cluster.control_plane.listing import Part, Place, rows_of
from cluster.control_plane.models import InvitationRow, MembershipRow, PersonRow
from cluster.control_plane.people.members import MAX_MEMBERS, folded, n_members
from cluster.control_plane.people.roles import permissions_of, role_named
from cluster.control_plane.transactions import Transactions, changed_home, home_of, now_ms
from whisperer.delivery.addresses import usable_address
from whisperer.errors import ConflictError, NotFoundError, Problem, ProblemsError
from whisperer.ids import TenantId, new_id
from whisperer.vocabulary.units import DAY_MS

TOKEN_PREFIX = "inv_"  # noqa: S105  the form of all of them
_RANDOM_BYTES = 32  # 43 characters of URL-safe base 64
GOOD_FOR_MS = 7 * DAY_MS
MAX_GOOD_FOR_MS = 30 * DAY_MS
MAX_KEPT = 10_000
"""Invitations of a tenant that are listed; older ones are only in the audit log."""


class InvitationError(ProblemsError):
    """Nobody can be invited this way."""

    subject = "invitation"
    code = "invalid_invitation"


class InvitationState(StrEnum):
    """Whether an invitation can be accepted, and if not, why."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REVOKED = "revoked"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation; times are ms UTC. ``token`` is there at the only moment it can be seen."""

    id: str
    email: str | None
    role: str
    invited_by: str
    created_at: int
    expires_at: int
    accepted_at: int | None
    revoked_at: int | None
    token: str | None = field(default=None, repr=False)

    def state(self, now: int) -> InvitationState:
        """Return whether it can be accepted at ``now`` (ms UTC)."""
        if self.accepted_at is not None:
            return InvitationState.ACCEPTED
        if self.revoked_at is not None:
            return InvitationState.REVOKED
        return InvitationState.EXPIRED if self.expires_at <= now else InvitationState.OPEN


class Invitations(Transactions):
    """Invites people, and lists and revokes invitations."""

    def invite(
        self,
        tenant: str,
        email: str | None,
        role: str,
        *,
        by: str,
        good_for_ms: int = GOOD_FOR_MS,
        giver: Giver = OPERATOR,
    ) -> Invitation:
        """Invite a person to a role; the token is returned here and never again. ``by`` says who invites, to people.

        ``email`` None: whoever has the token, as on the first start. Raises InvitationError, NotFoundError
        (`role_not_found`), ConflictError (`already_member`, `already_invited`, `too_many_members`,
        `belongs_to_tenant`) and ForbiddenError (`escalation`).
        """
        address = None if email is None else _address(email)
        if not 0 < good_for_ms <= MAX_GOOD_FOR_MS:
            raise _unfit("/days", f"an invitation is good for 1 to {MAX_GOOD_FOR_MS // DAY_MS} days")
        token = new_token()
        now = now_ms()
        with self._writing() as session:
            home = changed_home(session, tenant)
            _make_room(session, home.id, now)
            giver.check(permissions_of(role_named(session, home.id, role)), f"the role {role}")
            _check_address(session, home.id, address, now)
            open_ones = select(func.count()).where(InvitationRow.tenant_id == home.id, _is(InvitationState.OPEN, now))
            if n_members(session, home.id) + session.scalars(open_ones).one() >= MAX_MEMBERS:
                message = f"a tenant has at most {MAX_MEMBERS} members and open invitations"
                raise ConflictError(message, code="too_many_members")
            row = InvitationRow(
                id=new_id("ivt"),
                tenant_id=home.id,
                email=address,
                role=role,
                hash=token_hash(token),
                invited_by=by[:320],
                created_at=now,
                expires_at=now + good_for_ms,
            )
            session.add(row)
            session.flush()
            return _invitation(row, token)

    def revoke_invitation(self, tenant: str, invitation_id: str) -> Invitation:
        """Revoke an invitation; twice changes nothing. Raises NotFoundError (`invitation_not_found`) and ConflictError
        (`invitation_accepted`, `belongs_to_tenant`).
        """
        with self._writing() as session:
            row = _found(session, changed_home(session, tenant).id, invitation_id)
            if row.accepted_at is not None:
                raise ConflictError("this was accepted; remove the member instead", code="invitation_accepted")
            if row.revoked_at is None:
                row.revoked_at = now_ms()
            return _invitation(row)

    def get_invitation(self, tenant: str, invitation_id: str) -> Invitation:
        """Return an invitation. Raises NotFoundError (`invitation_not_found`)."""
        with self._reading() as session:
            return _invitation(_found(session, home_of(session, tenant).id, invitation_id))

    def page_of_invitations(
        self, tenant: str, place: Place, *, state: InvitationState | None = None
    ) -> Part[Invitation]:
        """Return a part of the invitations in the order of their making, or by when they end."""
        with self._reading() as session:
            query = _invitations(home_of(session, tenant).id)
            if state is not None:
                query = query.where(_is(state, now_ms()))
            rows, last = rows_of(session, query, InvitationRow.id, place, {"expires_at": InvitationRow.expires_at})
            return Part([_invitation(row[0]) for row in rows], last)


def new_token() -> str:
    """Return a new random token."""
    return TOKEN_PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def token_hash(token: str) -> str:
    """Return the hash under which an invitation is stored."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _address(email: str) -> str:
    found = usable_address("email", email)
    if found is None:
        raise _unfit("/email", f"{email[:80]!r} is no usable e-mail address")
    return found


def _unfit(pointer: str, message: str) -> InvitationError:
    return InvitationError([Problem(pointer=pointer, code=InvitationError.code, message=message)])


def _check_address(session: Session, tenant_id: TenantId, address: str | None, now: int) -> None:
    if address is None:
        return
    there = select(MembershipRow).join(PersonRow).where(MembershipRow.tenant_id == tenant_id)
    if session.scalars(there.where(PersonRow.folded_email == folded(address))).first() is not None:
        raise ConflictError("this person is a member already; change their role instead", code="already_member")
    same = select(InvitationRow).where(InvitationRow.tenant_id == tenant_id, _is(InvitationState.OPEN, now))
    if session.scalars(same.where(func.lower(InvitationRow.email) == folded(address))).first() is not None:
        message = "there is an open invitation for this address; revoke it to make another"
        raise ConflictError(message, code="already_invited")


def _make_room(session: Session, tenant_id: TenantId, now: int) -> None:
    """Delete the oldest invitations over the limit; open ones are far fewer, and stay."""
    n_kept = session.scalars(select(func.count()).where(InvitationRow.tenant_id == tenant_id)).one()
    if n_kept < MAX_KEPT:
        return
    ended = select(InvitationRow).where(InvitationRow.tenant_id == tenant_id, ~_is(InvitationState.OPEN, now))
    for row in session.scalars(ended.order_by(InvitationRow.id).limit(n_kept - MAX_KEPT + 1)):
        session.delete(row)


def _invitations(tenant_id: TenantId) -> Select[InvitationRow]:
    return select(InvitationRow).where(InvitationRow.tenant_id == tenant_id)


def _found(session: Session, tenant_id: TenantId, invitation_id: str) -> InvitationRow:
    row = session.get(InvitationRow, invitation_id) if "\x00" not in invitation_id else None
    if row is None or row.tenant_id != tenant_id:
        raise NotFoundError("there is no such invitation", code="invitation_not_found")
    return row


def _is(state: InvitationState, now: int) -> ColumnElement[bool]:
    if state is InvitationState.ACCEPTED:
        return InvitationRow.accepted_at.is_not(None)
    revoked = InvitationRow.revoked_at.is_not(None)
    if state is InvitationState.REVOKED:
        return InvitationRow.accepted_at.is_(None) & revoked
    waiting = InvitationRow.accepted_at.is_(None) & ~revoked
    expired = InvitationRow.expires_at <= now
    return waiting & (expired if state is InvitationState.EXPIRED else ~expired)


def _invitation(row: InvitationRow, token: str | None = None) -> Invitation:
    return Invitation(
        row.id,
        row.email,
        row.role,
        row.invited_by,
        row.created_at,
        row.expires_at,
        row.accepted_at,
        row.revoked_at,
        token,
    )

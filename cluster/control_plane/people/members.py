"""Members: people with a role in a tenant. One role each; it counts in all environments of the tenant.

Nobody gives a role that may do more than they may, nor changes or removes somebody who may do more. A tenant that has
owners keeps at least one who can sign in.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from cluster.control_plane import etags
from cluster.control_plane.granting import OPERATOR, Giver
from cluster.control_plane.listing import Part, Place, rows_of
from cluster.control_plane.models import MembershipRow, PersonRow
from cluster.control_plane.people.roles import permissions_of, role_named
from cluster.control_plane.transactions import Transactions, changed_home, home_of, now_ms
from whisperer.access.roles import Role
from whisperer.errors import ConflictError, NotFoundError
from whisperer.ids import TenantId

MAX_MEMBERS = 1_000
"""Members and open invitations of a tenant, together."""


@dataclass(frozen=True, slots=True)
class Member:
    """A person's membership; times are ms UTC.

    Attributes
    ----------
    id : of the person
    disabled_at : when the person was barred from signing in anywhere; None: they may
    """

    id: str
    email: str
    name: str
    role: str
    second_factor: bool
    created_at: int
    changed_at: int
    disabled_at: int | None

    @property
    def etag(self) -> str:
        return etags.etag("member", self.id, self.role, self.changed_at)


class Members(Transactions):
    """Lists, changes and removes members."""

    def page_of_members(self, tenant: str, place: Place, *, role: str | None = None) -> Part[Member]:
        """Return a part of the members, in the order of their persons' ids, or by email, name or role."""
        with self._reading() as session:
            query = _members(home_of(session, tenant).id)
            if role is not None:
                query = query.where(MembershipRow.role == role)
            sorts = {"email": PersonRow.folded_email, "name": PersonRow.name, "role": MembershipRow.role}
            rows, last = rows_of(session, query, MembershipRow.person_id, place, sorts)
            return Part([_member(row[0], row[1]) for row in rows], last)

    def get_member(self, tenant: str, member: str) -> Member:
        """Return a member, given by the person's id or e-mail address. Raises NotFoundError (`member_not_found`)."""
        with self._reading() as session:
            row, person = _found(session, home_of(session, tenant).id, member)
            return _member(row, person)

    def change_member(
        self, tenant: str, member: str, role: str, giver: Giver = OPERATOR, if_match: str | None = None
    ) -> Member:
        """Give a member another role. Raises NotFoundError (`member_not_found`, `role_not_found`), ConflictError
        (`last_owner`, `belongs_to_tenant`), StaleError and ForbiddenError (`escalation`).
        """
        with self._writing() as session:
            home = changed_home(session, tenant)
            row, person = _found(session, home.id, member)
            etags.check(if_match, _member(row, person).etag)
            _check_giver(session, home.id, giver, row.role)
            giver.check(permissions_of(role_named(session, home.id, role)), f"the role {role}")
            if role != row.role:
                _check_owners(session, row)
                row.role, row.changed_at = role, now_ms()
            return _member(row, person)

    def remove_member(self, tenant: str, member: str, giver: Giver = OPERATOR) -> Member:
        """End a membership; the person stays one elsewhere. Raises as :meth:`change_member`."""
        with self._writing() as session:
            home = changed_home(session, tenant)
            row, person = _found(session, home.id, member)
            _check_giver(session, home.id, giver, row.role)
            _check_owners(session, row)
            removed = _member(row, person)
            session.delete(row)
            return removed


def n_members(session: Session, tenant_id: TenantId) -> int:
    """Return how many members a tenant has."""
    return session.scalars(select(func.count()).where(MembershipRow.tenant_id == tenant_id)).one()


def folded(email: str) -> str:
    """Return the form in which two spellings of an address are the same."""
    return email.casefold()


def _members(tenant_id: TenantId) -> Select[MembershipRow, PersonRow]:
    return select(MembershipRow, PersonRow).join(PersonRow).where(MembershipRow.tenant_id == tenant_id)


def _found(session: Session, tenant_id: TenantId, member: str) -> tuple[MembershipRow, PersonRow]:
    column = PersonRow.folded_email if "@" in member else PersonRow.id
    wanted = folded(member) if "@" in member else member
    row = session.execute(_members(tenant_id).where(column == wanted)).one_or_none() if "\x00" not in member else None
    if row is None:
        raise NotFoundError("there is no such member", code="member_not_found")
    return row[0], row[1]


def _check_giver(session: Session, tenant_id: TenantId, giver: Giver, role: str) -> None:
    """Raise ForbiddenError (`escalation`) if the giver may not change who has this role."""
    try:
        giver.check(permissions_of(role_named(session, tenant_id, role)), f"a member who is {role}")
    except NotFoundError:  # of a role that is gone nothing is left to protect
        return


def _check_owners(session: Session, leaving: MembershipRow) -> None:
    """Raise ConflictError (`last_owner`) if nobody would be left who owns the tenant and can sign in."""
    if leaving.role != Role.OWNER:
        return
    others = (
        select(func.count())
        .select_from(MembershipRow)
        .join(PersonRow)
        .where(
            MembershipRow.tenant_id == leaving.tenant_id,
            MembershipRow.role == str(Role.OWNER),
            MembershipRow.person_id != leaving.person_id,
            PersonRow.disabled_at.is_(None),
        )
    )
    if session.scalars(others).one() == 0:
        raise ConflictError("this is the last owner: make somebody else an owner first", code="last_owner")


def _member(row: MembershipRow, person: PersonRow) -> Member:
    return Member(
        id=person.id,
        email=person.email,
        name=person.name,
        role=row.role,
        second_factor=person.totp_confirmed_at is not None,
        created_at=row.created_at,
        changed_at=row.changed_at,
        disabled_at=person.disabled_at,
    )

"""Roles: the built-in ones, which never change, and a tenant's own, which are sets of permissions.

Nobody defines, changes or deletes a role that may do what they may not. A role that somebody has, or would get by an
invitation or an issuer, cannot be deleted. A tenant's own role never makes owners.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cluster.control_plane import etags
from cluster.control_plane.granting import OPERATOR, Giver
from cluster.control_plane.models import InvitationRow, IssuerRow, MembershipRow, RoleRow, TokenFamilyRow
from cluster.control_plane.transactions import Transactions, changed_home, home_of, now_ms
from whisperer.access.permissions import EVERYTHING, Permission, Permissions, parsed
from whisperer.access.roles import BUILT_IN, Role
from whisperer.errors import ConflictError, NotFoundError, RequestError
from whisperer.ids import TenantId

MAX_ROLES = 100
"""Roles of a tenant's own."""
OF_OWN_ROLES: Permissions = EVERYTHING - {Permission.OWNERS_WRITE}
"""What a tenant's own role may contain."""
ROLE_PATTERN = r"[a-z][a-z0-9_-]{0,62}"


@dataclass(frozen=True, slots=True)
class RoleInfo:
    """A role; ``changed_at`` (ms UTC) is None for a built-in one."""

    name: str
    permissions: list[str]
    built_in: bool
    changed_at: int | None = None

    @property
    def etag(self) -> str:
        return etags.etag("role", self.name, *self.permissions, self.changed_at or 0)


class Roles(Transactions):
    """Defines, changes, deletes and lists roles."""

    def list_roles(self, tenant: str) -> list[RoleInfo]:
        """Return the built-in roles, then the tenant's own by name."""
        with self._reading() as session:
            own = select(RoleRow).where(RoleRow.tenant_id == home_of(session, tenant).id).order_by(RoleRow.name)
            return [_built_in(role) for role in Role] + [_info(row) for row in session.scalars(own)]

    def get_role(self, tenant: str, name: str) -> RoleInfo:
        """Return a role. Raises NotFoundError (`role_not_found`)."""
        with self._reading() as session:
            return role_named(session, home_of(session, tenant).id, name)

    def role_permissions(self, tenant: str, name: str) -> Permissions:
        """Return what a role may do; nothing if there is no such role any more."""
        with self._reading() as session:
            home = home_of(session, tenant)
            try:
                return permissions_of(role_named(session, home.id, name))
            except NotFoundError:
                return frozenset()

    def create_role(self, tenant: str, name: str, permissions: Sequence[object], giver: Giver = OPERATOR) -> RoleInfo:
        """Define a role. Raises RequestError (`invalid_name`), ConflictError (`role_exists`, `too_many_roles`,
        `belongs_to_tenant`), ForbiddenError (`escalation`) and PermissionsError.
        """
        if not re.fullmatch(ROLE_PATTERN, name):
            message = "a role's name is 1 to 63 lower-case letters, digits, '-' and '_', starting with a letter"
            raise RequestError(message, code="invalid_name")
        given = _checked(permissions)
        with self._writing() as session:
            home = changed_home(session, tenant)
            if name in BUILT_IN or session.get(RoleRow, (home.id, name)) is not None:
                raise ConflictError(f"there is a role {name!r} already", code="role_exists")
            mine = select(func.count()).select_from(RoleRow).where(RoleRow.tenant_id == home.id)
            if session.scalars(mine).one() >= MAX_ROLES:
                raise ConflictError(f"a tenant has at most {MAX_ROLES} roles of its own", code="too_many_roles")
            giver.check(given, "this role")
            row = RoleRow(tenant_id=home.id, name=name, permissions=sorted(map(str, given)), changed_at=now_ms())
            session.add(row)
            return _info(row)

    def change_role(
        self,
        tenant: str,
        name: str,
        permissions: Sequence[object],
        giver: Giver = OPERATOR,
        if_match: str | None = None,
    ) -> RoleInfo:
        """Replace a role's permissions; it takes effect for everybody who has it.

        Raises NotFoundError (`role_not_found`), ConflictError (`built_in_role`, `belongs_to_tenant`), StaleError,
        ForbiddenError (`escalation`) and PermissionsError.
        """
        given = _checked(permissions)
        with self._writing() as session:
            row = _own(session, changed_home(session, tenant).id, name)
            etags.check(if_match, _info(row).etag)
            giver.check(given | permissions_of(_info(row)), "this role")
            named = sorted(map(str, given))
            if named != row.permissions:
                row.permissions, row.changed_at = named, now_ms()
            return _info(row)

    def delete_role(self, tenant: str, name: str, giver: Giver = OPERATOR) -> None:
        """Delete a role that nobody has. Raises NotFoundError (`role_not_found`), ConflictError (`built_in_role`,
        `role_in_use`, `belongs_to_tenant`) and ForbiddenError (`escalation`).
        """
        with self._writing() as session:
            home = changed_home(session, tenant)
            row = _own(session, home.id, name)
            giver.check(permissions_of(_info(row)), "this role")
            if used := _use_of(session, home.id, name):
                raise ConflictError(f"role {name!r} is in use: {used}; give another one first", code="role_in_use")
            session.delete(row)


def role_named(session: Session, tenant_id: TenantId, name: str) -> RoleInfo:
    """Return a role of a tenant, given by id. Raises NotFoundError (`role_not_found`)."""
    if name in BUILT_IN:
        return _built_in(Role(name))
    row = session.get(RoleRow, (tenant_id, name)) if re.fullmatch(ROLE_PATTERN, name) else None
    if row is None:
        raise NotFoundError(f"there is no role {name[:80]!r}", code="role_not_found")
    return _info(row)


def permissions_of(role: RoleInfo) -> Permissions:
    """Return what a role may do; a permission of a later release gives nothing here."""
    if role.built_in:
        return BUILT_IN[Role(role.name)]
    return OF_OWN_ROLES & {Permission(one) for one in role.permissions if one in OF_OWN_ROLES}


def _checked(permissions: Sequence[object]) -> Permissions:
    return parsed(permissions, OF_OWN_ROLES, "/permissions")


def _own(session: Session, tenant_id: TenantId, name: str) -> RoleRow:
    if name in BUILT_IN:
        raise ConflictError(f"the role {name!r} is built in and never changes", code="built_in_role")
    role_named(session, tenant_id, name)
    return session.get_one(RoleRow, (tenant_id, name), with_for_update=True)


def _use_of(session: Session, tenant_id: TenantId, name: str) -> str | None:
    """Return what uses a role, in words."""
    now = now_ms()
    members = select(func.count()).where(MembershipRow.tenant_id == tenant_id, MembershipRow.role == name)
    if n := session.scalars(members).one():
        return f"{n} members have it"
    invitations = select(func.count()).where(
        InvitationRow.tenant_id == tenant_id,
        InvitationRow.role == name,
        InvitationRow.accepted_at.is_(None),
        InvitationRow.revoked_at.is_(None),
        InvitationRow.expires_at > now,
    )
    if n := session.scalars(invitations).one():
        return f"{n} open invitations name it"
    tokens = select(func.count()).where(
        TokenFamilyRow.tenant_id == tenant_id,
        TokenFamilyRow.role == name,
        TokenFamilyRow.revoked_at.is_(None),
        TokenFamilyRow.expires_at > now,
    )
    if n := session.scalars(tokens).one():
        return f"{n} tokens have it"
    issuers = session.scalars(select(IssuerRow).where(IssuerRow.tenant_id == tenant_id))
    return "an issuer gives it" if any(name in issuer.roles.values() for issuer in issuers) else None


def _built_in(role: Role) -> RoleInfo:
    return RoleInfo(role.value, sorted(map(str, BUILT_IN[role])), True)


def _info(row: RoleRow) -> RoleInfo:
    return RoleInfo(row.name, list(row.permissions), False, row.changed_at)

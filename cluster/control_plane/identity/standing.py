"""Works out what a caller may do in a tenant now: by their membership, their role, or the key that their token is of.

A membership, a role, a key and a sign-in can each be taken away; whoever asks again after a change learns it. An
environment's members and roles are those of the tenant that it belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from cluster.control_plane.audit.acting import ActorKind
from cluster.control_plane.identity.families import going_on, tenant_and_root
from cluster.control_plane.models import MembershipRow, PersonRow, RoleRow, TenantRow
from cluster.control_plane.transactions import Transactions, now_ms
from whisperer.access.permissions import EVERYTHING, Permission, Permissions
from whisperer.access.roles import BUILT_IN, Role
from whisperer.errors import RequestError
from whisperer.ids import TenantId


@dataclass(frozen=True, slots=True)
class Standing:
    """Who somebody is in a tenant, and what they may do there.

    Attributes
    ----------
    id, name : of the person or the sign-in, for the audit log
    concerns : tenants whose changes may change this
    """

    kind: ActorKind
    id: str
    name: str
    tenant_id: TenantId
    role: str
    permissions: Permissions
    concerns: frozenset[TenantId]


class Standings(Transactions):
    """Finds what callers may do."""

    def standing(self, tenant_id: TenantId, family_id: str) -> Standing | None:
        """Return what a sign-in may do in its tenant: a person's by their membership, an operator's by its role.

        None if it has ended, is of another tenant, or its person is no longer a member.
        """
        with self._reading() as session:
            family = going_on(session, family_id, now_ms())
            if family is None or family.tenant_id != tenant_id:
                return None
            if family.person_id is not None:
                return standing_of_person(session, tenant_id, family.person_id)
            if family.role is None:
                return None
            name = f"operator's token ({family.role})"
            return _by_role(session, ActorKind.OPERATOR, tenant_id, family.role, family.id, name)

    def standing_of_person(self, tenant_id: TenantId, person_id: str) -> Standing | None:
        """Return what a person may do in a tenant; None if they are no member."""
        with self._reading() as session:
            return standing_of_person(session, tenant_id, person_id)

    def standing_of_role(self, tenant_id: TenantId, role: str, id: str, name: str) -> Standing | None:
        """Return what somebody with a role may do whom a foreign issuer vouches for; None if there is no such role."""
        with self._reading() as session:
            return _by_role(session, ActorKind.PERSON, tenant_id, role, id, name)


def _by_role(session: Session, kind: ActorKind, tenant_id: TenantId, role: str, id: str, name: str) -> Standing | None:
    found = tenant_and_root(session, tenant_id)
    permissions = None if found is None else permissions_of(session, found[1], role)
    if found is None or permissions is None:
        return None
    return Standing(kind, id[:64], name, tenant_id, role, permissions, frozenset({tenant_id, found[1]}))


def standing_of_person(session: Session, tenant_id: TenantId, person_id: str) -> Standing | None:
    """Return what a person may do in a tenant; None if they are no member, or may not sign in."""
    found = tenant_and_root(session, tenant_id)
    person = session.get(PersonRow, person_id)
    if found is None or person is None or person.disabled_at is not None:
        return None
    membership = session.get(MembershipRow, (found[1], person_id))
    permissions = None if membership is None else permissions_of(session, found[1], membership.role)
    if membership is None or permissions is None:
        return None
    return Standing(
        ActorKind.PERSON,
        person.id,
        person.email,
        tenant_id,
        membership.role,
        permissions,
        frozenset({tenant_id, found[1]}),
    )


def permissions_of(session: Session, root: TenantId, role: str) -> Permissions | None:
    """Return what a role may do in a tenant; None if it has no such role."""
    if role in list(Role):
        return BUILT_IN[Role(role)]
    row = session.get(RoleRow, (root, role))
    if row is None:
        return None
    # A permission of a later release gives nothing here.
    return frozenset(Permission(one) for one in row.permissions if one in EVERYTHING)


def check_role(session: Session, tenant: TenantRow, role: str) -> None:
    """Check that a tenant has a role. Raises RequestError (`unknown_role`)."""
    root = tenant.environment_of or tenant.id
    if permissions_of(session, root, role) is None:
        known = ", ".join(Role)
        raise RequestError(
            f"there is no role {role[:80]!r}; roles are {known} and the tenant's own", code="unknown_role"
        )

"""People: how they come in by an invitation, what their password is checked against, and how it is changed.

An address names one person, in any case of letters, whichever tenants they are a member of. Whoever accepts an
invitation under an address that has an account already must know its password: an invitation never changes one. People
whom an OpenID Connect issuer vouches for are known by issuer and subject, so no issuer can speak for somebody else's
address.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cluster.control_plane.audit.entries import Entry, Verb
from cluster.control_plane.granting import Giver
from cluster.control_plane.identity import passwords
from cluster.control_plane.identity.families import Families
from cluster.control_plane.identity.standing import permissions_of
from cluster.control_plane.keys import key_hash
from cluster.control_plane.models import (
    InvitationRow,
    MembershipRow,
    PersonRow,
    TenantRow,
    TenantSettingsRow,
)
from cluster.control_plane.tenants import add_tenant
from cluster.control_plane.transactions import changed_home, now_ms
from whisperer.access.roles import Role
from whisperer.errors import ConflictError, NotFoundError, Problem, ProblemsError, RequestError
from whisperer.ids import TenantId, new_id
from whisperer.vocabulary.units import DAY_MS

INVITATION_PREFIX = "inv_"
INVITATION_MS = 7 * DAY_MS
MAX_NAME = 200
FIRST_TENANT = "main"
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f<>(),:;\[\]\"\\]{1,64}@[^@\s\x00-\x1f\x7f<>(),:;\[\]\"\\]{1,255}")


class PersonError(ProblemsError):
    """What is said of a person cannot be used."""

    subject = "person"
    code = "invalid_person"


@dataclass(frozen=True, slots=True)
class Person:
    """A person; times are ms UTC. ``has_second_factor``: it is in force."""

    id: str
    email: str
    name: str
    created_at: int
    disabled_at: int | None
    has_password: bool
    has_second_factor: bool


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a password is checked against; of an address without an account, nothing fits."""

    person: Person | None
    password_hash: str | None


@dataclass(frozen=True, slots=True)
class Invited:
    """An open invitation, as its holder may see it. ``has_account``: the address signs in already."""

    tenant_name: str
    email: str | None
    role: str
    invited_by: str
    expires_at: int
    has_account: bool


@dataclass(frozen=True, slots=True)
class Place:
    """A tenant, or an environment of one, that a person may sign in to."""

    tenant_id: TenantId
    name: str
    role: str
    needs_second_factor: bool


class People(Families):
    """Finds people, takes invitations, and changes passwords."""

    def credentials(self, email: str) -> Credentials:
        """Return what the password of an address is checked against."""
        with self._reading() as session:
            row = _by_email(session, email)
            good = row is not None and row.disabled_at is None
            return Credentials(
                _person(row) if row is not None and good else None, row.password_hash if row and good else None
            )

    def person(self, person_id: str) -> Person:
        """Return a person. Raises NotFoundError (`person_not_found`)."""
        with self._reading() as session:
            return _person(_get(session, person_id))

    def find_person(self, email_or_id: str) -> Person:
        """Return a person by address or id. Raises NotFoundError (`person_not_found`)."""
        with self._reading() as session:
            row = session.get(PersonRow, email_or_id) or _by_email(session, email_or_id)
            if row is None:
                raise _nobody(email_or_id)
            return _person(row)

    def list_people(self) -> list[Person]:
        """Return everybody, by address."""
        with self._reading() as session:
            return [_person(row) for row in session.scalars(select(PersonRow).order_by(PersonRow.folded_email))]

    def password_hash(self, person_id: str) -> str | None:
        """Return the hash of a person's password; None without one."""
        with self._reading() as session:
            return _get(session, person_id).password_hash

    def places(self, person_id: str) -> list[Place]:
        """Return where a person may sign in, by name: their tenants, and those tenants' environments."""
        with self._reading() as session:
            memberships = select(MembershipRow.tenant_id, MembershipRow.role).where(
                MembershipRow.person_id == person_id
            )
            found = []
            for root, role in session.execute(memberships):
                if permissions_of(session, root, role) is None:
                    continue
                settings = session.get(TenantSettingsRow, root)
                needs = settings is not None and settings.second_factor
                of_it = select(TenantRow).where((TenantRow.id == root) | (TenantRow.environment_of == root))
                found += [Place(row.id, row.name, role, needs) for row in session.scalars(of_it)]
            return sorted(found, key=lambda place: place.name)

    def invitation(self, token: str) -> Invited:
        """Return an open invitation by its token. Raises NotFoundError (`invitation_not_found`)."""
        with self._reading() as session:
            row = _open_invitation(session, token, now_ms())
            tenant = session.get_one(TenantRow, row.tenant_id)
            has_account = row.email is not None and _by_email(session, row.email) is not None
            return Invited(tenant.name, row.email, row.role, row.invited_by, row.expires_at, has_account)

    def accept_invitation(self, token: str, email: str | None, name: str, password: str) -> tuple[Person, str]:
        """Make the holder of an invitation a member, with a new account, or by the password of the one they have.

        Return them and their tenant's name. The caller limits how often this is tried.

        Raises NotFoundError (`invitation_not_found`), PersonError, PasswordError, ConflictError (`already_member`),
        and RequestError (`wrong_password`) where the address has an account.
        """
        with self._reading() as session:
            row = _open_invitation(session, token, now_ms())
            address = check_email(row.email or email or "")
            existing = _by_email(session, address)
            stored = existing.password_hash if existing is not None and existing.disabled_at is None else None
        if existing is None:
            passwords.check_usable(password, address)
            if not name.strip() or len(name) > MAX_NAME:
                raise PersonError([_problem("/name", f"say the name, in at most {MAX_NAME} characters")])
            made: str | None = passwords.hashed(password)  # before the transaction: it takes long
        elif not passwords.matches(password, stored):
            raise RequestError("this address has an account, and this is not its password", code="wrong_password")
        else:
            made = None
        now = now_ms()
        try:
            with self._writing() as session:
                row = _open_invitation(session, token, now)
                person = _by_email(session, address)
                if person is None:
                    person = _new_person(address, name.strip(), made, now)
                    session.add(person)
                    session.flush()
                elif existing is None:
                    raise _taken()
                if session.get(MembershipRow, (row.tenant_id, person.id)) is not None:
                    raise ConflictError("you are a member of this tenant already; sign in", code="already_member")
                row.accepted_at = now
                session.add(
                    MembershipRow(
                        tenant_id=row.tenant_id, person_id=person.id, role=row.role, created_at=now, changed_at=now
                    )
                )
                return _person(person), session.get_one(TenantRow, row.tenant_id).name
        except IntegrityError:
            raise _taken() from None

    def invite_first_owner(self) -> tuple[str, str] | None:
        """Return an invitation for the first owner, and its tenant's name: the oldest one's, else :data:`FIRST_TENANT`,
        made for it. None if there are people already, or an invitation is open.
        """
        now = now_ms()
        still = (
            InvitationRow.accepted_at.is_(None),
            InvitationRow.revoked_at.is_(None),
            InvitationRow.expires_at > now,
        )
        with self._writing() as session:
            has_people = session.scalar(select(func.count()).select_from(PersonRow))
            if has_people or session.scalar(select(func.count()).select_from(InvitationRow).where(*still)):
                return None
            tenants = select(TenantRow).where(TenantRow.environment_of.is_(None)).order_by(TenantRow.id)
            tenant = session.scalars(tenants.limit(1)).one_or_none() or add_tenant(session, FIRST_TENANT)
            token = new_invitation_token()
            session.add(
                InvitationRow(
                    id=new_id("inv"),
                    tenant_id=tenant.id,
                    email=None,
                    role=str(Role.OWNER),
                    hash=key_hash(token),
                    invited_by="this installation",
                    created_at=now,
                    expires_at=now + INVITATION_MS,
                )
            )
            return token, tenant.name

    def set_password(
        self, person_id: str, password: str, *, keep: str | None = None, expected: str | None = None
    ) -> None:
        """Change a person's password, and end all their sign-ins except ``keep``.

        With ``expected``, only if the stored hash still is that one: a link that was used is used up. Raises
        PasswordError, NotFoundError and RequestError (`link_used`).
        """
        passwords.check_usable(password, self.person(person_id).email)
        made = passwords.hashed(password)
        with self._writing() as session:
            row = _get(session, person_id)
            if expected is not None and reset_mark(row) != expected:
                raise RequestError("this link was used, or another was made since; ask for a new one", code="link_used")
            row.password_hash = made
        self.revoke_families_of(person_id, "password", keep=keep)

    def reset_mark_of(self, person_id: str) -> str:
        """Return what a link that sets a password names: it changes when the password does."""
        with self._reading() as session:
            return reset_mark(_get(session, person_id))

    def check_may_reset(self, person_id: str, tenant: str, giver: Giver) -> Person:
        """Check that a tenant's members may make a link that sets a person's password, and return that person.

        Their password opens every tenant that they are a member of, so only those of this one alone may be reset; and
        it gives whoever has the link all that they may do, so nobody resets somebody who may do more. Raises
        NotFoundError (`person_not_found`), ConflictError (`of_other_tenants`, `belongs_to_tenant`) and ForbiddenError
        (`escalation`).
        """
        with self._reading() as session:
            root = changed_home(session, tenant).id
            membership = session.get(MembershipRow, (root, person_id))
            if membership is None:
                raise _nobody(person_id)
            others = select(MembershipRow.tenant_id).where(
                MembershipRow.person_id == person_id, MembershipRow.tenant_id != root
            )
            if session.scalars(others).first() is not None:
                raise ConflictError(
                    "they are a member of other tenants, too; the operator can make a link (`whisperer person reset`)",
                    code="of_other_tenants",
                )
            giver.check(permissions_of(session, root, membership.role) or frozenset(), "a link for this member")
            return _person(_get(session, person_id))

    def disable_person(self, person_id: str, *, disabled: bool = True) -> Person:
        """Keep a person from signing in anywhere, or let them again; their sign-ins end."""
        with self._writing() as session:
            row = _get(session, person_id)
            row.disabled_at = (row.disabled_at or now_ms()) if disabled else None
            changed = _person(row)
        if disabled:
            self.revoke_families_of(person_id, "revoked")
        return changed

    def enter_sign_in(self, person_id: str, what: str) -> None:
        """Enter in the audit logs of a person's tenants that they tried to sign in, such as `sign_in_failed`."""
        with self._reading() as session:
            of_person = select(MembershipRow.tenant_id).where(MembershipRow.person_id == person_id)
            tenants = list(session.scalars(of_person)) or [TenantId("")]
        self.note_in_audit_log(Entry(tenant, Verb.DID, "people", person_id, None, {"what": what}) for tenant in tenants)

    def person_id_of_issuer(self, issuer_id: str, subject: str) -> str | None:
        """Return the id of somebody whom an issuer has signed in before; None if it never did."""
        folded = issuer_key(issuer_id, subject)
        with self._reading() as session:
            return session.scalars(select(PersonRow.id).where(PersonRow.folded_email == folded)).one_or_none()

    def person_of_issuer(
        self, issuer_id: str, tenant_id: TenantId, subject: str, email: str, name: str, role: str | None
    ) -> Person:
        """Return the person whom an issuer vouches for, made at their first sign-in, with the role that it gives.

        Raises RequestError (`not_a_member`) where it gives none and they are no member.
        """
        now = now_ms()
        folded = issuer_key(issuer_id, subject)
        with self._writing() as session:
            found = session.get_one(TenantRow, tenant_id)
            root = found.environment_of or found.id
            row = session.scalars(select(PersonRow).where(PersonRow.folded_email == folded)).one_or_none()
            membership = None if row is None else session.get(MembershipRow, (root, row.id))
            if role is None and membership is None:
                raise _no_member()
            if row is None:
                row = _new_person(email[:320], (name or email)[:MAX_NAME], None, now)
                row.folded_email = folded
                session.add(row)
                session.flush()
            elif row.disabled_at is not None:
                raise _no_member()
            elif row.email != email[:320]:
                row.email = email[:320]
            if membership is None:
                assert role is not None
                made = MembershipRow(tenant_id=root, person_id=row.id, role=role, created_at=now, changed_at=now)
                session.add(made)
            elif role is not None and membership.role != role:
                membership.role, membership.changed_at = role, now
            return _person(row)


def new_invitation_token() -> str:
    """Return the text of a new invitation; what is stored is its :func:`~cluster.control_plane.keys.key_hash`."""
    return INVITATION_PREFIX + secrets.token_urlsafe(32)


def issuer_key(issuer_id: str, subject: str) -> str:
    """Return under what a person is known whom an issuer vouches for: no e-mail address has this form."""
    return f"{issuer_id}:{key_hash(subject)}"


def check_email(email: str) -> str:
    """Return an address as it is stored. Raises PersonError."""
    stripped = email.strip()
    if not _EMAIL.fullmatch(stripped):
        raise PersonError([_problem("/email", "write an e-mail address")])
    return stripped


def reset_mark(row: PersonRow) -> str:
    return key_hash(f"{row.id} {row.password_hash}")[:32]


def _by_email(session: Session, email: str) -> PersonRow | None:
    folded = email.strip().casefold()
    if len(folded) > 320 or "@" not in folded:
        return None
    return session.scalars(select(PersonRow).where(PersonRow.folded_email == folded)).one_or_none()


def _get(session: Session, person_id: str) -> PersonRow:
    row = session.get(PersonRow, person_id)
    if row is None:
        raise _nobody(person_id)
    return row


def _open_invitation(session: Session, token: str, now: int) -> InvitationRow:
    of_token = select(InvitationRow).where(InvitationRow.hash == key_hash(token)).with_for_update()
    row = session.scalars(of_token).one_or_none()
    if row is None or row.accepted_at is not None or row.revoked_at is not None or row.expires_at <= now:
        raise NotFoundError(
            "this invitation is not there, was used, or has ended; ask for a new one", code="invitation_not_found"
        )
    return row


def _new_person(email: str, name: str, password_hash: str | None, now: int) -> PersonRow:
    return PersonRow(
        id=new_id("psn"),
        email=email,
        folded_email=email.casefold(),
        name=name,
        password_hash=password_hash,
        created_at=now,
    )


def _person(row: PersonRow) -> Person:
    has_password, has_second_factor = row.password_hash is not None, row.totp_confirmed_at is not None
    return Person(row.id, row.email, row.name, row.created_at, row.disabled_at, has_password, has_second_factor)


def _problem(pointer: str, message: str) -> Problem:
    return Problem(pointer=pointer, code=PersonError.code, message=message)


def _nobody(name: str) -> NotFoundError:
    return NotFoundError(f"there is no person {name[:80]!r}", code="person_not_found")


def _no_member() -> RequestError:
    return RequestError("you are not a member of a tenant here; ask its owner for an invitation", code="not_a_member")


def _taken() -> ConflictError:
    return ConflictError("somebody took this address at the same moment; open the invitation again", code="email_taken")

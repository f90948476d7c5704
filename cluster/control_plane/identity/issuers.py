"""OpenID Connect issuers that a tenant trusts: for the tokens that they sign, and for its people to sign in with.

An issuer and audience belong to one tenant, so a token is never of two. What a value of the role claim gives is the
tenant's to say; "*" is for everybody else, and without it they are refused. No mapping makes an owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cluster.control_plane.identity.standing import permissions_of
from cluster.control_plane.models import IssuerRow
from cluster.control_plane.transactions import Transactions, find_tenant, now_ms
from whisperer.access.roles import Role
from whisperer.errors import ConflictError, NotFoundError, Problem, ProblemsError
from whisperer.ids import TenantId, new_id

MAX_ISSUERS = 20
MAX_ROLES = 100
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class IssuerError(ProblemsError):
    """An issuer cannot be used."""

    subject = "issuer"
    code = "invalid_issuer"


@dataclass(frozen=True, slots=True)
class Issuer:
    """A trusted issuer; times are ms UTC.

    Attributes
    ----------
    audience : what its tokens must be for
    client_id, client_secret : as which this installation is registered there; the secret is None for public clients
    role_claim, roles : the claim whose values give roles, and which
    """

    id: str
    tenant_id: TenantId
    issuer: str
    audience: str
    client_id: str
    client_secret: str | None
    role_claim: str
    roles: Mapping[str, str]
    created_at: int
    changed_at: int

    def role_of(self, claims: Mapping[str, object]) -> str | None:
        """Return the role that claims give; None if they give none. Of several, that which is listed first."""
        value = claims.get(self.role_claim)
        named = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        return next((role for name, role in self.roles.items() if name in named), self.roles.get("*"))


class Issuers(Transactions):
    """Adds, changes, removes and finds issuers."""

    def add_issuer(
        self,
        tenant: str,
        issuer: str,
        *,
        client_id: str,
        client_secret: str | None = None,
        audience: str | None = None,
        role_claim: str = "roles",
        roles: Mapping[str, str] | None = None,
    ) -> Issuer:
        """Trust an issuer for a tenant (name or id); ``audience`` is the client's id by default.

        Raises NotFoundError (`tenant_not_found`), IssuerError and ConflictError (`issuer_exists`, `too_many_issuers`).
        """
        now = now_ms()
        with self._writing() as session:
            owner = find_tenant(session, tenant)
            row = IssuerRow(
                id=new_id("iss"),
                tenant_id=owner.id,
                issuer=issuer,
                audience=client_id if audience is None else audience,
                client_id=client_id,
                client_secret=client_secret,
                role_claim=role_claim,
                roles=dict(roles or {}),
                created_at=now,
                changed_at=now,
            )
            _check(session, row, owner.environment_of or owner.id)
            n_issuers = session.scalar(
                select(func.count()).select_from(IssuerRow).where(IssuerRow.tenant_id == owner.id)
            )
            if (n_issuers or 0) >= MAX_ISSUERS:
                raise ConflictError(f"a tenant has at most {MAX_ISSUERS} issuers", code="too_many_issuers")
            session.add(row)
            return _issuer(row)

    def change_issuer(self, id: str, tenant: str, changes: Mapping[str, object]) -> Issuer:
        """Change an issuer's audience, client or roles. Raises as :meth:`add_issuer`, and NotFoundError."""
        with self._writing() as session:
            row = _of_tenant(session, id, tenant)
            owner = find_tenant(session, tenant)
            for name, value in changes.items():
                setattr(row, name, value)
            row.changed_at = now_ms()
            with session.no_autoflush:
                _check(session, row, owner.environment_of or owner.id)
            return _issuer(row)

    def remove_issuer(self, id: str, tenant: str | None = None) -> Issuer:
        """Trust an issuer no more: its tokens stop at once. Raises NotFoundError (`issuer_not_found`)."""
        with self._writing() as session:
            row = _of_tenant(session, id, tenant)
            session.delete(row)
            return _issuer(row)

    def get_issuer(self, id: str, tenant: str | None = None) -> Issuer:
        """Return an issuer. Raises NotFoundError (`issuer_not_found`)."""
        with self._reading() as session:
            return _issuer(_of_tenant(session, id, tenant))

    def list_issuers(self, tenant: str | None = None) -> list[Issuer]:
        """Return the issuers of a tenant (name or id), or all, oldest first."""
        query = select(IssuerRow).order_by(IssuerRow.id)
        with self._reading() as session:
            if tenant is not None:
                query = query.where(IssuerRow.tenant_id == find_tenant(session, tenant).id)
            return [_issuer(row) for row in session.scalars(query)]

    def issuers_named(self, issuer: str) -> list[Issuer]:
        """Return all tenants' issuers of this address: their audiences tell them apart."""
        with self._reading() as session:
            return [_issuer(row) for row in session.scalars(select(IssuerRow).where(IssuerRow.issuer == issuer))]


def is_allowed(url: str) -> bool:
    """Return whether an issuer may have this address: https, or http on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.query or parts.fragment or not url.isprintable():
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)


def _check(session: Session, row: IssuerRow, root: TenantId) -> None:
    problems = []
    if len(row.issuer) > 500 or not is_allowed(row.issuer):
        problems.append(_problem("/issuer", "an issuer is an https:// address without query (http on this machine)"))
    for name in ("audience", "client_id"):
        value = getattr(row, name)
        if not isinstance(value, str) or not 0 < len(value) <= 200:
            problems.append(_problem(f"/{name}", "write 1 to 200 characters"))
    if not 0 < len(row.role_claim) <= 63:
        problems.append(_problem("/role_claim", "write the name of a claim, 1 to 63 characters"))
    if row.client_secret is not None and not 0 < len(row.client_secret) <= 500:
        problems.append(_problem("/client_secret", "write 1 to 500 characters, or leave it out"))
    if len(row.roles) > MAX_ROLES:
        problems.append(_problem("/roles", f"write at most {MAX_ROLES}"))
    for value, role in list(row.roles.items())[:MAX_ROLES]:
        at = "/roles/" + value.replace("~", "~0").replace("/", "~1")
        if role == Role.OWNER:
            problems.append(_problem(at, "no issuer makes owners; invite them"))
        elif not isinstance(role, str) or permissions_of(session, root, role) is None:
            problems.append(_problem(at, f"there is no role {str(role)[:63]!r}"))
    if problems:
        raise IssuerError(problems)
    same = select(IssuerRow.id).where(
        IssuerRow.issuer == row.issuer, IssuerRow.audience == row.audience, IssuerRow.id != row.id
    )
    if session.scalars(same).first() is not None:
        raise ConflictError(
            "this issuer and audience are in use here; register another client there, and use its id as audience",
            code="issuer_exists",
        )


def _of_tenant(session: Session, id: str, tenant: str | None) -> IssuerRow:
    row = session.get(IssuerRow, id)
    if row is None or (tenant is not None and row.tenant_id != find_tenant(session, tenant).id):
        raise NotFoundError(f"there is no issuer {id[:80]!r}", code="issuer_not_found")
    return row


def _problem(pointer: str, message: str) -> Problem:
    return Problem(pointer=pointer, code=IssuerError.code, message=message)


def _issuer(row: IssuerRow) -> Issuer:
    return Issuer(
        row.id,
        row.tenant_id,
        row.issuer,
        row.audience,
        row.client_id,
        row.client_secret,
        row.role_claim,
        dict(row.roles),
        row.created_at,
        row.changed_at,
    )

"""Grants access tokens, which last :data:`ACCESS_LIFE_S`: to people, to keys, and to whom an operator chooses.

An access token names who it is for and in which tenant; its roles and permissions are for its holder to see, and what
counts is worked out when it is presented (:mod:`.standing`).
"""

from __future__ import annotations

from dataclasses import dataclass

from cluster.control_plane.identity.families import Begun, Families, Family, FamilyKind
from cluster.control_plane.identity.jwts import Use
from cluster.control_plane.identity.signing_keys import SigningKeys
from cluster.control_plane.identity.standing import Standings, check_role
from cluster.control_plane.key_records import KeyRecord
from cluster.control_plane.transactions import find_tenant
from whisperer.errors import RequestError
from whisperer.ids import TenantId
from whisperer.settings import ServerSettings

ACCESS_LIFE_S = 15 * 60


@dataclass(frozen=True, slots=True)
class Granted:
    """Tokens, at the only moment that they can be seen; ``refresh_token`` is None where there is none."""

    access_token: str
    refresh_token: str | None
    expires_in: int
    tenant_id: TenantId


def issuer_of(server: ServerSettings) -> str:
    """Return what tokens of an installation name as their issuer: its address where it has a public one."""
    return server.public_url.rstrip("/") or "user-whisperer"


class Grants(SigningKeys, Families, Standings):
    """Grants tokens."""

    def grant_to_operator(self, tenant: str, role: str, client: str, issuer: str) -> Granted:
        """Grant tokens that may do what a role may in a tenant (name or id).

        Raises NotFoundError (`tenant_not_found`), RequestError (`unknown_role`, `too_many_tokens`).
        """
        with self._reading() as session:
            found = find_tenant(session, tenant)
            check_role(session, found, role)
            tenant_id = found.id
        return self._granted(self.begin_family(tenant_id, FamilyKind.OPERATOR, client, role=role), issuer)

    def grant_to_person(self, tenant_id: TenantId, person_id: str, client: str, issuer: str) -> Granted:
        """Grant tokens to a member who has proved who they are."""
        begun = self.begin_family(tenant_id, FamilyKind.REFRESH, client, person_id=person_id)
        return self._granted(begun, issuer)

    def grant_to_key(self, key: KeyRecord, issuer: str) -> Granted:
        """Grant an access token that may do what a secret key may; there is no refresh token: the key is one."""
        claims = {
            "sub": key.id,
            "tenant": key.tenant_id,
            "roles": [],
            "permissions": sorted(key.permissions),
            "client_id": key.id,
        }
        token = self.sign(Use.ACCESS, claims, issuer=issuer, life_s=ACCESS_LIFE_S)
        return Granted(token, None, ACCESS_LIFE_S, key.tenant_id)

    def refresh(self, refresh_token: str, issuer: str) -> Granted:
        """Take a refresh token, and grant an access token and the next refresh token.

        Raises RequestError (`invalid_grant`), also for who is no longer a member.
        """
        return self._granted(self.refresh_family(refresh_token), issuer)

    def _granted(self, begun: Begun, issuer: str) -> Granted:
        family = begun.family
        standing = self.standing(family.tenant_id, family.id)
        if standing is None:
            raise RequestError("whom this token was for is not a member any more", code="invalid_grant")
        claims = {
            "sub": _subject(family),
            "sid": family.id,
            "tenant": family.tenant_id,
            "roles": [standing.role],
            "permissions": sorted(standing.permissions),
        }
        if family.email is not None:
            claims["email"] = family.email
        token = self.sign(Use.ACCESS, claims, issuer=issuer, life_s=ACCESS_LIFE_S)
        return Granted(token, begun.token, ACCESS_LIFE_S, family.tenant_id)


def _subject(family: Family) -> str:
    return family.person_id or family.id

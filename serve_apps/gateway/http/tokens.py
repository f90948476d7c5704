"""Finds whom a JSON Web Token acts for: one of ours, or one of an OpenID Connect issuer that a tenant has configured.

What was found is kept by the token's hash until the token ends, or the control plane says that something of its tenant
has changed; so a request costs one hash, and what is taken from somebody stops within `poll_interval_ms`. At most
:data:`MAX_REMEMBERED` are kept; a token that is not good is never kept. Keys are found by ids among those that we have:
a kid that nobody knows makes the database be read at most once in :data:`REREAD_S`.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from cluster.control_plane import Changes, ControlPlane
from cluster.control_plane.audit.acting import ActorKind
from cluster.control_plane.identity.families import Family
from cluster.control_plane.identity.jwts import AUDIENCE, PublicKey, Unverified, Use, read, refused, verified
from cluster.control_plane.identity.standing import Standing
from cluster.control_plane.key_records import KeyRecord
from serve_apps.gateway.http.principal import Principal
from whisperer.ids import TenantId

MAX_REMEMBERED = 10_000
REREAD_S = 1.0
SESSION_KEPT_MS = 60_000
"""A session is looked up again after this time, which also notes its use."""

Look = Callable[..., Awaitable[Any]]
"""Runs a function of the control plane in a thread. Raises UnavailableError while its database is away."""


class Foreign(Protocol):
    """Finds whom a token of another issuer acts for."""

    async def standing(self, unverified: Unverified) -> tuple[Standing, dict[str, Any]]:
        """Return who it is and the token's claims. Raises InvalidKeyError and UnavailableError."""


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal
    ends_ms: int
    concerns: frozenset[TenantId]
    key: KeyRecord | None = None


class Tokens:
    """The tokens and sessions known to one replica. Use from one event loop."""

    def __init__(self, plane: ControlPlane, look: Look, issuer: str, clock_ms: Callable[[], int]) -> None:
        self.issuer = issuer
        self._plane = plane
        self._look = look
        self._clock_ms = clock_ms
        self._foreign: Foreign | None = None
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._keys: dict[str, PublicKey] = {}
        self._reread_ms = 0
        """The keys may be read again from then on."""
        self._n_forgotten = 0

    def trust(self, foreign: Foreign) -> None:
        """Take the tokens of other issuers, too."""
        self._foreign = foreign

    async def principal(self, token: str, address: str | None) -> Principal:
        """Return whom a token acts for. Raises InvalidKeyError (`invalid_token`) and UnavailableError."""
        known = self._remembered(digest := _digest("token", token))
        if known is None:
            n_forgotten = self._n_forgotten
            known = await self._verify(read(token))
            self._remember(digest, known, n_forgotten)
        if known.key is not None and not known.key.is_usable(self._clock_ms(), address):
            raise refused("the key that it is of may not be used now, or from here")
        return known.principal

    async def session(self, cookie: str) -> Principal:
        """Return whose session a cookie is of. Raises InvalidKeyError (`invalid_token`) and UnavailableError."""
        known = self._remembered(digest := _digest("session", cookie))
        if known is None:
            n_forgotten = self._n_forgotten
            family: Family | None = await self._look(self._plane.find_session, cookie)
            if family is None:
                raise refused("this session has ended; sign in again")
            standing = await self._standing(family.tenant_id, family.id)
            until = min(family.expires_at, self._clock_ms() + SESSION_KEPT_MS)
            known = _Known(_principal(standing, family.id), until, standing.concerns)
            self._remember(digest, known, n_forgotten)
        return known.principal

    def forget(self, changes: Changes) -> None:
        """Drop what has changed."""
        if changes.everything:
            self._known.clear()
            self._keys, self._reread_ms = {}, 0
            self._n_forgotten += 1
        elif changes.tenants:
            self._n_forgotten += 1
            for digest in [d for d, known in self._known.items() if known.concerns & changes.tenants]:
                del self._known[digest]

    async def _verify(self, unverified: Unverified) -> _Known:
        if unverified.issuer != self.issuer:
            if self._foreign is None:
                raise refused("nobody here trusts its issuer")
            standing, claims = await self._foreign.standing(unverified)
            return _Known(_principal(standing, ""), int(claims["exp"]) * 1000, standing.concerns)
        claims = await self.of_ours(unverified, Use.ACCESS)
        tenant_id, family_id, subject = (claims.get(name) for name in ("tenant", "sid", "sub"))
        if not isinstance(tenant_id, str) or not isinstance(subject, str):
            raise refused("it names no tenant")
        ends_ms = int(claims["exp"]) * 1000
        if isinstance(family_id, str):
            standing = await self._standing(TenantId(tenant_id), family_id)
            return _Known(_principal(standing, family_id), ends_ms, standing.concerns)
        key: KeyRecord | None = await self._look(self._plane.find_key_by_id, subject)
        if key is None or key.tenant_id != tenant_id:
            raise refused("the key that it is of was revoked")
        principal = Principal(ActorKind.KEY, key.id, key.label or key.id, key.tenant_id, key.permissions)
        return _Known(principal, ends_ms, frozenset({key.tenant_id}), key)

    async def of_ours(self, unverified: Unverified, use: Use) -> dict[str, Any]:
        """Return the claims of a token of ours. Raises InvalidKeyError (`invalid_token`) and UnavailableError."""
        if unverified.type != use:
            raise refused("it is of another type (typ)")
        key = await self._key(unverified.key_id or "")
        return verified(unverified, key, issuer=self.issuer, audience=AUDIENCE)

    async def _key(self, key_id: str) -> PublicKey:
        if key_id not in self._keys and self._clock_ms() >= self._reread_ms:
            self._reread_ms = self._clock_ms() + int(REREAD_S * 1000)
            self._keys = await self._look(self._plane.verification_keys)
        found = self._keys.get(key_id)
        if found is None:
            raise refused("no key of ours has its kid")
        return found

    async def _standing(self, tenant_id: TenantId, family_id: str) -> Standing:
        standing: Standing | None = await self._look(self._plane.standing, tenant_id, family_id)
        if standing is None:
            raise refused("it was revoked, or whom it is for is not a member any more")
        return standing

    def _remembered(self, digest: bytes) -> _Known | None:
        known = self._known.get(digest)
        if known is None:
            return None
        if known.ends_ms <= self._clock_ms():
            del self._known[digest]
            return None
        self._known.move_to_end(digest)
        return known

    def _remember(self, digest: bytes, known: _Known, n_forgotten: int) -> None:
        if n_forgotten != self._n_forgotten:  # it may have been revoked while we looked
            return
        self._known[digest] = known
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)


def _digest(kind: str, text: str) -> bytes:
    return hashlib.sha256(f"{kind} {text}".encode("utf-8", "surrogatepass")).digest()


def _principal(standing: Standing, family_id: str) -> Principal:
    return Principal(standing.kind, standing.id, standing.name, standing.tenant_id, standing.permissions, family_id)

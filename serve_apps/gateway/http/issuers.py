"""Asks OpenID Connect issuers for their keys, and checks the tokens that they sign for people.

Keys come from where the issuer's own discovery document says, over https, or http on this machine where the
installation itself is for this machine alone; an address that is private otherwise is never called (as for webhooks,
:mod:`serve_apps.delivery.ssrf`). They are kept for :data:`FRESH_S`. A kid that is not among them makes the issuer be
asked again at most once in :data:`REFETCH_S`, whoever sends how many tokens; what was fetched before stays good for
:data:`STALE_S` while an issuer is away.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx
import httpx2
import msgspec

from cluster.control_plane import ControlPlane
from cluster.control_plane.identity.issuers import LOOPBACK, Issuer, is_allowed
from cluster.control_plane.identity.jwts import PublicKey, Unverified, public_key, refused, verified
from cluster.control_plane.identity.standing import Standing
from serve_apps.delivery.authorities import public_authorities
from serve_apps.delivery.ssrf import ForbiddenAddressError, Guard, GuardedBackend, Network, UnresolvableError
from serve_apps.gateway.http.tokens import Look
from whisperer.errors import RequestError, UnavailableError

TIMEOUT_S = 5.0
MAX_DOCUMENT_BYTES = 256 << 10
MAX_KEYS = 100
MAX_REMEMBERED = 1_000
FRESH_S = 3_600.0
STALE_S = 86_400.0
REFETCH_S = 30.0
_TYPES = (None, "JWT", "jwt", "at+jwt", "application/at+jwt")
_HERE = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")]


class Discovery(msgspec.Struct):
    """What is used of an issuer's discovery document (OpenID Connect Discovery 1.0)."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    userinfo_endpoint: str = ""


@dataclass(slots=True)
class _Kept:
    keys: dict[str, PublicKey] = field(default_factory=dict)
    discovery: Discovery | None = None
    fetched_at: float = -STALE_S
    tried_at: float = -REFETCH_S
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class TrustedIssuers:
    """The issuers known to one replica. Use from one event loop.

    ``is_local``: the installation is for this machine alone, so issuers on it may be called.
    """

    def __init__(
        self,
        plane: ControlPlane,
        look: Look,
        *,
        is_local: bool,
        open_networks: Sequence[Network] = (),
        clock: Callable[[], float] = time.monotonic,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self._plane = plane
        self._look = look
        self._clock = clock
        tls = tls_context or public_authorities()
        self.elsewhere = GuardedTransport(Guard("webhook", open_networks=open_networks), tls)
        here = [*open_networks, *(_HERE if is_local else ())]
        self.here = GuardedTransport(Guard("webhook", open_networks=here), tls)
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    async def standing(self, unverified: Unverified) -> tuple[Standing, dict[str, Any]]:
        """Return who a foreign token acts for, and its claims. Raises InvalidKeyError and UnavailableError."""
        if unverified.type not in _TYPES:
            raise refused("it is of another type (typ)")
        named: list[Issuer] = await self._look(self._plane.issuers_named, unverified.issuer)
        audience = unverified.claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        meant = [one for one in named if one.audience in audiences]
        if len(meant) != 1:
            raise refused("nobody here trusts its issuer" if not named else "it is for somebody else (aud)")
        claims = await self.claims(unverified, meant[0], meant[0].audience)
        return await self._standing(meant[0], claims), claims

    async def claims(self, unverified: Unverified, issuer: Issuer, audience: str) -> dict[str, Any]:
        """Return the claims of a token that an issuer signed for an audience. Raises InvalidKeyError."""
        key = await self._key(issuer.issuer, unverified.key_id)
        claims = verified(unverified, key, issuer=issuer.issuer, audience=audience, is_ours=False)
        if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= 255:
            raise refused("its subject is not 1 to 255 characters")
        return claims

    async def discovery(self, issuer: str) -> Discovery:
        """Return where an issuer has its endpoints. Raises UnavailableError."""
        kept = await self._fetched(issuer)
        if kept.discovery is None:
            raise UnavailableError("the issuer does not answer, or not as one does", retry_after_s=REFETCH_S)
        return kept.discovery

    def transport(self, url: str) -> GuardedTransport:
        """Return how an issuer's address is called. Raises RequestError for one that never is."""
        if not is_allowed(url):
            raise RequestError("the issuer names an address that is not https", code="invalid_issuer")
        return self.here if urlsplit(url).hostname in LOOPBACK else self.elsewhere

    async def _standing(self, issuer: Issuer, claims: dict[str, Any]) -> Standing:
        subject, email = claims["sub"], claims.get("email")
        person_id = await self._look(self._plane.person_id_of_issuer, issuer.id, subject)
        if person_id is not None:  # who has signed in here is a member, and what they may do is their membership's
            found = await self._look(self._plane.standing_of_person, issuer.tenant_id, person_id)
        else:
            role = issuer.role_of(claims)
            name = email if isinstance(email, str) and 0 < len(email) <= 320 else subject
            id = f"{issuer.id}:{subject}"
            found = role and await self._look(self._plane.standing_of_role, issuer.tenant_id, role, id, name)
        if not found:
            raise refused("it gives no role here, or whom it is for is not a member any more")
        standing: Standing = found
        return standing

    async def _key(self, issuer: str, key_id: str | None) -> PublicKey:
        kept = await self._fetched(issuer, key_id)
        found = kept.keys.get(key_id) if key_id is not None else None
        if key_id is None and len(kept.keys) == 1:
            [found] = kept.keys.values()
        if found is None:
            if not kept.keys:
                raise UnavailableError("the issuer's keys cannot be fetched now", retry_after_s=REFETCH_S)
            raise refused("no key of its issuer has its kid")
        return found

    async def _fetched(self, issuer: str, key_id: str | None = None) -> _Kept:
        """Return what is known of an issuer, asked again if it is old or lacks the key, and was not asked lately."""
        kept = self._kept.setdefault(issuer, _Kept())
        self._kept.move_to_end(issuer)
        if len(self._kept) > MAX_REMEMBERED:
            self._kept.popitem(last=False)
        async with kept.lock:
            now = self._clock()
            is_fresh = now - kept.fetched_at < FRESH_S and (key_id is None or key_id in kept.keys)
            if not is_fresh and now - kept.tried_at >= REFETCH_S:
                kept.tried_at = now
                await self._fetch(issuer, kept)
            if now - kept.fetched_at >= STALE_S and kept.tried_at != kept.fetched_at:
                kept.keys, kept.discovery = {}, None
        return kept

    async def _fetch(self, issuer: str, kept: _Kept) -> None:
        try:
            discovery = await self._get(issuer.rstrip("/") + "/.well-known/openid-configuration", Discovery)
            if discovery.issuer != issuer:
                return
            document = await self._get(discovery.jwks_uri, dict[str, Any])
            listed = document.get("keys")
            found = [
                public_key(one)
                for one in (listed if isinstance(listed, list) else [])[:MAX_KEYS]
                if isinstance(one, dict)
            ]
        except (httpx.HTTPError, httpx.InvalidURL, OSError, msgspec.MsgspecError, ValueError, TimeoutError):
            return
        except (ForbiddenAddressError, UnresolvableError, RequestError):
            return
        kept.keys = {key.id: key for key in found if key is not None}
        kept.discovery = discovery
        kept.fetched_at = kept.tried_at

    async def _get(self, url: str, kind: type[Any]) -> Any:
        async with (
            asyncio.timeout(TIMEOUT_S),
            httpx.AsyncClient(transport=Shared(self.transport(url)), trust_env=False, follow_redirects=False) as client,
            client.stream("GET", url, headers={"Accept": "application/json"}) as answer,
        ):
            if answer.status_code != 200:
                raise ValueError(f"status {answer.status_code}")
            body = b""
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > MAX_DOCUMENT_BYTES:
                    raise ValueError("too long")
        return msgspec.json.decode(body, type=kind)


class GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport over connections that :class:`GuardedBackend` opens."""

    def __init__(self, guard: Guard, tls_context: ssl.SSLContext) -> None:
        super().__init__(verify=tls_context, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(  # httpx has no argument for the network beneath
            ssl_context=tls_context,
            max_connections=20,
            max_keepalive_connections=0,
            network_backend=GuardedBackend(guard),
        )


class Shared(httpx.AsyncBaseTransport):
    """A transport that several clients use, and none of them closes."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._transport.handle_async_request(request)


class Through(httpx2.AsyncBaseTransport):
    """The same for a client of httpx2, which Authlib uses. At most `MAX_DOCUMENT_BYTES` of an answer are read."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        asked = httpx.Request(
            request.method,
            str(request.url),
            headers=request.headers.raw,
            content=await request.aread(),
            extensions=request.extensions,
        )
        answer = await self._transport.handle_async_request(asked)
        body = b""
        try:
            async for piece in answer.aiter_raw():
                body += piece
                if len(body) > MAX_DOCUMENT_BYTES:
                    raise httpx.ReadError("the answer is too long")
        finally:
            await answer.aclose()
        return httpx2.Response(answer.status_code, headers=answer.headers.raw, content=body)

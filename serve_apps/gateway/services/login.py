"""Signs people in with an OpenID Connect issuer: authorization code with PKCE, state and nonce (Authlib).

What a login needs to be finished is in the browser's signed cookie: state, nonce and verifier, for ten minutes. Whom an
issuer vouches for is known by issuer and subject; the role that its claims give is theirs in the issuer's tenant.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from typing import Any

import httpx
import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client

from cluster.control_plane import ControlPlane
from cluster.control_plane.identity.issuers import Issuer
from cluster.control_plane.identity.jwts import Use, read
from cluster.control_plane.identity.people import Person, Place
from serve_apps.gateway.http.issuers import TIMEOUT_S, Through, TrustedIssuers
from serve_apps.gateway.services.signing_in import SigningIn
from whisperer.errors import DeliveryError, InvalidKeyError, RequestError, UnavailableError

CALLBACK = "/auth/callback"
_SCOPE = "openid email profile"


class Login:
    """Logins by issuers, for one replica. ``public_url`` is where browsers reach this installation."""

    def __init__(self, plane: ControlPlane, issuers: TrustedIssuers, signing_in: SigningIn, public_url: str) -> None:
        self._plane = plane
        self._issuers = issuers
        self._signing_in = signing_in
        self._callback = public_url.rstrip("/") + CALLBACK

    async def begin(self, issuer_id: str, following: str) -> tuple[str, str]:
        """Return the issuer's page to go to, and what the browser keeps meanwhile.

        Raises NotFoundError (`issuer_not_found`), UnavailableError.
        """
        issuer = await asyncio.to_thread(self._plane.get_issuer, issuer_id)
        discovery = await self._issuers.discovery(issuer.issuer)
        self._issuers.transport(discovery.authorization_endpoint)
        state, nonce, verifier = (secrets.token_urlsafe(size) for size in (24, 24, 48))
        async with self._client(issuer, discovery.token_endpoint) as client:
            url, _ = client.create_authorization_url(
                discovery.authorization_endpoint, state=state, nonce=nonce, code_verifier=verifier
            )
        kept = {"sub": issuer.id, "for": "login", "state": state, "nonce": nonce, "verifier": verifier}
        return url, await self._signing_in.step(kept | {"next": following})

    async def finish(self, kept: str, asked: dict[str, str]) -> tuple[Person, Place, str]:
        """Return who came back from the issuer with a code, where they sign in to, and where they wanted to go.

        Raises RequestError (`link_used`, `login_failed`, `not_a_member`), UnavailableError.
        """
        step = await self._signing_in.claims(kept, Use.STEP)
        if step.get("for") != "login" or not hmac.compare_digest(
            str(step.get("state", "")).encode(), asked.get("state", "").encode("utf-8", "surrogatepass")
        ):
            raise RequestError("this is not the answer to a login that this browser began", code="login_failed")
        issuer = await asyncio.to_thread(self._plane.get_issuer, str(step["sub"]))
        if asked.get("iss", issuer.issuer) != issuer.issuer:
            raise RequestError("the answer is from another issuer", code="login_failed")
        if not asked.get("code"):
            why = "".join(c for c in asked.get("error", "no code") if c.isalnum() or c in "_ ")[:60]
            raise RequestError(f"the issuer did not sign you in: {why}", code="login_failed")
        claims = await self._exchange(issuer, asked["code"], step)
        subject, email = claims["sub"], claims.get("email")
        is_shown = isinstance(email, str) and "@" in email and claims.get("email_verified") is not False
        shown = str(email) if is_shown else subject
        name, role = str(claims.get("name") or shown), issuer.role_of(claims)
        person = await asyncio.to_thread(
            self._plane.person_of_issuer, issuer.id, issuer.tenant_id, subject, shown, name, role
        )
        places = await asyncio.to_thread(self._plane.places, person.id)
        found = next((place for place in places if place.tenant_id == issuer.tenant_id), None)
        if found is None:
            raise RequestError("you are not a member of this tenant", code="not_a_member")
        return person, found, str(step.get("next", ""))

    async def _exchange(self, issuer: Issuer, code: str, step: dict[str, Any]) -> dict[str, Any]:
        """Exchange the code for the claims of the ID token, and those that only the userinfo endpoint has."""
        discovery = await self._issuers.discovery(issuer.issuer)
        try:
            async with asyncio.timeout(2 * TIMEOUT_S), self._client(issuer, discovery.token_endpoint) as client:
                answer = await client.fetch_token(
                    discovery.token_endpoint, code=code, code_verifier=str(step["verifier"])
                )
                unverified = read(str(answer.get("id_token", "")))
                if unverified.issuer != issuer.issuer:
                    raise _failed()
                claims = await self._issuers.claims(unverified, issuer, issuer.client_id)
                nonce = str(claims.get("nonce", ""))
                if not hmac.compare_digest(nonce.encode(), str(step["nonce"]).encode()):
                    raise _failed()
                if isinstance(claims["aud"], list) and claims.get("azp", issuer.client_id) != issuer.client_id:
                    raise _failed()
                missing = "email" not in claims or issuer.role_claim not in claims
            if missing and discovery.userinfo_endpoint:
                async with asyncio.timeout(TIMEOUT_S), self._client(issuer, discovery.userinfo_endpoint) as client:
                    client.token = answer
                    more = (await client.get(discovery.userinfo_endpoint)).json()
                if not isinstance(more, dict) or more.get("sub") != claims["sub"]:
                    raise _failed()
                claims = more | claims
            return claims
        except (AuthlibBaseError, InvalidKeyError, ValueError):
            raise _failed() from None
        except (httpx.HTTPError, httpx2.HTTPError, DeliveryError, OSError, TimeoutError):
            raise UnavailableError("the issuer does not answer", retry_after_s=5.0) from None

    def _client(self, issuer: Issuer, url: str) -> AsyncOAuth2Client:
        return AsyncOAuth2Client(
            client_id=issuer.client_id,
            client_secret=issuer.client_secret,
            token_endpoint_auth_method="client_secret_basic" if issuer.client_secret else "none",
            scope=_SCOPE,
            redirect_uri=self._callback,
            code_challenge_method="S256",
            transport=Through(self._issuers.transport(url)),
            timeout=TIMEOUT_S,
            follow_redirects=False,
            trust_env=False,
        )


def _failed() -> RequestError:
    return RequestError("the issuer's answer cannot be believed; begin again", code="login_failed")

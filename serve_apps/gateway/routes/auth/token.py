"""The token endpoint of OAuth 2 (RFC 6749), its revocation (RFC 7009), and the keys that tokens are checked with.

Bodies are forms, as OAuth clients send them, or JSON. An error has OAuth's members `error` and `error_description`
besides those of a problem.
"""

import asyncio
import binascii
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from cluster.control_plane.identity.grants import Granted
from cluster.control_plane.key_records import KeyRecord
from cluster.control_plane.keys import SECRET
from serve_apps.gateway.http.acting import act_as_nobody
from serve_apps.gateway.http.documented import answered
from serve_apps.gateway.http.exchange import answer, read_body
from serve_apps.gateway.http.forms import MEDIA_TYPE, is_form, read_form
from serve_apps.gateway.http.problems import problem, refusal
from serve_apps.gateway.services.parts import Parts
from whisperer.errors import InvalidKeyError, RequestError, WhispererError

_OAUTH = {
    "invalid_grant": "invalid_grant",
    "invalid_key": "invalid_client",
    "not_a_member": "invalid_grant",
    "second_factor_needed": "invalid_grant",
    "second_factor_required": "mfa_required",
    "unsupported_grant_type": "unsupported_grant_type",
    "too_many_attempts": "slow_down",
}
"""OAuth's codes for ours; any other problem is `invalid_request`, or `temporarily_unavailable` if it passes."""


class TokenBody(msgspec.Struct, forbid_unknown_fields=False):
    """What a grant takes; other fields, such as `scope`, are ignored."""

    grant_type: str
    refresh_token: str = ""
    username: str = ""
    password: str = ""
    otp: str = ""
    tenant: str = ""
    client_id: str = ""
    client_secret: str = ""


class RevocationBody(msgspec.Struct):
    token: str
    token_type_hint: str = ""


class TokenDocument(msgspec.Struct):
    """Tokens, as RFC 6749 names them; programs get no refresh token."""

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str | msgspec.UnsetType = msgspec.UNSET


class Nothing(msgspec.Struct):
    """There is nothing to say."""


class KeySet(msgspec.Struct):
    """RFC 7517; which members a key has depends on its type."""

    keys: list[dict[str, str]]


GRANTED = {
    "access_token": "eyJhbGciOiJSUzI1NiIsImtpZCI6InNna18wMWsiLCJ0eXAiOiJhdCtqd3QifQ.e30.c2ln",
    "token_type": "Bearer",
    "expires_in": 900,
    "refresh_token": "rt_fam_01kb3q~pWq~u3c",
}
_JWKS = {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qY", "kid": "sgk_01kb", "alg": "EdDSA", "use": "sig"}]}


def router(parts: Parts) -> APIRouter:
    routes = APIRouter(tags=["auth"])
    signing_in, access = parts.signing_in, parts.access

    async def granted(request: Request, body: TokenBody) -> Granted:
        match body.grant_type:
            case "refresh_token":
                return await signing_in.refresh(body.refresh_token)
            case "password":
                code, tenant, client = body.otp or None, body.tenant or None, _client(request)
                address = access.address(request)
                return await signing_in.grant_by_password(body.username, body.password, code, tenant, client, address)
            case "client_credentials":
                return await signing_in.grant_by_key(await client_key(request, body.client_secret))
        raise RequestError(
            f"grants are refresh_token, password and client_credentials, not {body.grant_type[:40]!r}",
            code="unsupported_grant_type",
        )

    async def client_key(request: Request, sent: str) -> KeyRecord:
        presented = sent or _basic(request.headers.get("authorization"))
        record = await access.find(presented)
        if record is None or record.kind != SECRET:
            raise InvalidKeyError("the client's secret is a secret key (sk_…) of a tenant")
        if not record.is_usable(access.now_ms(), access.address(request)):
            raise InvalidKeyError("this key may not be used now, or from here")
        access.note_use(record)
        return record

    @routes.post(
        "/v1/auth/token",
        summary="Grant tokens: to a person, a secret key, or for a refresh token",
        openapi_extra=_bodies("TokenRequest", {"grant_type": "client_credentials", "client_secret": "sk_…"})
        | answered(TokenDocument, GRANTED),
    )
    async def token(request: Request) -> Response:
        act_as_nobody(request, access)
        try:
            found = await granted(request, await _read(request, TokenBody))
        except WhispererError as error:
            return _refusal(request, error)
        refresh = msgspec.UNSET if found.refresh_token is None else found.refresh_token
        granting = answer(TokenDocument(found.access_token, "Bearer", found.expires_in, refresh))
        granting.headers["Pragma"] = "no-cache"
        return granting

    @routes.post(
        "/v1/auth/revoke",
        summary="End the sign-in that a refresh token is of; whether there was one is not said",
        openapi_extra=_bodies("Revocation", {"token": "rt_fam_01kb3q~pWq~u3c"}) | answered(Nothing, {}),
    )
    async def revoke(request: Request) -> Response:
        act_as_nobody(request, access)
        try:
            body = await _read(request, RevocationBody)
            await asyncio.to_thread(parts.plane.revoke_presented, body.token)
        except WhispererError as error:
            return _refusal(request, error)
        return answer(Nothing())

    @routes.get(
        "/.well-known/jwks.json",
        summary="The public keys that this installation's tokens are signed with",
        openapi_extra=answered(KeySet, _JWKS),
    )
    async def jwks() -> Response:
        found = answer(await asyncio.to_thread(parts.plane.jwks))
        found.headers["Cache-Control"] = "public, max-age=60"
        return found

    return routes


async def _read(request: Request, kind: type[Any]) -> Any:
    """Return the body, a form or JSON, as a struct. Raises RequestError: OAuth has one status for invalid requests."""
    try:
        fields = await read_form(request) if is_form(request) else msgspec.json.decode(await read_body(request))
        return msgspec.convert(fields, kind)
    except (ValueError, RecursionError):  # also those of msgspec
        raise RequestError("send a form or a JSON object with the fields of the grant, each a text") from None


def _refusal(request: Request, error: WhispererError) -> Response:
    if error.status >= 500 and not error.retryable:
        return refusal(request, error)
    otherwise = "temporarily_unavailable" if error.retryable else "invalid_request"
    said = error.message.encode("ascii", "ignore").decode().replace('"', "'").replace("\\", "/")
    more: dict[str, Any] = {"error": _OAUTH.get(error.code, otherwise), "error_description": said}
    return problem(request, error.status, error.code, error.message, retry_after_s=error.retry_after_s, **more)


def _basic(authorization: str | None) -> str | None:
    """Return the password of Basic credentials, or the name where there is no password."""
    scheme, _, credentials = (authorization or "").strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, password = binascii.a2b_base64(credentials.strip(), strict_mode=True).decode().partition(":")
    except ValueError:
        return None
    return password or name


def _client(request: Request) -> str:
    return request.headers.get("user-agent", "")[:200]


def _bodies(schema: str, example: Any) -> dict[str, Any]:
    """Return the OpenAPI of a body that is a form or JSON."""
    content = {"schema": {"$ref": f"#/components/schemas/{schema}"}, "example": example}
    return {"requestBody": {"required": True, "content": {"application/json": content, MEDIA_TYPE: content}}}

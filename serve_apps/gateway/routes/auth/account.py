"""A person's own account: who they are, where they are signed in, their password and second factor; and invitations.

A key has no account: it has no sign-ins, and changes no password.
"""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import segno
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cluster.control_plane.audit.acting import ActorKind
from cluster.control_plane.identity.families import Family
from serve_apps.gateway.http.acting import act_as_nobody
from serve_apps.gateway.http.cookies import NAME as SESSION
from serve_apps.gateway.http.cookies import csrf_token, drop_cookie, session_cookie
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import answer, read_as
from serve_apps.gateway.http.listing import Asked, Listing
from serve_apps.gateway.http.principal import Principal
from serve_apps.gateway.routes.auth.token import Nothing
from serve_apps.gateway.services.parts import Parts
from whisperer.errors import ConflictError, ForbiddenError, NotFoundError

SIGN_IN = {
    "id": "fam_01kb3q",
    "kind": "session",
    "client": "Mozilla/5.0",
    "current": True,
    "created_at": "2026-11-29T12:00:00.000Z",
    "used_at": "2026-11-29T12:05:00.000Z",
    "expires_at": "2026-11-30T12:05:00.000Z",
    "revoked_at": None,
}
_ME = {
    "kind": "person",
    "id": "psn_01kb3q",
    "name": "ada@example.com",
    "tenant_id": "tn_01kb3q",
    "permissions": ["campaigns:read"],
    "csrf_token": None,
}
_PASSWORD = "rye gate plum sand"  # noqa: S105  an example


class PasswordChange(msgspec.Struct, forbid_unknown_fields=True):
    current: str
    new: str


class OwnPassword(msgspec.Struct, forbid_unknown_fields=True):
    password: str


class Code(msgspec.Struct, forbid_unknown_fields=True):
    code: str


class Acceptance(msgspec.Struct, forbid_unknown_fields=True):
    """``email`` is for invitations that name none; ``name`` for those who have no account yet."""

    token: str
    password: str
    name: str = ""
    email: str | None = None


class NewPassword(msgspec.Struct, forbid_unknown_fields=True):
    token: str
    password: str


class CallerDocument(msgspec.Struct, kw_only=True):
    """Who calls; ``csrf_token`` is for forms of a session that a browser's cookie is of."""

    kind: str
    id: str
    name: str
    tenant_id: str
    permissions: list[str]
    csrf_token: str | None


class SignInDocument(msgspec.Struct, kw_only=True):
    """One place where somebody is signed in; ``current``: the one that calls."""

    id: str
    kind: str
    client: str
    current: bool
    created_at: str
    used_at: str
    expires_at: str
    revoked_at: str | None


class Ended(msgspec.Struct):
    """How many sign-ins ended."""

    ended: int


class NewSecondFactor(msgspec.Struct):
    """What an authenticator needs to know: as a text, as an address, and as a picture of that."""

    secret: str
    uri: str
    qr_svg: str


class RecoveryCodes(msgspec.Struct):
    """Codes that each work once instead of an authenticator's."""

    recovery_codes: list[str]


class Accepted(msgspec.Struct):
    """Who became a member, of which tenant."""

    person_id: str
    email: str
    tenant: str


SESSIONS = Listing("sessions", SignInDocument, key="id", sorts=("created_at", "used_at", "expires_at"))


def router(parts: Parts) -> APIRouter:
    routes = APIRouter(prefix="/v1/auth", tags=["auth"])
    signing_in, access, plane = parts.signing_in, parts.access, parts.plane

    async def caller(request: Request) -> Principal:
        principal = await access.principal(request)
        access.act(request, principal)
        return principal

    async def person(request: Request) -> Principal:
        principal = await caller(request)
        if principal.kind is not ActorKind.PERSON or not principal.sign_in:
            raise ForbiddenError("this is for people who are signed in", code="not_a_person")
        return principal

    async def sign_ins(principal: Principal) -> list[Family]:
        if not principal.sign_in:
            return []
        if principal.kind is not ActorKind.PERSON:
            return [one for one in await _families(principal.tenant_id, None) if one.id == principal.sign_in]
        return await _families(None, principal.id)

    async def _families(tenant: str | None, person_id: str | None) -> list[Family]:
        return await asyncio.to_thread(plane.list_families, tenant, person_id)

    @routes.get("/session", summary="Who calls, and what they may do", openapi_extra=answered(CallerDocument, _ME))
    async def session(request: Request) -> Response:
        principal = await caller(request)
        cookie = session_cookie(request)
        is_session = cookie is not None and "authorization" not in request.headers
        return answer(
            CallerDocument(
                kind=principal.kind,
                id=principal.id,
                name=principal.name,
                tenant_id=principal.tenant_id,
                permissions=sorted(principal.permissions),
                csrf_token=csrf_token(cookie) if is_session and cookie is not None else None,
            )
        )

    @routes.get(
        "/sessions",
        summary="Where the caller is signed in",
        openapi_extra=SESSIONS.documented(SIGN_IN),
    )
    async def sessions(
        principal: Annotated[Principal, Depends(caller)], asked: Annotated[Asked, Depends(SESSIONS.asked)]
    ) -> Response:
        found = [_document(one, principal) for one in await sign_ins(principal)]
        return asked.page(principal.tenant_id, found)

    @routes.delete("/sessions", summary="Sign out everywhere", openapi_extra=answered(Ended, {"ended": 3}))
    async def sign_out_everywhere(request: Request) -> Response:
        principal = await person(request)
        ended = await asyncio.to_thread(plane.revoke_families_of, principal.id, "signed_out")
        done = answer(Ended(ended))
        drop_cookie(request, done, SESSION)
        return done

    @routes.delete(
        "/sessions/{sign_in}", summary="Sign out in one place", openapi_extra=answered(SignInDocument, SIGN_IN)
    )
    async def sign_out(sign_in: str, request: Request) -> Response:
        principal = await caller(request)
        if sign_in not in [one.id for one in await sign_ins(principal)]:
            raise NotFoundError(f"there is no sign-in {sign_in[:80]!r} of yours", code="token_not_found")
        return answer(_document(await asyncio.to_thread(plane.revoke_family, sign_in, "signed_out"), principal))

    @routes.post(
        "/password",
        summary="Change one's own password; all other sign-ins end",
        openapi_extra=described("PasswordChange", {"current": _PASSWORD, "new": "oak tide mint lamp"})
        | answered(Nothing, {}),
    )
    async def change_password(request: Request) -> Response:
        principal = await person(request)
        body = await read_as(request, PasswordChange)
        await signing_in.check_password(principal.id, body.current, access.address(request))
        await signing_in.set_password(principal.id, body.new, keep=principal.sign_in)
        return answer(Nothing())

    @routes.post(
        "/second-factor",
        summary="Begin to set up an authenticator; it counts once a code has confirmed it",
        openapi_extra=described(
            "OwnPassword",
            {"password": _PASSWORD},
        )
        | answered(NewSecondFactor, {"secret": "JBSWY3DPEHPK3PXP", "uri": "otpauth://totp/…", "qr_svg": "<svg/>"}),
    )
    async def begin_second_factor(request: Request) -> Response:
        principal = await person(request)
        body = await read_as(request, OwnPassword)
        found = await asyncio.to_thread(plane.person, principal.id)
        if not found.has_password:
            raise ConflictError("you sign in elsewhere; set the second factor up there", code="signs_in_elsewhere")
        await signing_in.check_password(principal.id, body.password, access.address(request))
        made = await asyncio.to_thread(plane.begin_second_factor, principal.id)
        drawn = segno.make(made.uri, error="m").svg_inline(scale=4)
        return answer(NewSecondFactor(made.secret, made.uri, drawn))

    @routes.post(
        "/second-factor/confirm",
        summary="Put the authenticator in force; the answer has the recovery codes, shown once",
        openapi_extra=described("Code", {"code": "123456"})
        | answered(RecoveryCodes, {"recovery_codes": ["7kq2-9mzt-p4dw-x8rn"]}),
    )
    async def confirm_second_factor(request: Request) -> Response:
        principal = await person(request)
        body = await read_as(request, Code)
        codes = await asyncio.to_thread(plane.confirm_second_factor, principal.id, body.code)
        return answer(RecoveryCodes(codes))

    @routes.post(
        "/second-factor/remove",
        summary="Remove the authenticator and its recovery codes",
        openapi_extra=described("OwnPassword", {"password": _PASSWORD}) | answered(Nothing, {}),
    )
    async def remove_second_factor(request: Request) -> Response:
        principal = await person(request)
        body = await read_as(request, OwnPassword)
        await signing_in.check_password(principal.id, body.password, access.address(request))
        await asyncio.to_thread(plane.remove_second_factor, principal.id)
        return answer(Nothing())

    @routes.post(
        "/invitations/accept",
        summary="Become a member by an invitation, with a new account or the password of one's own",
        openapi_extra=described(
            "Acceptance",
            {"token": "inv_…", "email": "ada@example.com", "name": "Ada", "password": _PASSWORD},
        )
        | answered(Accepted, {"person_id": "psn_01kb3q", "email": "ada@example.com", "tenant": "acme"}),
    )
    async def accept(request: Request) -> Response:
        act_as_nobody(request, access)
        body = await read_as(request, Acceptance)
        address = access.address(request)
        member, tenant = await signing_in.accept(body.token, body.email, body.name, body.password, address)
        return answer(Accepted(member.id, member.email, tenant))

    @routes.post(
        "/password-resets/accept",
        summary="Set the password that a link is for",
        openapi_extra=described("NewPassword", {"token": "eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "password": _PASSWORD})
        | answered(Nothing, {}),
    )
    async def reset(request: Request) -> Response:
        act_as_nobody(request, access)
        body = await read_as(request, NewPassword)
        await signing_in.reset(body.token, body.password, access.address(request))
        return answer(Nothing())

    return routes


def _document(one: Family, principal: Principal) -> SignInDocument:
    return SignInDocument(
        id=one.id,
        kind=one.kind,
        client=one.client,
        current=one.id == principal.sign_in,
        created_at=_iso(one.created_at),
        used_at=_iso(one.used_at),
        expires_at=_iso(one.expires_at),
        revoked_at=None if one.revoked_at is None else _iso(one.revoked_at),
    )


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

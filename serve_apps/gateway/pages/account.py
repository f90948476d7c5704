"""The page of one's own account: where one is signed in, the password, the second factor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import segno
from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse, Response

from cluster.control_plane.audit.acting import ActorKind
from serve_apps.gateway.http import cookies
from serve_apps.gateway.http.forms import read_form
from serve_apps.gateway.http.principal import Principal
from serve_apps.gateway.pages.auth_forms import HOME, in_words, status_of, to
from serve_apps.gateway.pages.rendering import PAGE_HEADERS, render
from serve_apps.gateway.pages.signing_in import SIGN_IN
from serve_apps.gateway.services.parts import Parts
from whisperer.errors import InvalidKeyError, NotFoundError, WhispererError

Act = Callable[[Principal, dict[str, str]], Awaitable[Response | None]]


def install(app: FastAPI, parts: Parts) -> None:
    """Add the page and what its forms do."""
    plane, access, signing_in = parts.plane, parts.access, parts.signing_in

    async def person_of(request: Request) -> tuple[Principal, str]:
        """Return who looks, and their cookie. Raises InvalidKeyError."""
        cookie = cookies.session_cookie(request)
        if cookie is None:
            raise InvalidKeyError("sign in")
        principal = await access.tokens.session(cookie)
        if principal.kind is not ActorKind.PERSON:
            raise InvalidKeyError("sign in")
        access.act(request, principal)
        return principal, cookie

    async def shown(principal: Principal, cookie: str, error: WhispererError | None = None) -> Response:
        person = await asyncio.to_thread(plane.person, principal.id)
        tenant = await asyncio.to_thread(plane.get_tenant, principal.tenant_id)
        standing = await asyncio.to_thread(plane.standing, principal.tenant_id, principal.sign_in)
        now = time.time_ns() // 1_000_000
        families = await asyncio.to_thread(plane.list_families, None, person.id)
        html = render(
            "account.html",
            title="Your account",
            trouble="" if error is None else in_words(error),
            csrf=cookies.csrf_token(cookie),
            person=person,
            tenant=tenant.name,
            role="" if standing is None else standing.role,
            sign_ins=[one for one in families if one.revoked_at is None and one.expires_at > now],
            current=principal.sign_in,
            recovery_codes=await asyncio.to_thread(plane.n_recovery_codes, person.id),
            now=now,
        )
        return HTMLResponse(html, 200 if error is None else status_of(error), headers=dict(PAGE_HEADERS))

    def does(path: str) -> Callable[[Act], Act]:
        """Make a form of the page do something, and show the page again, with what was wrong if anything was."""

        def added(act: Act) -> Act:
            @app.post(f"{HOME}/{path}", include_in_schema=False)
            async def done(request: Request) -> Response:
                try:
                    principal, cookie = await person_of(request)
                except InvalidKeyError:
                    return to(SIGN_IN)
                try:
                    fields = await read_form(request)
                    cookies.check_origin(request, cookie, fields.get(cookies.CSRF_FIELD, ""))
                    fields["address"] = access.address(request) or ""
                    answer = await act(principal, fields)
                except WhispererError as error:
                    if error.status >= 500 and not error.retryable:
                        raise
                    return await shown(principal, cookie, error)
                answer = answer or to(HOME)
                if answer.headers.get("location") == SIGN_IN:
                    cookies.drop_cookie(request, answer, cookies.NAME)
                return answer

            return act

        return added

    @app.get(HOME, include_in_schema=False)
    async def page(request: Request) -> Response:
        try:
            return await shown(*(await person_of(request)))
        except InvalidKeyError:
            return to(f"{SIGN_IN}?next={HOME}")

    @does("sign-out")
    async def sign_out(principal: Principal, fields: dict[str, str]) -> Response | None:
        sign_in = fields.get("sign_in", principal.sign_in)
        try:
            await asyncio.to_thread(lambda: plane.revoke_family(sign_in, "signed_out", person_id=principal.id))
        except NotFoundError:
            return to(HOME)
        return to(SIGN_IN) if sign_in == principal.sign_in else None

    @does("sign-out-everywhere")
    async def sign_out_everywhere(principal: Principal, fields: dict[str, str]) -> Response | None:
        await asyncio.to_thread(plane.revoke_families_of, principal.id, "signed_out")
        return to(SIGN_IN)

    @does("password")
    async def change_password(principal: Principal, fields: dict[str, str]) -> Response | None:
        await signing_in.check_password(principal.id, fields.get("current", ""), fields["address"])
        await signing_in.set_password(principal.id, fields.get("new", ""), keep=principal.sign_in)
        return None

    @does("second-factor")
    async def begin_second_factor(principal: Principal, fields: dict[str, str]) -> Response | None:
        await signing_in.check_password(principal.id, fields.get("password", ""), fields["address"])
        made = await asyncio.to_thread(plane.begin_second_factor, principal.id)
        html = render(
            "set_up_second_factor.html",
            title="Second factor",
            trouble="",
            why="",
            qr=segno.make(made.uri, error="m").svg_data_uri(scale=4),
            secret=made.secret,
            action=f"{HOME}/confirm-second-factor",
            csrf=fields[cookies.CSRF_FIELD],
        )
        return HTMLResponse(html, headers=dict(PAGE_HEADERS))

    @does("confirm-second-factor")
    async def confirm_second_factor(principal: Principal, fields: dict[str, str]) -> Response | None:
        codes = await asyncio.to_thread(plane.confirm_second_factor, principal.id, fields.get("code", ""))
        html = render("recovery_codes.html", title="Recovery codes", trouble="", codes=codes, following=HOME)
        return HTMLResponse(html, headers=dict(PAGE_HEADERS))

    @does("remove-second-factor")
    async def remove_second_factor(principal: Principal, fields: dict[str, str]) -> Response | None:
        await signing_in.check_password(principal.id, fields.get("password", ""), fields["address"])
        await asyncio.to_thread(plane.remove_second_factor, principal.id)
        return None

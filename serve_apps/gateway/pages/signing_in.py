"""The pages by which people come in: sign-in, second factor, choice of a tenant, invitation, new password.

Where somebody stands who has given their password is in a signed cookie for ten minutes: who they are and what they
have proved. It opens nothing but the next page.
"""

from __future__ import annotations

import asyncio
from typing import Any

import segno
from fastapi import FastAPI, Request
from starlette.responses import Response

from cluster.control_plane.identity.jwts import Use
from cluster.control_plane.identity.people import Person, Place
from serve_apps.gateway.http import cookies
from serve_apps.gateway.http.acting import act_as_nobody
from serve_apps.gateway.pages.auth_forms import HOME, local, refused, sent, shown, to
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.signing_in import STEP_LIFE_S
from whisperer.errors import RequestError, WhispererError

SESSION_COOKIE_S = 30 * 24 * 3600
SIGN_IN = "/auth/sign-in"


class Steps:
    """Takes people from one page of signing in to the next, and begins their session at the end."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._signing_in = parts.signing_in

    async def after(self, request: Request, person: Person, following: str, proved: tuple[str, ...]) -> Response:
        """Return the next page for somebody who has proved something: "password", "code", or "issuer"."""
        if "password" in proved and person.has_second_factor and "code" not in proved:
            return await self._at(request, person, following, proved, "/auth/second-factor")
        places = await asyncio.to_thread(self._parts.plane.places, person.id)
        if len(places) > 1:
            return await self._at(request, person, following, proved, "/auth/tenant")
        place = await self._signing_in.place(person, None)
        return await self.into(request, person, place, following, proved)

    async def into(
        self, request: Request, person: Person, place: Place, following: str, proved: tuple[str, ...]
    ) -> Response:
        """Begin the session in a tenant; where it asks for a second factor that is missing, set that up first."""
        if place.needs_second_factor and person.has_password and not person.has_second_factor:
            return await self._at(request, person, following, proved, "/auth/set-up")
        client = request.headers.get("user-agent", "")[:200]
        token = await self._signing_in.begin_session(person, place, client)
        done = to(following)
        cookies.set_cookie(request, done, cookies.NAME, token, SESSION_COOKIE_S)
        cookies.drop_cookie(request, done, cookies.STEP)
        return done

    async def read(self, request: Request) -> tuple[Person, str, tuple[str, ...]]:
        """Return who stands where. Raises RequestError (`link_used`)."""
        claims = await self._signing_in.claims(cookies.read_cookie(request, cookies.STEP) or "", Use.STEP)
        if claims.get("for") != "sign-in":
            raise RequestError("this page has expired; begin again", code="link_used")
        person = await asyncio.to_thread(self._parts.plane.person, claims["sub"])
        return person, local(str(claims.get("next", ""))), tuple(claims.get("proved", ()))

    async def _at(
        self, request: Request, person: Person, following: str, proved: tuple[str, ...], page: str
    ) -> Response:
        claims = {"sub": person.id, "for": "sign-in", "next": following, "proved": list(proved)}
        found = to(page)
        cookies.set_cookie(request, found, cookies.STEP, await self._signing_in.step(claims), STEP_LIFE_S)
        return found


def install(app: FastAPI, parts: Parts) -> None:
    """Add the pages."""
    steps = Steps(parts)
    _sign_in(app, parts, steps)
    _next_steps(app, parts, steps)
    _links(app, parts)


def _sign_in(app: FastAPI, parts: Parts, steps: Steps) -> None:
    async def form(request: Request, error: WhispererError | None = None, **values: Any) -> Response:
        values = {"email": "", "following": local(request.query_params.get("next", "")), **values}
        if error is None:
            return shown(request, "sign_in.html", "Sign in", **values)
        return refused(request, "sign_in.html", "Sign in", error, **values)

    @app.get(SIGN_IN, include_in_schema=False)
    async def page(request: Request) -> Response:
        return await form(request)

    @app.post(SIGN_IN, include_in_schema=False)
    async def sign_in(request: Request) -> Response:
        act_as_nobody(request, parts.access)
        fields: dict[str, str] = {}
        try:
            fields = await sent(request)
            email, password = fields.get("email", ""), fields.get("password", "")
            person = await parts.signing_in.by_password(email, password, parts.access.address(request))
            return await steps.after(request, person, local(fields.get("next", "")), ("password",))
        except WhispererError as error:
            return await form(request, error, email=fields.get("email", ""), following=local(fields.get("next", "")))


def _next_steps(app: FastAPI, parts: Parts, steps: Steps) -> None:
    plane = parts.plane

    @app.get("/auth/second-factor", include_in_schema=False)
    async def code_page(request: Request) -> Response:
        try:
            await steps.read(request)
        except RequestError:
            return to(SIGN_IN)
        return shown(request, "second_factor.html", "Second factor")

    @app.post("/auth/second-factor", include_in_schema=False)
    async def code(request: Request) -> Response:
        act_as_nobody(request, parts.access)
        try:
            fields = await sent(request)
            person, following, proved = await steps.read(request)
            await parts.signing_in.by_code(person, fields.get("code", ""))
            return await steps.after(request, person, following, (*proved, "code"))
        except WhispererError as error:
            return refused(request, "second_factor.html", "Second factor", error)

    @app.get("/auth/tenant", include_in_schema=False)
    async def tenant_page(request: Request) -> Response:
        try:
            person, _, proved = await steps.read(request)
            _check_proved(person, proved)
        except RequestError:
            return to(SIGN_IN)
        places = (await asyncio.to_thread(plane.places, person.id))[:500]
        return shown(request, "choose_place.html", "Which tenant?", places=places)

    @app.post("/auth/tenant", include_in_schema=False)
    async def tenant(request: Request) -> Response:
        act_as_nobody(request, parts.access)
        try:
            fields = await sent(request)
            person, following, proved = await steps.read(request)
            _check_proved(person, proved)
            place = await parts.signing_in.place(person, fields.get("tenant", "") or "-")
            return await steps.into(request, person, place, following, proved)
        except WhispererError as error:
            return refused(request, "choose_place.html", "Which tenant?", error, places=[])

    @app.get("/auth/set-up", include_in_schema=False)
    async def set_up_page(request: Request) -> Response:
        try:
            person, _, proved = await steps.read(request)
            _check_proved(person, proved)
            return await enrolling(request, person)
        except RequestError:
            return to(SIGN_IN)

    async def enrolling(request: Request, person: Person, error: WhispererError | None = None) -> Response:
        made = await asyncio.to_thread(plane.begin_second_factor, person.id)
        values: dict[str, Any] = {
            "why": "The tenant asks its members for a second factor.",
            "qr": segno.make(made.uri, error="m").svg_data_uri(scale=4),
            "secret": made.secret,
            "action": "/auth/set-up",
        }
        if error is not None:
            return refused(request, "set_up_second_factor.html", "Second factor", error, **values)
        return shown(request, "set_up_second_factor.html", "Second factor", **values)

    @app.post("/auth/set-up", include_in_schema=False)
    async def set_up(request: Request) -> Response:
        act_as_nobody(request, parts.access)
        try:
            fields = await sent(request)
            person, following, proved = await steps.read(request)
            _check_proved(person, proved)
        except RequestError:
            return to(SIGN_IN)
        try:
            codes = await asyncio.to_thread(plane.confirm_second_factor, person.id, fields.get("code", ""))
        except WhispererError as error:
            return await enrolling(request, person, error)
        changed = await asyncio.to_thread(plane.person, person.id)
        onwards = await steps.after(request, changed, following, (*proved, "code"))
        page = shown(
            request, "recovery_codes.html", "Recovery codes", codes=codes, following=onwards.headers["location"]
        )
        page.raw_headers += [header for header in onwards.raw_headers if header[0] == b"set-cookie"]
        return page


def _links(app: FastAPI, parts: Parts) -> None:
    """Invitations and new passwords. Nothing changes by opening a link: mail programs open them, too."""

    @app.get("/auth/invitation", include_in_schema=False)
    async def invitation_page(request: Request) -> Response:
        return await invited(request, request.query_params.get("token", ""))

    async def invited(
        request: Request, token: str, error: WhispererError | None = None, email: str = "", name: str = ""
    ) -> Response:
        title = "Invitation"
        try:
            found = await asyncio.to_thread(parts.plane.invitation, token)
        except WhispererError as gone:
            return refused(request, "said.html", title, gone, message="", link="", link_text="")
        values: dict[str, Any] = {"invited": found, "token": token, "email": email, "name": name}
        if error is not None:
            return refused(request, "invitation.html", title, error, **values)
        return shown(request, "invitation.html", title, **values)

    @app.post("/auth/invitation", include_in_schema=False)
    async def accept(request: Request) -> Response:
        act_as_nobody(request, parts.access)
        fields: dict[str, str] = {}
        try:
            fields = await sent(request)
            token, password = fields.get("token", ""), fields.get("password", "")
            address = parts.access.address(request)
            email, name = fields.get("email") or None, fields.get("name", "")
            _, tenant = await parts.signing_in.accept(token, email, name, password, address)
        except WhispererError as error:
            given = {name: fields.get(name, "") for name in ("email", "name")}
            return await invited(request, fields.get("token", ""), error, **given)
        message = f"You are a member of {tenant} now."
        return shown(request, "said.html", "Welcome", message=message, link=SIGN_IN, link_text="Sign in")

    @app.get("/auth/reset", include_in_schema=False)
    async def reset_page(request: Request) -> Response:
        return shown(request, "reset.html", "New password", token=request.query_params.get("token", "")[:8_192])

    @app.post("/auth/reset", include_in_schema=False)
    async def reset(request: Request) -> Response:
        act_as_nobody(request, parts.access)
        fields: dict[str, str] = {}
        try:
            fields = await sent(request)
            address = parts.access.address(request)
            await parts.signing_in.reset(fields.get("token", ""), fields.get("password", ""), address)
        except WhispererError as error:
            return refused(request, "reset.html", "New password", error, token=fields.get("token", ""))
        message = "Your password is set. You were signed out everywhere."
        return shown(request, "said.html", "New password", message=message, link=SIGN_IN, link_text="Sign in")


def _check_proved(person: Person, proved: tuple[str, ...]) -> None:
    """Check that somebody has proved all that they must. Raises RequestError (`link_used`)."""
    if person.disabled_at is not None or not {"password", "issuer"} & set(proved):
        raise RequestError("begin again", code="link_used")
    if "password" in proved and person.has_second_factor and "code" not in proved:
        raise RequestError("begin again", code="link_used")


__all__ = ["HOME", "SIGN_IN", "Steps", "install"]

"""The way to an issuer's own sign-in page, and back."""

from __future__ import annotations

from fastapi import FastAPI, Request
from starlette.responses import Response

from serve_apps.gateway.http import cookies
from serve_apps.gateway.http.acting import act_as_nobody
from serve_apps.gateway.pages.auth_forms import local, refused, to
from serve_apps.gateway.pages.signing_in import SIGN_IN, Steps
from serve_apps.gateway.services.login import CALLBACK
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.signing_in import STEP_LIFE_S
from whisperer.errors import WhispererError

MAX_CHARACTERS = 4_096
"""Of each thing that the issuer sends along."""


def install(app: FastAPI, parts: Parts) -> None:
    """Add the two pages."""
    steps = Steps(parts)

    def failed(request: Request, error: WhispererError) -> Response:
        again = {"message": "", "link": SIGN_IN, "link_text": "Sign in"}
        return refused(request, "said.html", "Not signed in", error, **again)

    @app.get("/auth/login/{issuer}", include_in_schema=False)
    async def login(issuer: str, request: Request) -> Response:
        try:
            following = local(request.query_params.get("next", ""))
            url, kept = await parts.login.begin(issuer, following)
        except WhispererError as error:
            return failed(request, error)
        found = to(url)
        cookies.set_cookie(request, found, cookies.STEP, kept, STEP_LIFE_S)
        return found

    @app.get(CALLBACK, include_in_schema=False)
    async def callback(request: Request) -> Response:
        act_as_nobody(request, parts.access)
        kept = cookies.read_cookie(request, cookies.STEP) or ""
        asked = {name: value[:MAX_CHARACTERS] for name, value in request.query_params.items()}
        try:
            person, place, following = await parts.login.finish(kept, asked)
            return await steps.into(request, person, place, local(following), ("issuer",))
        except WhispererError as error:
            return failed(request, error)

"""Serves the pages to whoever may look, from whatever documents the source has.

The tenant is ``?tenant=name``: without it the demo's, else the only one, else the viewer is asked. Our own errors
become pages with their status; a stranger learns only that User Whisperer is running, and may read the API's reference.
Somebody who is signed in sees the pages of their own tenant, as far as their role goes.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from serve_apps.gateway.http.cookies import csrf_token, session_cookie
from serve_apps.gateway.pages import site as addresses
from serve_apps.gateway.pages.campaign import render_campaign
from serve_apps.gateway.pages.channels import render_channels
from serve_apps.gateway.pages.decision import render_decision
from serve_apps.gateway.pages.deliveries import Wanted, render_deliveries
from serve_apps.gateway.pages.documents import TemplatePage
from serve_apps.gateway.pages.home import render_home
from serve_apps.gateway.pages.mail import MAIL_HEADERS
from serve_apps.gateway.pages.policies import render_policies
from serve_apps.gateway.pages.proof import said_of
from serve_apps.gateway.pages.reference import render_reference
from serve_apps.gateway.pages.rendering import PAGE_HEADERS
from serve_apps.gateway.pages.sink import PER_PAGE, Filters, message_document, render_message, render_sink
from serve_apps.gateway.pages.site import Site
from serve_apps.gateway.pages.source import PageSource
from serve_apps.gateway.pages.static_files import static_file
from serve_apps.gateway.pages.supplies import render_catalogues, render_coupons
from serve_apps.gateway.pages.template import Asking, needed, preview_document, render_template, shown_as
from serve_apps.gateway.pages.trouble import render_choice, render_trouble
from serve_apps.gateway.pages.user import render_user
from whisperer.access.permissions import Permission
from whisperer.errors import InvalidKeyError, NotFoundError, WhispererError

MOST_CHARACTERS = 1_000
"""Most characters accepted in a search: ids are shorter (docs/events.md)."""

_DECISION = re.compile(r"dec_[0-9a-z]{26}")
_SEND = re.compile(r"snd_[0-9a-z]{26}")

MayLook = Callable[[Request], bool]
TenantOfPerson = Callable[[Request, Permission], Awaitable[str | None]]
"""Returns the name of the tenant that somebody is signed in to; None for strangers. Raises ForbiddenError."""


async def nobody(request: Request, permission: Permission) -> None:
    """Return that nobody is signed in."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def install(
    app: FastAPI,
    source: PageSource,
    may_look: MayLook,
    clock: Callable[[], int] = now_ms,
    tenant_of_person: TenantOfPerson = nobody,
) -> None:
    """Add the pages, the live document behind the home page, and their static files."""
    _home(app, source, may_look)
    _tenant_pages(app, source, may_look, clock, tenant_of_person)
    _reference(app)
    _static(app)


def _home(app: FastAPI, source: PageSource, may_look: MayLook) -> None:
    @app.get("/internal/live", include_in_schema=False)
    async def live_document(request: Request) -> Response:
        if not may_look(request):
            raise InvalidKeyError("the live view is for the operator: Authorization: Bearer op_…")
        headers = {"Cache-Control": "no-store"}
        return Response(msgspec.json.encode(await source.home()), headers=headers, media_type="application/json")

    @app.get("/", include_in_schema=False)
    async def home(request: Request) -> Response:
        document = await source.home() if may_look(request) else None
        base_url = f"{request.url.scheme}://{request.headers.get('host', request.url.netloc)}"
        return _page(render_home(document, base_url=base_url, tenant=request.query_params.get("tenant")))


def _tenant_pages(
    app: FastAPI,
    source: PageSource,
    may_look: MayLook,
    clock: Callable[[], int],
    tenant_of_person: TenantOfPerson,
) -> None:
    async def shown(
        request: Request,
        make: Callable[[str, Site], Awaitable[Response]],
        permission: Permission,
        *,
        here: str = "",
    ) -> Response:
        """Return what ``make`` answers for the tenant meant, or the page that says why not."""
        site = Site(here=here)
        try:
            theirs = None
            if not may_look(request):
                theirs = await tenant_of_person(request, permission)
                if theirs is None:
                    return _page(render_home(None, base_url=""), HTTPStatus.FORBIDDEN)
            tenants = await source.tenants()
            names = tuple(tenants.names) if theirs is None else (theirs,)
            site = Site(None, names, here)
            asked = request.query_params.get("tenant")
            name = asked or theirs or tenants.demo or (names[0] if len(names) == 1 else None)
            if name is None:
                return _page(render_choice(request.url.path, names, site=site))
            if name not in names:
                raise NotFoundError(f"there is no tenant {name!r}; `whisperer tenant list` names them")
            site = Site(name, names, here)
            return await make(name, site)
        except WhispererError as error:
            if error.status >= 500 and not error.retryable:
                raise
            title = "Not here" if error.status == HTTPStatus.NOT_FOUND else "Not now" if error.retryable else "Sorry"
            return _page(render_trouble(title, error.message, site=site), error.status)

    @app.get("/sink", include_in_schema=False)
    async def sink(request: Request) -> Response:
        asked = {name: request.query_params.get(name, "").strip() for name in ("channel", "user_id", "campaign")}
        before = _whole(request.query_params.get("before"))
        filters = Filters(**{name: text[:MOST_CHARACTERS] for name, text in asked.items()}, before=before)

        async def make(tenant: str, site: Site) -> Response:
            found = await source.sink(
                tenant, filters.channel or None, filters.user_id or None, filters.campaign or None, before, PER_PAGE
            )
            return _page(render_sink(found, filters=filters, now=clock(), site=site))

        return await shown(request, make, Permission.MESSAGES_READ, here="/sink")

    @app.get("/sink/{send_key}/html", include_in_schema=False)
    async def message_html(send_key: str, request: Request) -> Response:
        async def make(tenant: str, site: Site) -> Response:
            document = message_document(await source.message(tenant, send_key))
            return HTMLResponse(document, headers=dict(MAIL_HEADERS))

        return await shown(request, make, Permission.MESSAGES_READ)

    @app.get("/sink/{send_key}", include_in_schema=False)
    async def message(send_key: str, request: Request) -> Response:
        async def make(tenant: str, site: Site) -> Response:
            found = await source.message(tenant, send_key)
            return _page(render_message(found, target_of=source.link_target, now=clock(), site=site))

        return await shown(request, make, Permission.MESSAGES_READ)

    @app.get("/users/", include_in_schema=False)
    @app.get("/users/{user_id:id}", include_in_schema=False)
    async def user(request: Request, user_id: str = "") -> Response:
        async def make(tenant: str, site: Site) -> Response:
            id = user_id or request.query_params.get("id", "")
            found, inbox = await asyncio.gather(source.user(tenant, id), source.inbox(tenant, id))
            return _page(render_user(found, inbox, now=clock(), site=site))

        return await shown(request, make, Permission.USERS_READ)

    @app.get("/decisions/{decision_id}", include_in_schema=False)
    async def decision(decision_id: str, request: Request) -> Response:
        async def make(tenant: str, site: Site) -> Response:
            return _page(render_decision(await source.decision(tenant, decision_id), now=clock(), site=site))

        return await shown(request, make, Permission.DECISIONS_READ)

    @app.get("/campaigns/", include_in_schema=False)
    @app.get("/campaigns/{name}", include_in_schema=False)
    async def campaign(request: Request, name: str = "") -> Response:
        async def make(tenant: str, site: Site) -> Response:
            found = await source.campaign(tenant, name or request.query_params.get("id", ""))
            return _page(render_campaign(found, now=clock(), site=site))

        return await shown(request, make, Permission.CAMPAIGNS_READ)

    @app.get("/templates/{name}/html", include_in_schema=False)
    async def template_html(name: str, request: Request) -> Response:
        async def make(tenant: str, site: Site) -> Response:
            document = preview_document(await found_template(request, tenant, name))
            return HTMLResponse(document, headers=dict(MAIL_HEADERS))

        return await shown(request, make, Permission.TEMPLATES_READ)

    @app.get("/templates/", include_in_schema=False)
    @app.get("/templates/{name}", include_in_schema=False)
    async def template(request: Request, name: str = "") -> Response:
        async def make(tenant: str, site: Site) -> Response:
            found = await found_template(request, tenant, name or request.query_params.get("id", ""))
            locale, user_id, sent_by = (_asked(request, name) for name in ("locale", "user_id", "sent_by"))
            cookie = session_cookie(request)
            asking = Asking(csrf_token(cookie) if cookie else "", *said_of(request.query_params))
            page = render_template(found, locale=locale, user_id=user_id, sent_by=sent_by, site=site, asking=asking)
            return _page(page)

        return await shown(request, make, Permission.TEMPLATES_READ)

    async def found_template(request: Request, tenant: str, name: str) -> TemplatePage:
        """Return the template; who has it shown for a user, or for a campaign, has to be allowed to see these too."""
        asked = shown_as(*(_asked(request, name) for name in ("locale", "user_id", "sent_by")))
        for permission in needed(asked):
            if not may_look(request):
                await tenant_of_person(request, permission)
        return await source.template(tenant, name, asked)

    @app.get("/channels", include_in_schema=False)
    async def channels(request: Request) -> Response:
        async def make(tenant: str, site: Site) -> Response:
            return _page(render_channels(await source.channels(tenant), now=clock(), site=site))

        return await shown(request, make, Permission.CHANNELS_READ, here="/channels")

    @app.get("/deliveries", include_in_schema=False)
    async def deliveries(request: Request) -> Response:
        wanted = Wanted(*(_asked(request, name) for name in ("status", "channel", "campaign", "after")))

        async def make(tenant: str, site: Site) -> Response:
            asked = wanted.status or None, wanted.channel or None, wanted.campaign or None
            found = await source.deliveries(tenant, *asked, wanted.place)
            return _page(render_deliveries(found, wanted=wanted, now=clock(), site=site))

        return await shown(request, make, Permission.MESSAGES_READ, here="/deliveries")

    @app.get("/catalogues", include_in_schema=False)
    @app.get("/catalogues/{name}", include_in_schema=False)
    async def catalogues(request: Request, name: str = "") -> Response:
        async def make(tenant: str, site: Site) -> Response:
            found = await source.catalogues(tenant, name, _asked(request, "after") or None)
            return _page(render_catalogues(found, now=clock(), site=site))

        return await shown(request, make, Permission.CATALOGUES_READ, here="" if name else "/catalogues")

    @app.get("/coupon-pools", include_in_schema=False)
    async def coupons(request: Request) -> Response:
        async def make(tenant: str, site: Site) -> Response:
            return _page(render_coupons(await source.coupons(tenant, ""), now=clock(), site=site))

        return await shown(request, make, Permission.COUPONS_READ, here="/coupon-pools")

    @app.get("/coupon-pools/{name}", include_in_schema=False)
    async def given_coupons(request: Request, name: str) -> Response:
        async def make(tenant: str, site: Site) -> Response:
            return _page(render_coupons(await source.coupons(tenant, name), now=clock(), site=site))

        return await shown(request, make, Permission.USERS_READ)

    @app.get("/policies", include_in_schema=False)
    async def policies(request: Request) -> Response:
        async def make(tenant: str, site: Site) -> Response:
            return _page(render_policies(await source.policies(tenant), now=clock(), site=site))

        return await shown(request, make, Permission.POLICIES_READ, here="/policies")

    @app.get("/find", include_in_schema=False)
    async def find(request: Request) -> Response:
        """Redirect from what was typed to the page it names. The target begins with a path of ours: it cannot lead
        away."""

        async def make(tenant: str, site: Site) -> Response:
            return RedirectResponse(destination(tenant, request.query_params.get("q", "")), HTTPStatus.SEE_OTHER)

        return await shown(request, make, Permission.USERS_READ)


def destination(tenant: str, text: str) -> str:
    """Return the page of a decision id, a send key, or else of a user."""
    wanted = text.strip()[:MOST_CHARACTERS]
    if not wanted:
        return addresses.page("/", tenant)
    if _DECISION.fullmatch(wanted):
        return addresses.decision_page(tenant, wanted)
    if _SEND.fullmatch(wanted):
        return addresses.message_page(tenant, wanted)
    return addresses.user_page(tenant, wanted)


def _reference(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False)
    async def reference(request: Request) -> Response:
        return _page(render_reference(app.openapi(), site=Site(request.query_params.get("tenant") or None)))


def _static(app: FastAPI) -> None:
    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str, request: Request) -> Response:
        found = static_file(name)
        if found is None:
            raise NotFoundError("there is no such file")
        content, media_type, etag = found
        headers = {"ETag": etag, "Cache-Control": "public, max-age=31536000, immutable"}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)


def _page(html: str, status: int = HTTPStatus.OK) -> Response:
    return HTMLResponse(html, status, headers=dict(PAGE_HEADERS))


def _asked(request: Request, name: str) -> str:
    return request.query_params.get(name, "").strip()[:MOST_CHARACTERS]


def _whole(text: Any) -> int | None:
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 19 else None

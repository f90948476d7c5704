"""What the pages of signing in share: their forms' tokens, answers, and the problem shown above a form."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from serve_apps.gateway.http import cookies
from serve_apps.gateway.http.forms import read_form
from serve_apps.gateway.pages.rendering import PAGE_HEADERS, render
from whisperer.errors import ProblemsError, WhispererError

HOME = "/auth/account"
FORM_LIFE_S = 3600


def local(address: str) -> str:
    """Return where to go after signing in: a path of ours, never another site."""
    is_ours = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
    return address if is_ours and len(address) <= 2_000 else HOME


def shown(request: Request, template: str, title: str, *, status: int = 200, **values: Any) -> Response:
    """Return a page with a form, before there is a session."""
    secret = cookies.read_cookie(request, cookies.FORM) or secrets.token_urlsafe(24)
    html = render(template, title=title, csrf=cookies.csrf_token(secret), **{"trouble": "", **values})
    page = HTMLResponse(html, status, headers=dict(PAGE_HEADERS))
    cookies.set_cookie(request, page, cookies.FORM, secret, FORM_LIFE_S)
    return page


def refused(request: Request, template: str, title: str, error: WhispererError, **values: Any) -> Response:
    """Return the form again, with what was wrong. Raises the error if it is ours."""
    if error.status >= 500 and not error.retryable:
        raise error
    page = shown(request, template, title, status=status_of(error), trouble=in_words(error), **values)
    if error.retry_after_s is not None:
        page.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return page


def status_of(error: WhispererError) -> int:
    """Return the status of a page that shows an error."""
    return 422 if isinstance(error, ProblemsError) else error.status


def in_words(error: WhispererError) -> str:
    """Return what a person reads about an error."""
    if isinstance(error, ProblemsError):
        return "; ".join(one["message"] for one in error.errors)
    return error.message


async def sent(request: Request) -> dict[str, str]:
    """Return the fields of a form that our own page has sent, before there is a session.

    Raises ForbiddenError (`cross_site`).
    """
    fields = await read_form(request)
    cookies.check_origin(request, cookies.read_cookie(request, cookies.FORM) or "", fields.get(cookies.CSRF_FIELD, ""))
    return fields


def to(address: str) -> RedirectResponse:
    """Return the way to another page, by GET."""
    return RedirectResponse(address, 303, headers={"Cache-Control": "no-store"})

"""Keeps a person's session in a browser's cookie, and other sites from making calls with it.

The cookie is HttpOnly and SameSite=Lax; over TLS it is Secure and named `__Host-…`, so no other host can set it. A call
that changes something must come from a page of this origin (`Sec-Fetch-Site`, or else `Origin`), and must carry the
session's CSRF token, which a page of another origin cannot read: in the header `X-CSRF-Token`, or a form's field.
"""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from whisperer.errors import ForbiddenError

NAME = "whisperer_session"
STEP = "whisperer_step"
"""Holds where somebody stands who is signing in."""
FORM = "whisperer_form"
"""What a form's token is made from before there is a session."""
CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf_token"
_SAFE = ("GET", "HEAD", "OPTIONS")
_HOST = "__Host-"


def is_secure(request: Request) -> bool:
    """Return whether the client speaks TLS to us, or to the proxy in front of us, which says so.

    Whoever says so falsely only gets cookies that their own browser keeps for TLS.
    """
    return request.url.scheme == "https" or request.headers.get("x-forwarded-proto", "").lower() == "https"


def read_cookie(request: Request, name: str) -> str | None:
    """Return a cookie of ours; over TLS, only one that no other host can have set."""
    return request.cookies.get(_HOST + name if is_secure(request) else name)


def set_cookie(request: Request, response: Response, name: str, value: str, max_age_s: int) -> None:
    """Set a cookie of ours, which no script can read."""
    secure = is_secure(request)
    full_name = _HOST + name if secure else name
    response.set_cookie(full_name, value, max_age=max_age_s, path="/", secure=secure, httponly=True, samesite="lax")


def drop_cookie(request: Request, response: Response, name: str) -> None:
    """Make the browser forget a cookie of ours."""
    set_cookie(request, response, name, "", 0)


def session_cookie(request: Request) -> str | None:
    """Return what the browser's session is known by; None if it has none."""
    return read_cookie(request, NAME)


def csrf_token(secret: str) -> str:
    """Return the token that a page's forms carry, for the cookie that the page was shown under."""
    return hmac.new(secret.encode("utf-8", "surrogatepass"), b"csrf", hashlib.sha256).hexdigest()


def check_origin(request: Request, secret: str, sent: str | None = None) -> None:
    """Check that a call with a cookie was made by a page of ours; ``sent`` is the form's token, if there is a form.

    Raises ForbiddenError (`cross_site`).
    """
    if request.method in _SAFE:
        return
    check_same_origin(request)
    given = sent if sent is not None else request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), csrf_token(secret).encode()):
        raise ForbiddenError(
            f"with a session, a changing call needs its CSRF token in {CSRF_HEADER}; GET /v1/auth/session returns it",
            code="cross_site",
        )


def check_same_origin(request: Request) -> None:
    """Check that the browser says a page of this origin makes a call. Raises ForbiddenError (`cross_site`)."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        ours = site in ("same-origin", "none")
    else:
        ours = origin is None or urlsplit(origin).netloc == request.headers.get("host", "")
    if not ours:
        raise ForbiddenError("this call comes from a page of another site", code="cross_site")

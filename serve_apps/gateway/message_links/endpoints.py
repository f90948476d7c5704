"""Serves the addresses in messages: the picture that reports an opening, clicks, unsubscription.

Readers are never kept waiting: an opening or click is recorded before the answer if that takes about a second, and
otherwise continues to be recorded after it. Unsubscribing is answered only when it is on disk, and says so when it is
not. A GET never unsubscribes, because mail scanners follow every link (RFC 8058). A click's destination comes only from
the signed token. What a program did, and no reader, is recorded as such (:mod:`whisperer.feedback.automatic`).

No postponed annotations here: FastAPI has to see the types of the routes.
"""

import asyncio
import base64
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping

from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from serve_apps.gateway.http.connection import client_address
from serve_apps.gateway.http.problems import problem
from serve_apps.gateway.pages.unsubscribe import UNSUBSCRIBE_HEADERS, render_unsubscribe
from whisperer.errors import WhispererError
from whisperer.feedback.automatic import Deed, outcome_of
from whisperer.feedback.links import CLICK, OPEN, PATHS, UNSUBSCRIBE, Link, LinkError, LinkForgedError, LinkSigner
from whisperer.feedback.outcome import OutcomeKind
from whisperer.feedback.short_links import CODE
from whisperer.feedback.short_links import PATH as SHORT

PATIENCE_S = 1.0
"""How long a reader who opened or clicked may be kept waiting."""
UNSUBSCRIBE_PATIENCE_S = 10.0
MAX_PENDING = 1_000
"""Outcomes that may still be recorded after their answers; any more are abandoned."""

_GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_UNSEEN: Mapping[str, str] = {
    "Cache-Control": "no-store, private",
    "Referrer-Policy": "no-referrer",  # the address is its reader's secret
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}

_TOKEN = re.compile(r"[A-Za-z0-9_-]+")

Record = Callable[[Link, OutcomeKind], Awaitable[None]]
"""Journals an outcome of :mod:`whisperer.feedback.outcome` for a link; returns when it is on disk."""

TokenOf = Callable[[str], str | None]
"""Returns what a short link's code stands for; blocks."""

_log = logging.getLogger(__name__)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def install(
    app: FastAPI,
    signer: LinkSigner,
    record: Record,
    vouched: str = "",
    *,
    now_ms: Callable[[], int] = _now_ms,
    token_of: TokenOf | None = None,
) -> None:
    """Add the routes. ``app`` must answer errors as problems (:mod:`serve_apps.gateway.http.problems`).

    ``token_of`` knows short links. ``vouched`` is what our own proxy shows (:mod:`serve_apps.gateway.http.connection`).
    """
    recorder = _Recorder(record)

    def kind_of(what: Deed, request: Request) -> OutcomeKind:
        address = client_address(dict(request.headers.raw), vouched) if vouched else None
        return outcome_of(what, request.method, request.headers.get("user-agent"), address)

    def read(written: str, kind: str) -> Link:
        # Programs that turn text into links include what follows: a full stop, a bracket, a Japanese sentence.
        token = _TOKEN.match(written)
        link = signer.read(token[0] if token else "", now_ms())
        if link.kind != kind:
            raise LinkForgedError("this link is for something else")
        return link

    @app.api_route(PATHS[OPEN] + "{token}", methods=["GET", "HEAD"], include_in_schema=False)
    async def opened(token: str, request: Request) -> Response:
        try:
            link = read(token, OPEN)
        except LinkError:
            link = None  # a broken picture would help nobody
        if link is not None:
            await recorder.try_to(link, kind_of("open", request))
        return Response(_GIF, media_type="image/gif", headers=dict(_UNSEEN))

    @app.api_route(PATHS[CLICK] + "{token}", methods=["GET", "HEAD"], include_in_schema=False)
    async def clicked(token: str, request: Request) -> Response:
        link = read(token, CLICK)
        await recorder.try_to(link, kind_of("click", request))
        return Response(status_code=302, headers={"Location": link.url, **_UNSEEN})

    @app.api_route(SHORT + "{code}", methods=["GET", "HEAD"], include_in_schema=False)
    async def clicked_short(code: str, request: Request) -> Response:
        found = CODE.match(code.lower())
        token = await asyncio.to_thread(token_of, found[0]) if found and token_of is not None else None
        if token is None:
            raise LinkForgedError("this link was not made here, was cut off on its way, or has expired")
        return await clicked(token, request)

    @app.api_route(PATHS[UNSUBSCRIBE] + "{token}", methods=["GET", "HEAD"], include_in_schema=False)
    async def ask(token: str, request: Request) -> Response:
        link = read(token, UNSUBSCRIBE)
        page = render_unsubscribe(link, request.headers.get("accept-language"), done=False)
        return HTMLResponse(page, headers={**_UNSEEN, **UNSUBSCRIBE_HEADERS})

    @app.post(PATHS[UNSUBSCRIBE] + "{token}", include_in_schema=False)
    async def unsubscribe(token: str, request: Request) -> Response:
        """Ignore the body: a mail program's `List-Unsubscribe=One-Click` and the page's form ask for the same."""
        link = read(token, UNSUBSCRIBE)
        try:
            await asyncio.wait_for(record(link, OutcomeKind.UNSUBSCRIBED), UNSUBSCRIBE_PATIENCE_S)
        except Exception as error:
            _log.warning("an unsubscription by a link could not be recorded: %r", error)
            retry_after_s = error.retry_after_s if isinstance(error, WhispererError) else None
            message = "this could not be recorded just now; please try again in a moment"
            return problem(request, 503, "unavailable", message, retry_after_s=retry_after_s or 5.0)
        if "text/html" not in request.headers.get("accept", ""):
            return PlainTextResponse("unsubscribed\n", headers=dict(_UNSEEN))
        page = render_unsubscribe(link, request.headers.get("accept-language"), done=True)
        return HTMLResponse(page, headers={**_UNSEEN, **UNSUBSCRIBE_HEADERS})


class _Recorder:
    """Records outcomes that should not keep anybody waiting."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._pending: set[asyncio.Task[None]] = set()

    async def try_to(self, link: Link, kind: OutcomeKind) -> None:
        """Record an outcome; returns after at most PATIENCE_S, and never raises."""
        if len(self._pending) >= MAX_PENDING:
            _log.warning("%s was not recorded: too many are waiting", kind)
            return
        task = asyncio.ensure_future(self._quietly(link, kind))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        await asyncio.wait({task}, timeout=PATIENCE_S)

    async def _quietly(self, link: Link, kind: OutcomeKind) -> None:
        try:
            await self._record(link, kind)
        except Exception as error:
            _log.warning("%s by a link could not be recorded: %r", kind, error)

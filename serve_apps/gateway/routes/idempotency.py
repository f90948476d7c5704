"""Carries out changing calls with an Idempotency-Key once, whichever replica they reach.

    the same call again         the stored answer, with `Idempotent-Replay: true`
    another call, the same key  422 `idempotency_key_reused`
    it is still under way       409 `call_in_progress`
    its answer had a secret     409 `shown_once`, with the `Location` of what was made

A plain ASGI application around the others, so that no route can forget it. It decides what counts as a call and what of
it is kept; :mod:`cluster.control_plane.replays` stores it. Only success is kept: a refused call changed nothing and may
be corrected and sent again under its key. Of an answer that shows a secret once
(:func:`serve_apps.gateway.http.exchange.shown_once`) only the headers are kept: a repeat learns that the call was
carried out, and can neither do it again nor read the secret. A caller who hangs up changes nothing either: the call
continues, and its answer waits. `POST /v1/decisions` is excluded: there the key is the occurrence, by which the shard
itself makes the same decision for the same question.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cluster.control_plane.replays import Answer
from serve_apps.gateway.http.exchange import SHOWN_ONCE, read_body
from serve_apps.gateway.http.methods import answers
from serve_apps.gateway.http.problems import refusal
from serve_apps.gateway.http.uploads import most_of
from serve_apps.gateway.routes.mounting import tenant_named
from serve_apps.gateway.services.parts import Parts
from whisperer.errors import ConflictError, ForbiddenError, InvalidKeyError, NotFoundError, RequestError, WhispererError
from whisperer.ids import TenantId

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replay"
MAX_KEY_CHARACTERS = 200
_METHODS = ("POST", "PUT", "PATCH", "DELETE")
_OPERATORS = "/internal/tenants/"
_TENANTS = "/v1/"
_OTHERWISE = re.compile(r"auth/.*|decisions|templates/[^/]*/(?:preview|lint|score)|me/.*|callbacks/.*|analytics/.*")
"""The first answers with secrets, which are not kept; the second is idempotent by its occurrence; the third and the
last change nothing; then what is for users, and what providers repeat by themselves."""
_KEPT_HEADERS = ("content-type", "etag", "cache-control", "location", SHOWN_ONCE.lower())

_log = logging.getLogger(__name__)


def covers(method: str, path: str) -> bool:
    """Return whether a call changes something and has no other way to be repeated safely."""
    if path.startswith(_OPERATORS):
        resource = path.removeprefix(_OPERATORS).partition("/")[2]
    else:
        resource = path.removeprefix(_TENANTS) if path.startswith(_TENANTS) else ""
    return method.upper() in _METHODS and bool(resource) and not _OTHERWISE.fullmatch(resource)


class Idempotency:
    def __init__(
        self, app: ASGIApp, parts: Parts, clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        self._app = app
        self._parts = parts
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not covers(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        key = request.headers.get(HEADER)
        tenant = None if key is None else await self._tenant(request)
        # The routes answer callers without access, and requests that no route matches.
        if key is None or tenant is None or not answers(scope["app"], dict(scope), scope["method"]):
            await self._app(scope, receive, send)
            return
        answer = await self._answer(request, tenant, key)
        await answer(scope, receive, send)

    async def _tenant(self, request: Request) -> TenantId | None:
        authorization, path = request.headers.get("authorization"), request.url.path
        try:
            if path.startswith(_TENANTS):
                return (await self._parts.access.principal(request)).tenant_id
            self._parts.access.operator(authorization)
            return await tenant_named(self._parts, path.removeprefix(_OPERATORS).partition("/")[0])
        except (InvalidKeyError, NotFoundError, ForbiddenError):
            return None

    async def _answer(self, request: Request, tenant: TenantId, key: str) -> Response:
        try:
            if not 0 < len(key) <= MAX_KEY_CHARACTERS or not key.isascii() or not key.isprintable():
                message = f"an {HEADER} has 1 to {MAX_KEY_CHARACTERS} printable characters of ASCII"
                raise RequestError(message, code="invalid_idempotency_key")
            body = await read_body(request, most_of(request.method, request.url.path))
            now = self._clock()
            plane = self._parts.plane
            stored = await asyncio.to_thread(plane.begin_call, tenant, key, _fingerprint(request, body), now)
        except WhispererError as error:
            return refusal(request, error)
        if stored is not None and SHOWN_ONCE.lower() in stored.headers:
            return _not_again(request, stored)
        if stored is not None:
            return Response(stored.body, stored.status, stored.headers | {REPLAYED: "true"})
        # Independent of the caller: one who hangs up and calls again finds the outcome of the first call.
        return await asyncio.shield(asyncio.ensure_future(self._carry_out(request.scope, body, tenant, key, now)))

    async def _carry_out(self, scope: Scope, body: bytes, tenant: TenantId, key: str, begun_at: int) -> Response:
        done: Answer | None = None
        try:
            answer = await _call(self._app, scope, body)
            if 200 <= answer.status_code < 300:
                kept = {name: answer.headers[name] for name in _KEPT_HEADERS if name in answer.headers}
                content = b"" if SHOWN_ONCE in answer.headers else bytes(answer.body)
                done = Answer(answer.status_code, kept, content)
            return answer
        finally:
            try:
                await asyncio.to_thread(self._parts.plane.finish_call, tenant, key, begun_at, done)
            except WhispererError as error:
                _log.warning("the answer to a call with an %s could not be kept: %r", HEADER, error)


def _not_again(request: Request, stored: Answer) -> Response:
    message = (
        "this call was carried out, and its answer, which nobody can see again, had the secret of what Location names; "
        "if the secret is lost, revoke or rotate that"
    )
    answer = refusal(request, ConflictError(message, code="shown_once"))
    answer.headers[REPLAYED] = "true"
    if "location" in stored.headers:
        answer.headers["Location"] = stored.headers["location"]
    return answer


async def _call(app: ASGIApp, scope: Scope, body: bytes) -> Response:
    """Return the application's answer to a call whose body was already read."""
    messages: list[Message] = []
    unread = [body]

    async def receive() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        messages.append(message)

    await app(dict(scope), receive, send)
    content = b"".join(message.get("body", b"") for message in messages if message["type"] == "http.response.body")
    start: Any = messages[0]
    answer = Response(content, start["status"])
    answer.raw_headers = list(start["headers"])
    return answer


def _fingerprint(request: Request, body: bytes) -> str:
    """Return a fingerprint of the same call: its method, target and content."""
    made = hashlib.sha256()
    for part in (request.method, request.url.path, request.url.query, request.headers.get("if-match", "")):
        made.update(part.encode("utf-8", "surrogatepass") + b"\x00")
    made.update(body)
    return made.hexdigest()

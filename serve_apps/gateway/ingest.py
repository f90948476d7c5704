"""The Tracking API: one request from the socket to its answer.

The steps, in order: read the body (bounded in bytes and time), undo gzip, parse, find the key, apply limits, admit each
event, wait until every shard concerned has it on disk, answer. A plain ASGI application: what runs for every request
should be readable in one place. What is turned away is a value, counted by code; only a bug of ours is a 500.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from actors import tracing
from actors.routing import Shards
from serve_apps.gateway.access import WRITE, Access
from serve_apps.gateway.coalesce import Coalescer
from serve_apps.gateway.counts import NOBODY, Counts
from serve_apps.gateway.limits import Buckets
from whisperer.errors import OverloadError, UnavailableError
from whisperer.events.admit import admit
from whisperer.events.answer import PROBLEM_MEDIA_TYPE, answer, problem
from whisperer.events.decompress import MAX_BODY_BYTES, TOO_LARGE, decompress
from whisperer.events.parse import parse_body
from whisperer.events.placeholders import DEFAULT, Placeholders
from whisperer.events.refusals import Code, Refusal
from whisperer.events.routes import ROUTES, Route
from whisperer.events.write_key import presented_key
from whisperer.ids import tenant_seed

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_log = logging.getLogger(__name__)

PREFIX = "/v1/"
EVENT_BYTES = 512
"""An event of a batch is about so large, as long as its body is not read."""
SUCCESS = b'{"success":true}'

_CORS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"Retry-After"),
]
_PREFLIGHT = [
    *_CORS,
    (b"access-control-allow-methods", b"POST, OPTIONS"),
    (b"access-control-allow-headers", b"authorization, content-type, content-encoding, x-retry-count"),
    (b"access-control-max-age", b"86400"),
    (b"content-length", b"0"),
]
_JSON = (b"content-type", b"application/json")
_PROBLEM = (b"content-type", PROBLEM_MEDIA_TYPE.encode())

_INVALID_KEY = Refusal(Code.INVALID_KEY, "the write key is missing, unknown or revoked, or is not a write key")
_TOO_SLOW = Refusal(Code.MALFORMED_JSON, "the body did not arrive in time or ended early")
_BUSY = Refusal(Code.OVERLOADED, "more is waiting to be stored than this server holds; try again after Retry-After")
_AWAY = Refusal(Code.OVERLOADED, "a shard is recovering; nothing of this request is confirmed, send it again")


def route_of(path: str) -> Route | None:
    """The Tracking API's route of a path; a slash at the end makes no difference (a redirect would lose the body)."""
    return ROUTES.get(path[len(PREFIX) :].rstrip("/")) if path.startswith(PREFIX) else None


class Ingestion:
    def __init__(
        self,
        access: Access,
        shards: Shards,
        coalescer: Coalescer,
        counts: Counts,
        *,
        events_per_s: float,
        requests_per_s: float,
        body_timeout_s: float,
        max_in_flight_bytes: int,
        placeholders: Placeholders = DEFAULT,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._access = access
        self._shards = shards
        self._coalescer = coalescer
        self._counts = counts
        self._events = Buckets(events_per_s)
        self._requests = Buckets(requests_per_s)
        self._body_timeout_s = body_timeout_s
        self._max_in_flight = max_in_flight_bytes
        self._in_flight = 0
        self._placeholders = placeholders
        self._clock_ms = clock_ms
        self._seeds: dict[str, int] = {}

    @property
    def in_flight_bytes(self) -> int:
        """Declared sizes of the bodies that are held."""
        return self._in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send, route: Route) -> None:
        method = scope["method"]
        if method == "OPTIONS":
            await _respond(send, 204, _PREFLIGHT, b"")
            return
        if method != "POST":
            await _respond(send, 405, [*_CORS, (b"allow", b"POST, OPTIONS"), (b"content-length", b"0")], b"")
            return
        try:
            status, headers, body = await self._handle(scope, receive, route)
        except Exception:
            # A bug of ours; the client keeps its events and sends them again.
            trace_id = tracing.trace_id()
            _log.exception("POST %s failed", scope["path"], extra={"trace_id": trace_id})
            content = {"title": "Internal Server Error", "status": 500, "code": "internal", "trace_id": trace_id}
            status, headers, body = 500, [_PROBLEM], msgspec.json.encode(content)
        await _respond(send, status, [*_CORS, *headers, (b"content-length", str(len(body)).encode())], body)

    async def _handle(
        self, scope: Scope, receive: Receive, route: Route
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        now = self._clock_ms()
        headers = dict(scope["headers"])
        size = _declared_size(headers)
        if size > MAX_BODY_BYTES:
            return self._refused(NOBODY, TOO_LARGE, scope, now)
        # Before the body is read: what is turned away in an overload must cost little.
        if self._in_flight + size > self._max_in_flight or not self._coalescer.has_room(1 + size // EVENT_BYTES):
            return self._refused(NOBODY, _BUSY, scope, now, retry_after_s=1)
        self._in_flight += size
        try:
            body = await _read(receive, self._body_timeout_s)
            if isinstance(body, Refusal):
                return self._refused(NOBODY, body, scope, now)
            return await self._store(scope, headers, body, route, now)
        finally:
            self._in_flight -= size

    async def _store(
        self, scope: Scope, headers: dict[bytes, bytes], body: bytes, route: Route, now: int
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        text = decompress(body)
        parsed = text if isinstance(text, Refusal) else parse_body(text, route, self._placeholders)
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        body_key = None if isinstance(parsed, Refusal) else parsed.write_key
        key = await self._access.find(presented_key(authorization, body_key))
        tenant = NOBODY if key is None or key.kind != WRITE else key.tenant_id
        if isinstance(parsed, Refusal):
            return self._refused(tenant, parsed, scope, now)
        if key is None or tenant == NOBODY:
            return self._refused(NOBODY, _INVALID_KEY, scope, now)
        n = len(parsed.events)
        clock_s = time.monotonic()
        wait_s = self._requests.take(key.id, 1, clock_s) or self._events.take(tenant, n, clock_s)
        if wait_s is not None:
            limited = Refusal(Code.RATE_LIMITED, "the rate limit of this key or tenant is reached")
            return self._refused(tenant, limited, scope, now, retry_after_s=wait_s, n_events=n)
        if not self._coalescer.has_room(n):
            return self._refused(tenant, _BUSY, scope, now, retry_after_s=1, n_events=n)
        seed = self._seeds.get(tenant)
        if seed is None:
            seed = self._seeds[tenant] = tenant_seed(tenant)
        outcome = admit(
            parsed,
            seed=seed,
            received_at=now,
            client_ip=_client_ip(scope),
            new_message_id=_new_message_id,
            shard_of=self._shards.homes(tenant),
            placeholders=self._placeholders,
        )
        if outcome.rejected or outcome.notices:
            self._counts.outcome(tenant, outcome, now)
        if outcome.n_accepted:
            try:
                await self._coalescer.commit(tenant, outcome.parts)
            except (OverloadError, UnavailableError) as error:
                refusal = _BUSY if isinstance(error, OverloadError) else _AWAY
                return self._refused(tenant, refusal, scope, now, retry_after_s=1, n_events=outcome.n_accepted)
        if not outcome.rejected:
            return 200, [_JSON], SUCCESS
        status, content = answer(outcome, instance=scope["path"])
        return status, [_JSON if status == 200 else _PROBLEM], msgspec.json.encode(content)

    def _refused(
        self,
        tenant: str,
        refusal: Refusal,
        scope: Scope,
        now: int,
        *,
        retry_after_s: float | None = None,
        n_events: int = 1,
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        self._counts.refuse(tenant, refusal, now, n_events)
        headers = [_PROBLEM]
        if retry_after_s is not None:
            # Up to twice as long, by chance: those who are told together do not come back together.
            least_s = max(1, math.ceil(retry_after_s))
            headers.append((b"retry-after", str(random.randint(least_s, 2 * least_s)).encode()))  # noqa: S311  no secret
        if refusal.status == 401:
            headers.append((b"www-authenticate", b'Basic realm="write key"'))
        return refusal.status, headers, msgspec.json.encode(problem(refusal, instance=scope["path"]))


async def _read(receive: Receive, timeout_s: float) -> bytes | Refusal:
    """The whole body. Bounded in bytes and, as a whole, in time: a client that trickles is cut off."""
    chunks: list[bytes] = []
    size, more = 0, True
    try:
        async with asyncio.timeout(timeout_s):
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    return _TOO_SLOW
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                more = message.get("more_body", False)
                if size > MAX_BODY_BYTES:
                    return TOO_LARGE
    except TimeoutError:
        return _TOO_SLOW
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _respond(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _declared_size(headers: dict[bytes, bytes]) -> int:
    """Content-Length; a body that does not say is taken to be as large as allowed."""
    declared = headers.get(b"content-length")
    return int(declared) if declared is not None and declared.isdigit() else MAX_BODY_BYTES


def _client_ip(scope: Scope) -> str | None:
    """The client's address, as a proxy in front of ours forwards it; our own HAProxy's address says nothing."""
    client = scope.get("client")
    return client[0] if client and client[0] != "127.0.0.1" else None


def _new_message_id() -> str:
    return uuid.uuid4().hex

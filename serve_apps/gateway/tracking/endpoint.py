"""The Tracking API: takes one request from the socket to its answer.

The steps, in order: find the key in the header, read the body (bounded in bytes and time), undo gzip, parse, find the
key in the body if the header had none, apply limits, admit each event, wait until every shard concerned has it on disk,
answer. A plain ASGI application, because what runs for every request should be readable in one place. A refusal is a
value, counted by code; only a bug of ours is a 500.
"""

from __future__ import annotations

import logging
import math
import random
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from actors.calls.map_holder import MapHolder
from actors.telemetry import tracing
from cluster.control_plane.key_records import KeyRecord
from cluster.control_plane.keys import WRITE
from serve_apps.gateway.http.access import Access
from serve_apps.gateway.http.arrivals import Arrivals, BodyOwner, BodyPace, owner_of_address
from serve_apps.gateway.http.connection import client_address
from serve_apps.gateway.http.limits import Limits
from serve_apps.gateway.http.rates import Rate, headers, take
from serve_apps.gateway.http.server import EXCHANGE, Exchange
from serve_apps.gateway.metrics.counts import NOBODY, ReplicaCounts
from serve_apps.gateway.tracking.bodies import read_body
from serve_apps.gateway.tracking.coalesce import Coalescer
from whisperer.errors import OverloadError, UnavailableError
from whisperer.events.admit import admit
from whisperer.events.answer import PROBLEM_MEDIA_TYPE, answer, problem
from whisperer.events.decompress import MAX_BODY_BYTES, TOO_LARGE, decompress
from whisperer.events.kernels.placeholders import DEFAULT, Placeholders
from whisperer.events.parse import parse_body
from whisperer.events.refusals import Code, Refusal
from whisperer.events.routes import ROUTES, Route
from whisperer.events.write_key import presented_key
from whisperer.ids import TenantId, tenant_seed
from whisperer.settings import TierSettings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_log = logging.getLogger(__name__)

PREFIX = "/v1/"
REMEMBER_FULL_S = 2.0
"""A gateway that turned events away within this time reports that it is not ready."""
MAX_REMEMBERED_BYTES = 512
"""Authorization headers up to this length are decoded once."""
SUCCESS = b'{"success":true}'

_CORS = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"Retry-After, RateLimit, RateLimit-Policy"),
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

_INVALID_KEY = Refusal(
    Code.INVALID_KEY,
    "the write key is missing, unknown, revoked or expired, is no write key, or not for use from this address",
)
_LIMITED = Refusal(Code.RATE_LIMITED, "the rate limit of this key or tenant is reached")
_BUSY = Refusal(Code.OVERLOADED, "more is waiting to be stored than this server holds; try again after Retry-After")
_AWAY = Refusal(Code.OVERLOADED, "a shard is recovering; nothing of this request is confirmed, send it again")
_KEYS_AWAY = Refusal(Code.OVERLOADED, "keys cannot be looked up at the moment; send it again after Retry-After")
_METHOD = {
    "title": "Method Not Allowed",
    "status": 405,
    "code": "method_not_allowed",
    "detail": "events are sent by POST",
}
_METHODS = (b"allow", b"POST, OPTIONS")

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


def route_of(path: str) -> Route | None:
    """Return the Tracking API's route of a path; a trailing slash makes no difference (a redirect would lose the
    body)."""
    return ROUTES.get(path[len(PREFIX) :].rstrip("/")) if path.startswith(PREFIX) else None


class Ingestion:
    """Answers the Tracking API's requests. ``client_secret`` is what our own proxy shows (:mod:`.connection`).

    A quarter of ``max_in_flight_bytes`` is for bodies on their way in, and the rest for complete ones.
    """

    def __init__(
        self,
        access: Access,
        places: MapHolder,
        coalescer: Coalescer,
        counts: ReplicaCounts,
        limits: Limits,
        *,
        pace: BodyPace,
        max_in_flight_bytes: int,
        max_bodies: int,
        client_secret: str,
        placeholders: Placeholders = DEFAULT,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._access = access
        self._places = places
        self._coalescer = coalescer
        self._counts = counts
        self._limits = limits
        self._pace = pace
        self._client_secret = client_secret
        self.arrivals = Arrivals(max_in_flight_bytes // 4, max_bodies)
        self._max_held = max_in_flight_bytes - max_in_flight_bytes // 4
        self._held = 0
        self._placeholders = placeholders
        self._clock_ms = clock_ms
        self._seeds: dict[TenantId, int] = {}
        self._full_at = -math.inf

    @property
    def in_flight_bytes(self) -> int:
        """Bytes held for bodies: what has arrived of incomplete ones, and the unpacked size of complete ones."""
        return self._held + self.arrivals.n_bytes

    def unready(self) -> list[str]:
        """Return why requests are turned away for lack of room now, or were in the last seconds."""
        if time.monotonic() - self._full_at > REMEMBER_FULL_S and self._has_room(1):
            return []
        return ["events are turned away: more is waiting to be stored than this server holds"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send, route: Route) -> None:
        method = scope["method"]
        if method == "OPTIONS":
            await _respond(send, 204, _PREFLIGHT, b"")
            return
        if method != "POST":
            status, headers, body = 405, [_METHODS, _PROBLEM], msgspec.json.encode(_METHOD)
        else:
            try:
                status, headers, body = await self._handle(scope, receive, route)
            except Exception:
                # A bug of ours; the client keeps its events and sends them again.
                trace_id = tracing.trace_id()
                _log.exception("POST %s failed", scope["path"], extra={"trace_id": trace_id})
                content = {"title": "Internal Server Error", "status": 500, "code": "internal", "trace_id": trace_id}
                status, headers, body = 500, [_PROBLEM], msgspec.json.encode(content)
        await _respond(send, status, [*_CORS, *headers, (b"content-length", str(len(body)).encode())], body)

    async def _handle(self, scope: Scope, receive: Receive, route: Route) -> Answer:
        now = self._clock_ms()
        exchange: Exchange | None = scope.get(EXCHANGE)
        named = dict(scope["headers"]) if exchange is None else exchange.headers
        if _declared_size(named) > MAX_BODY_BYTES:
            return self._refused(NOBODY, TOO_LARGE, scope, now)
        if not self._has_room(1):  # before the body is read: refusals under overload must be cheap
            return self._full(NOBODY, _BUSY, scope, now)
        address = client_address(named, self._client_secret)
        shown = _shown(named.get(b"authorization", b""))
        key: KeyRecord | None = None
        if shown is not None:
            admitted = await self._admitted(shown, address, scope, now)
            if isinstance(admitted, tuple):
                return admitted
            key = admitted
        body: bytes | Refusal | None = None if exchange is None else exchange.take_whole_body()
        if body is None:  # it is still on its way
            owner = owner_of_address(address) if key is None else BodyOwner(key.id, has_key=True)
            body = await read_body(receive, self.arrivals, owner, self._pace)
        if isinstance(body, Refusal):
            tenant = NOBODY if key is None else key.tenant_id
            return self._refused(tenant, body, scope, now, retry_after_s=1 if body.status in (408, 503) else None)
        size = len(body)
        self._held += size
        try:
            text = decompress(body)
            del body
            if not isinstance(text, Refusal) and len(text) > size:
                self._held += len(text) - size
                size = len(text)
            if not self._has_room(0):
                return self._full(NOBODY, _BUSY, scope, now)
            return await self._store(scope, text, key, address, route, now)
        finally:
            self._held -= size

    async def _admitted(self, shown: str | None, address: str | None, scope: Scope, now: int) -> KeyRecord | Answer:
        """Return the record of the write key shown, with one request taken from its rate, or else a refusal."""
        try:
            key = await self._access.find(shown)
        except UnavailableError:
            return self._refused(NOBODY, _KEYS_AWAY, scope, now, retry_after_s=1)
        if key is None or key.kind != WRITE or not key.is_usable(now, address):
            return self._refused(NOBODY, _INVALID_KEY, scope, now)
        self._access.note_use(key)
        wait_s = await take(self._limits, self._rates(key).requests, 1)
        if wait_s is not None:
            return self._refused(key.tenant_id, _LIMITED, scope, now, retry_after_s=wait_s, key=key)
        return key

    async def _store(
        self, scope: Scope, text: bytes | Refusal, key: KeyRecord | None, address: str | None, route: Route, now: int
    ) -> Answer:
        parsed = text if isinstance(text, Refusal) else parse_body(text, route)
        if key is None:
            if isinstance(parsed, Refusal):  # the body could not be read, so neither could its key
                return self._refused(NOBODY, parsed, scope, now)
            found = await self._admitted(parsed.write_key, address, scope, now)
            if isinstance(found, tuple):
                return found
            key = found
        tenant = key.tenant_id
        if isinstance(parsed, Refusal):
            return self._refused(tenant, parsed, scope, now, key=key)
        n = len(parsed.events)
        wait_s = await take(self._limits, self._rates(key).events, n)
        if wait_s is not None:
            return self._refused(tenant, _LIMITED, scope, now, retry_after_s=wait_s, n_events=n, key=key)
        if not self._coalescer.has_room(n):
            return self._full(tenant, _BUSY, scope, now, n_events=n)
        seed = self._seeds.get(tenant)
        if seed is None:
            seed = self._seeds[tenant] = tenant_seed(tenant)
        outcome = admit(
            parsed,
            seed=seed,
            received_at=now,
            client_ip=address,
            new_message_id=_new_message_id,
            shard_of=self._places.homes(tenant),
            placeholders=self._placeholders,
        )
        if outcome.rejected or outcome.notices:
            self._counts.outcome(tenant, outcome, now)
        if outcome.n_accepted:
            try:
                await self._coalescer.commit(tenant, outcome.parts)
            except OverloadError:
                return self._full(tenant, _BUSY, scope, now, n_events=outcome.n_accepted)
            except UnavailableError:
                return self._refused(tenant, _AWAY, scope, now, retry_after_s=1, n_events=outcome.n_accepted)
        told = self._rate_headers(key)
        if not outcome.rejected:
            return 200, [_JSON, *told], SUCCESS
        status, content = answer(outcome, instance=scope["path"])
        return status, [_JSON if status == 200 else _PROBLEM, *told], msgspec.json.encode(content)

    def _has_room(self, n_events: int) -> bool:
        return self._held <= self._max_held and self._coalescer.has_room(n_events)

    def _full(self, tenant: str, refusal: Refusal, scope: Scope, now: int, n_events: int = 1) -> Answer:
        self._full_at = time.monotonic()
        return self._refused(tenant, refusal, scope, now, retry_after_s=1, n_events=n_events)

    def _rates(self, key: KeyRecord) -> _Rates:
        return _rates_of(key.id, key.tenant_id, self._access.tier(key.tenant_id))

    def _rate_headers(self, key: KeyRecord | None) -> list[tuple[bytes, bytes]]:
        if key is None:
            return []
        rates = self._rates(key)
        return headers(self._limits, rates.requests + rates.events)

    def _refused(
        self,
        tenant: str,
        refusal: Refusal,
        scope: Scope,
        now: int,
        *,
        retry_after_s: float | None = None,
        n_events: int = 1,
        key: KeyRecord | None = None,
    ) -> Answer:
        self._counts.refuse(tenant, refusal, now, n_events)
        headers = [_PROBLEM, *self._rate_headers(key)]
        if retry_after_s is not None:
            # Up to twice as long, at random, so that clients refused together do not come back together.
            least_s = max(1, math.ceil(retry_after_s))
            headers.append((b"retry-after", str(random.randint(least_s, 2 * least_s)).encode()))  # noqa: S311  no secret
        if refusal.status == 401:
            headers.append((b"www-authenticate", b'Basic realm="write key"'))
        return refusal.status, headers, msgspec.json.encode(problem(refusal, instance=scope["path"]))


class _Rates(NamedTuple):
    """What a key's requests and events are under."""

    requests: tuple[Rate, ...]
    events: tuple[Rate, ...]


@lru_cache(maxsize=4_096)
def _rates_of(key_id: str, tenant: TenantId, tier: TierSettings) -> _Rates:
    return _Rates(
        (
            Rate("requests", key_id, tier.key_requests_per_s),
            Rate("tenant-requests", f"requests:{tenant}", tier.tenant_requests_per_s),
        ),
        (
            Rate("key-events", f"events:{key_id}", tier.key_events_per_s),
            Rate("events", tenant, tier.tenant_events_per_s),
        ),
    )


async def _respond(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _shown(authorization: bytes) -> str | None:
    """Return the key in an Authorization header. Clients send the same one with each request."""
    if len(authorization) > MAX_REMEMBERED_BYTES:
        return presented_key(authorization.decode("latin-1"), None)
    return _shown_before(authorization)


@lru_cache(maxsize=4_096)
def _shown_before(authorization: bytes) -> str | None:
    return presented_key(authorization.decode("latin-1"), None)


def _declared_size(headers: dict[bytes, bytes]) -> int:
    """Return Content-Length, which may cause a refusal but reserves nothing."""
    declared = headers.get(b"content-length")
    return int(declared) if declared is not None and declared.isdigit() else 0


def _new_message_id() -> str:
    return uuid.uuid4().hex

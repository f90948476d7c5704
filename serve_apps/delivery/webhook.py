"""Posts messages to a tenant's endpoint, signed according to Standard Webhooks.

A message first takes one of the channel's `MAX_CONNECTIONS` (`ADMISSION_S`; then `waiting`: nothing was begun). It has
`TIMEOUT_S` to transmit the whole request, and the endpoint as long again to answer. The end of the request is the point
of no return.

    answer                                    status
    2xx                                       accepted
    410                                       rejected; `endpoint_gone` in the detail: the endpoint is to be disabled
    any other answer                          retry, after `Retry-After` if it is given; redirects are not followed
    none, after all of the request was sent   unknown, and asked again: a receiver takes each `webhook-id` once
    none before, no address                   retry
    an address that must not be called        rejected

At most `MAX_RESPONSE_BYTES` of a response are read and none are kept: an endpoint cannot make us display what it, or a
host behind it, said.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import httpcore
import httpx

from serve_apps.delivery.provider import ADMISSION_S, receipt, rejected, retry, unknown, waiting
from serve_apps.delivery.ssrf import ForbiddenAddressError, Guard, GuardedBackend, UnresolvableError
from whisperer.delivery.dispatch import Dispatch, Receipt, Verdict
from whisperer.delivery.errors import UnsendableError
from whisperer.delivery.providers.webhook import WEBHOOK
from whisperer.delivery.webhooks import parse_secret, payload_of, signed_headers

PROVIDER = WEBHOOK.name
TIMEOUT_S = 15.0
MAX_RESPONSE_BYTES = 64 * 1024
MAX_CONNECTIONS = 16
GONE = "endpoint_gone"

_BROKEN = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError)
_TIMEOUTS = (TimeoutError, httpcore.TimeoutException)

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole URLs at INFO, and a URL may carry a token


class Webhook:
    """A channel's endpoint. ``config`` is as :func:`whisperer.delivery.channels.parse_channel` returns it.

    ``clock`` gives ms UTC; ``tls_context`` replaces the trusted authorities.
    """

    def __init__(
        self,
        config: dict[str, Any],
        clock: Callable[[], int],
        guard: Guard,
        *,
        timeout_s: float = TIMEOUT_S,
        admission_s: float = ADMISSION_S,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self._url = httpx.URL(config["url"])
        self._keys = [parse_secret(secret) for secret in config["secrets"]]
        self._clock = clock
        self._timeout_s = timeout_s
        self._admission_s = admission_s
        self._free = asyncio.Semaphore(MAX_CONNECTIONS)
        self._client = httpx.AsyncClient(
            transport=_GuardedTransport(guard, tls_context or httpx.create_ssl_context()),
            timeout=timeout_s,
            follow_redirects=False,
            trust_env=False,
            headers={"user-agent": "user-whisperer", "accept-encoding": "identity"},
        )

    def __repr__(self) -> str:
        return f"Webhook({self._url.host})"  # the URL may carry a token

    async def send(self, dispatch: Dispatch) -> Receipt:
        try:
            payload = payload_of(dispatch)
            headers = signed_headers(dispatch.send_key, self._clock() // 1000, payload, self._keys)
        except UnsendableError as error:
            return rejected(dispatch, PROVIDER, str(error))
        try:
            async with asyncio.timeout(self._admission_s):
                await self._free.acquire()
        except TimeoutError:
            return waiting(dispatch, PROVIDER)
        try:
            return await self._post(dispatch, payload, headers | {"content-type": "application/json"})
        finally:
            self._free.release()

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _post(self, dispatch: Dispatch, payload: bytes, headers: dict[str, str]) -> Receipt:
        answer: Receipt | None = None
        is_handed_over = False

        async def trace(event: str, _: dict[str, Any]) -> None:
            nonlocal is_handed_over
            if event.endswith("send_request_body.complete"):
                is_handed_over = True
                limit.reschedule(asyncio.get_running_loop().time() + self._timeout_s)

        try:
            async with (
                asyncio.timeout(self._timeout_s) as limit,
                self._client.stream(
                    "POST", self._url, content=payload, headers=headers, extensions={"trace": trace}
                ) as response,
            ):
                answer = self._receipt(dispatch, response)
                await _drain(response)
                return answer
        except ForbiddenAddressError as error:
            return rejected(dispatch, PROVIDER, str(error))
        except UnresolvableError as error:
            return retry(dispatch, PROVIDER, str(error))
        except (TimeoutError, OSError, *_BROKEN) as error:
            # The status is the answer; an endpoint that accepted the message is not asked again because a body is
            # missing.
            if answer is not None:
                return answer
            why = f"no answer within {self._timeout_s:g} s" if isinstance(error, _TIMEOUTS) else "no answer"
            return unknown(dispatch, PROVIDER, why) if is_handed_over else retry(dispatch, PROVIDER, f"not sent: {why}")

    def _receipt(self, dispatch: Dispatch, response: httpx.Response) -> Receipt:
        status = f"the endpoint answered {response.status_code}"
        if response.is_success:
            return receipt(dispatch, Verdict.ACCEPTED, PROVIDER, detail=status)
        if response.status_code == 410:
            return rejected(dispatch, PROVIDER, f"{GONE}: {status}; disable it")
        return retry(dispatch, PROVIDER, status, retry_after_s(response.headers.get("retry-after"), self._clock()))


def retry_after_s(value: str | None, now: int) -> float | None:
    """Return the seconds that a Retry-After header asks for, as a number or a date; None if it is not usable.

    >>> retry_after_s("120", 0)
    120.0
    >>> retry_after_s("Thu, 01 Jan 1970 00:02:00 GMT", 60_000)
    60.0
    """
    if value is None or len(value) > 64:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0.0, at.timestamp() - now / 1000)


async def _drain(response: httpx.Response) -> None:
    """Read to the end, so that the connection can be reused; a longer response loses its connection."""
    n_bytes = 0
    async for chunk in response.aiter_raw():
        n_bytes += len(chunk)
        if n_bytes > MAX_RESPONSE_BYTES:
            return


class _GuardedTransport(httpx.AsyncBaseTransport):
    """Runs httpx over httpcore's own pool, whose connections :class:`GuardedBackend` opens. Errors stay httpcore's."""

    def __init__(self, guard: Guard, tls_context: ssl.SSLContext) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls_context,
            max_connections=MAX_CONNECTIONS,
            keepalive_expiry=30.0,
            network_backend=GuardedBackend(guard),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        answer = await self._pool.handle_async_request(
            httpcore.Request(
                request.method,
                url,
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer), extensions=answer.extensions)

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._answer.aiter_stream():
            yield chunk

    async def aclose(self) -> None:
        await self._answer.aclose()

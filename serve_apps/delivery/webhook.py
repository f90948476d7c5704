"""Messages posted to an endpoint of the tenant's, signed after Standard Webhooks.

    answer                             status
    2xx                                accepted
    410                                rejected; `endpoint_gone` in the detail: the endpoint is to be disabled
    429, 502, 504, any other answer    retry, after `Retry-After` where it is given; redirects are not followed
    no answer within 15 s, no address  retry
    an address that may not be called  rejected

At most `MAX_RESPONSE_BYTES` of a response are read and none are kept: an endpoint cannot make us show what it, or
somebody it stands in front of, said.
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

from serve_apps.delivery.provider import receipt, rejected, retry
from serve_apps.delivery.ssrf import ForbiddenAddressError, Guard, GuardedBackend, UnresolvableError
from whisperer.delivery.dispatch import ACCEPTED, Dispatch, Receipt
from whisperer.delivery.errors import UnsendableError
from whisperer.delivery.webhooks import parse_secret, payload_of, signed_headers

PROVIDER = "webhook"
TIMEOUT_S = 15.0
MAX_RESPONSE_BYTES = 64 * 1024
MAX_CONNECTIONS = 16
GONE = "endpoint_gone"

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole URLs at INFO, and a URL may carry a token


class Webhook:
    """One channel's endpoint. ``config`` as :func:`whisperer.delivery.channels.parse_channel` returns it.

    ``clock`` gives ms UTC; ``tls_context`` replaces the trusted authorities.
    """

    def __init__(
        self,
        config: dict[str, Any],
        clock: Callable[[], int],
        guard: Guard,
        *,
        timeout_s: float = TIMEOUT_S,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self._url = httpx.URL(config["url"])
        self._keys = [parse_secret(secret) for secret in config["secrets"]]
        self._clock = clock
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(
            transport=_GuardedTransport(guard, tls_context or httpx.create_ssl_context()),
            timeout=timeout_s,
            follow_redirects=False,
            trust_env=False,
            headers={"user-agent": "user-whisperer", "accept-encoding": "identity"},
        )

    def __repr__(self) -> str:
        return f"Webhook({self._url.host})"  # the URL may carry a token

    async def send(self, dispatches: list[Dispatch]) -> list[Receipt]:
        return list(await asyncio.gather(*(self._send(dispatch) for dispatch in dispatches)))

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _send(self, dispatch: Dispatch) -> Receipt:
        try:
            payload = payload_of(dispatch)
            headers = signed_headers(dispatch.send_key, self._clock() // 1000, payload, self._keys)
        except UnsendableError as error:
            return rejected(dispatch, PROVIDER, str(error))
        headers["content-type"] = "application/json"
        answer: Receipt | None = None
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream("POST", self._url, content=payload, headers=headers) as response,
            ):
                answer = self._receipt(dispatch, response)
                await _drain(response)
                return answer
        except TimeoutError:
            # The status is the answer; an endpoint that took the message is not asked again for want of a body.
            return answer or retry(dispatch, PROVIDER, f"no answer within {self._timeout_s:g} s")
        except ForbiddenAddressError as error:
            return rejected(dispatch, PROVIDER, str(error))
        except UnresolvableError as error:
            return retry(dispatch, PROVIDER, str(error))
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            return answer or retry(dispatch, PROVIDER, f"no answer: {type(error).__name__}")

    def _receipt(self, dispatch: Dispatch, response: httpx.Response) -> Receipt:
        status = f"the endpoint answered {response.status_code}"
        if response.is_success:
            return receipt(dispatch, ACCEPTED, PROVIDER, detail=status)
        if response.status_code == 410:
            return rejected(dispatch, PROVIDER, f"{GONE}: {status}; disable it")
        return retry(dispatch, PROVIDER, status, retry_after_s(response.headers.get("retry-after"), self._clock()))


def retry_after_s(value: str | None, now: int) -> float | None:
    """Seconds that a Retry-After header asks to wait, a number or a date; None where it asks nothing sensible.

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
    """Read on to the end, so that the connection can be used again; a longer response loses its connection."""
    n_bytes = 0
    async for chunk in response.aiter_raw():
        n_bytes += len(chunk)
        if n_bytes > MAX_RESPONSE_BYTES:
            return


class _GuardedTransport(httpx.AsyncBaseTransport):
    """httpx over httpcore's own pool, whose connections :class:`GuardedBackend` opens. Errors stay httpcore's."""

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

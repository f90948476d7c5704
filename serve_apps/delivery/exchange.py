"""Posts one request for one attempt to send, and tells what may have been received of it.

The part that all providers over HTTP share. A message has `timeout_s` to transmit the whole request, and the other side
as long again to answer. The end of the request is the point of no return:

    what happened                             status
    an answer                                 what the provider's adapter makes of it
    none, after all of the request was sent   unknown
    none before, no address                   retry
    an address that must not be called        retry or rejected, as the adapter says

`http://` leads into opened networks only, except for providers whose requests carry no secret. At most
`MAX_RESPONSE_BYTES` of an answer are read. Its status and headers are the answer: a body that breaks off takes
nothing back of it. Connections go where :mod:`serve_apps.delivery.ssrf` lets them; redirects are not followed.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import httpcore
import httpx

from serve_apps.delivery.authorities import public_authorities
from serve_apps.delivery.provider import receipt, rejected, retry, unknown
from serve_apps.delivery.ssrf import ForbiddenAddressError, Guard, GuardedBackend, UnresolvableError
from whisperer.delivery.dispatch import Dispatch, Receipt, Verdict
from whisperer.delivery.errors import UnsendableError
from whisperer.delivery.providers import ProviderSpec

TIMEOUT_S = 15.0
MAX_RESPONSE_BYTES = 64 * 1024
MAX_CONNECTIONS = 16

_BROKEN = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError)
_TIMEOUTS = (TimeoutError, httpcore.TimeoutException)

logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole URLs at INFO, and a URL may carry a token


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side said. ``body`` may have been cut off, by its end or at `MAX_RESPONSE_BYTES`."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Why there is none. ``is_handed_over``: all of the request was sent."""

    why: str
    is_handed_over: bool = False


class Exchange:
    """A channel's connections to its provider. Use from one event loop.

    Parameters
    ----------
    guard : where connections may go
    forbidden : what an address that must not be called means: `retry` if it is about the channel, which may be
        repaired, `rejected` if it is about the message
    tls_context : replaces the trusted authorities
    most_bytes : of an answer that are read
    """

    def __init__(
        self,
        spec: ProviderSpec,
        guard: Guard,
        *,
        forbidden: Verdict = Verdict.RETRY,
        timeout_s: float = TIMEOUT_S,
        tls_context: ssl.SSLContext | None = None,
        most_bytes: int = MAX_RESPONSE_BYTES,
    ) -> None:
        self._provider = spec.name
        self._most_bytes = most_bytes
        self._forbidden = forbidden
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(
            transport=_GuardedTransport(
                guard, guard if spec.is_plain_allowed else guard.inside(), tls_context or public_authorities()
            ),
            timeout=timeout_s,
            follow_redirects=False,
            trust_env=False,
            headers={"user-agent": "user-whisperer", "accept-encoding": "identity"},
        )

    async def post(
        self,
        dispatch: Dispatch,
        url: httpx.URL,
        content: bytes,
        headers: Callable[[], Mapping[str, str]],
        read: Callable[[Answer], Receipt],
    ) -> Receipt:
        """Make one attempt and return its receipt, which ``read`` makes of an answer.

        ``headers`` may raise UnsendableError, which is a rejection.
        """
        try:
            return await self._post(dispatch, url, content, headers(), read)
        except UnsendableError as error:
            return rejected(dispatch, self._provider, str(error))

    async def ask(self, url: httpx.URL, content: bytes, headers: Mapping[str, str]) -> Answer | NoAnswer:
        """Post a request that sends no message, such as one for an access token; it does not wait for its turn."""
        try:
            return await self._transmit(url, content, headers)
        except (ForbiddenAddressError, UnresolvableError) as error:
            return NoAnswer(str(error))

    async def get(self, url: httpx.URL, headers: Mapping[str, str]) -> Answer | NoAnswer:
        """Make a request that asks for something and changes nothing."""
        try:
            return await self._transmit(url, b"", headers, "GET")
        except (ForbiddenAddressError, UnresolvableError) as error:
            return NoAnswer(str(error))

    async def aclose(self) -> None:
        """Close connections."""
        await self._client.aclose()

    async def _post(
        self,
        dispatch: Dispatch,
        url: httpx.URL,
        content: bytes,
        headers: Mapping[str, str],
        read: Callable[[Answer], Receipt],
    ) -> Receipt:
        try:
            answer = await self._transmit(url, content, headers)
        except ForbiddenAddressError as error:
            return receipt(dispatch, self._forbidden, self._provider, detail=f"{error}; see delivery.open_networks")
        except UnresolvableError as error:
            return retry(dispatch, self._provider, str(error))
        if isinstance(answer, Answer):
            return read(answer)
        if answer.is_handed_over:
            return unknown(dispatch, self._provider, answer.why)
        return retry(dispatch, self._provider, f"not sent: {answer.why}")

    async def _transmit(
        self, url: httpx.URL, content: bytes, headers: Mapping[str, str], method: str = "POST"
    ) -> Answer | NoAnswer:
        body = bytearray()
        answered: httpx.Response | None = None
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
                    method,
                    url,
                    content=None if method == "GET" else content,
                    headers=dict(headers),
                    extensions={"trace": trace},
                ) as response,
            ):
                answered = response
                # To the end, so that the connection can be reused; a longer answer loses its connection.
                async for chunk in response.aiter_raw():
                    body += chunk[: self._most_bytes + 1 - len(body)]
                    if len(body) > self._most_bytes:
                        break
        except (TimeoutError, OSError, *_BROKEN) as error:
            if answered is None:
                why = f"no answer within {self._timeout_s:g} s" if isinstance(error, _TIMEOUTS) else "no answer"
                return NoAnswer(why, is_handed_over)
        assert answered is not None
        return Answer(answered.status_code, answered.headers, bytes(body[: self._most_bytes]))


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


class _GuardedTransport(httpx.AsyncBaseTransport):
    """Runs httpx over httpcore's own pools, whose connections :class:`GuardedBackend` opens: one for TLS, and one for
    what is sent in the clear, which may go elsewhere. Errors stay httpcore's."""

    def __init__(self, guard: Guard, plain_guard: Guard, tls_context: ssl.SSLContext) -> None:
        self._pools = {
            scheme: httpcore.AsyncConnectionPool(
                ssl_context=tls_context,
                max_connections=MAX_CONNECTIONS,
                keepalive_expiry=30.0,
                network_backend=GuardedBackend(allowing),
            )
            for scheme, allowing in ((b"https", guard), (b"http", plain_guard))
        }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        answer = await self._pools[request.url.raw_scheme].handle_async_request(
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
        for pool in self._pools.values():
            await pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._answer.aiter_stream():
            yield chunk

    async def aclose(self) -> None:
        await self._answer.aclose()

"""Sends one batch to the gateway until it is answered, and works out what the answer means for each event.

Decides what is retried (connection errors, 408, 410, 429, 460, 5xx) and for how long, honouring Retry-After. A batch
refused as a whole is halved until the faulty event stands alone. Order and concurrency are ``lanes``' decision.
"""

from __future__ import annotations

import asyncio
import gzip
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from whisperer.errors import InvalidKeyError, RequestError, UnavailableError

from .chunk import Outgoing, Reject
from .lanes import raise_if_cancelled
from .retry_after import retry_after_s

FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 30.0
_RETRIED = frozenset({408, 410, 429, 460})
_NOT_RETRIED_5XX = frozenset({501, 505})
_GZIP_LEVEL = 1  # most of the network's gain; a higher level costs more than the rest of the import


class Rejected(msgspec.Struct):
    """An event that the gateway did not take; ``index`` within the batch."""

    index: int
    code: str
    message: str | None = None


class Answer(msgspec.Struct):
    """What is read of the gateway's answer to a batch, be it a summary or a problem."""

    success: bool = False
    rejected: list[Rejected] | None = None
    code: str | None = None
    message: str | None = None
    detail: str | None = None


_decode = msgspec.json.Decoder(Answer).decode


class Gateway:
    """Client of one gateway's ``/v1/import``. Use as an async context manager.

    ``patience_s`` is how long one batch is tried before the import gives up (its checkpoint is kept). ``compress`` None
    compresses only if the gateway is on another machine.
    """

    def __init__(
        self,
        url: str,
        write_key: str,
        *,
        context: dict[str, Any],
        connections: int,
        patience_s: float,
        compress: bool | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url.rstrip("/") + "/v1/import"
        self._tail = b'],"context":' + msgspec.json.encode(context) + b"}" if context else b"]}"
        self._compress = (
            urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1") if compress is None else compress
        )
        self._patience_s = patience_s
        self._sleep = sleep
        self._clock = clock
        self._http = httpx.AsyncClient(
            auth=(write_key, ""),
            timeout=httpx.Timeout(60.0, connect=10.0),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            headers={"Content-Type": "application/json", "User-Agent": "whisperer-import"},
        )
        self.n_requests = 0
        self.n_retries = 0
        self.waiting_for = ""
        """Why the import is waiting now, for the progress line; empty while it runs."""

    async def __aenter__(self) -> Gateway:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def send(self, events: Sequence[Outgoing]) -> list[Reject]:
        """Send events in order and return those rejected. Raises InvalidKeyError, RequestError, UnavailableError."""
        status, answer = await self._post(events)
        if status == 200 or answer.code == "all_events_rejected":
            rejects = [_reject(events, entry) for entry in answer.rejected or ()]
            if status != 200 and len(rejects) != len(events):
                raise RequestError(f"the gateway rejected a batch without saying why for each event: {answer}")
            return rejects
        if len(events) > 1:
            middle = len(events) // 2
            return await self.send(events[:middle]) + await self.send(events[middle:])
        only = events[0]
        code, words = answer.code or f"http_{status}", answer.message or answer.detail or ""
        return [Reject(only.row, code, words, only.message_id, only.body)]

    async def _post(self, events: Sequence[Outgoing]) -> tuple[int, Answer]:
        body = b'{"batch":[' + b",".join([event.body for event in events]) + self._tail
        headers = {}
        if self._compress:
            body = gzip.compress(body, _GZIP_LEVEL, mtime=0)
            headers["Content-Encoding"] = "gzip"
        give_up_at = self._clock() + self._patience_s
        for attempt in range(1_000_000):
            if attempt:
                headers["X-Retry-Count"] = str(attempt)
                self.n_retries += 1
            self.n_requests += 1
            wait_s: float | None = None
            try:
                response = await self._http.post(self._url, content=body, headers=headers)
            except httpx.TransportError as error:
                trouble = f"{type(error).__name__}: {error}"
            else:
                if not _is_retried(response.status_code):
                    self.waiting_for = ""
                    return response.status_code, self._read(response)
                trouble = f"HTTP {response.status_code}"
                wait_s = retry_after_s(response.headers.get("Retry-After"))
            raise_if_cancelled()
            if wait_s is None:
                backoff = min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(attempt, 10))
                wait_s = backoff * random.uniform(0.5, 1.0)  # noqa: S311  no secret
            if self._clock() + wait_s > give_up_at:
                break
            self.waiting_for = f"waiting {wait_s:.1f} s: {trouble}"
            await self._sleep(wait_s)
        raise UnavailableError(f"the gateway at {self._url} took no batch for {self._patience_s:.0f} s ({trouble})")

    def _read(self, response: httpx.Response) -> Answer:
        status = response.status_code
        if status in (401, 403):
            raise InvalidKeyError(f"the gateway refused the write key (HTTP {status})")
        try:
            answer = _decode(response.content)
        except msgspec.DecodeError:
            answer = None
        if answer is not None and (status in (400, 413, 422) or (status == 200 and answer.success)):
            return answer
        raise RequestError(f"{self._url} does not answer like a User Whisperer gateway (HTTP {status})")


def _is_retried(status: int) -> bool:
    return status in _RETRIED or (status >= 500 and status not in _NOT_RETRIED_5XX)


def _reject(events: Sequence[Outgoing], entry: Rejected) -> Reject:
    if not 0 <= entry.index < len(events):
        raise RequestError(f"the gateway rejected an event that was not in the batch: {entry}")
    event = events[entry.index]
    return Reject(event.row, entry.code, entry.message or "", event.message_id, event.body)

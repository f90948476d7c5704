"""Asks Amazon SNS for the certificates that sign its envelopes, and confirms subscriptions.

Which addresses may be asked for is decided before (:mod:`whisperer.feedback.callbacks.envelope`): SNS's own hosts, over
https, and a subscription only once its envelope is verified. Connections go where :mod:`serve_apps.delivery.ssrf` lets
them; redirects are not followed. At most :data:`MAX_CERTIFICATES` are kept for :data:`FRESH_S`; one that cannot be had
is not asked for again within :data:`REFETCH_S`, and one is asked for at a time.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import httpcore
import httpx

from serve_apps.delivery.authorities import public_authorities
from serve_apps.delivery.ssrf import ForbiddenAddressError, Guard, Network, UnresolvableError
from serve_apps.gateway.http.issuers import GuardedTransport, Shared
from whisperer.errors import UnavailableError

TIMEOUT_S = 5.0
MAX_CERTIFICATES = 32
MAX_CERTIFICATE_BYTES = 16 << 10
FRESH_S = 86_400.0
REFETCH_S = 30.0
_HERE = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


class SnsClient:
    """What one replica asks of SNS. Use from one event loop.

    ``base_url`` is called instead of SNS's own hosts, if it is set; it may be on this machine.
    """

    def __init__(
        self,
        base_url: str = "",
        *,
        open_networks: Sequence[Network] = (),
        clock: Callable[[], float] = time.monotonic,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._clock = clock
        networks = [*open_networks, *(_HERE if base_url else ())]
        guard = Guard("webhook", open_networks=networks)
        self._transport = GuardedTransport(guard, tls_context or public_authorities())
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        """URL -> (when it was asked for, the certificate or b"" if there was none)."""
        self._asking = asyncio.Lock()

    async def certificate(self, url: str) -> bytes:
        """Return the certificate (PEM) at an address of SNS. Raises UnavailableError."""
        async with self._asking:
            found = self._kept.get(url)
            if found is None or self._clock() - found[0] >= (FRESH_S if found[1] else REFETCH_S):
                status, body = await self._get(url)
                found = self._kept[url] = self._clock(), body if status == 200 else b""
                self._kept.move_to_end(url)
                while len(self._kept) > MAX_CERTIFICATES:
                    self._kept.popitem(last=False)
        if not found[1]:
            raise UnavailableError("the certificate of SNS cannot be fetched now", retry_after_s=REFETCH_S)
        return found[1]

    async def confirm(self, url: str) -> None:
        """Visit an address that begins a subscription. Raises UnavailableError."""
        status, _ = await self._get(url)
        if not 200 <= status < 300:
            raise UnavailableError("SNS does not confirm the subscription now", retry_after_s=REFETCH_S)

    async def _get(self, url: str) -> tuple[int, bytes]:
        """Return status and body; (0, b"") if there was no answer, or one that is too long."""
        parts = urlsplit(url)
        place = url.removeprefix(f"{parts.scheme}://{parts.netloc}")
        body = b""
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                httpx.AsyncClient(transport=Shared(self._transport), trust_env=False, follow_redirects=False) as client,
                client.stream(
                    "GET", self._base_url + place if self._base_url else url, headers={"Host": parts.netloc}
                ) as answer,
            ):
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > MAX_CERTIFICATE_BYTES:
                        return 0, b""
                return answer.status_code, body
        except (httpx.HTTPError, httpx.InvalidURL, httpcore.NetworkError, httpcore.TimeoutException):
            return 0, b""
        except (OSError, TimeoutError, ForbiddenAddressError, UnresolvableError):
            return 0, b""

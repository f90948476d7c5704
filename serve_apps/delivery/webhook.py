"""Posts messages to a tenant's endpoint, signed according to Standard Webhooks.

    answer                                    status
    2xx                                       accepted
    410                                       rejected; `endpoint_gone` in the detail: the endpoint is to be disabled
    any other answer                          retry, after `Retry-After` if it is given; redirects are not followed
    none, after all of the request was sent   unknown, and asked again: a receiver takes each `webhook-id` once
    an address that must not be called        rejected

:mod:`serve_apps.delivery.exchange` has the rest. Nothing of a response's body is kept: an endpoint cannot make us
display what it, or a host behind it, said.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import httpx

from serve_apps.delivery.answers import Fault, fault_of
from serve_apps.delivery.exchange import MAX_CONNECTIONS, TIMEOUT_S, Answer, Exchange, retry_after_s
from serve_apps.delivery.provider import deferred, doubtful, receipt, rejected, retry
from serve_apps.delivery.ssrf import Guard
from whisperer.delivery.dispatch import Dispatch, Receipt, Verdict
from whisperer.delivery.errors import UnsendableError
from whisperer.delivery.providers.webhook import WEBHOOK
from whisperer.delivery.webhooks import parse_secret, payload_of, signed_headers

PROVIDER = WEBHOOK.name
GONE = "endpoint_gone"


class Webhook:
    """A channel's endpoint. ``config`` is as :func:`whisperer.delivery.channels.parse_channel` returns it.

    ``clock`` gives ms UTC; ``tls_context`` replaces the trusted authorities.
    """

    provider, connections = PROVIDER, MAX_CONNECTIONS

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
        self._exchange = Exchange(
            WEBHOOK,
            guard,
            forbidden=Verdict.REJECTED,
            timeout_s=timeout_s,
            tls_context=tls_context,
        )

    def __repr__(self) -> str:
        return f"Webhook({self._url.host})"  # the URL may carry a token

    async def send(self, dispatch: Dispatch) -> Receipt:
        try:
            payload = payload_of(dispatch)
        except UnsendableError as error:
            return rejected(dispatch, PROVIDER, str(error))

        def headers() -> dict[str, str]:
            signed = signed_headers(dispatch.send_key, self._clock() // 1000, payload, self._keys)
            return signed | {"content-type": "application/json"}

        def read(answer: Answer) -> Receipt:
            status = f"the endpoint answered {answer.status}"
            if answer.is_success:
                return receipt(dispatch, Verdict.ACCEPTED, PROVIDER, detail=status)
            if answer.status == 410:
                return rejected(dispatch, PROVIDER, f"{GONE}: {status}; disable it")
            wait_s = retry_after_s(answer.headers.get("retry-after"), self._clock())
            fault = fault_of(answer.status, None)
            if fault is None:  # it may have worked on the message before it failed
                return doubtful(dispatch, PROVIDER, status, wait_s)
            again = deferred if fault is Fault.MESSAGE else retry
            return again(dispatch, PROVIDER, status, wait_s)

        return await self._exchange.post(dispatch, self._url, payload, headers, read)

    async def aclose(self) -> None:
        await self._exchange.aclose()

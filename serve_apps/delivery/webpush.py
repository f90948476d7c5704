"""Sends push messages to browsers (RFC 8030), each at the push service that its subscription names.

The address is the subscription as a browser gives it (`JSON.stringify(subscription)`): the user's word, so its endpoint
is called as carefully as a webhook's. A subscription that is gone (404, 410) is `bounced`; a push token of another kind
is `rejected`, since it may be good elsewhere. `serve_apps/delivery/answers.py` reads any other answer.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx
import msgspec

from serve_apps.delivery.answers import Fault, receipt_of
from serve_apps.delivery.exchange import MAX_CONNECTIONS, Answer, Exchange
from serve_apps.delivery.provider import no_address, rejected
from serve_apps.delivery.ssrf import Guard
from whisperer.delivery.addresses import usable_address
from whisperer.delivery.dispatch import Dispatch, Receipt, Verdict
from whisperer.delivery.errors import UnsendableError
from whisperer.delivery.providers.endpoints import url_problem
from whisperer.delivery.providers.webpush import WEBPUSH
from whisperer.delivery.push import read
from whisperer.vocabulary.push import topic_of, web_payload

PROVIDER = WEBPUSH.name
GONE = "gone"
FAULTS = {GONE: Fault.ADDRESS}


class Subscription(NamedTuple):
    """A browser's push service, and the keys to encrypt for it."""

    endpoint: httpx.URL
    key: bytes
    auth: bytes


class WebPush:
    """A channel's sender. ``config`` is as :func:`whisperer.delivery.channels.parse_channel` returns it.

    ``clock`` gives ms UTC; ``tls_context`` replaces the trusted authorities.
    """

    provider, connections = PROVIDER, MAX_CONNECTIONS

    def __init__(
        self,
        config: dict[str, Any],
        clock: Callable[[], int],
        guard: Guard,
        *,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        from serve_apps.delivery.web_push_encryption import Vapid  # cryptography, which only this channel waits for

        self._vapid = Vapid(config["vapid_private_key"], config["subject"])
        self._ttl_s: int = config["ttl_s"]
        self._clock = clock
        self._exchange = Exchange(
            WEBPUSH,
            guard,
            forbidden=Verdict.REJECTED,
            timeout_s=config["timeout_s"],
            tls_context=tls_context,
        )

    def __repr__(self) -> str:
        return "WebPush()"

    async def send(self, dispatch: Dispatch) -> Receipt:
        from serve_apps.delivery.web_push_encryption import encrypt

        address = usable_address(dispatch.channel, dispatch.address)
        if address is None:
            return no_address(dispatch, PROVIDER)
        try:
            to = parse_subscription(address)
            push, named = read(dispatch)
            body = encrypt(msgspec.json.encode(web_payload(push, named)), to.key, to.auth)
        except UnsendableError as error:
            return rejected(dispatch, PROVIDER, str(error))
        except ValueError:
            return rejected(dispatch, PROVIDER, "the subscription's key is no point of its curve")
        ttl_s = self._ttl_s if push.ttl_s is None else push.ttl_s
        topic = {"topic": topic_of(push.collapse_key)} if push.collapse_key else {}
        origin = f"{to.endpoint.scheme}://{to.endpoint.netloc.decode('ascii')}"

        def headers() -> dict[str, str]:
            return {
                "authorization": self._vapid.authorization(origin, self._clock() // 1000),
                "content-encoding": "aes128gcm",
                "content-type": "application/octet-stream",
                "ttl": str(ttl_s),
                **topic,
            }

        def answered(answer: Answer) -> Receipt:
            code = GONE if answer.status in (404, 410) else ""
            return receipt_of(dispatch, PROVIDER, answer, self._clock(), FAULTS, code=code)

        return await self._exchange.post(dispatch, to.endpoint, body, headers, answered)

    async def aclose(self) -> None:
        await self._exchange.aclose()


def parse_subscription(address: str) -> Subscription:
    """Return what a browser's subscription says. Raises UnsendableError, which quotes nothing of it."""
    from serve_apps.delivery.web_push_encryption import unbase64

    try:
        found = msgspec.json.decode(address, type=_Written)
        key, auth = unbase64(found.keys.p256dh), unbase64(found.keys.auth)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise UnsendableError("the push token is no browser's subscription") from None
    if len(key) != 65 or key[0] != 4 or len(auth) != 16:
        raise UnsendableError("the subscription's keys are not as long as they have to be")
    problem = url_problem(found.endpoint, WEBPUSH)
    if problem is not None:
        raise UnsendableError("the subscription's endpoint is no URL that may be called")
    return Subscription(httpx.URL(found.endpoint), key, auth)


class _Keys(msgspec.Struct):
    p256dh: str
    auth: str


class _Written(msgspec.Struct):
    endpoint: str
    keys: _Keys

"""Sends push messages through Firebase Cloud Messaging, HTTP v1: one request per message.

`serve_apps/delivery/answers.py` reads an answer; FCM's codes are below. A token that is no longer registered, or that
FCM calls invalid, is `bounced`, so that it is suppressed. A failure to get an access token is `retry`: the message was
not handed over.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from typing import Any

import httpx
import msgspec

from serve_apps.delivery.access_tokens import AccessTokens
from serve_apps.delivery.answers import Fault, document, form_of, receipt_of
from serve_apps.delivery.exchange import MAX_CONNECTIONS, Answer, Exchange, NoAnswer
from serve_apps.delivery.provider import no_address, rejected, retry
from serve_apps.delivery.ssrf import Guard
from whisperer.delivery.addresses import usable_address
from whisperer.delivery.dispatch import Dispatch, Receipt
from whisperer.delivery.errors import UnsendableError
from whisperer.delivery.providers.fcm import FCM
from whisperer.delivery.push import read
from whisperer.vocabulary.push import Push, data_of, notification_of, topic_of

PROVIDER = FCM.name
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
OF_RECIPIENT = "INVALID_ARGUMENT message.token"
"""Stands for INVALID_ARGUMENT, where the argument is the recipient's token."""
FAULTS: dict[str, Fault] = {
    OF_RECIPIENT: Fault.ADDRESS,
    "INVALID_ARGUMENT": Fault.MESSAGE,
    "QUOTA_EXCEEDED": Fault.BUSY,
    "SENDER_ID_MISMATCH": Fault.ACCOUNT,  # the token is another project's: so are all, if the credentials are
    "THIRD_PARTY_AUTH_ERROR": Fault.ACCOUNT,
    "UNAVAILABLE": Fault.BUSY,
    "UNREGISTERED": Fault.ADDRESS,
}
_CODE = re.compile(r"[A-Z][A-Z_]{1,63}")
_NAME = re.compile(r"projects/[A-Za-z0-9.:_-]{1,80}/messages/[A-Za-z0-9:%._-]{1,100}")
_FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


class Fcm:
    """A channel's project. ``config`` is as :func:`whisperer.delivery.channels.parse_channel` returns it.

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
        credentials = config["credentials"]
        self._url = httpx.URL(f"{config['base_url']}/v1/projects/{credentials['project_id']}/messages:send")
        self._clock = clock
        self._exchange = Exchange(FCM, guard, timeout_s=config["timeout_s"], tls_context=tls_context)
        self._tokens = AccessTokens(self._exchange, config["token_url"], credentials, SCOPE, clock)

    def __repr__(self) -> str:
        return f"Fcm({self._url.host})"  # the credentials hold a private key

    async def send(self, dispatch: Dispatch) -> Receipt:
        recipient = usable_address(dispatch.channel, dispatch.address)
        if recipient is None:
            return no_address(dispatch, PROVIDER)
        try:
            body = msgspec.json.encode(_message(dispatch, recipient, self._clock()))
        except UnsendableError as error:
            return rejected(dispatch, PROVIDER, str(error))
        token = await self._tokens.token()
        if isinstance(token, NoAnswer):
            return retry(dispatch, PROVIDER, f"no access token: {token.why}; it is about the account")

        def headers() -> dict[str, str]:
            return {"authorization": f"Bearer {token}", "content-type": "application/json"}

        def answered(answer: Answer) -> Receipt:
            said = document(answer)
            if answer.status == 401:
                self._tokens.forget(token)
            provider_id = form_of(said.get("name"), _NAME)
            code = _code(said.get("error"))
            return receipt_of(dispatch, PROVIDER, answer, self._clock(), FAULTS, provider_id=provider_id, code=code)

        return await self._exchange.post(dispatch, self._url, body, headers, answered)

    async def aclose(self) -> None:
        await self._tokens.aclose()
        await self._exchange.aclose()


def _message(dispatch: Dispatch, recipient: str, now: int) -> dict[str, Any]:
    """Return the request of one message. Raises UnsendableError for one that does not fit."""
    push, named = read(dispatch)
    blocks = {"android": _android(push), "apns": _apns(push, now), "webpush": _webpush(push)}
    said = {"token": recipient, "notification": notification_of(push), "data": data_of(push, named)}
    return {"message": said | {name: block for name, block in blocks.items() if block}}


def _android(push: Push) -> dict[str, Any]:
    block: dict[str, Any] = {}
    if push.ttl_s is not None:
        block["ttl"] = f"{push.ttl_s}s"
    if push.collapse_key:
        block["collapseKey"] = push.collapse_key
    shown = {"tag": push.collapse_key or None, "notificationCount": push.badge}  # a tag replaces what is shown already
    if shown := {name: value for name, value in shown.items() if value is not None}:
        block["notification"] = shown
    return block


def _apns(push: Push, now: int) -> dict[str, Any]:
    headers: dict[str, str] = {}
    if push.ttl_s is not None:
        headers["apns-expiration"] = str(now // 1000 + push.ttl_s) if push.ttl_s else "0"
    if push.collapse_key:
        headers["apns-collapse-id"] = push.collapse_key
    aps: dict[str, Any] = {} if push.badge is None else {"badge": push.badge}
    if push.image:
        aps["mutable-content"] = 1
    block: dict[str, Any] = {"headers": headers} if headers else {}
    if aps:
        block["payload"] = {"aps": aps}
    if push.image:
        block["fcmOptions"] = {"image": push.image}
    return block


def _webpush(push: Push) -> dict[str, Any]:
    headers: dict[str, str] = {}
    if push.ttl_s is not None:
        headers["TTL"] = str(push.ttl_s)
    if push.collapse_key:
        headers["Topic"] = topic_of(push.collapse_key)
    block: dict[str, Any] = {"headers": headers} if headers else {}
    if push.link.startswith("https://"):  # FCM takes no other for browsers
        block["fcmOptions"] = {"link": push.link}
    return block


def _code(error: object) -> str:
    """Return FCM's own code of an error, or else the status; which argument is invalid only the words say."""
    if not isinstance(error, dict):
        return ""
    listed = error.get("details")
    details = [detail for detail in listed if isinstance(detail, dict)] if isinstance(listed, list) else []
    own = [detail.get("errorCode") for detail in details if detail.get("@type") == _FCM_ERROR]
    code = form_of(own[0] if own else error.get("status"), _CODE)
    if code == "INVALID_ARGUMENT" and (_violates_token(details) or (own and "registration token" in _words(error))):
        return OF_RECIPIENT
    return code


def _violates_token(details: list[dict[str, Any]]) -> bool:
    fields = [
        violation.get("field")
        for detail in details
        if isinstance(detail.get("fieldViolations"), list)
        for violation in detail["fieldViolations"]
        if isinstance(violation, dict)
    ]
    return "message.token" in fields


def _words(error: dict[str, Any]) -> str:
    return str(error.get("message", "")).lower()

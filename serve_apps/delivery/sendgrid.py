"""Sends e-mail through SendGrid's v3 API: one request per message.

SendGrid's own tracking of clicks and opens is off, since links are ours already. Its errors have no codes, but name the
field of the request that they are about; `serve_apps/delivery/answers.py` has the rest. `custom_args` come back with
each of its events; they are the personalization's, since SendGrid's description calls those of the mail a text.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from typing import Any

import httpx
import msgspec

from serve_apps.delivery.answers import Fault, document, form_of, receipt_of
from serve_apps.delivery.exchange import MAX_CONNECTIONS, Answer, Exchange
from serve_apps.delivery.provider import no_address, rejected
from serve_apps.delivery.ssrf import Guard
from whisperer.delivery.addresses import parse_sender, usable_address
from whisperer.delivery.dispatch import Dispatch, Receipt
from whisperer.delivery.errors import UnsendableError
from whisperer.delivery.mime import checked_headers, subject_of
from whisperer.delivery.providers.sendgrid import SENDGRID
from whisperer.delivery.senders import from_of, reply_to_of
from whisperer.delivery.text import one_line, plain

PROVIDER = SENDGRID.name
FAULTS = {"to": Fault.ADDRESS, "from": Fault.ACCOUNT, "reply_to": Fault.ACCOUNT}
"""A field of the request, as :func:`_field` names it -> what an error in it is about."""
_TO = re.compile(r"personalizations(?:\.\d{1,4})?\.to(?:\.\d{1,4})?(?:\.email)?")
_FIELD = re.compile(r"from|reply_to|subject|content|headers|custom_args|personalizations|tracking_settings")
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_OWN_HEADER = "x-sg-"
"""What SendGrid reserves for itself of the names that a message may bring."""


class SendGrid:
    """A channel's account. ``config`` is as :func:`whisperer.delivery.channels.parse_channel` returns it.

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
        self._url = httpx.URL(config["base_url"] + "/v3/mail/send")
        self._headers = {"authorization": f"Bearer {config['api_key']}", "content-type": "application/json"}
        if parse_sender(config["sender"]) is None:
            raise ValueError("the channel's sender is no usable address")
        self._sender, self._reply_to = config["sender"], config["reply_to"]
        self._clock = clock
        self._exchange = Exchange(SENDGRID, guard, timeout_s=config["timeout_s"], tls_context=tls_context)

    def __repr__(self) -> str:
        return f"SendGrid({self._url.host})"  # the headers hold the key

    async def send(self, dispatch: Dispatch) -> Receipt:
        recipient = usable_address(dispatch.channel, dispatch.address)
        if recipient is None:
            return no_address(dispatch, PROVIDER)
        try:
            body = msgspec.json.encode(self._mail(dispatch, recipient))
        except UnsendableError as error:
            return rejected(dispatch, PROVIDER, str(error))

        def read(answer: Answer) -> Receipt:
            provider_id = form_of(answer.headers.get("x-message-id"), _ID)
            code = _field(document(answer).get("errors"))
            return receipt_of(dispatch, PROVIDER, answer, self._clock(), FAULTS, provider_id=provider_id, code=code)

        return await self._exchange.post(dispatch, self._url, body, lambda: self._headers, read)

    async def aclose(self) -> None:
        await self._exchange.aclose()

    def _mail(self, dispatch: Dispatch, recipient: str) -> dict[str, Any]:
        content = [
            {"type": kind, "value": plain(dispatch.parts[part])}
            for part, kind in (("text", "text/plain"), ("html", "text/html"))
            if dispatch.parts.get(part)
        ]
        if not content:
            raise UnsendableError("the e-mail has neither text nor html")
        sender, reply_to = from_of(dispatch, self._sender), reply_to_of(dispatch, self._reply_to)
        assert sender is not None, "checked when this was made"
        headers = checked_headers(dispatch.headers)
        if any(name.lower().startswith(_OWN_HEADER) for name in headers):
            raise UnsendableError("a message may not bring a header X-SG-…, which SendGrid keeps to itself")
        named = {
            "send_key": dispatch.send_key,
            "decision_id": dispatch.decision_id,
            "reference": dispatch.reference,
        }
        mail: dict[str, Any] = {
            "personalizations": [
                {
                    "to": [{"email": recipient}],
                    "custom_args": {name: value for name, value in named.items() if value},
                }
            ],
            "from": _mailbox(*sender),
            "subject": subject_of(dispatch),
            "content": content,
            "tracking_settings": {
                "click_tracking": {"enable": False, "enable_text": False},
                "open_tracking": {"enable": False},
                "subscription_tracking": {"enable": False},
            },
        }
        if reply_to is not None:
            mail["reply_to"] = _mailbox(*reply_to)
        if headers:
            mail["headers"] = headers
        return mail


def _mailbox(name: str, address: str) -> dict[str, str]:
    name = one_line(name)
    return {"email": address, "name": name} if name else {"email": address}


def _field(errors: object) -> str:
    """Return the first field that an answer complains of, in a word of ours; "" if it names none that we sent."""
    for error in errors if isinstance(errors, list) else []:
        path = error.get("field") if isinstance(error, dict) else None
        if isinstance(path, str) and path:
            return "to" if _TO.fullmatch(path) else form_of(path.partition(".")[0], _FIELD)
    return ""

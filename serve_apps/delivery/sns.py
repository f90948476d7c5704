"""Sends SMS through Amazon SNS: `Publish` to a phone number, by its query API.

`serve_apps/delivery/answers.py` reads an answer; Amazon's codes are below. Of an answer's XML only an id and a code are
looked for, and by their form: it is not parsed. SNS carries no reference: what becomes of an SMS is in the account's
CloudWatch logs.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import httpx

from serve_apps.delivery.answers import Fault, receipt_of
from serve_apps.delivery.aws import CODE, Signer
from serve_apps.delivery.exchange import MAX_CONNECTIONS, Answer, Exchange
from serve_apps.delivery.provider import no_address, rejected
from serve_apps.delivery.ssrf import Guard
from whisperer.delivery.addresses import usable_address
from whisperer.delivery.dispatch import Dispatch, Receipt
from whisperer.delivery.providers.sns import SNS
from whisperer.delivery.text import plain

PROVIDER = SNS.name
OF_NUMBER = "PhoneNumber"
"""Stands for InvalidParameter, where the parameter is the number."""
FAULTS: dict[str, Fault] = {
    OF_NUMBER: Fault.ADDRESS,
    "InvalidParameter": Fault.MESSAGE,
    "InvalidSecurity": Fault.ACCOUNT,
    "NotFound": Fault.ACCOUNT,
    "OptedOut": Fault.ADDRESS,
    "ParameterValueInvalid": Fault.MESSAGE,
    "AuthorizationError": Fault.ACCOUNT,
    "EndpointDisabled": Fault.ACCOUNT,
    "PlatformApplicationDisabled": Fault.ACCOUNT,
    "KMSAccessDenied": Fault.ACCOUNT,
    "KMSDisabled": Fault.ACCOUNT,
    "KMSInvalidState": Fault.ACCOUNT,
    "KMSNotFound": Fault.ACCOUNT,
    "KMSOptInRequired": Fault.ACCOUNT,
    "KMSThrottling": Fault.BUSY,
    "Throttled": Fault.BUSY,
    "Throttling": Fault.BUSY,
    "ValidationException": Fault.MESSAGE,
}
_CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")
_ID = re.compile(rb"<MessageId>([0-9A-Za-z-]{1,64})</MessageId>")
_INVALID_NUMBER = re.compile(rb"Invalid parameter: Phone ?Number\b", re.IGNORECASE)
_HEADERS = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


class Sns:
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
        self._url = httpx.URL(config["base_url"] + "/")
        self._attributes = _attributes(
            {"AWS.SNS.SMS.SenderID": config["sender_id"], "AWS.SNS.SMS.SMSType": config["sms_type"]}
        )
        self._signer = Signer(config, "sns")
        self._clock = clock
        self._exchange = Exchange(SNS, guard, timeout_s=config["timeout_s"], tls_context=tls_context)

    def __repr__(self) -> str:
        return f"Sns({self._url.host})"

    async def send(self, dispatch: Dispatch) -> Receipt:
        recipient = usable_address(dispatch.channel, dispatch.address)
        if recipient is None:
            return no_address(dispatch, PROVIDER)
        text = plain(dispatch.parts.get("text", ""))
        if not text:
            return rejected(dispatch, PROVIDER, "the message has no text")
        form = {"Action": "Publish", "Version": "2010-03-31", "PhoneNumber": recipient, "Message": text}
        body = urlencode(form | self._attributes).encode()

        def read(answer: Answer) -> Receipt:
            found = _ID.search(answer.body)
            return receipt_of(
                dispatch,
                PROVIDER,
                answer,
                self._clock(),
                FAULTS,
                provider_id=found[1].decode() if found else "",
                code="" if answer.is_success else _code(answer.body),
            )

        return await self._exchange.post(
            dispatch, self._url, body, lambda: self._signer.headers(self._url, body, _HEADERS, self._clock()), read
        )

    async def aclose(self) -> None:
        await self._exchange.aclose()


def _attributes(values: dict[str, str]) -> dict[str, str]:
    form: dict[str, str] = {}
    for number, (name, value) in enumerate(((n, v) for n, v in values.items() if v), 1):
        entry = f"MessageAttributes.entry.{number}."
        form |= {
            entry + "Name": name,
            entry + "Value.DataType": "String",
            entry + "Value.StringValue": value,
        }
    return form


def _code(body: bytes) -> str:
    found = _CODE.search(body)
    code = found[1].decode() if found else ""
    if code == "InvalidParameter" and _INVALID_NUMBER.search(body):
        return OF_NUMBER
    return code if CODE.fullmatch(code) else ""

"""Sends e-mail through Amazon SES, API version 2: the bytes that :mod:`whisperer.delivery.mime` builds, as raw content.

`serve_apps/delivery/answers.py` reads an answer; Amazon's codes are below. `EmailTags` come back with each event of a
configuration set. A tag holds 256 letters, digits, '_' and '-': a reference that does not fit is not sent.
"""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Callable
from typing import Any

import httpx
import msgspec

from serve_apps.delivery.answers import Fault, document, form_of, receipt_of
from serve_apps.delivery.aws import CODE, Signer
from serve_apps.delivery.exchange import MAX_CONNECTIONS, Answer, Exchange
from serve_apps.delivery.provider import no_address, rejected
from serve_apps.delivery.ssrf import Guard
from whisperer.delivery.addresses import usable_address
from whisperer.delivery.dispatch import Dispatch, Receipt
from whisperer.delivery.errors import UnsendableError
from whisperer.delivery.mime import build_email
from whisperer.delivery.providers.ses import SES

PROVIDER = SES.name
FAULTS: dict[str, Fault] = {
    "AccountSuspendedException": Fault.ACCOUNT,
    "BadRequestException": Fault.MESSAGE,
    "LimitExceededException": Fault.BUSY,
    "MailFromDomainNotVerifiedException": Fault.ACCOUNT,
    "MessageRejected": Fault.MESSAGE,
    "NotFoundException": Fault.ACCOUNT,  # the configuration set
    "SendingPausedException": Fault.ACCOUNT,
    "ThrottlingException": Fault.BUSY,
    "TooManyRequestsException": Fault.BUSY,
}
MAX_TAG_CHARS = 256
_TAG = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_TAG_CHARS}}}")
_ID = re.compile(r"[A-Za-z0-9-]{1,128}")
_HEADERS = {"content-type": "application/json"}


class Ses:
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
        self._url = httpx.URL(config["base_url"] + "/v2/email/outbound-emails")
        self._config = config
        self._signer = Signer(config, "ses")
        self._clock = clock
        self._exchange = Exchange(SES, guard, timeout_s=config["timeout_s"], tls_context=tls_context)

    def __repr__(self) -> str:
        return f"Ses({self._url.host})"  # the configuration holds the key

    async def send(self, dispatch: Dispatch) -> Receipt:
        recipient = usable_address(dispatch.channel, dispatch.address)
        if recipient is None:
            return no_address(dispatch, PROVIDER)
        try:
            body = msgspec.json.encode(self._mail(dispatch, recipient))
        except UnsendableError as error:
            return rejected(dispatch, PROVIDER, str(error))

        def read(answer: Answer) -> Receipt:
            provider_id = form_of(document(answer).get("MessageId"), _ID)
            code = form_of(error_type(answer), CODE)
            return receipt_of(dispatch, PROVIDER, answer, self._clock(), FAULTS, provider_id=provider_id, code=code)

        return await self._exchange.post(
            dispatch, self._url, body, lambda: self._signer.headers(self._url, body, _HEADERS, self._clock()), read
        )

    async def aclose(self) -> None:
        await self._exchange.aclose()

    def _mail(self, dispatch: Dispatch, recipient: str) -> dict[str, Any]:
        raw = build_email(dispatch, self._config["sender"], self._clock(), self._config["reply_to"])
        tags = {
            "send_key": dispatch.send_key,
            "decision_id": dispatch.decision_id,
            "reference": dispatch.reference,
        }
        mail: dict[str, Any] = {
            "Destination": {"ToAddresses": [recipient]},
            "Content": {"Raw": {"Data": base64.b64encode(raw).decode()}},
            "EmailTags": [{"Name": name, "Value": value} for name, value in tags.items() if _TAG.fullmatch(value)],
        }
        if self._config["configuration_set"]:
            mail["ConfigurationSetName"] = self._config["configuration_set"]
        return mail


def error_type(answer: Answer) -> str:
    """Return what an answer in JSON calls its error: in a header, or else in the body, with a namespace around it."""
    said = document(answer)
    for found in (answer.headers.get("x-amzn-errortype"), said.get("__type"), said.get("code")):
        if isinstance(found, str):
            return found.partition(":")[0].rpartition("#")[2]
    return ""

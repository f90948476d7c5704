"""Sends SMS through Twilio's Messages API: one form per message.

`serve_apps/delivery/answers.py` reads an answer; Twilio's codes are below. A number that has opted out (21610) is
`bounced`: that suppresses it, as its owner asked. The reference travels as a parameter of the `status_callback`, since
a message itself can carry none.
"""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import httpx

from serve_apps.delivery.answers import Fault, document, form_of, receipt_of
from serve_apps.delivery.exchange import MAX_CONNECTIONS, Answer, Exchange
from serve_apps.delivery.provider import no_address
from serve_apps.delivery.ssrf import Guard
from whisperer.delivery.addresses import usable_address
from whisperer.delivery.dispatch import Dispatch, Receipt
from whisperer.delivery.providers.twilio import TWILIO
from whisperer.delivery.text import plain

PROVIDER = TWILIO.name
FAULTS: dict[str, Fault] = {
    "20003": Fault.ACCOUNT,  # authentication
    "20404": Fault.ACCOUNT,  # no such account
    "20429": Fault.BUSY,
    "21211": Fault.ADDRESS,  # not a number
    "21212": Fault.ACCOUNT,  # From is not a number
    "21217": Fault.ADDRESS,  # not a number
    "21265": Fault.ADDRESS,  # a short code
    "21408": Fault.ACCOUNT,  # the country is not enabled
    "21603": Fault.ACCOUNT,  # From is missing
    "21606": Fault.ACCOUNT,  # From cannot send SMS
    "21608": Fault.ACCOUNT,  # a trial account, a number that is not verified
    "21610": Fault.ADDRESS,  # opted out
    "21611": Fault.BUSY,  # From has too many messages waiting
    "21614": Fault.ADDRESS,  # not a mobile number
    "21635": Fault.ADDRESS,  # a landline
    "21659": Fault.ACCOUNT,  # From is not Twilio's
    "21660": Fault.ACCOUNT,  # From is another account's
    "21661": Fault.ACCOUNT,  # From cannot send SMS
    "21703": Fault.ACCOUNT,  # the messaging service has no number
    "21704": Fault.ACCOUNT,  # the messaging service has no number
    "21705": Fault.ACCOUNT,  # no such messaging service
    "21709": Fault.ACCOUNT,  # From is not in the messaging service
}
_CODE = re.compile(r"[1-9][0-9]{4}")
_SID = re.compile(r"(?:SM|MM)[0-9a-fA-F]{32}")


class Twilio:
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
        self._url = httpx.URL(f"{config['base_url']}/2010-04-01/Accounts/{config['account_sid']}/Messages.json")
        user = config["api_key"] or config["account_sid"]
        password = config["api_secret"] if config["api_key"] else config["auth_token"]
        self._headers = {
            "authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode(),
            "content-type": "application/x-www-form-urlencoded",
            "accept": "application/json",
        }
        self._from = (
            {"MessagingServiceSid": config["messaging_service_sid"]}
            if config["messaging_service_sid"]
            else {"From": config["sender"]}
        )
        self._status_callback: str = config["status_callback"]
        self._clock = clock
        self._exchange = Exchange(TWILIO, guard, timeout_s=config["timeout_s"], tls_context=tls_context)

    def __repr__(self) -> str:
        return f"Twilio({self._url.host})"  # the headers hold the token

    async def send(self, dispatch: Dispatch) -> Receipt:
        recipient = usable_address(dispatch.channel, dispatch.address)
        if recipient is None:
            return no_address(dispatch, PROVIDER)
        form = {"To": recipient, **self._from, "Body": plain(dispatch.parts.get("text", ""))}
        if self._status_callback:
            form["StatusCallback"] = referring(self._status_callback, dispatch.reference)

        def read(answer: Answer) -> Receipt:
            said = document(answer)
            sid, code = form_of(said.get("sid"), _SID), form_of(said.get("code"), _CODE)
            return receipt_of(dispatch, PROVIDER, answer, self._clock(), FAULTS, provider_id=sid, code=code)

        return await self._exchange.post(dispatch, self._url, urlencode(form).encode(), lambda: self._headers, read)

    async def aclose(self) -> None:
        await self._exchange.aclose()


def referring(url: str, reference: str) -> str:
    """Return a URL with the query parameter `reference`, if there is one.

    >>> referring("https://example.com/cb?a=b", "r1")
    'https://example.com/cb?a=b&reference=r1'
    """
    if not reference:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'reference': reference})}"

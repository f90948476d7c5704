"""Sends SMS through Twilio's Messages API: one form per message.

`serve_apps/delivery/answers.py` reads an answer; Twilio's codes are below. A number that has opted out (21610) is
`bounced`: that suppresses it, as its owner asked. The reference travels as a parameter of the `status_callback`, since
a message itself can carry none.

A message that is looked for is one of those that the API lists for its recipient. Of those created since it was decided
on, exactly one with its text is the one; several say nothing, and neither do others, whose text somebody on the way may
have changed. The list is read to its end, and not cut off by `DateSent`, which a message that waits at Twilio has not.
"""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, TypeGuard
from urllib.parse import urlencode

import httpx

from serve_apps.delivery.answers import Fault, document, form_of, receipt_of
from serve_apps.delivery.exchange import MAX_CONNECTIONS, Answer, Exchange, retry_after_s
from serve_apps.delivery.provider import no_address
from serve_apps.delivery.ssrf import Guard
from whisperer.delivery.addresses import usable_address
from whisperer.delivery.dispatch import Dispatch, Receipt
from whisperer.delivery.providers.twilio import TWILIO
from whisperer.delivery.search import CannotSay, Finding, Found, NotThere
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
PAGE_SIZE, MAX_PAGES = 50, 20
MAX_PAGE_BYTES = 1_048_576
"""Enough for PAGE_SIZE texts of 1,600 characters, each escaped."""
SKEW_MS = 300_000
"""By so much Twilio's clock may be behind ours."""
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
        self._reading = {name: value for name, value in self._headers.items() if name != "content-type"}
        self._from = (
            {"MessagingServiceSid": config["messaging_service_sid"]}
            if config["messaging_service_sid"]
            else {"From": config["sender"]}
        )
        self._status_callback: str = config["status_callback"]
        self._clock = clock
        self._exchange = Exchange(TWILIO, guard, timeout_s=config["timeout_s"], tls_context=tls_context)
        # Connections of its own: a search takes none from sends.
        self._listing = Exchange(
            TWILIO, guard, timeout_s=config["timeout_s"], tls_context=tls_context, most_bytes=MAX_PAGE_BYTES
        )
        self.where = f"{config['base_url']}/{config['account_sid']}"

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

    async def find(self, dispatch: Dispatch) -> Finding:
        recipient = usable_address(dispatch.channel, dispatch.address)
        if recipient is None:
            return CannotSay("the recipient's address is not usable any more")
        since, text = dispatch.decided_at - SKEW_MS, _comparable(plain(dispatch.parts.get("text", "")))
        asked = {"To": recipient, "PageSize": str(PAGE_SIZE)}
        same: set[str] = set()
        n_others = 0
        for _ in range(MAX_PAGES):
            answer = await self._listing.get(self._url.copy_with(params=asked), self._reading)
            if not isinstance(answer, Answer):
                return CannotSay(answer.why)
            if answer.status != 200:
                after_s = retry_after_s(answer.headers.get("retry-after"), self._clock())
                return CannotSay(f"the provider answered {answer.status}", after_s)
            page = document(answer)
            messages, next_page = page.get("messages"), page.get("next_page_uri", "")
            if not _is_list(messages) or not isinstance(next_page, str | None) or next_page == "":
                return CannotSay("the provider's list is not in the form that it has")
            for message in (one for one in messages if _is_since(one, since)):
                sid = form_of(message.get("sid"), _SID)
                if sid and message.get("to") == recipient and _comparable(str(message.get("body"))) == text:
                    same.add(sid)
                else:
                    n_others += 1
            if next_page is None:
                return _conclusion(same, n_others)
            # Only what names the page is taken of it, so that it leads nowhere else.
            named = httpx.URL(next_page).params
            asked = {**asked, **{name: named[name] for name in ("Page", "PageToken") if name in named}}
        return CannotSay(f"the recipient has more than {PAGE_SIZE * MAX_PAGES:,} messages")

    async def aclose(self) -> None:
        await self._exchange.aclose()
        await self._listing.aclose()


def _is_list(messages: object) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(messages, list) and all(isinstance(message, dict) for message in messages)


def _is_since(message: dict[str, Any], since: int) -> bool:
    """Return whether a listed message may have been sent since a moment (ms UTC), as far as it says."""
    if message.get("direction") == "inbound":
        return False
    try:
        created = parsedate_to_datetime(str(message.get("date_created")))
    except (ValueError, OverflowError):
        return True
    created = created if created.tzinfo is not None else created.replace(tzinfo=UTC)
    return created.timestamp() * 1000 >= since


def _conclusion(same: set[str], n_others: int) -> Finding:
    if len(same) == 1:
        return Found(next(iter(same)))
    if same:
        return CannotSay(f"{len(same)} messages with its text were sent to its recipient")
    if n_others:
        return CannotSay(f"{n_others} other messages were sent to its recipient, and one of them may be it")
    return NotThere()


def _comparable(text: str) -> str:
    """Return a text apart from white space, of which Twilio strips some."""
    return " ".join(text.split())


def referring(url: str, reference: str) -> str:
    """Return a URL with the query parameter `reference`, if there is one.

    >>> referring("https://example.com/cb?a=b", "r1")
    'https://example.com/cb?a=b&reference=r1'
    """
    if not reference:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'reference': reference})}"

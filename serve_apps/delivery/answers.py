"""Decides once what an answer over HTTP means, for all providers that take no send key.

    answer                                              status
    2xx                                                 accepted, with the provider's id of the message
    500, 502, 504, any other that says nothing clear    unknown: the provider had all of it, and may have taken it
    one with a code in the provider's table             what the code is about
    401, 402, 403, 404, 405, 3xx                        retry: it is about the account or the channel
    408, 425, 429, 503                                  retry, after `Retry-After` if it is given
    any other 4xx                                       rejected: it is about the message

A receipt has the status, and a code if it has the form that its adapter knows; never an answer's words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from serve_apps.delivery.exchange import Answer, retry_after_s
from serve_apps.delivery.provider import receipt, rejected, retry, unknown
from whisperer.delivery.dispatch import Dispatch, Receipt, Verdict
from whisperer.vocabulary.named import Named


class Fault(Named):
    """Name what a provider's code is about."""

    ADDRESS = "address"
    """It does not exist, or refuses us: `bounced`, so that it is suppressed."""
    MESSAGE = "message"
    """`rejected`."""
    ACCOUNT = "account"
    """The tenant's account, its sender or the channel's configuration, which may be repaired: `retry`."""
    BUSY = "busy"
    """`retry`."""


Faults = Mapping[str, Fault]
"""A provider's code -> what it is about. Codes that are not named are judged by their status."""

_ACCOUNT_STATUSES = (401, 402, 403, 404, 405)
_BUSY_STATUSES = (408, 425, 429, 503)


def receipt_of(
    dispatch: Dispatch,
    provider: str,
    answer: Answer,
    now: int,
    faults: Faults,
    *,
    provider_id: str = "",
    code: str = "",
) -> Receipt:
    """Return the receipt that an answer amounts to.

    Parameters
    ----------
    now : ms UTC, for a Retry-After that is a date
    provider_id, code : as the adapter found them in the answer, by their form; "" if it has none
    """
    if answer.is_success:
        return receipt(dispatch, Verdict.ACCEPTED, provider, provider_id=provider_id)
    said = f"the provider answered {answer.status}" + (f" {code}" if code else "")
    fault = fault_of(answer.status, faults.get(code))
    match fault:
        case None:
            return unknown(dispatch, provider, said)
        case Fault.ADDRESS:
            return receipt(dispatch, Verdict.BOUNCED, provider, detail=f"{said}: it is about the address")
        case Fault.MESSAGE:
            return rejected(dispatch, provider, said)
        case Fault.ACCOUNT:
            return retry(dispatch, provider, f"{said}: it is about the account or the channel, not the message")
        case _:
            return retry(dispatch, provider, said, retry_after_s(answer.headers.get("retry-after"), now))


def document(answer: Answer) -> dict[str, Any]:
    """Return an answer's JSON object; an empty one if it has none."""
    try:
        found = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def form_of(value: object, form: re.Pattern[str]) -> str:
    """Return an id or a code if it is a text or number of the form that it ought to have, "" otherwise."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if form.fullmatch(text) else ""


def fault_of(status: int, named: Fault | None) -> Fault | None:
    """Return what a status that is no success is about, None if it says nothing clear; ``named`` is what the answer's
    code is about, if it has one that is known."""
    if status < 200 or (status >= 500 and status not in _BUSY_STATUSES):
        return None
    if named is not None:
        return named
    if status in _BUSY_STATUSES:
        return Fault.BUSY
    if status in _ACCOUNT_STATUSES or status < 400:
        return Fault.ACCOUNT
    return Fault.MESSAGE

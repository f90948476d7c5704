"""Read Twilio's callbacks: what became of an SMS, and SMS that come in.

Signed is the whole address that Twilio called followed by the posted parameters in order, by HMAC-SHA1 with the
account's ``auth_token``. A message's reference is a parameter of its status callback's address. Twilio signs no time,
so an old callback cannot be told from a new one; what it repeats has been said before, and changes nothing.

Reference: https://www.twilio.com/docs/usage/security#validating-requests
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from whisperer.feedback.callbacks.keywords import keyword_of
from whisperer.feedback.callbacks.spec import CallbackSpec, Fate, Heard, Keyword, Post, Refusal, Reply, Told, short
from whisperer.feedback.outcome import OutcomeKind

SIGNATURE = "x-twilio-signature"
TOKEN = "auth_token"  # noqa: S105 - the setting's name
MAX_PARAMETERS = 200
TWIML = '<?xml version="1.0" encoding="UTF-8"?><Response/>'
"""Answers an incoming message with nothing: Twilio itself answers STOP, HELP and START."""

_GONE = {"21211", "21614", "30005", "30006"}
"""The number does not exist, or takes no SMS."""
_AWAY = {"30003"}
"""The handset cannot be reached now."""
_STOPPED = {"21610"}
"""Whoever has the number told Twilio STOP."""
_OPT_OUT = {"STOP": Keyword.STOP, "START": Keyword.START, "HELP": Keyword.HELP}


def signature(token: str, url: str, parameters: Sequence[tuple[str, str]]) -> str:
    """Return the signature of a call: base64 of HMAC-SHA1 over the address and the sorted parameters.

    Of a parameter that comes several times, each different value counts once, in order.
    """
    said = url + "".join(name + value for name, value in sorted(set(parameters)))
    signed = hmac.digest(token.encode("utf-8", "surrogatepass"), said.encode("utf-8", "surrogatepass"), "sha1")
    return base64.b64encode(signed).decode()


def _read(post: Post, config: Mapping[str, Any], _certificate: bytes) -> Heard | Refusal:
    token = str(config.get(TOKEN, ""))
    try:
        text = post.body.decode("utf-8")
        parameters = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_PARAMETERS, errors="strict")
    except (ValueError, UnicodeError):
        return Refusal(Fate.MALFORMED, "the body is not a form")
    presented = post.headers.get(SIGNATURE, "").encode("utf-8", "surrogatepass")
    spellings = [signature(token, url, parameters).encode() for url in _spellings(post.url)]
    # All are compared, so that how long it takes says nothing.
    if not token or not any([hmac.compare_digest(one, presented) for one in spellings]):
        return Refusal(Fate.FORGED, "the signature is not one of this account's")
    said = dict(parameters)
    account = config.get("account_sid")
    if account and said.get("AccountSid", account) != account:
        return Refusal(Fate.FOREIGN, "it is of another account")
    status = said.get("MessageStatus", said.get("SmsStatus", ""))
    if "Body" in said and status in ("", "received", "receiving"):
        asked = _OPT_OUT.get(said.get("OptOutType", "").upper()) or keyword_of(said["Body"])
        return Heard(replies=[Reply(said.get("From", ""), asked, post.now)], body=TWIML, media_type="text/xml")
    code = said.get("ErrorCode", "")
    kind = _kind(status, code)
    if kind is None:
        return Heard(n_ignored=1)
    return Heard([Told(kind, post.query.get("reference", ""), post.now, short(code))])


def _kind(status: str, code: str) -> OutcomeKind | None:
    if status == "delivered":
        return OutcomeKind.DELIVERED
    if status not in ("undelivered", "failed", "canceled"):
        return None  # on its way; "read" is of channels that we do not have
    if code in _GONE:
        return OutcomeKind.BOUNCED
    if code in _STOPPED:
        return OutcomeKind.UNSUBSCRIBED
    return OutcomeKind.SOFT_BOUNCED if code in _AWAY else OutcomeKind.FAILED


def _spellings(url: str) -> list[str]:
    """Return the address with and without the port that its scheme implies: Twilio signs either."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return [url]
    usual = 443 if parts.scheme == "https" else 80
    if port is None:
        return [url, urlunsplit(parts._replace(netloc=f"{parts.netloc}:{usual}"))]
    return [url, urlunsplit(parts._replace(netloc=parts.netloc.rpartition(":")[0]))]


TWILIO = CallbackSpec("twilio", TOKEN, _read)

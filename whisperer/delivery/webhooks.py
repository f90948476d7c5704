"""Build outgoing webhooks by the Standard Webhooks specification: what is posted, and how it is signed.

Guarantees: the payload of a dispatch is the same bytes at every attempt and `webhook-id` is the send key, so that a
receiver that remembers ids accepts a message once; every secret of the endpoint signs, so secrets rotate without a gap.
Leaves posting to the adapter.

References
----------
Standard Webhooks specification, symmetric signatures (`v1`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from whisperer.delivery.dispatch import Dispatch
from whisperer.delivery.errors import UnsendableError
from whisperer.ids import bare_id, is_anonymous
from whisperer.vocabulary.channels import CHANNELS

SECRET_PREFIX = "whsec_"  # noqa: S105 - the public marker before a secret
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
MAX_PAYLOAD_BYTES = 20 * 1024
TYPE = "message.send"

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


def parse_secret(text: str) -> bytes:
    """Return the key inside ``whsec_<base64>``. Raises ValueError, whose text never quotes the secret."""
    if not text.startswith(SECRET_PREFIX):
        raise ValueError(f"a webhook secret starts with {SECRET_PREFIX}")
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"after {SECRET_PREFIX} a webhook secret is base64") from None
    if not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise ValueError(f"a webhook secret has {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes, not {len(key)}")
    return key


def payload_of(dispatch: Dispatch) -> bytes:
    """Return the body to post: ``{type, timestamp, data}``.

    ``data.message`` has the channel's parts; ``data.from_name`` and ``data.reply_to`` are there where a campaign names
    an e-mail's sender. A webhook's body that is a JSON object or list is embedded as JSON, any other as text. Raises
    UnsendableError if the payload is over 20 KB or holds a lone surrogate.
    """
    who = "anonymous_id" if is_anonymous(dispatch.user_key) else "user_id"
    message: dict[str, object] = dict(dispatch.parts)
    channel = CHANNELS[dispatch.channel]
    for part in channel.parts:
        if part.syntax == "json" and part.name in message:
            message[part.name] = _as_json(dispatch.parts[part.name])
    sender = {"from_name": dispatch.from_name, "reply_to": dispatch.reply_to}
    payload = {
        "type": TYPE,
        "timestamp": datetime.fromtimestamp(dispatch.decided_at / 1000, UTC).isoformat(timespec="milliseconds"),
        "data": {
            "decision_id": dispatch.decision_id,
            "campaign": dispatch.campaign,
            "channel": dispatch.channel,
            who: bare_id(dispatch.user_key),
            "address": dispatch.address if channel.address.traits else None,
            "locale": dispatch.locale,
            **{name: text for name, text in sender.items() if text},
            "message": message,
        },
    }
    try:
        body = msgspec.json.encode(payload)
    except UnicodeEncodeError:
        raise UnsendableError("the message holds a lone surrogate, which is no Unicode text") from None
    if len(body) > MAX_PAYLOAD_BYTES:
        raise UnsendableError(f"the webhook's payload has {len(body)} bytes; at most {MAX_PAYLOAD_BYTES}")
    return body


def signed_headers(message_id: str, timestamp_s: int, payload: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """Return the three `webhook-*` headers, with one signature per key, in their order.

    Raises UnsendableError if the id is not 1 to 128 letters, digits, '-' or '_'.
    """
    if not _ID.fullmatch(message_id):
        raise UnsendableError("a webhook-id has 1 to 128 letters, digits, '-' or '_'")
    signed = f"{message_id}.{timestamp_s}.".encode() + payload
    signatures = [base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _as_json(text: str) -> object:
    try:
        value: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text
    return value if isinstance(value, dict | list) else text

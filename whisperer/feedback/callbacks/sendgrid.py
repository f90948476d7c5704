"""Read SendGrid's signed event webhook.

Signed is the text of X-Twilio-Email-Event-Webhook-Timestamp and the raw body, by ECDSA over P-256 with SHA-256; the
public key, base64 of DER, is the channel's ``callback_public_key``. A body is a JSON list of events, each with its
message's ``reference``, which we send as a custom argument.

Reference: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from whisperer.delivery.callback_fields import PUBLIC_KEY, public_key
from whisperer.feedback.callbacks.spec import (
    MAX_EVENTS,
    CallbackSpec,
    Fate,
    Heard,
    Post,
    Refusal,
    Told,
    is_stale,
    moment_of,
    short,
)
from whisperer.feedback.outcome import OutcomeKind

SIGNATURE = "x-twilio-email-event-webhook-signature"
TIMESTAMP = "x-twilio-email-event-webhook-timestamp"

_DROPPED = {
    "bounced address": OutcomeKind.BOUNCED,
    "spam reporting address": OutcomeKind.COMPLAINED,
}
"""Why SendGrid did not send -> what it knows of the address; for any other reason the message failed."""
_PLAIN = {
    "delivered": OutcomeKind.DELIVERED,
    "spamreport": OutcomeKind.COMPLAINED,
    "unsubscribe": OutcomeKind.UNSUBSCRIBED,
    "group_unsubscribe": OutcomeKind.UNSUBSCRIBED,
}
"""Event -> what it means. Opens and clicks are not among them: ours are counted, and not twice."""


_key = lru_cache(maxsize=256)(public_key)


def _read(post: Post, config: Mapping[str, Any], _certificate: bytes) -> Heard | Refusal:
    key = _key(str(config.get(PUBLIC_KEY, "")))
    stamp = post.headers.get(TIMESTAMP, "")
    if key is None or not _is_signed(key, post.headers.get(SIGNATURE, ""), stamp.encode() + post.body):
        return Refusal(Fate.FORGED, "the signature is not one of this webhook's key")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12) or is_stale(int(stamp) * 1000, post.now):
        return Refusal(Fate.STALE, "it was signed too long ago")
    try:
        events = msgspec.json.decode(post.body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return Refusal(Fate.MALFORMED, "the body is not JSON")
    if not isinstance(events, list) or len(events) > MAX_EVENTS:
        return Refusal(Fate.MALFORMED, f"the body is a list of at most {MAX_EVENTS:,} events")
    told = [one for event in events if (one := _told(event, post.now)) is not None]
    return Heard(told, n_ignored=len(events) - len(told))


def _is_signed(key: ec.EllipticCurvePublicKey, signature: str, content: bytes) -> bool:
    try:
        key.verify(base64.b64decode(signature, validate=True), content, ec.ECDSA(SHA256()))
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True


def _told(event: Any, now: int) -> Told | None:
    if not isinstance(event, dict):
        return None
    name, reference, at = event.get("event"), event.get("reference"), event.get("timestamp")
    if not isinstance(name, str):
        return None
    detail = short(event.get("status"))
    kind = _PLAIN.get(name)
    if name == "bounce":
        kind = OutcomeKind.BOUNCED if event.get("type") == "bounce" else OutcomeKind.SOFT_BOUNCED
    elif name == "dropped":
        reason = event.get("reason")
        kind = _DROPPED.get(reason.strip().casefold() if isinstance(reason, str) else "", OutcomeKind.FAILED)
        detail = short(reason)
    if kind is None:
        return None
    return Told(kind, reference if isinstance(reference, str) else "", moment_of(at, 1_000, now), detail)


SENDGRID = CallbackSpec("sendgrid", PUBLIC_KEY, _read)

"""Read the events of Amazon SES, which come in envelopes of SNS (:mod:`.envelope`).

An event is published by the configuration set (``eventType``) or for the identity (``notificationType``). The message's
reference is its tag ``reference``; notifications for an identity have no tags, and lead to no message.

Reference: https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from whisperer.delivery.callback_fields import TOPIC_ARN
from whisperer.feedback.callbacks import envelope
from whisperer.feedback.callbacks.spec import CallbackSpec, Fate, Heard, Post, Refusal, Told, short
from whisperer.feedback.outcome import OutcomeKind

_PLAIN = {
    "Delivery": OutcomeKind.DELIVERED,
    "Complaint": OutcomeKind.COMPLAINED,
    "Reject": OutcomeKind.FAILED,
    "Rendering Failure": OutcomeKind.FAILED,
}


def _read(post: Post, config: Mapping[str, Any], pem: bytes) -> Heard | Refusal:
    fields = envelope.opened(post, config, pem)
    if isinstance(fields, Refusal):
        return fields
    if fields["Type"] == envelope.CONFIRMATION:
        return Heard(visit=fields["SubscribeURL"])
    if fields["Type"] != envelope.NOTIFICATION:
        return Heard(n_ignored=1)
    try:
        event = msgspec.json.decode(fields["Message"])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return Heard(n_ignored=1)  # "Successfully validated SNS topic ..." is plain text
    if not isinstance(event, dict):
        return Refusal(Fate.MALFORMED, "its message is not an event of SES")
    told = _told(event, post.now)
    return Heard(n_ignored=1) if told is None else Heard([told])


def _told(event: Mapping[str, Any], now: int) -> Told | None:
    name = event.get("eventType", event.get("notificationType"))
    if not isinstance(name, str):
        return None
    about = _object(event.get(name[:1].lower() + name[1:]))
    kind, detail = _PLAIN.get(name), ""
    if name == "Bounce":
        is_final = about.get("bounceType") == "Permanent"
        kind, detail = OutcomeKind.BOUNCED if is_final else OutcomeKind.SOFT_BOUNCED, short(about.get("bounceSubType"))
    elif name == "Complaint":
        detail = short(about.get("complaintFeedbackType"))
        if detail == "not-spam":
            return None
    if kind is None:
        return None
    stamp = about.get("timestamp")
    at = envelope.moment(stamp) if isinstance(stamp, str) else None
    return Told(kind, _reference(event), now if at is None else at, detail)


def _reference(event: Mapping[str, Any]) -> str:
    tagged = _object(_object(event.get("mail")).get("tags")).get("reference")
    first = tagged[0] if isinstance(tagged, list) and tagged else ""
    return first if isinstance(first, str) else ""


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


SES = CallbackSpec("ses", TOPIC_ARN, _read, envelope.certificate)

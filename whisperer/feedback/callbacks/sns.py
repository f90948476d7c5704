"""Read what Amazon says of SMS, in envelopes of SNS: messages that come in, and the events of those that went out.

Two-way SMS posts each incoming message to the number's topic. What became of a message that SNS published goes to
CloudWatch; only AWS End User Messaging posts events, with the message's ``context``, which holds its reference where it
was sent with one.

References: https://docs.aws.amazon.com/sms-voice/latest/userguide/two-way-sms-payload.html,
https://docs.aws.amazon.com/sms-voice/latest/userguide/configuration-sets-event-format.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from whisperer.delivery.callback_fields import TOPIC_ARN
from whisperer.feedback.callbacks import envelope
from whisperer.feedback.callbacks.keywords import keyword_of
from whisperer.feedback.callbacks.spec import CallbackSpec, Heard, Post, Refusal, Reply, Told, moment_of, short
from whisperer.feedback.outcome import OutcomeKind

_KINDS = {
    "TEXT_DELIVERED": OutcomeKind.DELIVERED,
    "TEXT_INVALID": OutcomeKind.BOUNCED,
    "TEXT_UNREACHABLE": OutcomeKind.SOFT_BOUNCED,
    "TEXT_CARRIER_UNREACHABLE": OutcomeKind.SOFT_BOUNCED,
    "TEXT_BLOCKED": OutcomeKind.FAILED,
    "TEXT_CARRIER_BLOCKED": OutcomeKind.FAILED,
    "TEXT_SPAM": OutcomeKind.FAILED,
    "TEXT_INVALID_MESSAGE": OutcomeKind.FAILED,
    "TEXT_PROTECT_BLOCKED": OutcomeKind.FAILED,
    "TEXT_TTL_EXPIRED": OutcomeKind.FAILED,
    "TEXT_UNKNOWN": OutcomeKind.FAILED,
}


def _read(post: Post, config: Mapping[str, Any], pem: bytes) -> Heard | Refusal:
    fields = envelope.opened(post, config, pem)
    if isinstance(fields, Refusal):
        return fields
    if fields["Type"] == envelope.CONFIRMATION:
        return Heard(visit=fields["SubscribeURL"])
    try:
        event = msgspec.json.decode(fields["Message"])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        event = None
    if fields["Type"] != envelope.NOTIFICATION or not isinstance(event, dict):
        return Heard(n_ignored=1)
    sender, text = event.get("originationNumber"), event.get("messageBody")
    if isinstance(sender, str) and isinstance(text, str):
        at = envelope.moment(fields["Timestamp"])
        return Heard(replies=[Reply(sender, keyword_of(text), post.now if at is None else at)])
    name = event.get("eventType")
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None or event.get("isFinal") is False:
        return Heard(n_ignored=1)
    context = event.get("context")
    reference = context.get("reference") if isinstance(context, dict) else ""
    at = moment_of(event.get("eventTimestamp"), 1, post.now)
    return Heard([Told(kind, reference if isinstance(reference, str) else "", at, short(event.get("messageStatus")))])


SNS = CallbackSpec("sns", TOPIC_ARN, _read, envelope.certificate)

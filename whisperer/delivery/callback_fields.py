"""Read the fields of a channel's configuration by which its provider's callbacks are verified.

They stand next to the fields that sending needs (:mod:`whisperer.delivery.providers`), may be left out, and are no
secrets: who can read them can verify, not sign. What is verified with them is in :mod:`whisperer.feedback.callbacks`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from whisperer.delivery.providers.reading import ConfigReader

PUBLIC_KEY, TOPIC_ARN = "callback_public_key", "callback_topic_arn"

_ARN = re.compile(
    r"arn:aws(?:-cn|-us-gov)?:sns:([a-z]{2,4}(?:-[a-z]{2,16}){1,3}-[1-9][0-9]?):[0-9]{12}:[A-Za-z0-9_-]{1,256}(?:\.fifo)?"
)


def public_key(text: str) -> ec.EllipticCurvePublicKey | None:
    """Return the key that SendGrid shows as text (base64 of DER, on P-256), None if the text is no such key."""
    try:
        found = load_der_public_key(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        return None
    return found if isinstance(found, ec.EllipticCurvePublicKey) and found.curve.name == "secp256r1" else None


def region_of(arn: str) -> str | None:
    """Return the region of a topic of Amazon SNS, None if the text is no topic's ARN.

    >>> region_of("arn:aws:sns:eu-west-1:123456789012:bounces"), region_of("arn:aws:sqs:eu-west-1:123456789012:x")
    ('eu-west-1', None)
    """
    found = _ARN.fullmatch(arn)
    return None if found is None else found[1]


@dataclass(frozen=True, slots=True)
class Field:
    """Describe one field: whether a text fits it, and what does, in words."""

    name: str
    fits: Callable[[str], object]
    told: str


_TOPIC = Field(TOPIC_ARN, region_of, "the topic's ARN, such as arn:aws:sns:eu-west-1:123456789012:whisperer")

CALLBACK_FIELDS: dict[str, tuple[Field, ...]] = {
    "sendgrid": (
        Field(PUBLIC_KEY, public_key, "the verification key that SendGrid shows for the signed event webhook"),
    ),
    "ses": (_TOPIC,),
    "sns": (_TOPIC,),
}
"""Provider -> its fields. Twilio's callbacks are signed with the account's own ``auth_token``."""


def take_callback_fields(reader: ConfigReader, provider: str, config: dict[str, Any]) -> dict[str, Any]:
    """Take the fields out of ``config``, noting every problem, and return those that are given."""
    found: dict[str, Any] = {}
    for field in CALLBACK_FIELDS.get(provider, ()):
        value = reader.text(config, field.name, required=False)
        config.pop(field.name, None)
        if value is not None and not field.fits(value):
            reader.note(f"/config/{field.name}", "invalid_text", f"{field.name} is {field.told}")
        elif value is not None:
            found[field.name] = value
    return found

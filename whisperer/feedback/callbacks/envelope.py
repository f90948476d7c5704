"""Verify the envelopes that Amazon SNS posts over HTTPS, and read them.

Signed is a text made of some fields in a fixed order: version 1 by RSA with SHA-1, version 2 with SHA-256. The
certificate is only looked for at an address of SNS in the topic's own region, and nothing that an envelope names is
visited before its signature holds. The topic is the channel's ``callback_topic_arn``: SNS signs for whoever has an AWS
account, so a good signature alone says nothing about who sent it.

Reference: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from whisperer.delivery.callback_fields import TOPIC_ARN, region_of
from whisperer.feedback.callbacks.spec import Fate, Post, Refusal, is_stale

NOTIFICATION = "Notification"
CONFIRMATION = "SubscriptionConfirmation"

_SIGNED = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    CONFIRMATION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
"""Type -> the fields that are signed, in order; one that is absent is left out."""
_CERTIFICATE_PATH = re.compile(r"/SimpleNotificationService-[A-Za-z0-9]{1,80}\.pem")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z")


def _hosts(region: str) -> tuple[str, ...]:
    return f"sns.{region}.amazonaws.com", f"sns.{region}.amazonaws.com.cn"


def certificate(post: Post, config: Mapping[str, Any]) -> str | Refusal:
    """Return where the certificate of an envelope is, if it is of our topic; the first of two steps."""
    read = _fields(post, config)
    if isinstance(read, Refusal):
        return read
    fields, region = read
    url = fields.get("SigningCertURL", fields.get("SigningCertUrl", ""))
    if not _is_of_sns(url, region) or _CERTIFICATE_PATH.fullmatch(urlsplit(url).path) is None or urlsplit(url).query:
        return Refusal(Fate.FORGED, "its certificate is not where SNS keeps them")
    return url


def opened(post: Post, config: Mapping[str, Any], pem: bytes) -> dict[str, str] | Refusal:
    """Return the fields of an envelope that is genuine, fresh and ours; the second step."""
    read = _fields(post, config)
    if isinstance(read, Refusal):
        return read
    fields, region = read
    at = moment(fields["Timestamp"])
    if at is None or not _is_signed(fields, pem, post.now):
        return Refusal(Fate.FORGED, "the signature is not one of SNS")
    if is_stale(at, post.now):
        return Refusal(Fate.STALE, "it was signed too long ago")
    if fields["Type"] == CONFIRMATION and not _confirms(fields, region):
        return Refusal(Fate.FORGED, "its SubscribeURL does not confirm this topic's subscription")
    return fields


def moment(text: str) -> int | None:
    """Return ms UTC of an ISO 8601 time as AWS writes it, None of any other text."""
    if _TIMESTAMP.fullmatch(text) is None:
        return None
    try:
        return int(datetime.fromisoformat(text).astimezone(UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _fields(post: Post, config: Mapping[str, Any]) -> tuple[dict[str, str], str] | Refusal:
    """Return an envelope's texts and its topic's region."""
    try:
        decoded = msgspec.json.decode(post.body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        decoded = None
    if not isinstance(decoded, dict):
        return Refusal(Fate.MALFORMED, "the body is not a JSON object")
    fields = {name: value for name, value in decoded.items() if isinstance(value, str)}
    if fields.get("Type") not in _SIGNED or any(
        name not in fields for name in ("Message", "MessageId", "Timestamp", "TopicArn", "Signature")
    ):
        return Refusal(Fate.MALFORMED, "the body is not an envelope of SNS")
    topic = str(config.get(TOPIC_ARN, ""))
    region = region_of(topic)
    if region is None or fields["TopicArn"] != topic:
        return Refusal(Fate.FOREIGN, "it is of another topic")
    return fields, region


def _is_of_sns(url: str, region: str) -> bool:
    try:
        parts = urlsplit(url)
        plain = parts.port is None and parts.username is None
    except ValueError:
        return False
    # The whole text before the path is compared: parsers differ about what a strange one's host is.
    return plain and parts.scheme == "https" and any(url.startswith(f"https://{host}/") for host in _hosts(region))


def _confirms(fields: Mapping[str, str], region: str) -> bool:
    url = fields.get("SubscribeURL", "")
    if not _is_of_sns(url, region) or not url.isascii() or not url.isprintable():
        return False
    asked = parse_qs(urlsplit(url).query, max_num_fields=20)
    return asked.get("Action") == ["ConfirmSubscription"] and asked.get("TopicArn") == [fields["TopicArn"]]


def _is_signed(fields: Mapping[str, str], pem: bytes, now: int) -> bool:
    digest = {"1": SHA1, "2": SHA256}.get(fields.get("SignatureVersion", ""))
    if digest is None:
        return False
    names = [name for name in _SIGNED[fields["Type"]] if name in fields]
    try:
        found = x509.load_pem_x509_certificate(pem)
        moment_of = datetime.fromtimestamp(now / 1000, UTC)
        key = found.public_key()
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < 2_048:
            return False
        if not found.not_valid_before_utc <= moment_of <= found.not_valid_after_utc:
            return False
        content = "".join(f"{name}\n{fields[name]}\n" for name in names).encode()
        signature = base64.b64decode(fields["Signature"], validate=True)
        key.verify(signature, content, padding.PKCS1v15(), digest())  # SHA-1 is what version 1 of SNS signs
    except (InvalidSignature, ValueError, binascii.Error, TypeError):
        return False
    return True

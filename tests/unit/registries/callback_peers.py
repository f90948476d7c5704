"""The other side of each provider's callbacks: it signs as the provider does, and so does whoever would like to be it."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from whisperer.feedback.callbacks.sendgrid import SIGNATURE, TIMESTAMP
from whisperer.feedback.callbacks.spec import Post
from whisperer.feedback.callbacks.twilio import SIGNATURE as TWILIO_SIGNATURE
from whisperer.feedback.callbacks.twilio import signature

NOW = 1_772_359_200_000
DAY = 86_400_000
URL = "https://whisperer.example.com/v1/callbacks/p/t"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:whisperer"
CERTIFICATE_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"
TOKEN = "0123456789abcdef0123456789abcdef"

KEY, STRANGER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
RSA_KEY, RSA_STRANGER = (rsa.generate_private_key(65537, 2048) for _ in range(2))


def pem_of(key: rsa.RSAPrivateKey, now: int = NOW) -> bytes:
    """A certificate that is good for a year around ``now``."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    at = datetime.datetime.fromtimestamp(now / 1000, datetime.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(at - datetime.timedelta(days=180))
    signed = made.not_valid_after(at + datetime.timedelta(days=180)).sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


PEM = pem_of(RSA_KEY)


def post(
    body: bytes, headers: dict[str, str] | None = None, query: dict[str, str] | None = None, now: int = NOW
) -> Post:
    target = f"?{urlencode(query)}" if query else ""
    return Post(URL + target, query or {}, headers or {}, body, now)


# -- SendGrid -----------------------------------------------------------------------------------------------------------


def sendgrid_config() -> dict[str, Any]:
    der = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {"callback_public_key": base64.b64encode(der).decode()}


def sendgrid(body: bytes, at: int = NOW, key: ec.EllipticCurvePrivateKey = KEY) -> Post:
    stamp = str(at // 1000)
    signed = key.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
    return post(body, {SIGNATURE: base64.b64encode(signed).decode(), TIMESTAMP: stamp})


def sendgrid_event(reference: str, **more: Any) -> dict[str, Any]:
    about = {
        "email": "ada@example.com",
        "event": "bounce",
        "type": "bounce",
        "status": "5.1.1",
        "timestamp": NOW // 1000,
    }
    return about | {"sg_event_id": "ZXZ0", "reference": reference} | more


# -- Amazon -------------------------------------------------------------------------------------------------------------


def iso(at: int) -> str:
    return datetime.datetime.fromtimestamp(at / 1000, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def envelope(message: str, at: int = NOW, *, key: rsa.RSAPrivateKey = RSA_KEY, version: str = "2", **more: str) -> Post:
    """What SNS posts; ``more`` replaces fields, and is signed."""
    fields = {
        "Type": "Notification",
        "MessageId": "4d5f0f4e-0000-5000-8000-000000000000",
        "TopicArn": TOPIC,
        "Message": message,
        "Timestamp": iso(at),
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE_URL,
        **more,
    }
    names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    if fields["Type"] == "Notification":
        names = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
    text = "".join(f"{name}\n{fields[name]}\n" for name in names if name in fields)
    digest = hashes.SHA1() if version == "1" else hashes.SHA256()
    fields["Signature"] = base64.b64encode(key.sign(text.encode(), padding.PKCS1v15(), digest)).decode()
    return post(json.dumps(fields).encode(), {"x-amz-sns-message-type": fields["Type"]})


def ses_event(reference: str, **more: Any) -> str:
    bounce = {"bounceType": "Permanent", "bounceSubType": "General", "timestamp": iso(NOW)}
    mail = {"messageId": "m", "tags": {"reference": [reference], "ses:source-ip": ["192.0.2.1"]}}
    return json.dumps({"eventType": "Bounce", "bounce": bounce, "mail": mail} | more)


def sms_event(reference: str, **more: Any) -> str:
    about = {"eventType": "TEXT_INVALID", "isFinal": True, "eventTimestamp": NOW, "messageStatus": "INVALID"}
    return json.dumps(about | {"context": {"reference": reference}} | more)


# -- Twilio -------------------------------------------------------------------------------------------------------------


def twilio(parameters: dict[str, str], reference: str = "", token: str = TOKEN) -> Post:
    made = post(urlencode(parameters).encode(), {}, {"reference": reference} if reference else None)
    return replace(made, headers={TWILIO_SIGNATURE: signature(token, made.url, list(parameters.items()))})


def twilio_status(status: str = "undelivered", code: str = "30005", **more: str) -> dict[str, str]:
    about = {"MessageSid": "SM0", "MessageStatus": status, "To": "+4915112345678", "AccountSid": "AC0"}
    return about | ({"ErrorCode": code} if code else {}) | more


# -- mail ---------------------------------------------------------------------------------------------------------------


def bounce(
    reference: str, status: str = "5.1.1", action: str = "failed", diagnostic: str = "smtp; 550 no such user"
) -> bytes:
    """A report as Postfix writes it (RFC 3464)."""
    return (
        "From: MAILER-DAEMON@mail.example.com\r\nTo: bounces@shop.example\r\nSubject: Undelivered Mail\r\n"
        'MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n boundary="BB/mail"\r\n'
        "\r\n--BB/mail\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nI'm sorry.\r\n"
        "--BB/mail\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mail.example.com\r\n"
        f"Arrival-Date: Sun, 01 Mar 2026 09:59:00 +0000\r\n\r\nFinal-Recipient: rfc822; ada@example.com\r\n"
        f"Action: {action}\r\nStatus: {status}\r\nDiagnostic-Code: {diagnostic}\r\n\r\n"
        "--BB/mail\r\nContent-Type: text/rfc822-headers\r\n\r\nFrom: shop@shop.example\r\nTo: ada@example.com\r\n"
        f"X-Whisperer-Reference:\r\n {reference}\r\nSubject: hello\r\n\r\n--BB/mail--\r\n"
    ).encode()


def complaint(reference: str, kind: str = "abuse") -> bytes:
    """A report as RFC 5965, appendix B, has it."""
    return (
        "From: <abusedesk@example.com>\r\nTo: <abuse@shop.example>\r\nSubject: FW: Earn money\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="part1"\r\n\r\n--part1\r\n'
        'Content-Type: text/plain; charset="US-ASCII"\r\n\r\nThis is an email abuse report.\r\n--part1\r\n'
        f"Content-Type: message/feedback-report\r\n\r\nFeedback-Type: {kind}\r\nUser-Agent: SomeGenerator/1.0\r\n"
        "Version: 1\r\nArrival-Date: Sun, 01 Mar 2026 09:00:00 +0000\r\n\r\n--part1\r\nContent-Type: message/rfc822\r\n\r\n"
        f"From: shop@shop.example\r\nX-Whisperer-Reference: {reference}\r\nSubject: Earn money\r\n\r\nSpam\r\n--part1--\r\n"
    ).encode()


@dataclass(frozen=True)
class CallbackPeer:
    """``genuine`` makes a report that an address is gone; ``signed`` signs any body; the others what must not pass."""

    config: dict[str, Any]
    genuine: Callable[[str], Post]
    signed: Callable[[bytes], Post]
    pem: bytes = b""
    forged: list[Post] = field(default_factory=list)
    stale: list[Post] = field(default_factory=list)
    foreign: list[Post] = field(default_factory=list)
    channel: str = "email"


def _tampered(genuine: Post) -> Post:
    return replace(
        genuine, body=genuine.body.replace(b"ounce", b"ounc3").replace(b"undelivered", b"delivered00") + b" "
    )


def _amazon(event: Callable[..., str], channel: str) -> CallbackPeer:
    body = event("r0")
    elsewhere = (
        "https://sns.eu-west-1.amazonaws.com.evil.example/SimpleNotificationService-0.pem",
        "https://sns.eu-west-1.amazonaws.com@evil.example/SimpleNotificationService-0.pem",
        "https://sns.eu-west-1.amazonaws.com:444/SimpleNotificationService-0.pem",
        "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0.pem",
        "https://sns.eu-west-1.amazonaws.com/../SimpleNotificationService-0.pem",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem?x=1",
        "https://s3.eu-west-1.amazonaws.com/SimpleNotificationService-0.pem",
        "https://127.0.0.1/SimpleNotificationService-0.pem",
        "file:///etc/passwd",
        "",
    )
    return CallbackPeer(
        {"callback_topic_arn": TOPIC},
        lambda reference: envelope(event(reference)),
        lambda content: envelope(content.decode("utf-8", "replace")),
        PEM,
        [
            envelope(body, key=RSA_STRANGER),
            envelope(body, version="3"),
            replace(envelope(body), body=envelope(body).body.replace(b"m", b"n", 1)),
            *(envelope(body, SigningCertURL=url) for url in elsewhere),
            envelope(
                "",
                Type="SubscriptionConfirmation",
                Token="t",
                SubscribeURL="https://evil.example/?Action=ConfirmSubscription",
            ),
        ],
        [envelope(body, NOW - 2 * DAY), envelope(body, NOW + DAY)],
        [envelope(body, TopicArn="arn:aws:sns:eu-west-1:999999999999:whisperer")],
        channel,
    )


_SG = json.dumps([sendgrid_event("r0")]).encode()
PEERS: dict[str, CallbackPeer] = {
    "sendgrid": CallbackPeer(
        sendgrid_config(),
        lambda reference: sendgrid(json.dumps([sendgrid_event(reference)]).encode()),
        sendgrid,
        forged=[
            sendgrid(_SG, key=STRANGER),
            _tampered(sendgrid(_SG)),
            post(_SG),
            replace(sendgrid(_SG), headers=sendgrid(_SG).headers | {TIMESTAMP: str(NOW // 1000 - 1)}),
            replace(sendgrid(_SG), headers=sendgrid(_SG).headers | {SIGNATURE: "ü=="}),
        ],
        stale=[sendgrid(_SG, NOW - 2 * DAY), sendgrid(_SG, NOW + DAY)],
    ),
    "ses": _amazon(ses_event, "email"),
    "sns": _amazon(sms_event, "sms"),
    "smtp": CallbackPeer({}, lambda reference: post(bounce(reference)), post),
    "twilio": CallbackPeer(
        {"auth_token": TOKEN, "account_sid": "AC0"},
        lambda reference: twilio(twilio_status(), reference),
        lambda content: twilio({"Body": content.decode("utf-8", "replace"), "From": "+4915112345678"}),
        forged=[
            twilio(twilio_status(), "r0", token="another"),
            _tampered(twilio(twilio_status(), "r0")),
            replace(twilio(twilio_status(), "r0"), url=URL + "?reference=r1"),
            replace(twilio(twilio_status(), "r0"), headers={}),
        ],
        foreign=[twilio(twilio_status(AccountSid="AC1"), "r0")],
        channel="sms",
    ),
}

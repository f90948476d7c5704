from __future__ import annotations

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.unit.whisperer.delivery.dispatches import dispatch
from whisperer.delivery.errors import UnsendableError
from whisperer.delivery.webhooks import MAX_PAYLOAD_BYTES, parse_secret, payload_of, signed_headers

OLD = "whsec_" + base64.b64encode(b"o" * 24).decode()
NEW = "whsec_" + base64.b64encode(bytes(range(64))).decode()
OTHER = "whsec_" + base64.b64encode(b"x" * 32).decode()


def now_s() -> int:
    return int(time.time())  # the independent verifier looks at the clock


@given(st.text(max_size=200))
def test_an_independent_verifier_accepts_what_is_signed(body: str) -> None:
    payload = payload_of(dispatch(channel="webhook", parts={"body": body.encode("utf-8", "replace").decode()}))
    headers = signed_headers(dispatch().send_key, now_s(), payload, [parse_secret(NEW)])
    assert Webhook(NEW).verify(payload, headers) == json.loads(payload)
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(payload, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(payload + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(payload, headers | {"webhook-id": "snd_other"})


def test_both_secrets_sign_during_a_rotation() -> None:
    payload = payload_of(dispatch(channel="webhook"))
    headers = signed_headers("snd_1", now_s(), payload, [parse_secret(OLD), parse_secret(NEW)])
    assert headers["webhook-signature"].count("v1,") == 2
    for secret in (OLD, NEW):
        assert Webhook(secret).verify(payload, headers)
    assert set(headers) == {"webhook-id", "webhook-timestamp", "webhook-signature"}


def test_the_payload_is_the_same_at_every_attempt() -> None:
    assert payload_of(dispatch(channel="webhook")) == payload_of(dispatch(channel="webhook", attempt=5))


def test_a_payload_says_what_is_sent_to_whom() -> None:
    assert json.loads(payload_of(dispatch(channel="sms"))) == {
        "type": "message.send",
        "timestamp": "2023-11-14T22:13:20.000+00:00",
        "data": {
            "decision_id": "dec_0",
            "campaign": "welcome",
            "channel": "sms",
            "user_id": "ada",
            "address": "+4915112345678",
            "locale": "de",
            "message": {"text": "Hello Ada"},
        },
    }
    named = dispatch(from_name="Acme, Inc.", reply_to="Help <help@acme.example>")
    said = json.loads(payload_of(named))["data"]
    assert (said["from_name"], said["reply_to"]) == ("Acme, Inc.", "Help <help@acme.example>")
    anonymous = json.loads(payload_of(dispatch(channel="webhook", user_key="a:device-1")))["data"]
    assert anonymous["anonymous_id"] == "device-1"
    assert anonymous["address"] is None
    assert "user_id" not in anonymous


@pytest.mark.parametrize(
    ("body", "stands"),
    [
        ('{"a": [1, null]}', {"a": [1, None]}),
        ("[1]", [1]),
        ("123", "123"),
        ("true", "true"),
        ('"text"', '"text"'),
        ("{broken", "{broken"),
        ("[NaN]", "[NaN]"),
        ("[" * 5000, "[" * 5000),
        ("", ""),
    ],
)
def test_a_body_is_json_only_where_it_is_an_object_or_a_list(body: str, stands: object) -> None:
    payload = payload_of(dispatch(channel="webhook", parts={"body": body}))
    assert json.loads(payload)["data"]["message"]["body"] == stands


def test_what_cannot_be_posted_is_said_so() -> None:
    with pytest.raises(UnsendableError, match="at most 20480"):
        payload_of(dispatch(channel="webhook", parts={"body": "x" * MAX_PAYLOAD_BYTES}))
    with pytest.raises(UnsendableError, match="surrogate"):
        payload_of(dispatch(channel="webhook", parts={"body": "\ud800"}))
    for message_id in ("", "a.b", "a b", "a\r\nX: y", "a" * 129):
        with pytest.raises(UnsendableError, match="webhook-id"):
            signed_headers(message_id, 0, b"", [b"k" * 24])


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "whsec_geheim!!!", "c2VjcmV0", "whsec_" + "é" * 40, "whsec_" + "QUJD" * 7, "whsec_" + "QUJD" * 22],
)
def test_a_bad_secret_is_refused_without_being_repeated(secret: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_secret(secret)
    tail = secret.removeprefix("whsec_")
    assert not tail or tail not in str(refused.value)

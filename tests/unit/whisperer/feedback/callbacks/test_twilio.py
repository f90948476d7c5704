"""Twilio's callbacks: its published examples verify, statuses and replies mean what they should."""

from __future__ import annotations

import pytest

from tests.unit.registries.callback_peers import TOKEN, twilio, twilio_status
from whisperer.feedback.callbacks.spec import Heard, Keyword
from whisperer.feedback.callbacks.twilio import TWILIO, signature

CONFIG = {"auth_token": TOKEN, "account_sid": "AC0"}
CALL = {"CallSid": "CA1234567890ABCDE", "Digits": "1234", "To": "+18005551212"}


@pytest.mark.parametrize(
    ("number", "published"),
    [("+12349013030", "0/KCTR6DLpKmkAf8muzZqo1nDgQ="), ("+14158675309", "RSOYDt4T1cUTdK1PDd93/VVr8B8=")],
    ids=["Twilio's documentation", "twilio-python's tests"],
)
def test_the_published_examples_are_signed_so(number: str, published: str) -> None:
    parameters = CALL | {"Caller": number, "From": number}
    assert signature("12345", "https://mycompany.com/myapp.php?foo=1&bar=2", list(parameters.items())) == published


def read(parameters: dict[str, str], reference: str = "r0") -> Heard:
    found = TWILIO.read(twilio(parameters, reference), CONFIG, b"")
    assert isinstance(found, Heard), found
    return found


@pytest.mark.parametrize(
    ("status", "code", "means"),
    [
        ("delivered", "", ["delivered"]),
        ("undelivered", "30005", ["bounced"]),
        ("undelivered", "30006", ["bounced"]),
        ("failed", "21614", ["bounced"]),
        ("undelivered", "30003", ["soft_bounced"]),
        ("failed", "21610", ["unsubscribed"]),
        ("undelivered", "30007", ["failed"]),
        ("failed", "", ["failed"]),
        ("canceled", "", ["failed"]),
        *((status, "", []) for status in ("accepted", "scheduled", "queued", "sending", "sent", "read", "new")),
    ],
)
def test_each_status_means_what_it_should(status: str, code: str, means: list[str]) -> None:
    heard = read(twilio_status(status, code))
    assert [str(one.kind) for one in heard.told] == means
    assert all((one.reference, one.detail) == ("r0", code) for one in heard.told)


@pytest.mark.parametrize("port", ["", ":443"])
def test_the_port_of_https_may_be_signed_or_not(port: str) -> None:
    post = twilio(twilio_status())
    written = post.url.replace(".example.com/", f".example.com{port}/")
    signed = signature(TOKEN, written, list(twilio_status().items()))
    made = type(post)(post.url, post.query, {"x-twilio-signature": signed}, post.body, post.now)
    assert isinstance(TWILIO.read(made, CONFIG, b""), Heard)


@pytest.mark.parametrize(
    ("text", "more", "asked"),
    [
        ("STOP", {}, Keyword.STOP),
        ("please don't stop", {}, None),
        ("no more!", {"OptOutType": "STOP"}, Keyword.STOP),
        ("start", {}, Keyword.START),
        ("Hilfe?", {}, Keyword.HELP),
        ("", {}, None),
    ],
)
def test_an_sms_that_comes_in_is_a_reply_and_answered_with_nothing(
    text: str, more: dict[str, str], asked: Keyword | None
) -> None:
    heard = read({"From": "+4915112345678", "Body": text, "SmsStatus": "received", **more}, "")
    [reply] = heard.replies
    assert (reply.sender, reply.keyword) == ("+4915112345678", asked)
    assert heard.media_type == "text/xml"
    assert "<Response/>" in heard.body

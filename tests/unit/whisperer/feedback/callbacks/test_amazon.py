"""Envelopes of SNS, and the events of SES and SMS in them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.unit.registries.callback_peers import (
    DAY,
    NOW,
    PEM,
    RSA_KEY,
    TOPIC,
    envelope,
    iso,
    pem_of,
    ses_event,
    sms_event,
)
from whisperer.feedback.callbacks.ses import SES
from whisperer.feedback.callbacks.sns import SNS
from whisperer.feedback.callbacks.spec import Fate, Heard, Keyword, Post, Refusal

CONFIG = {"callback_topic_arn": TOPIC}
CONFIRM = {"Action": "ConfirmSubscription", "TopicArn": TOPIC, "Token": "t"}


def of_ses(post: Post, pem: bytes = PEM) -> Heard | Refusal:
    return SES.read(post, CONFIG, pem)


def confirmation(host: str = "sns.eu-west-1.amazonaws.com", **asked: str) -> Post:
    url = f"https://{host}/?{urlencode(CONFIRM | asked)}"
    return envelope("You have chosen to subscribe", Type="SubscriptionConfirmation", Token="t", SubscribeURL=url)


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", [{}, {"Subject": "Amazon SES Email Event"}])
def test_both_signature_versions_hold_with_and_without_a_subject(version: str, subject: dict[str, str]) -> None:
    assert isinstance(of_ses(envelope(ses_event("r0"), version=version, **subject)), Heard)


def test_a_signature_of_the_other_version_is_forged() -> None:
    post = envelope(ses_event("r0"), version="1")
    found = of_ses(replace(post, body=post.body.replace(b'"SignatureVersion": "1"', b'"SignatureVersion": "2"')))
    assert isinstance(found, Refusal)
    assert found.fate == Fate.FORGED


def test_a_certificate_that_expired_signs_nothing() -> None:
    found = of_ses(envelope(ses_event("r0")), pem_of(RSA_KEY, NOW - 400 * DAY))
    assert isinstance(found, Refusal)
    assert found.fate == Fate.FORGED


def test_a_subscription_is_confirmed_where_sns_says_once_that_is_verified() -> None:
    found = of_ses(confirmation())
    assert isinstance(found, Heard)
    assert found.visit.startswith("https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription")


@pytest.mark.parametrize(
    "post",
    [
        confirmation("evil.example"),
        confirmation("sns.eu-west-1.amazonaws.com.evil.example"),
        confirmation("user@sns.eu-west-1.amazonaws.com"),
        confirmation("sns.us-east-1.amazonaws.com"),
        confirmation(Action="Publish"),
        confirmation(TopicArn="arn:aws:sns:eu-west-1:999999999999:whisperer"),
    ],
)
def test_a_signed_confirmation_that_leads_elsewhere_is_not_visited(post: Post) -> None:
    found = of_ses(post)
    assert isinstance(found, Refusal)
    assert found.fate == Fate.FORGED


@pytest.mark.parametrize(
    ("event", "means"),
    [
        ({"bounce": {"bounceType": "Permanent"}}, ["bounced"]),
        ({"bounce": {"bounceType": "Transient", "bounceSubType": "MailboxFull"}}, ["soft_bounced"]),
        ({"bounce": {"bounceType": "Undetermined"}}, ["soft_bounced"]),
        ({"bounce": None}, ["soft_bounced"]),
        ({"eventType": "Delivery", "delivery": {}}, ["delivered"]),
        ({"eventType": "Complaint", "complaint": {"complaintFeedbackType": "abuse"}}, ["complained"]),
        ({"eventType": "Complaint", "complaint": {"complaintFeedbackType": "not-spam"}}, []),
        ({"eventType": "Reject", "reject": {"reason": "Bad content"}}, ["failed"]),
        ({"eventType": "Rendering Failure"}, ["failed"]),
        *(({"eventType": name}, []) for name in ("Send", "Open", "Click", "DeliveryDelay", "Subscription", "", 5)),
    ],
)
def test_each_event_of_ses_means_what_it_should(event: dict[str, Any], means: list[str]) -> None:
    found = of_ses(envelope(ses_event("r0", **event)))
    assert isinstance(found, Heard)
    assert [str(one.kind) for one in found.told] == means


def test_the_time_is_the_event_s_own() -> None:
    found = of_ses(envelope(ses_event("r0", bounce={"bounceType": "Permanent", "timestamp": iso(NOW - 5_000)})))
    assert isinstance(found, Heard)
    assert found.told[0].at == NOW - 5_000


def test_words_that_are_no_event_are_passed_over() -> None:
    found = of_ses(envelope("Successfully validated SNS topic for Amazon SES event publishing."))
    assert found == Heard(n_ignored=1)


def of_sms(message: str) -> Heard:
    found = SNS.read(envelope(message), CONFIG, PEM)
    assert isinstance(found, Heard)
    return found


@pytest.mark.parametrize(
    ("event", "means"),
    [
        ({"eventType": "TEXT_DELIVERED"}, ["delivered"]),
        ({"eventType": "TEXT_UNREACHABLE"}, ["soft_bounced"]),
        ({"eventType": "TEXT_BLOCKED"}, ["failed"]),
        ({"eventType": "TEXT_INVALID", "isFinal": False}, []),
        ({"eventType": "TEXT_QUEUED"}, []),
    ],
)
def test_each_event_of_an_sms_means_what_it_should(event: dict[str, Any], means: list[str]) -> None:
    assert [str(one.kind) for one in of_sms(sms_event("r0", **event)).told] == means


def test_an_sms_that_came_in_is_a_reply() -> None:
    came = {"originationNumber": "+4915112345678", "destinationNumber": "+49301234", "messageBody": "Stopp!"}
    [reply] = of_sms(json.dumps(came)).replies
    assert (reply.sender, reply.keyword, reply.at) == ("+4915112345678", Keyword.STOP, NOW)

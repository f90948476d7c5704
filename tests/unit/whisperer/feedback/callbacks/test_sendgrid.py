"""SendGrid's events: its own published example verifies, and each event means what it should."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.registries.callback_peers import NOW, sendgrid, sendgrid_config, sendgrid_event
from whisperer.feedback.callbacks.sendgrid import SENDGRID, SIGNATURE, TIMESTAMP
from whisperer.feedback.callbacks.spec import Fate, Heard, Post, Refusal, Told
from whisperer.feedback.outcome import OutcomeKind

PUBLISHED_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6w"
    "EA3F+g=="
)
PUBLISHED_SIGNATURE = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
PUBLISHED_STAMP = "1600112502"
PUBLISHED_EVENT = {
    "email": "hello@world.com",
    "event": "dropped",
    "reason": "Bounced Address",
    "sg_event_id": "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",
    "sg_message_id": "LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",
    "smtp-id": "<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>",
    "timestamp": 1600112492,
}
"""The example of SendGrid's helper libraries (sendgrid-python, test_eventwebhook.py)."""


def published(**headers: str) -> Post:
    body = json.dumps([PUBLISHED_EVENT], sort_keys=True, separators=(",", ":")).encode() + b"\r\n"
    given = {SIGNATURE: PUBLISHED_SIGNATURE, TIMESTAMP: PUBLISHED_STAMP} | headers
    return Post("https://x.example/", {}, given, body, int(PUBLISHED_STAMP) * 1000)


def test_the_published_example_is_genuine() -> None:
    found = SENDGRID.read(published(), {"callback_public_key": PUBLISHED_KEY}, b"")
    assert found == Heard([Told(OutcomeKind.BOUNCED, "", 1600112492000, "Bounced Address")])


def test_the_published_example_under_another_time_is_forged() -> None:
    found = SENDGRID.read(published(**{TIMESTAMP: "1600112503"}), {"callback_public_key": PUBLISHED_KEY}, b"")
    assert isinstance(found, Refusal)
    assert found.fate == Fate.FORGED


def kinds(*events: dict[str, Any]) -> list[str]:
    found = SENDGRID.read(sendgrid(json.dumps(events).encode()), sendgrid_config(), b"")
    assert isinstance(found, Heard)
    assert len(found.told) + found.n_ignored == len(events)
    return [str(one.kind) for one in found.told]


@pytest.mark.parametrize(
    ("event", "means"),
    [
        ({"event": "delivered", "type": None}, ["delivered"]),
        ({"event": "bounce", "type": "bounce"}, ["bounced"]),
        ({"event": "bounce", "type": "blocked"}, ["soft_bounced"]),
        ({"event": "bounce", "type": 5}, ["soft_bounced"]),
        ({"event": "dropped", "reason": "Bounced Address"}, ["bounced"]),
        ({"event": "dropped", "reason": "Spam Reporting Address"}, ["complained"]),
        ({"event": "dropped", "reason": "Unsubscribed Address"}, ["failed"]),
        ({"event": "dropped", "reason": None}, ["failed"]),
        ({"event": "spamreport"}, ["complained"]),
        ({"event": "unsubscribe"}, ["unsubscribed"]),
        ({"event": "group_unsubscribe"}, ["unsubscribed"]),
        *(({"event": name}, []) for name in ("processed", "deferred", "open", "click", "group_resubscribe", "new")),
        ({"event": None}, []),
    ],
)
def test_each_event_means_what_it_should(event: dict[str, Any], means: list[str]) -> None:
    assert kinds(sendgrid_event("r", **event)) == means


def test_a_thousand_events_are_read_and_one_more_is_too_many() -> None:
    assert kinds(*[sendgrid_event("r")] * 1_000) == ["bounced"] * 1_000
    found = SENDGRID.read(sendgrid(json.dumps([sendgrid_event("r")] * 1_001).encode()), sendgrid_config(), b"")
    assert isinstance(found, Refusal)
    assert found.fate == Fate.MALFORMED


@pytest.mark.parametrize("stamp", [None, "1", -1, True, 1e9, 10**30])
def test_an_event_without_a_usable_time_is_of_now(stamp: Any) -> None:
    found = SENDGRID.read(sendgrid(json.dumps([sendgrid_event("r", timestamp=stamp)]).encode()), sendgrid_config(), b"")
    assert isinstance(found, Heard)
    assert found.told[0].at == NOW

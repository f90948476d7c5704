"""What providers report, end to end: mail goes out by SMTP, its reports come back; and Amazon's envelopes, really signed.

The envelopes are moto's: its SNS signs with a certificate that it serves, its SES has a bounce simulator.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import httpx
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.server import ThreadedMotoServer
from moto.ses.models import SESFeedback
from moto.sns.models import sns_backends

from serve_apps.gateway.services.sns import SnsClient
from tests.integration.test_loop_channels import Mailbox, mailbox
from tests.support.campaigning import closed, launch, people, track, with_outcome
from tests.support.readers import PHONE
from tests.support.stand import Tenant, free_port, until
from tests.unit.registries.callback_peers import bounce, complaint, ses_event
from whisperer.errors import UnavailableError
from whisperer.feedback.callbacks.ses import SES
from whisperer.feedback.callbacks.spec import Heard, Post, Refusal
from whisperer.feedback.outcome import OutcomeKind

assert mailbox  # the fixture

# -- mail ---------------------------------------------------------------------------------------------------------------


def sent_mails(tenant: Tenant, box: Mailbox, n: int = 12) -> dict[str, dict[str, Any]]:
    """User -> what went out to them: the reference, the decision."""
    launch(tenant, "welcome", {"event": "Joined"})
    users = people(tenant, n)
    track(tenant, "Joined", *users)
    closed(tenant, "welcome", n)
    found = {}
    for envelope in box.received:
        mail = message_from_bytes(envelope.content or b"")
        user = envelope.rcpt_tos[0].partition("@")[0]
        made = (tenant.user(user) or {})["candidacies"][0]
        found[user] = {"reference": mail["X-Whisperer-Reference"], "decision": made["id"]}
    assert len(found) > 2
    return found


def post(url: str, body: bytes) -> httpx.Response:
    return httpx.post(url, content=body, headers={"Content-Type": "message/rfc822"}, timeout=30)


def suppressed(tenant: Tenant, user: str) -> list[str]:
    return [one["reason"] for one in (tenant.user(user) or {})["suppressed"]]


@pytest.mark.cluster
def test_reports_about_mail_change_what_happens_next(tenant: Tenant, mailbox: Mailbox) -> None:
    url = tenant.api.get("/v1/channels/email").json()["callback_url"]
    sent = sent_mails(tenant, mailbox)
    gone, angry, fine = list(sent)[:3]
    assert all(len(one["reference"]) <= 256 and "@" not in one["reference"] for one in sent.values())

    for _ in range(2):
        answer = post(url, bounce(sent[gone]["reference"]))
        assert (answer.status_code, answer.json()) == (200, {"taken": 1, "ignored": 0})
    assert with_outcome(tenant, sent[gone]["decision"], "bounced")["status"] == "sent"
    post(url, complaint(sent[angry]["reference"])).raise_for_status()
    with_outcome(tenant, sent[angry]["decision"], "complained")
    post(url, bounce(sent[fine]["reference"], "2.0.0", "delivered")).raise_for_status()
    audit = with_outcome(tenant, sent[fine]["decision"], "delivered")
    assert [one["kind"] for one in audit["outcomes"]] == ["delivered"]
    assert (suppressed(tenant, gone), suppressed(tenant, angry), suppressed(tenant, fine)) == (
        ["bounced"],
        ["complained"],
        [],
    )

    track(tenant, "Joined", gone, angry)
    closed(tenant, "welcome", 14)
    for user in (gone, angry):
        newest = (tenant.user(user) or {})["candidacies"][0]
        assert newest["id"] != sent[user]["decision"]
        assert newest["arm"] in (None, "no_send")

    forged = sent[fine]["reference"][:-1] + ("A" if sent[fine]["reference"][-1] != "A" else "B")
    assert post(url, bounce(forged)).status_code == 200
    assert suppressed(tenant, fine) == []
    assert post(url, b"hello").json()["code"] == "callback_malformed"
    assert post(url + "x", bounce(forged)).json()["code"] == "callback_not_found"
    counted = {
        line.partition(" ")[0].partition('fate="')[2].partition('"')[0]: float(line.rpartition(" ")[2])
        for line in httpx.get(f"{tenant.stand.url}/metrics").text.splitlines()
        if line.startswith("whisperer_callbacks_total{") and 'provider="smtp"' in line
    }
    assert {"taken", "repeated", "unreferenced", "malformed"} <= counted.keys()

    rotated = tenant.api.post("/v1/channels/email/callback/rotate").json()["callback_url"]
    until(lambda: post(url, bounce("r0")).status_code == 404, "the old URL to be void", 10)
    assert post(rotated, bounce("r0")).status_code == 200


@pytest.mark.cluster
def test_a_scanner_s_clicks_are_not_a_reader_s(tenant: Tenant, mailbox: Mailbox) -> None:
    sent = sent_mails(tenant, mailbox)
    user = next(iter(sent))
    [mail] = mailbox.mails(f"{user}@example.com")
    body = mail.get_body(("html",))
    assert body is not None
    link = body.get_content().partition("/m/c/")[2].partition('"')[0]
    httpx.get(f"{tenant.stand.url}/m/c/{link}", headers={"User-Agent": "Barracuda Sentinel (EE)"})
    audit = with_outcome(tenant, sent[user]["decision"], "auto_clicked")
    assert [one["kind"] for one in audit["outcomes"]] == ["auto_clicked"]
    httpx.get(f"{tenant.stand.url}/m/c/{link}", headers=PHONE)
    with_outcome(tenant, sent[user]["decision"], "clicked")


# -- Amazon -------------------------------------------------------------------------------------------------------------

REGION = "eu-west-1"
KEYS = {"region_name": REGION, "aws_access_key_id": "testing", "aws_secret_access_key": "testing"}


class Subscriber(BaseHTTPRequestHandler):
    """Takes notifications, and gives the certificates of moto's SNS, whose server gives S3's 404 instead."""

    server: Any

    def do_GET(self) -> None:
        pem = sns_backends[DEFAULT_ACCOUNT_ID][REGION]._message_public_keys.get(self.path.strip("/"))
        self.server.asked.append((self.headers["Host"], self.path))
        self.send_response(404 if pem is None else 200)
        self.send_header("content-length", str(len(pem or b"")))
        self.end_headers()
        self.wfile.write(pem or b"")

    def do_POST(self) -> None:
        self.server.posted.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class Amazon:
    """moto, a topic in it, and who is subscribed to the topic."""

    def __init__(self, url: str, subscriber: Any) -> None:
        self._subscriber = subscriber
        self.url = f"http://127.0.0.1:{subscriber.server_port}"
        self.asked: list[tuple[str, str]] = subscriber.asked
        self.sns = boto3.client("sns", endpoint_url=url, **KEYS)
        self.ses = boto3.client("ses", endpoint_url=url, **KEYS)
        self.topic = self.sns.create_topic(Name="whisperer")["TopicArn"]
        self.sns.subscribe(TopicArn=self.topic, Protocol="http", Endpoint=f"{self.url}/in")

    @property
    def config(self) -> dict[str, str]:
        return {"callback_topic_arn": self.topic}

    def last(self) -> Post:
        until(lambda: self._subscriber.posted, "a notification")
        return Post("https://x.example/", {}, {}, self._subscriber.posted.pop(), time.time_ns() // 1_000_000)

    def read(self, post: Post) -> Heard | Refusal:
        url = SES.certificate(post, self.config) if SES.certificate is not None else ""
        assert isinstance(url, str), url
        pem = asyncio.run(SnsClient(self.url).certificate(url))
        return SES.read(post, self.config, pem)


@pytest.fixture(scope="module")
def amazon() -> Iterator[Amazon]:
    server = ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
    server.start()
    subscriber: Any = ThreadingHTTPServer(("127.0.0.1", 0), Subscriber)
    subscriber.posted, subscriber.asked = [], []
    threading.Thread(target=subscriber.serve_forever, daemon=True).start()
    yield Amazon(f"http://127.0.0.1:{server._port}", subscriber)
    subscriber.shutdown()
    subscriber.server_close()
    server.stop()


def test_a_notification_that_sns_signed_is_read(amazon: Amazon) -> None:
    amazon.sns.publish(TopicArn=amazon.topic, Message=ses_event("rAbc"))
    found = amazon.read(amazon.last())
    assert isinstance(found, Heard), found
    assert [(one.kind, one.reference) for one in found.told] == [(OutcomeKind.BOUNCED, "rAbc")]


def test_one_that_was_changed_on_its_way_is_forged(amazon: Amazon) -> None:
    amazon.sns.publish(TopicArn=amazon.topic, Message=ses_event("rAbc"))
    post = amazon.last()
    changed = json.loads(post.body)
    changed["Message"] = ses_event("rAbd")
    found = amazon.read(Post(post.url, {}, {}, json.dumps(changed).encode(), post.now))
    assert isinstance(found, Refusal)
    assert found.fate == "forged"


@pytest.mark.parametrize(
    ("kind", "means"), [(SESFeedback.BOUNCE, OutcomeKind.BOUNCED), (SESFeedback.COMPLAINT, OutcomeKind.COMPLAINED)]
)
def test_what_the_simulator_of_ses_notifies_is_read(amazon: Amazon, kind: str, means: str) -> None:
    """moto's simulator publishes an object, where SES publishes its text: here it is the text."""
    notified = SESFeedback.generate_message(DEFAULT_ACCOUNT_ID, kind)
    amazon.sns.publish(TopicArn=amazon.topic, Message=json.dumps(notified | {"notificationType": kind}))
    found = amazon.read(amazon.last())
    assert isinstance(found, Heard), found
    [told] = found.told
    assert (told.kind, told.reference) == (means, ""), "a notification for an identity has no tags"


async def test_a_certificate_is_kept_and_one_that_is_not_there_is_asked_for_again_only_later(amazon: Amazon) -> None:
    now = 0.0
    client = SnsClient(amazon.url, clock=lambda: now)
    amazon.sns.publish(TopicArn=amazon.topic, Message="x")
    genuine = json.loads(amazon.last().body)["SigningCertURL"]
    none = f"https://sns.{REGION}.amazonaws.com/SimpleNotificationService-none.pem"
    amazon.asked.clear()
    for _ in range(3):
        assert b"BEGIN CERTIFICATE" in await client.certificate(genuine)
        with pytest.raises(UnavailableError):
            await client.certificate(none)
    assert [host for host, _ in amazon.asked] == [f"sns.{REGION}.amazonaws.com"] * 2
    now = 31.0
    with pytest.raises(UnavailableError):
        await client.certificate(none)
    assert len(amazon.asked) == 3
    with pytest.raises(UnavailableError):
        await client.confirm(f"https://sns.{REGION}.amazonaws.com/none")


async def test_no_private_address_is_called_that_the_operator_did_not_name(amazon: Amazon) -> None:
    amazon.asked.clear()
    with pytest.raises(UnavailableError):
        await SnsClient().certificate(f"{amazon.url}/SimpleNotificationService-x.pem")
    assert amazon.asked == []

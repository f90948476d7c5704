"""Messages of the running product at a real SMTP server and a real webhook endpoint, both on loopback."""

from __future__ import annotations

import base64
import json
import threading
from collections import Counter
from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from standardwebhooks.webhooks import Webhook

from tests.support.campaigning import (
    closed,
    counts,
    decision,
    definition,
    launch,
    messages,
    people,
    person,
    send,
    track,
    with_outcome,
)
from tests.support.stand import Tenant, free_port, until

pytestmark = pytest.mark.cluster

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


class Mailbox:
    """A mail server that takes everything; for the recipients in ``difficult`` it is busy once, says nothing, or takes
    nothing."""

    def __init__(self) -> None:
        self.received: list[Envelope] = []
        self.attempts: Counter[str] = Counter()
        self.let_go = threading.Event()
        self.difficult: dict[str, str] = {}
        """Recipient -> "busy", "hang" or "refuse"."""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        [recipient] = envelope.rcpt_tos
        self.attempts[recipient] += 1
        if self.attempts[recipient] == 1 and self.difficult.get(recipient) == "busy":
            return "451 4.3.0 try again later"
        if self.difficult.get(recipient) == "refuse":
            return "554 5.7.1 not today"
        if self.difficult.get(recipient) == "hang":
            self.received.append(envelope)
            await server.loop.run_in_executor(None, self.let_go.wait)
            return "250 2.0.0 nobody hears this"
        self.received.append(envelope)
        return f"250 2.0.0 queued as {len(self.received)}"

    def mails(self, recipient: str) -> list[EmailMessage]:
        return [
            message_from_bytes(envelope.content, policy=default)  # type: ignore[misc,arg-type]
            for envelope in self.received
            if envelope.rcpt_tos == [recipient]
        ]


@pytest.fixture
def mailbox(tenant: Tenant) -> Iterator[Mailbox]:
    """The tenant's mail goes to this server from now on."""
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    config = {"host": "127.0.0.1", "port": controller.port, "tls": "none", "sender": "Ada <ada@acme.example>"}
    body = {"provider": "smtp", "config": {**config, "timeout_s": 5, "answer_timeout_s": 2}}
    tenant.api.put("/v1/channels/email", json=body).raise_for_status()
    yield box
    box.let_go.set()
    controller.stop()


def test_mail_arrives_whole_and_its_reader_can_unsubscribe(tenant: Tenant, mailbox: Mailbox) -> None:
    launch(tenant, "welcome", {"event": "Joined"})
    users = people(tenant, locale="de-DE")
    track(tenant, "Joined", *users)
    counted = closed(tenant, "welcome", len(users))
    assert len(mailbox.received) == counted["sent"]
    assert messages(tenant) == []  # none of it at the sink
    recipient = mailbox.received[0].rcpt_tos[0]
    user = recipient.partition("@")[0]
    [mail] = mailbox.mails(recipient)
    assert (mail["From"], mail["To"], mail["Subject"]) == (
        "Ada <ada@acme.example>",
        recipient,
        f"Hallo {user.title()}",
    )
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    body = mail.get_body(("html",))
    assert body is not None
    assert f"Hallo {user.title()}" in body.get_content()
    made = (tenant.user(user) or {})["candidacies"][0]
    assert made["send"]["send_key"] in mail["Message-ID"]
    assert (made["send"]["provider"], made["send"]["locale"]) == ("smtp", "de")
    answer = httpx.post(mail["List-Unsubscribe"].strip("<>"), content="List-Unsubscribe=One-Click")
    assert answer.status_code == 200
    with_outcome(tenant, made["id"], "unsubscribed")


def test_mail_names_its_sender_as_its_campaign_says_and_an_arm_otherwise(tenant: Tenant, mailbox: Mailbox) -> None:
    of_campaign = {"from_name": "Acme, Inc.", "reply_to": "help@acme.example"}
    of_arm = {"from_name": "Ada, Acme’s 👩\u200d💻", "reply_to": "Ada <ada@help.example>"}
    arms = [arm | of_arm for arm in definition({})["arms"]]
    launch(tenant, "welcome", {"event": "Joined"}, **of_campaign)
    launched = launch(tenant, "personal", {"event": "Joined Late"}, arms=arms, **of_campaign)
    assert launched["definition"]["arms"][0]["from_name"] == of_arm["from_name"]
    users, others = people(tenant), people(tenant, prefix="bob")
    track(tenant, "Joined", *users)
    track(tenant, "Joined Late", *others)
    sent = [closed(tenant, name, len(users))["sent"] for name in ("welcome", "personal")]
    assert sum(sent) == len(mailbox.received)
    assert min(sent) > 0
    for envelope in mailbox.received:
        [recipient] = envelope.rcpt_tos
        [mail] = mailbox.mails(recipient)
        named = of_arm if recipient.startswith("bob") else of_campaign
        assert envelope.mail_from == "ada@acme.example"
        [from_], [_] = mail["From"].addresses, mail["Reply-To"].addresses
        assert (from_.display_name, from_.addr_spec) == (named["from_name"], "ada@acme.example")
        assert mail["Reply-To"] == named["reply_to"]
    with tenant.stand.operator() as operator:
        recipients = {"test_recipients": {"email": ["tests@acme.example"]}}
        operator.put(f"/internal/tenants/{tenant.id}/settings", json=recipients).raise_for_status()
    asked = {"to": "tests@acme.example", "campaign": "personal", "arm": arms[0]["id"]}
    tenant.api.post("/v1/templates/email/test", json=asked).raise_for_status()
    [test] = mailbox.mails("tests@acme.example")
    assert (test["From"], test["Reply-To"]) == (f'"{of_arm["from_name"]}" <ada@acme.example>', of_arm["reply_to"])
    of_texts = definition({"event": "Joined"}, channel="sms", **of_campaign)
    refused = tenant.api.post("/v1/campaigns", json={"name": "text", "publish": True, **of_texts})
    assert refused.status_code == 422
    assert {error["pointer"] for error in refused.json()["errors"]} == {"/from_name", "/reply_to"}


def test_a_busy_server_is_tried_again_and_one_that_took_it_and_says_nothing_is_not(
    tenant: Tenant, mailbox: Mailbox
) -> None:
    """The schedule's first wait is five seconds. Nobody else waits for it: neither other users nor other channels."""
    users = people(tenant, 24)
    for user, how in zip(users[:12], ["busy", "hang"] * 6, strict=True):
        mailbox.difficult[f"{user}@example.com"] = how
    launch(tenant, "welcome", {"event": "Joined"})
    launch(tenant, "text", {"event": "Joined Late"}, channel="sms")
    track(tenant, "Joined", *users)
    track(tenant, "Joined Late", *people(tenant, prefix="bob"))
    texts = closed(tenant, "text", 12)
    assert texts["sent"] == len(messages(tenant, channel="sms"))
    counted = closed(tenant, "welcome", len(users))
    n_unknown = sum(mailbox.attempts[who] for who, how in mailbox.difficult.items() if how == "hang")
    assert (counted["refused"], counted["sent"], counted["unknown"]) == ({}, len(mailbox.received), n_unknown)
    for user in users:
        made = (tenant.user(user) or {})["candidacies"][0]
        how = mailbox.difficult.get(f"{user}@example.com")
        attempts = mailbox.attempts[f"{user}@example.com"]
        expected = 0 if made["arm"] == "no_send" else 2 if how == "busy" else 1
        assert attempts == (made["send"]["attempts"] if made["send"] else 0) == expected
        assert len(mailbox.mails(f"{user}@example.com")) == min(1, expected)
        assert (made["send"] or {}).get("unknown", False) is (how == "hang" and expected > 0)
    assert {how for who, how in mailbox.difficult.items() if mailbox.attempts[who]} == {"busy", "hang"}


def test_dead_letters_reach_their_readers_once_they_are_sent_again(tenant: Tenant, mailbox: Mailbox) -> None:
    users = people(tenant, 24)
    mailbox.difficult = dict.fromkeys((f"{user}@example.com" for user in users), "refuse")
    launch(tenant, "welcome", {"event": "Joined"})
    track(tenant, "Joined", *users)
    n_dead = closed(tenant, "welcome", len(users))["refused"]["provider_rejected"]
    assert n_dead > 1
    assert mailbox.received == []

    def dead() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = tenant.api.get("/v1/deliveries", params={"status": "dead"}).json()["data"]
        return found

    first = until(lambda: (found := dead()) and len(found) == n_dead and found, "the dead letters in the list", 60)[0]
    assert (first["channel"], first["provider"], first["attempts"]) == ("email", "smtp", 1)
    mailbox.difficult.clear()
    assert tenant.api.post(f"/v1/deliveries/{first['id']}/replay").status_code == 202
    until(lambda: len(mailbox.received) == 1, "the one that was sent again")
    said = tenant.stand.json("delivery", "replay", "--all", "--channel", "email", "--tenant", tenant.name)
    assert said["n_replayed"] == n_dead - 1
    counted = closed(tenant, "welcome", len(users))
    assert (counted["refused"], counted["sent"]) == ({}, n_dead)
    assert set(Counter(envelope.rcpt_tos[0] for envelope in mailbox.received).values()) == {1}
    assert len(mailbox.received) == n_dead
    again = decision(tenant, first["decision_id"])
    assert (again["status"], again["send"]["attempts"], again["send"]["send_key"]) == ("sent", 2, first["id"])
    assert tenant.api.post(f"/v1/deliveries/{first['id']}/replay").json()["code"] == "not_dead"


class Endpoint(BaseHTTPRequestHandler):
    """Keeps what was posted; answers by the path."""

    server: Any

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.posted.append((dict(self.headers), body))
        self.send_response(int(self.path.strip("/")))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the test's output."""


@pytest.fixture
def endpoint() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    server.posted = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def to_endpoint(tenant: Tenant, endpoint: Any, path: str) -> None:
    url = f"http://127.0.0.1:{endpoint.server_port}{path}"
    body = {"provider": "webhook", "config": {"url": url, "secrets": [SECRET]}}
    answer = tenant.api.put("/v1/channels/webhook", json=body)
    answer.raise_for_status()
    assert SECRET not in answer.text


def test_a_webhook_is_genuine_for_the_standard_s_own_verifier(tenant: Tenant, endpoint: Any) -> None:
    to_endpoint(tenant, endpoint, "/204")
    launch(tenant, "crm", {"event": "Joined"}, channel="webhook")
    users = people(tenant)
    track(tenant, "Joined", *users)
    counted = closed(tenant, "crm", len(users))
    assert len(endpoint.posted) == counted["sent"]
    events = [
        Webhook(SECRET).verify(body, {k.lower(): v for k, v in headers.items()}) for headers, body in endpoint.posted
    ]
    for (headers, _), event in zip(endpoint.posted, events, strict=True):
        audit = decision(tenant, event["data"]["decision_id"])
        assert {k.lower(): v for k, v in headers.items()}["webhook-id"] == audit["send"]["send_key"]
        assert event["data"]["message"]["body"] == {"hello": str(event["data"]["user_id"]).title()}


def test_a_webhook_that_is_gone_ends_the_delivery_and_one_that_redirects_is_not_followed(
    tenant: Tenant, endpoint: Any
) -> None:
    to_endpoint(tenant, endpoint, "/410")
    launch(tenant, "crm", {"event": "Joined"}, channel="webhook")
    users = people(tenant)
    track(tenant, "Joined", *users)
    counted = closed(tenant, "crm", len(users))
    assert counted["refused"] == {"provider_rejected": len(endpoint.posted)}
    to_endpoint(tenant, endpoint, "/302")
    send(tenant, person("cyd"))

    def redirected() -> dict[str, Any] | None:
        track(tenant, "Joined", "cyd")
        found = next((d for d in (tenant.user("cyd") or {})["candidacies"] if d["send"]), None)
        return found if found and found["send"]["next_at"] else None

    waiting = until(redirected, "a message that waits for its second attempt")
    assert (waiting["status"], "302" in waiting["send"]["last_error"]) == ("sending", True)
    assert counts(tenant, "crm")["pending"] == 1


def test_an_address_that_bounces_is_never_written_to_again(tenant: Tenant) -> None:
    launch(tenant, "welcome", {"event": "Joined"})
    users = [f"ann-{n}" for n in range(12)]
    send(tenant, *(person(user, email=f"bounce+{user}@example.com") for user in users))
    track(tenant, "Joined", *users)
    bounced = closed(tenant, "welcome", len(users))
    assert set(bounced["refused"]) == {"bounced"}
    track(tenant, "Joined", *users)
    again = closed(tenant, "welcome", 2 * len(users))
    assert again["refused"]["suppressed"] == bounced["refused"]["bounced"]
    assert json.dumps(messages(tenant)) == "[]"

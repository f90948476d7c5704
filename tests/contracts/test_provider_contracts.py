"""What is sent to providers, held to their published contracts: by Prism, by moto and Amazon's own models and signer, by
FCM's discovery document, and next to what their official clients send."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jwt
import pytest

from serve_apps.delivery import ses, sns
from serve_apps.delivery.answers import Fault
from tests.support import prism
from tests.support.fcm_server import AUDIENCE, Fcm
from tests.support.provider_server import NOW, SETTINGS, Call, ProviderServer, Says, connected, serving
from tests.unit.whisperer.delivery.dispatches import dispatch
from whisperer.delivery.dispatch import Verdict
from whisperer.delivery.providers import PROVIDERS

SHARED = Path(os.environ.get("USER_WHISPERER_SHARED", Path(__file__).parents[2] / "../shared"))
CONTRACTS = SHARED / "contracts"

needs_contracts = pytest.mark.skipif(
    not CONTRACTS.exists(), reason="no contracts: set USER_WHISPERER_SHARED to their folder"
)


async def sent(
    name: str, said: Says | None = None, settings: dict[str, Any] | None = None, **fields: Any
) -> list[Call]:
    """The requests that one message leads to."""

    def answer(call: Call) -> Says:
        if call.target == "/token":
            return Says(200, '{"access_token": "ya29.x", "expires_in": 3600}')
        return said or Says()

    async with serving(answer) as server, connected(name, server.url, **(settings or {})) as adapter:
        await adapter.send(dispatch(1, PROVIDERS[name].channels[0], **fields))
        return server.calls


# -- Prism ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sendgrid_url() -> Iterator[str]:
    with prism.playing(CONTRACTS / "sendgrid/tsg_mail_v3.json") as url:
        yield url


@pytest.fixture(scope="module")
def twilio_url() -> Iterator[str]:
    with prism.playing(CONTRACTS / "twilio/twilio_api_v2010.json") as url:
        yield url


TEXTS = ("Hello Ada", "N" * 1_000, "\u202eמשה\u202c 🎉 A\x00d\ud83d\r\nBcc: eve@example.com")


@needs_contracts
@pytest.mark.parametrize("text", TEXTS)
async def test_sendgrids_description_takes_our_mail(sendgrid_url: str, text: str) -> None:
    async with connected("sendgrid", sendgrid_url, reply_to="Ada <r@x.co>") as adapter:
        parts = {"subject": text, "text": text, "html": f"<p>{text}</p>"}
        headers = {"List-Unsubscribe": "<https://x.example/u>"}
        sender = {"from_name": text[:100], "reply_to": "Help, for Ada <help@x.co>"}
        receipt = await adapter.send(dispatch(1, parts=parts, headers=headers, reference="r" * 256, **sender))
    assert receipt.status == Verdict.ACCEPTED, receipt


@needs_contracts
async def test_sendgrids_description_refuses_what_is_wrong_with_a_mail(sendgrid_url: str) -> None:
    """Prism looks: a subject of no characters and a key that is none are not taken."""
    async with connected("sendgrid", sendgrid_url) as adapter:
        receipt = await adapter.send(dispatch(1, parts={"subject": "", "text": "x"}))
        assert (receipt.status, receipt.detail[:25]) == (Verdict.REJECTED, "the provider answered 400")
        adapter._adapter._headers["authorization"] = "Basic x"  # type: ignore[attr-defined]
        receipt = await adapter.send(dispatch(2))
    assert (receipt.status, "401" in receipt.detail) == (Verdict.RETRY, True)


@needs_contracts
@pytest.mark.parametrize("text", [text for text in TEXTS])
@pytest.mark.parametrize("how", [{}, {"sender": "", "messaging_service_sid": "MG" + "a" * 32}])
async def test_twilios_description_takes_our_sms(twilio_url: str, text: str, how: dict[str, str]) -> None:
    async with connected("twilio", twilio_url, status_callback="https://x.example/cb", **how) as adapter:
        receipt = await adapter.send(dispatch(1, "sms", parts={"text": text}, reference="r" * 256))
    assert receipt.status == Verdict.ACCEPTED, receipt
    assert receipt.provider_id.startswith("SM")


@needs_contracts
async def test_twilios_description_refuses_an_sms_to_nobody(twilio_url: str) -> None:
    async with connected("twilio", twilio_url) as adapter:
        inner = adapter._finder  # type: ignore[attr-defined]
        inner._url = inner._url.copy_with(path=inner._url.path.replace("AC", "XX"))
        receipt = await adapter.send(dispatch(1, "sms"))
    assert receipt.status != Verdict.ACCEPTED


# -- official clients -------------------------------------------------------------------------------------------------


def captured(name: str) -> list[dict[str, Any]]:
    requests: list[dict[str, Any]] = json.loads((CONTRACTS / f"clients/ref-{name}.json").read_text())["requests"]
    return [request | {"headers": {k.lower(): v for k, v in request["headers"]}} for request in requests]


@needs_contracts
async def test_a_mail_is_what_sendgrids_own_client_sends() -> None:
    theirs, _ = captured("sendgrid")
    [ours] = await sent(
        "sendgrid",
        address="a@b.co",
        parts={"subject": "hi 🎉", "text": "x", "html": "<b>x</b>"},
        headers={"List-Unsubscribe": "<https://x/u>"},
    )
    assert f"POST {ours.target} HTTP/1.1" == theirs["request_line"]
    for name in ("authorization", "content-type"):
        assert ours.headers[name] == theirs["headers"][name]
    mail, expected = ours.json(), theirs["json"]
    for name in ("from", "subject", "content", "headers"):
        assert mail[name] == expected[name]
    [[one]] = [personalization["to"] for personalization in expected["personalizations"]]
    [to] = mail["personalizations"]
    assert to["to"] == [{"email": one["email"]}]
    assert all(isinstance(value, str) for value in to["custom_args"].values())
    assert mail["tracking_settings"]["click_tracking"].keys() == expected["tracking_settings"]["click_tracking"].keys()


@needs_contracts
async def test_an_sms_is_what_twilios_own_client_sends() -> None:
    by_number, by_service = captured("twilio")
    service = {"sender": "", "messaging_service_sid": by_service["form"]["MessagingServiceSid"][0]}
    for theirs, settings, text in (
        (by_number, {"status_callback": "https://x/cb"}, "hi 🎉"),
        (by_service, service, "hi"),
    ):
        [ours] = await sent("twilio", settings=settings, address="+15005550006", parts={"text": text})
        assert f"POST {ours.target} HTTP/1.1" == theirs["request_line"]
        for name in ("authorization", "content-type", "accept"):
            assert ours.headers[name] == theirs["headers"][name]
        expected = {name: value for name, [value, *_] in theirs["form"].items()}
        form = ours.form()
        assert form == {name: value for name, value in expected.items() if name in form}
        assert set(expected) - set(form) <= {"ValidityPeriod", "MediaUrl"}
        assert set(ours.body.split(b"&")) <= set(theirs["text"].encode().split(b"&"))


@needs_contracts
async def test_a_push_message_is_what_googles_own_client_sends() -> None:
    their_token, their_message, _ = captured("fcm")
    token, message = await sent("fcm", address="tok", parts={"title": "t", "body": "b"})
    assert f"POST {token.target} HTTP/1.1" == their_token["request_line"]
    assert token.headers["content-type"] == their_token["headers"]["content-type"]
    assert token.form().keys() == their_token["form"].keys()
    assert token.form()["grant_type"] == their_token["form"]["grant_type"][0]
    ours, theirs = (
        jwt.decode(assertion, options={"verify_signature": False})
        for assertion in (token.form()["assertion"], their_token["form"]["assertion"][0])
    )
    assert ours.keys() == theirs.keys()
    assert (ours["aud"], ours["iss"]) == (theirs["aud"], theirs["iss"])
    assert ours["exp"] - ours["iat"] == theirs["exp"] - theirs["iat"]
    assert f"POST {message.target} HTTP/1.1" == their_message["request_line"]
    for name in ("authorization", "content-type"):
        assert message.headers[name] == their_message["headers"][name]
    expected = their_message["json"]["message"]
    said = message.json()["message"]
    assert said["token"] == expected["token"]
    assert said["notification"] == {name: expected["notification"][name] for name in ("title", "body")}
    assert set(said) <= set(expected)


# -- FCM's discovery document -----------------------------------------------------------------------------------------


@pytest.fixture
def fcm() -> Fcm:
    if not CONTRACTS.exists():
        pytest.skip("no contracts: set USER_WHISPERER_SHARED to their folder")
    discovery = json.loads((CONTRACTS / "google/fcm.v1.json").read_text())
    return Fcm(discovery, SETTINGS["fcm"]()["credentials"], NOW // 1000)


async def test_fcm_takes_our_message_and_our_assertion(fcm: Fcm) -> None:
    async with serving(fcm.answer) as server, connected("fcm", server.url, now=lambda: fcm.now_s * 1000) as adapter:
        for text in TEXTS:
            receipt = await adapter.send(dispatch(1, "push", parts={"title": "Hi", "body": text}, reference="r" * 256))
            assert receipt.status == Verdict.ACCEPTED, receipt
            assert receipt.provider_id.startswith("projects/p1/messages/")
        assert len(fcm.messages) == 3
        fcm.dead = {"token-1"}
        assert (await adapter.send(dispatch(2, "push"))).status == Verdict.BOUNCED
        fcm.now_s += 3_600
        assert (await adapter.send(dispatch(3, "push", address="token-2"))).status == Verdict.ACCEPTED
        assert len(fcm.given_out) == 2


async def test_fcm_takes_what_a_message_says_of_itself_in_every_platforms_block(fcm: Fcm) -> None:
    settings = {
        "image": "https://app.example.com/a.png",
        "link": "https://app.example.com/week",
        "ttl_s": "3600",
        "collapse_key": "Ihr Wochenbericht",
        "badge": "3",
    }
    async with serving(fcm.answer) as server, connected("fcm", server.url, now=lambda: fcm.now_s * 1000) as adapter:
        parts = {"title": "Hi", "body": "Ada"}
        assert (await adapter.send(dispatch(1, "push", parts=parts | settings))).status == Verdict.ACCEPTED
        at_once = await adapter.send(dispatch(2, "push", parts=parts | {"ttl_s": "0", "link": "myapp://week"}))
        assert at_once.status == Verdict.ACCEPTED
        too_large = await adapter.send(dispatch(3, "push", parts=parts | {"body": "x" * 4_000}))
        odd = await adapter.send(dispatch(4, "push", parts=parts | {"ttl_s": "1h"}))
    assert (too_large.status, odd.status) == (Verdict.REJECTED, Verdict.REJECTED)
    whole, now_or_never = fcm.messages
    assert whole["notification"] == parts | {"image": settings["image"]}
    assert whole["data"]["link"] == settings["link"]
    assert whole["android"] == {
        "ttl": "3600s",
        "collapseKey": "Ihr Wochenbericht",
        "notification": {"tag": "Ihr Wochenbericht", "notificationCount": 3},
    }
    assert whole["apns"] == {
        "headers": {"apns-expiration": str(fcm.now_s + 3_600), "apns-collapse-id": "Ihr Wochenbericht"},
        "payload": {"aps": {"badge": 3, "mutable-content": 1}},
        "fcmOptions": {"image": settings["image"]},
    }
    topic = whole["webpush"]["headers"].pop("Topic")
    assert len(topic) == 32
    assert whole["webpush"] == {"headers": {"TTL": "3600"}, "fcmOptions": {"link": settings["link"]}}
    assert now_or_never["apns"] == {"headers": {"apns-expiration": "0"}}
    assert now_or_never["webpush"] == {"headers": {"TTL": "0"}}
    assert now_or_never["android"] == {"ttl": "0s"}


async def test_an_account_that_fcm_does_not_know_is_an_account_to_repair(fcm: Fcm) -> None:
    fcm.credentials = fcm.credentials | {"client_email": "other@p1.iam.gserviceaccount.com"}
    async with serving(fcm.answer) as server, connected("fcm", server.url) as adapter:
        receipt = await adapter.send(dispatch(1, "push"))
    assert (receipt.status, "400 invalid_grant" in receipt.detail) == (Verdict.RETRY, True)


def test_the_strict_server_is_strict(fcm: Fcm) -> None:
    good = {"message": {"token": "t", "notification": {"title": "t", "body": "b"}, "data": {"k": "v"}}}
    assert list(fcm.problems("SendMessageRequest", good)) == []
    for bad, place in (
        ({"colour": 1}, "colour"),
        ({"message": {"tokens": "t"}}, "message.tokens"),
        ({"message": {"data": {"k": 1}}}, "message.data.k"),
        ({"message": {"token": None}}, "message.token"),
        ({"message": {"android": {"priority": "soon"}}}, "message.android.priority"),
        ({"validateOnly": "yes"}, "validateOnly"),
        ([], ""),
    ):
        assert list(fcm.problems("SendMessageRequest", bad)) == [place]


# -- Amazon -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def amazon() -> Iterator[str]:
    moto = pytest.importorskip("moto.server", reason="moto, which plays Amazon, is not installed")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.mark.parametrize("text", TEXTS)
async def test_ses_takes_our_mail(amazon: str, text: str) -> None:
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.ses.models import ses_backends

    ses_backends[DEFAULT_ACCOUNT_ID]["eu-central-1"].verify_email_identity("s@x.co")
    async with connected("ses", amazon) as adapter:
        receipt = await adapter.send(dispatch(1, parts={"subject": text, "text": text}, reference="r" * 256))
    assert receipt.status == Verdict.ACCEPTED, receipt
    taken = ses_backends[DEFAULT_ACCOUNT_ID]["eu-central-1"].sent_messages[-1]
    assert (taken.id, set(taken.destinations)) == (receipt.provider_id, {"ada@example.com"})


async def test_ses_refuses_a_sender_that_was_not_verified(amazon: str) -> None:
    async with connected("ses", amazon, sender="nobody@unverified.example") as adapter:
        receipt = await adapter.send(dispatch(1))
    assert (receipt.status, receipt.detail) == (Verdict.REJECTED, "the provider answered 400 MessageRejected")


@pytest.mark.parametrize("text", TEXTS)
async def test_sns_takes_our_sms(amazon: str, text: str) -> None:
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.sns.models import sns_backends

    async with connected("sns", amazon) as adapter:
        receipt = await adapter.send(dispatch(1, "sms", parts={"text": text}))
    assert receipt.status == Verdict.ACCEPTED, receipt
    number, said = sns_backends[DEFAULT_ACCOUNT_ID]["eu-central-1"].sms_messages[receipt.provider_id][:2]
    assert (number, said) == ("+4915112345678", text.replace("\x00", "").replace("\ud83d", "?"))


@pytest.mark.parametrize("name", ["ses", "sns"])
async def test_a_signature_is_the_one_that_amazon_computes(name: str) -> None:
    """Recomputed from what arrived, as the service does: by botocore's signer as it is, at the time that was stated."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    async with serving(lambda _: Says()) as server, connected(name, server.url) as adapter:
        await adapter.send(dispatch(1, PROVIDERS[name].channels[0], reference="r"))
    call, config = server.calls[0], SETTINGS[name]()
    signed = dict(part.strip().split("=", 1) for part in call.headers["authorization"].split(" ", 1)[1].split(","))
    assert {"host", "x-amz-date", "content-type"} <= set(signed["SignedHeaders"].split(";"))
    assert call.headers["x-amz-date"] == "20231114T221320Z"
    assert signed["Credential"] == f"{config['access_key_id']}/20231114/eu-central-1/{name}/aws4_request"

    def signature(secret: str, arrived: Call) -> str:
        headers = {header: arrived.headers[header] for header in signed["SignedHeaders"].split(";")}
        request = AWSRequest("POST", server.url + arrived.target, headers, arrived.body)
        request.context["timestamp"] = arrived.headers["x-amz-date"]
        signer = SigV4Auth(Credentials(config["access_key_id"], secret), name, "eu-central-1")
        return str(signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request))

    assert signature(config["secret_access_key"], call) == signed["Signature"]
    assert signature("another", call) != signed["Signature"]
    assert signature(config["secret_access_key"], dataclasses.replace(call, body=b"{}")) != signed["Signature"]


@pytest.mark.parametrize(("service", "operation", "told"), [("sesv2", "SendEmail", ses), ("sns", "Publish", sns)])
def test_every_error_that_amazons_model_declares_has_a_meaning(service: str, operation: str, told: Any) -> None:
    from botocore.loaders import Loader

    model = Loader().load_service_model(service, "service-2")
    for error in model["operations"][operation]["errors"]:
        about = model["shapes"][error["shape"]].get("error", {})
        if about["httpStatusCode"] < 500:
            assert isinstance(told.FAULTS.get(about.get("code", error["shape"])), Fault), error["shape"]


async def test_what_is_sent_to_amazon_are_members_of_its_model() -> None:
    from botocore.loaders import Loader

    [mail] = await sent("ses", reference="r")
    shapes = Loader().load_service_model("sesv2", "service-2")["shapes"]
    assert set(mail.json()) <= set(shapes["SendEmailRequest"]["members"])
    assert set(mail.json()["Content"]["Raw"]) == set(shapes["RawMessage"]["members"])
    base64.b64decode(mail.json()["Content"]["Raw"]["Data"], validate=True)
    [sms] = await sent("sns")
    members = Loader().load_service_model("sns", "service-2")["shapes"]["PublishInput"]["members"]
    names = [name for name, _ in parse_qsl(sms.body.decode(), strict_parsing=True)]
    assert {name.partition(".")[0] for name in names} - {"Action", "Version"} <= set(members)
    attributes = {value for name, value in sms.form().items() if name.endswith(".Name")}
    assert attributes == {"AWS.SNS.SMS.SenderID", "AWS.SNS.SMS.SMSType"}


def test_the_assertions_audience_is_googles() -> None:
    from serve_apps.delivery import access_tokens

    assert access_tokens.AUDIENCE == AUDIENCE
    assert ProviderServer is not None

"""Providers over HTTP against a real server that is strict about form, and misbehaves as it is told."""

from __future__ import annotations

import asyncio
import base64
import email
import email.policy
import json
from typing import Any

import pytest

from serve_apps.delivery.provider import MAX_DETAIL_CHARS
from tests.support.fcm_server import BAD_TOKEN, UNREGISTERED, fcm_failure
from tests.support.fcm_server import failure as google_failure
from tests.support.provider_server import NOW, SETTINGS, Call, Fate, ProviderServer, Says, connected, serving
from tests.unit.whisperer.delivery.dispatches import dispatch
from whisperer.delivery.dispatch import Dispatch, Receipt, Verdict
from whisperer.delivery.providers import PROVIDERS
from whisperer.delivery.search import LOOKS_S

TOKEN = Says(200, '{"access_token": "ya29.x", "expires_in": 3600}')
REFERENCE = "r" + "aB3_-" * 50
every_api = pytest.mark.parametrize("name", SETTINGS)


def asked(name: str, **more: Any) -> Dispatch:
    return dispatch(1, PROVIDERS[name].channels[0], reference=REFERENCE, **more)


async def answered(name: str, said: Says | Fate, **more: Any) -> tuple[Receipt, ProviderServer]:
    """The receipt of one attempt at a provider that says this."""

    def answer(call: Call) -> Says | Fate:
        return TOKEN if call.target == "/token" else said

    async with serving(answer) as server, connected(name, server.url, **more) as adapter:
        receipt = await adapter.send(asked(name))
    assert (receipt.provider, receipt.repeatable) == (name, bool(more.get("resend_unknown")) and _is_unknown(receipt))
    assert len(receipt.detail) <= MAX_DETAIL_CHARS
    assert "leak" not in repr(receipt).lower()
    return receipt, server


def _is_unknown(receipt: Receipt) -> bool:
    return receipt.status == Verdict.UNKNOWN


LEAK = "leaked words"
XML = "<ErrorResponse><Error><Type>Sender</Type><Code>{}</Code><Message>{}</Message></Error></ErrorResponse>"


def aws(code: str, status: int = 400) -> Says:
    return Says(status, json.dumps({"message": LEAK}), {"x-amzn-errortype": f"{code}:http://internal.amazon.com/"})


def sns(code: str, status: int = 400, message: str = LEAK) -> Says:
    return Says(status, XML.format(code, message))


def twilio(code: int, status: int = 400) -> Says:
    return Says(status, json.dumps({"code": code, "message": LEAK, "status": status}))


def sendgrid(field: str | None, status: int = 400) -> Says:
    return Says(status, json.dumps({"errors": [{"message": LEAK, "field": field, "help": None}]}))


A, R, B, X, U = Verdict.ACCEPTED, Verdict.RETRY, Verdict.BOUNCED, Verdict.REJECTED, Verdict.UNKNOWN
ACCOUNT = "it is about the account"
ANSWERS: list[tuple[str, Says, Verdict, str]] = [
    ("sendgrid", Says(202, "", {"x-message-id": "Xs9-d_k.1"}), A, ""),
    ("sendgrid", sendgrid("personalizations.0.to.0.email"), B, "400 to: it is about the address"),
    ("sendgrid", sendgrid("from.email"), R, f"400 from: {ACCOUNT}"),
    ("sendgrid", sendgrid("content.0.value"), X, "the provider answered 400 content"),
    ("sendgrid", sendgrid("leak.leak"), X, "the provider answered 400"),
    ("sendgrid", sendgrid(None, 401), R, ACCOUNT),
    ("sendgrid", sendgrid("from", 403), R, ACCOUNT),
    ("sendgrid", sendgrid(None, 413), X, "413"),
    ("ses", Says(200, '{"MessageId": "0100-ab"}'), A, ""),
    ("ses", aws("MessageRejected"), X, "400 MessageRejected"),
    ("ses", aws("BadRequestException"), X, "400 BadRequestException"),
    ("ses", aws("AccountSuspendedException"), R, ACCOUNT),
    ("ses", aws("SendingPausedException"), R, ACCOUNT),
    ("ses", aws("NotFoundException", 404), R, ACCOUNT),
    ("ses", aws("LimitExceededException"), R, "LimitExceededException"),
    ("ses", aws("ThrottlingException"), R, "ThrottlingException"),
    ("ses", aws("SignatureDoesNotMatch", 403), R, ACCOUNT),
    ("ses", Says(400, '{"__type": "com.amazonaws.sesv2#MessageRejected"}'), X, "400 MessageRejected"),
    ("twilio", Says(201, json.dumps({"sid": "SM" + "a" * 32, "status": "queued"})), A, ""),
    ("twilio", twilio(21211), B, "400 21211: it is about the address"),
    ("twilio", twilio(21610), B, "400 21610"),
    ("twilio", twilio(21614), B, "400 21614"),
    ("twilio", twilio(21408), R, ACCOUNT),
    ("twilio", twilio(21606), R, ACCOUNT),
    ("twilio", twilio(21617), X, "400 21617"),
    ("twilio", twilio(20003, 401), R, ACCOUNT),
    ("twilio", twilio(20429, 429), R, "429 20429"),
    ("sns", Says(200, "<PublishResult><MessageId>94f20ce6-13c5</MessageId></PublishResult>"), A, ""),
    ("sns", sns("OptedOut"), B, "400 OptedOut"),
    ("sns", sns("InvalidParameter", message="Invalid parameter: PhoneNumber Reason: leak"), B, "400 PhoneNumber"),
    ("sns", sns("InvalidParameter", message="Invalid parameter: Message too long"), X, "400 InvalidParameter"),
    ("sns", sns("Throttled", 429), R, "429 Throttled"),
    ("sns", sns("AuthorizationError", 403), R, ACCOUNT),
    ("sns", sns("KMSThrottling"), R, "KMSThrottling"),
    ("fcm", Says(200, '{"name": "projects/p1/messages/0:15%31b"}'), A, ""),
    ("fcm", UNREGISTERED, B, "404 UNREGISTERED: it is about the address"),
    ("fcm", BAD_TOKEN, B, "400 INVALID_ARGUMENT message.token"),
    ("fcm", fcm_failure(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "leak: too big"), X, "400 INVALID_ARGUMENT"),
    ("fcm", google_failure(400, "INVALID_ARGUMENT", "registration token leak"), X, "400 INVALID_ARGUMENT"),
    ("fcm", google_failure(404, "NOT_FOUND"), R, ACCOUNT),
    ("fcm", google_failure(401, "UNAUTHENTICATED"), R, ACCOUNT),
    ("fcm", fcm_failure(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"), R, ACCOUNT),
    ("fcm", fcm_failure(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), R, "429 QUOTA_EXCEEDED"),
    ("fcm", fcm_failure(500, "INTERNAL", "INTERNAL"), U, "500 INTERNAL"),
]


@pytest.mark.parametrize(("name", "said", "status", "detail"), ANSWERS)
async def test_an_answer_means_what_the_provider_publishes(name: str, said: Says, status: Verdict, detail: str) -> None:
    receipt, _ = await answered(name, said)
    assert receipt.status == status, receipt
    assert detail in receipt.detail
    assert bool(receipt.detail) == (status != A)
    assert bool(receipt.provider_id) == (status == A)


@every_api
@pytest.mark.parametrize(("status", "meant"), [(429, R), (503, R), (500, U), (502, U), (504, U), (301, R), (418, X)])
async def test_a_status_alone_is_enough(name: str, status: int, meant: Verdict) -> None:
    receipt, server = await answered(name, Says(status, LEAK, {"retry-after": "17", "location": "/leak"}))
    assert receipt.status == meant, receipt
    looked_for_s = LOOKS_S[0] if meant == U and PROVIDERS[name].searches else None
    assert receipt.retry_after_s == (17 if status in (429, 503) else looked_for_s)
    assert len([call for call in server.calls if call.target != "/token"]) == 1


@every_api
async def test_what_is_accepted_without_an_id_or_with_a_strange_one_is_accepted(name: str) -> None:
    strange = {"x-message-id": "leak leak"}
    for said in ("", LEAK, '{"sid": "leak", "MessageId": "leak leak", "name": ["leak"]}', "[" * 60_000):
        receipt, _ = await answered(name, Says(200, said, strange))
        assert (receipt.status, receipt.provider_id) == (A, "")


@every_api
@pytest.mark.parametrize("fate", Fate)
async def test_silence_after_the_whole_request_is_unknown_and_repeated_only_by_choice(name: str, fate: Fate) -> None:
    receipt, _ = await answered(name, fate, timeout_s=1.0)
    assert _is_unknown(receipt)
    receipt, _ = await answered(name, fate, timeout_s=1.0, resend_unknown=True)
    assert _is_unknown(receipt)
    assert receipt.repeatable


@every_api
async def test_where_nobody_listens_nothing_was_sent(name: str) -> None:
    async with serving(lambda _: Says()) as server:
        gone = server.url
    async with connected(name, gone) as adapter:
        receipt = await adapter.send(asked(name))
    assert receipt.status == R


@every_api
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_an_address_inside_is_called_only_where_the_operator_opened_it(name: str, scheme: str) -> None:
    async with serving(lambda _: Says()) as server:
        url = server.url.replace("http", scheme)
        async with connected(name, url, open_networks=[]) as adapter:
            receipt = await adapter.send(asked(name))
        assert server.calls == []
    assert receipt.status == R
    assert ("https://" if scheme == "http" else "private, local or reserved") in receipt.detail


@every_api
async def test_an_unusable_address_is_nothing_to_call_for(name: str) -> None:
    async with serving(lambda _: Says()) as server, connected(name, server.url) as adapter:
        receipt = await adapter.send(asked(name, address="x\r\ny: z"))
        assert (receipt.status, receipt.detail, server.calls) == (Verdict.REFUSED, "no_address", [])


HOSTILE = {
    "long": "N" * 10_000,
    "header": 'Ada"\r\nBcc: eve@example.com\r\n\r\n.\r\n',
    "form": "Ada&To=%2B15005550009&Body=x+y=z;#",
    "right to left": "\u202eמשה\u202c and \u200fالسلام",
    "emoji": "👩‍👩‍👧‍👦 🎉 \U0001f468\u200d\U0001f680",
    "NUL": "A\x00d\x00a\x07",
    "surrogates": "A\ud83dd\udc00a",
    "separators": "a\u2028b\u2029c\x85d",
    "json": '"}],"to":[{"email":"eve@example.com"}]',
    "xml": "</MessageId><Code>x</Code>",
}


@every_api
@pytest.mark.parametrize("kind", HOSTILE)
async def test_whatever_a_user_is_called_the_request_is_whole(name: str, kind: str) -> None:
    text = HOSTILE[kind]
    channel = PROVIDERS[name].channels[0]
    parts = {
        "email": {"subject": f"Hi {text}", "text": f"Hi {text}", "html": f"<p>{text}</p>"},
        "sms": {"text": f"Hi {text}"},
        "push": {"title": "Hi", "body": f"Hi {text}"},
    }[channel]

    async with (
        serving(lambda call: TOKEN if call.target == "/token" else Says()) as server,
        connected(name, server.url) as adapter,
    ):
        receipt = await adapter.send(asked(name, parts=parts))
        calls = [call for call in server.calls if call.target != "/token"]
    if (name, kind) == ("fcm", "long"):
        assert (receipt.status, calls) == (X, [])
        assert "at most 3,993" in receipt.detail
        return
    assert receipt.status == A, receipt
    [call] = calls
    texts = said_by(name, call)
    assert "eve@example.com" not in json.dumps(texts["to"])
    for part in texts["parts"]:
        assert "\x00" not in part
        part.encode("utf-8")  # no lone surrogate
        if kind in ("right to left", "emoji", "long", "form"):
            assert text in part or part == f"Hi {text}"[:998]


def said_by(name: str, call: Call) -> dict[str, Any]:
    """To whom a request is, and the texts that it carries."""
    match name:
        case "sendgrid":
            mail = call.json()
            assert "\n" not in mail["subject"]
            return {
                "to": mail["personalizations"][0]["to"],
                "parts": [mail["subject"], *(content["value"] for content in mail["content"])],
            }
        case "ses":
            raw = base64.b64decode(call.json()["Content"]["Raw"]["Data"], validate=True)
            assert raw.isascii()
            mail = email.message_from_bytes(raw, policy=email.policy.default)
            assert mail.get_all("Bcc") is None
            texts = [part.get_content().rstrip("\n") for part in mail.walk() if not part.is_multipart()]
            return {"to": [call.json()["Destination"], mail["To"]], "parts": [t.replace("\x00", "") for t in texts]}
        case "fcm":
            message = call.json()["message"]
            return {"to": message["token"], "parts": [message["notification"]["body"]]}
        case _:
            form = call.form()
            return {"to": form.get("To", form.get("PhoneNumber")), "parts": [form.get("Body") or form["Message"]]}


@every_api
async def test_what_callbacks_refer_to_travels_with_the_message(name: str) -> None:
    more = {"status_callback": "https://x.example/v1/callbacks/twilio/t?a=b"} if name == "twilio" else {}
    _, server = await answered(name, Says(), **more)
    call = server.calls[-1]
    key = asked(name).send_key
    match name:
        case "sendgrid":
            args = call.json()["personalizations"][0]["custom_args"]
            assert args == {"send_key": key, "decision_id": "dec_1", "reference": REFERENCE}
        case "ses":
            tags = {tag["Name"]: tag["Value"] for tag in call.json()["EmailTags"]}
            assert tags == {"send_key": key, "decision_id": "dec_1", "reference": REFERENCE}
        case "twilio":
            assert call.form()["StatusCallback"] == f"{more['status_callback']}&reference={REFERENCE}"
        case "sns":
            assert REFERENCE not in call.body.decode()
        case "fcm":
            assert call.json()["message"]["data"] == {"send_key": key, "reference": REFERENCE}


async def test_without_a_reference_none_is_named() -> None:
    async with serving(lambda _: Says()) as server:
        for name in ("sendgrid", "ses", "twilio"):
            more = {"status_callback": "https://x.example/cb"} if name == "twilio" else {}
            async with connected(name, server.url, **more) as adapter:
                await adapter.send(dispatch(1, PROVIDERS[name].channels[0]))
        assert not any(b"reference" in call.body for call in server.calls)


async def test_a_reference_that_fits_no_tag_is_left_out() -> None:
    async with serving(lambda _: Says()) as server, connected("ses", server.url) as adapter:
        for reference in ("a.b", "x" * 257):
            await adapter.send(dispatch(1, reference=reference))
        assert [[tag["Name"] for tag in call.json()["EmailTags"]] for call in server.calls] == [
            ["send_key", "decision_id"]
        ] * 2


async def test_sendgrids_own_tracking_is_off_and_headers_keep_to_the_rules_of_mail() -> None:
    async with serving(lambda _: Says(202)) as server, connected("sendgrid", server.url, reply_to="r@x.co") as adapter:
        allowed = {"List-Unsubscribe": "<https://x.example/u>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
        assert (await adapter.send(asked("sendgrid", headers=allowed))).status == A
        for bad in ({"Bcc": "eve@example.com"}, {"X-A": "a\r\nb"}, {"X-SG-EID": "x"}, {"List-Id": "é"}):
            receipt = await adapter.send(asked("sendgrid", headers=bad))
            assert receipt.status == X, bad
        [call] = server.calls
    mail = call.json()
    assert mail["headers"] == allowed
    assert mail["reply_to"] == {"email": "r@x.co"}
    assert mail["from"] == {"email": "s@x.co", "name": "Sören"}
    assert [content["type"] for content in mail["content"]] == ["text/plain", "text/html"]
    assert mail["tracking_settings"] == {
        "click_tracking": {"enable": False, "enable_text": False},
        "open_tracking": {"enable": False},
        "subscription_tracking": {"enable": False},
    }


async def test_ses_sends_the_bytes_that_smtp_would() -> None:
    async with serving(lambda _: Says()) as server, connected("ses", server.url, reply_to="Ré <r@x.co>") as adapter:
        await adapter.send(asked("ses", headers={"List-Id": "<x.co>"}))
    sent = server.calls[0].json()
    mail = email.message_from_bytes(base64.b64decode(sent["Content"]["Raw"]["Data"]), policy=email.policy.default)
    assert (mail["From"], mail["Reply-To"], mail["List-Id"]) == ("Sören <s@x.co>", "Ré <r@x.co>", "<x.co>")
    assert mail["Message-ID"] == f"<{asked('ses').send_key}@x.co>"
    assert sent["ConfigurationSetName"] == "whisperer"


SENDERS = [
    ({}, ("Sören", ("Ré", "r@x.co"))),
    ({"from_name": "Acme, Inc."}, ("Acme, Inc.", ("Ré", "r@x.co"))),
    ({"reply_to": "help@acme.example"}, ("Sören", ("", "help@acme.example"))),
    (
        {"from_name": 'Ada "👩\u200d💻" <3', "reply_to": "محمد, من <help@acme.example>"},
        ('Ada "👩\u200d💻" <3', ("محمد, من", "help@acme.example")),
    ),
    ({"from_name": "=?utf-8?q?=0D=0ABcc:_e?="}, ("=?utf-8?q?=0D=0ABcc:_e?=", ("Ré", "r@x.co"))),
]


@pytest.mark.parametrize(("sender", "expected"), SENDERS)
async def test_a_campaigns_sender_goes_before_the_channels_with_every_provider_of_e_mail(
    sender: dict[str, str], expected: tuple[str, tuple[str, str]]
) -> None:
    """Of SES and SMTP these are the bytes; SendGrid gets the same name and addresses as JSON."""
    for name in ("ses", "sendgrid"):
        async with serving(lambda _: Says(202)) as server, connected(name, server.url, reply_to="Ré <r@x.co>") as api:
            assert (await api.send(asked(name, **sender))).status == A
        sent = server.calls[0].json()
        if name == "ses":
            assert "FromEmailAddress" not in sent
            assert "ReplyToAddresses" not in sent
            raw = base64.b64decode(sent["Content"]["Raw"]["Data"])
            assert raw.isascii()
            mail = email.message_from_bytes(raw, policy=email.policy.default)
            [from_], [reply_to] = mail["From"].addresses, mail["Reply-To"].addresses
            read = (from_.display_name, from_.addr_spec), (reply_to.display_name, reply_to.addr_spec)
        else:
            from_, reply_to = sent["from"], sent["reply_to"]
            read = (from_["name"], from_["email"]), (reply_to.get("name", ""), reply_to["email"])
        assert read == ((expected[0], "s@x.co"), expected[1]), name


@pytest.mark.parametrize("name", ["ses", "sendgrid"])
async def test_what_is_no_name_reaches_no_provider_as_more_than_one_line(name: str) -> None:
    """Nothing of the kind can be published; should it come all the same, it is a name of odd looks."""
    hostile = {"from_name": "a\r\nBcc: eve@x.co\0\u2028\ud800", "reply_to": "a\r\nBcc: eve@x.co"}
    async with serving(lambda _: Says(202)) as server, connected(name, server.url, reply_to="") as adapter:
        assert (await adapter.send(asked(name, **hostile))).status == A
    sent = server.calls[0].json()
    if name == "ses":
        raw = base64.b64decode(sent["Content"]["Raw"]["Data"])
        assert b"\r\nBcc" not in raw
        mail = email.message_from_bytes(raw, policy=email.policy.default)
        assert mail["From"].addresses[0].addr_spec == "s@x.co"
        assert "Reply-To" not in mail
    else:
        assert sent["from"] == {"email": "s@x.co", "name": "a Bcc: eve@x.co"}
        assert "reply_to" not in sent


async def test_an_api_key_of_twilio_sends_for_its_account() -> None:
    more = {"api_key": "SK" + "b" * 32, "api_secret": "sec", "sender": "", "messaging_service_sid": "MG" + "c" * 32}
    _, server = await answered("twilio", Says(201), **more)
    [call] = server.calls
    assert base64.b64decode(call.headers["authorization"].removeprefix("Basic ")) == b"SK" + b"b" * 32 + b":sec"
    assert call.target == f"/2010-04-01/Accounts/AC{'a' * 32}/Messages.json"
    assert call.form()["MessagingServiceSid"] == "MG" + "c" * 32
    assert "From" not in call.form()


# -- FCM's access tokens ----------------------------------------------------------------------------------------------


async def test_one_access_token_is_asked_for_whoever_waits_and_replaced_before_it_expires() -> None:
    now = NOW
    given: list[str] = []

    def answer(call: Call) -> Says:
        if call.target != "/token":
            return Says(200, "{}")
        given.append(f"t{len(given)}")
        return Says(200, json.dumps({"access_token": given[-1], "expires_in": 3_600}))

    async with serving(answer) as server, connected("fcm", server.url, now=lambda: now) as adapter:
        for elapsed_s, n_given in ((0, 1), (3_299, 1), (3_300, 2), (6_599, 2), (6_600, 3)):
            now = NOW + elapsed_s * 1000
            receipts = await asyncio.gather(*(adapter.send(asked("fcm")) for _ in range(10)))
            assert {receipt.status for receipt in receipts} == {A}
            assert len(given) == n_given
            assert server.calls[-1].headers["authorization"] == f"Bearer {given[-1]}"


@pytest.mark.parametrize(
    "said",
    [
        Says(400, '{"error": "invalid_grant", "error_description": "leak"}'),
        Says(503, "leak"),
        Says(200, "leak"),
        Says(200, '{"access_token": "a\\r\\nb", "expires_in": 3600}'),
        Says(200, '{"access_token": "t", "expires_in": -1}'),
        Says(200, '{"access_token": "t"}'),
        Fate.DROPS,
        Fate.HANGS,
    ],
)
async def test_without_an_access_token_nothing_is_handed_over(said: Says | Fate) -> None:
    async with serving(lambda _: said) as server, connected("fcm", server.url, timeout_s=1.0) as adapter:
        receipts = await asyncio.gather(*(adapter.send(asked("fcm")) for _ in range(5)))
        assert {call.target for call in server.calls} == {"/token"}
        assert len(server.calls) == 1
    for receipt in receipts:
        assert receipt.status == R
        assert receipt.detail.startswith("no access token: ")
        assert ACCOUNT in receipt.detail
        assert "leak" not in receipt.detail
    if said == Says(400, '{"error": "invalid_grant", "error_description": "leak"}'):
        assert "answered 400 invalid_grant" in receipts[0].detail


async def test_an_access_token_that_is_refused_is_not_used_again() -> None:
    given = 0

    def answer(call: Call) -> Says:
        nonlocal given
        if call.target == "/token":
            given += 1
            return Says(200, json.dumps({"access_token": f"t{given}", "expires_in": 3_600}))
        return Says(200, "{}") if call.headers["authorization"] == "Bearer t2" else Says(401)

    async with serving(answer) as server, connected("fcm", server.url) as adapter:
        assert [(await adapter.send(asked("fcm"))).status for _ in range(3)] == [R, A, A]

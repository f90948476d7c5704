"""A template sent to be looked at: the same bytes as its preview, to nobody but colleagues, counted nowhere."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from serve_apps.gateway.services.dispatching import AT_ONCE
from tests.support.gateway_world import Caller, World
from tests.support.people import Browser, member
from tests.unit.whisperer.delivery.dispatches import dispatch
from whisperer.delivery.mime import build_email
from whisperer.ids import TenantId

MAIL = {
    "channel": "email",
    "locales": {
        "en": {"subject": "Hi {{ user.name }}", "html": '<p>Hi <a href="https://app.example.com/x">see</a></p>'}
    },
    "missing": "blank",
}
ASKED = {"traits": {"name": "Ada"}}
TESTS = "tests@example.com"


@pytest.fixture
async def tips(acme: Caller, world: World) -> Caller:
    await acme.ok("PUT", "/templates/tips", MAIL)
    world.plane.set_tenant_settings(
        acme.id, test_recipients={"email": [TESTS], "sms": ["+49 (151) 234-567"], "inapp": ["u:test"]}
    )
    return acme


def kept(world: World, tenant: Caller) -> list[Any]:
    return world.sink.messages(TenantId(tenant.id))


async def test_what_arrives_is_the_preview_byte_for_byte(tips: Caller, world: World) -> None:
    shown = await tips.ok("POST", "/templates/tips/preview", ASKED)
    sent = await tips.ok("POST", "/templates/tips/test", ASKED | {"to": "Tests@Example.com"})
    [message] = kept(world, tips)
    assert (message.parts, message.headers) == (shown["parts"], shown["headers"])
    assert (sent["status"], sent["provider"], sent["content_hash"]) == ("accepted", "sink", shown["content_hash"])
    assert (message.send_key, message.address, message.campaign) == (sent["send_key"], "Tests@example.com", "test")
    assert world.shards.outcomes == []


async def test_a_mark_is_there_only_if_it_is_asked_for(tips: Caller, world: World) -> None:
    await tips.ok("POST", "/templates/tips/test", ASKED | {"to": TESTS, "marked": True})
    [message] = kept(world, tips)
    assert message.parts["subject"] == "[Test] Hi Ada"


async def test_a_user_is_rendered_as_known_and_forgotten_with_what_was_sent_of_them(tips: Caller, world: World) -> None:
    world.user(tips, "ada", traits={"name": b'"Ada L"'})
    await tips.ok("POST", "/templates/tips/test", {"user_id": "ada", "to": TESTS})
    [message] = kept(world, tips)
    assert (message.parts["subject"], message.user_key) == ("Hi Ada L", "u:ada")
    assert world.sink.forget(TenantId(tips.id), [message.user_key], time.time_ns() // 1_000_000) == 1


@pytest.mark.parametrize("to", ["ada@customer.example", "tests@example.com.evil.example"])
async def test_nobody_else_can_be_written_to(tips: Caller, world: World, to: str) -> None:
    assert await tips.problem("POST", "/templates/tips/test", ASKED | {"to": to}) == (403, "not_a_test_recipient")
    assert (await tips.problem("POST", "/templates/tips/test", ASKED))[0] == 422  # a key has no address of its own
    assert (await tips.problem("POST", "/templates/tips/test", ASKED | {"to": "nonsense"}))[0] == 422
    assert kept(world, tips) == []


async def test_a_recipient_counts_on_its_own_channel_alone(tips: Caller, world: World) -> None:
    await tips.ok("PUT", "/templates/nudge", {"channel": "sms", "locales": {"en": {"text": "Hi"}}})
    sent = await tips.ok("POST", "/templates/nudge/test", {"to": "+49151 234567"})
    assert (sent["to"], sent["status"]) == ("+49151234567", "accepted")
    await tips.ok("PUT", "/templates/push", {"channel": "push", "locales": {"en": {"title": "a", "body": "b"}}})
    assert (await tips.problem("POST", "/templates/push/test", {"to": "+49151234567"}))[1] == "not_a_test_recipient"


async def test_a_test_is_entered_in_the_audit_log_before_it_is_sent(tips: Caller, world: World) -> None:
    await tips.ok("POST", "/templates/tips/test", ASKED | {"to": TESTS})
    entries = (await world.operator(tips).ok("GET", "/audit"))["data"]
    [entry] = [one for one in entries if (one["after"] or {}).get("what") == "sent as a test"]
    assert (entry["resource"], entry["resource_id"], entry["after"]["to"]) == ("templates", "tips", TESTS)


async def test_many_tests_have_to_wait(tips: Caller) -> None:
    for _ in range(AT_ONCE):
        await tips.ok("POST", "/templates/tips/test", ASKED | {"to": TESTS})
    answer = await tips("POST", "/templates/tips/test", ASKED | {"to": TESTS})
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_tests")
    assert 0 < int(answer.headers["retry-after"]) <= 30


async def test_what_cannot_be_rendered_or_is_kept_with_users_is_not_sent(tips: Caller, world: World) -> None:
    await tips.ok("PUT", "/templates/strict", MAIL | {"missing": "refuse"})
    refused = await tips.ok("POST", "/templates/strict/test", {"to": TESTS})
    assert (refused["rendered"], refused["reason"]) == (False, "variable_missing")
    card = '{"kind": "card", "title": "Hi", "body": "Ada"}'
    await tips.ok("PUT", "/templates/card", {"channel": "inapp", "locales": {"en": {"message": card}}})
    assert await tips.problem("POST", "/templates/card/test", {"to": "u:test"}) == (409, "kept_with_users")
    await tips.ok("PUT", "/channels/inapp", {"provider": "sink"})
    assert (await tips.ok("POST", "/templates/card/test", {"to": "u:test"}))["status"] == "accepted"
    assert len(kept(world, tips)) == 1


async def test_recipients_are_checked_shown_and_replaced(tips: Caller, world: World) -> None:
    operator = world.operator(tips)
    shown = await operator.ok("GET", "/settings")
    assert shown["test_recipients"] == {"email": [TESTS], "sms": ["+49151234567"], "inapp": ["u:test"]}
    wrong = await operator("PUT", "/settings", {"test_recipients": {"email": ["x"], "fax": ["1"]}})
    assert {error["pointer"] for error in wrong.json()["errors"]} == {
        "/test_recipients/email/0",
        "/test_recipients/fax",
    }
    assert (await operator.ok("PUT", "/settings", {"test_recipients": {}}))["test_recipients"] == {}


async def test_a_member_has_one_sent_to_themselves_from_the_templates_page(tips: Caller, world: World) -> None:
    member(world.plane, tips.id, "ada@example.com", "marketer")
    browser = Browser(world)
    await browser.sign_in("ada@example.com")
    page = await browser.open("/templates/tips")
    assert "Send a test" in page.text
    await browser.send("/templates/tips/test?tenant=acme", locale="en", user_id="", to="", marked="yes")
    assert "The provider took it." in re.sub(r"\s+", " ", browser.page.text)
    [message] = kept(world, tips)
    assert (message.address, message.parts["subject"]) == ("ada@example.com", "[Test] Hi")
    await browser.send("/templates/tips/test?tenant=acme", locale="en", user_id="", to="eve@example.com")
    assert "your own e-mail address, or to one" in re.sub(r"\s+", " ", browser.page.text)
    forged = await browser.http.post("/templates/tips/test", data={"to": "", "csrf_token": "x"})
    assert forged.status_code == 403
    assert len(kept(world, tips)) == 1


async def test_a_previews_segments_count_the_links_that_will_be_sent(tips: Caller, world: World) -> None:
    text = "See https://app.example.com/plans"
    await tips.ok("PUT", "/templates/nudge", {"channel": "sms", "locales": {"en": {"text": text}}})
    long = await tips.ok("POST", "/templates/nudge/preview", {})
    assert (long["parts"]["text"], long["sms"]["segments"] > 1) == (text, True)
    world.plane.set_tenant_settings(tips.id, links_base_url="https://go.acme.example/")
    short = await tips.ok("POST", "/templates/nudge/preview", {})
    assert short["parts"]["text"] == text
    assert (short["sms"]["segments"], short["sms"]["units"]) == (1, len("See https://go.acme.example/l/0123456789ab"))
    for wrong in ("http://go.acme.example", "https://go.acme.example/x", "go.acme.example"):
        assert (await world.operator(tips)("PUT", "/settings", {"links_base_url": wrong})).status_code == 422


SENDER = {"from_name": "Acme, Inc.", "reply_to": "Help <help@acme.example>"}


def campaign(*arms: dict[str, Any], **more: Any) -> dict[str, Any]:
    tips = [{"id": f"a{n}", "channel": "email", "template": "tips"} | arm for n, arm in enumerate(arms)]
    return {"trigger": {"event": "Joined"}, "goal": {"event": "Paid", "window": "1h"}, "arms": tips, **more}


def of(answer: dict[str, Any]) -> tuple[str | None, str | None]:
    return answer["from_name"], answer["reply_to"]


async def test_a_preview_and_a_test_name_the_sender_that_an_arm_s_messages_will(tips: Caller, world: World) -> None:
    own = {"from_name": "Ada"}
    await tips.ok("POST", "/campaigns", {"name": "welcome", "publish": True, **campaign({}, own, **SENDER)})
    expected = {"a0": ("Acme, Inc.", SENDER["reply_to"]), "a1": ("Ada", SENDER["reply_to"])}
    for arm, named in expected.items():
        asked = ASKED | {"campaign": "welcome", "arm": arm}
        assert of(await tips.ok("POST", "/templates/tips/preview", asked)) == named
        await tips.ok("POST", "/templates/tips/test", asked | {"to": TESTS})
        message = kept(world, tips)[-1]
        assert (message.headers["From"], message.headers["Reply-To"]) == named
    assert of(await tips.ok("POST", "/templates/tips/preview", ASKED | {"campaign": "welcome"})) == expected["a0"]
    assert of(await tips.ok("POST", "/templates/tips/preview", ASKED)) == (None, None)
    assert of(await tips.ok("POST", "/templates/tips/preview", {"campaign": "not there", "arm": "a1"})) == (None, None)
    stated = await tips.ok("POST", "/templates/tips/preview", {"campaign": "welcome", "arm": "a1", "from_name": " Bo "})
    assert of(stated) == ("Bo", SENDER["reply_to"])


async def test_a_test_is_the_bytes_that_the_arm_s_message_will_be_apart_from_ids(tips: Caller, world: World) -> None:
    """The dispatch of a test goes the way of every other: by SMTP and SES it is built by the same function."""
    await tips.ok("POST", "/campaigns", {"name": "welcome", "publish": True, **campaign({}, **SENDER)})
    shown = await tips.ok("POST", "/templates/tips/preview", ASKED | {"campaign": "welcome", "arm": "a0"})
    await tips.ok("POST", "/templates/tips/test", ASKED | {"campaign": "welcome", "arm": "a0", "to": TESTS})
    [sent] = kept(world, tips)
    whose = {"parts": shown["parts"], "headers": shown["headers"], "locale": "en", "send_key": sent.send_key}
    headers = {name: text for name, text in sent.headers.items() if name not in ("From", "Reply-To")}
    test = whose | {"parts": sent.parts, "headers": headers}
    real, tested = (
        build_email(
            dispatch(**whose, from_name=name, reply_to=reply_to), "Channel <c@acme.example>", 0, "c@acme.example"
        )
        for whose, name, reply_to in ((whose, *of(shown)), (test, sent.headers["From"], sent.headers["Reply-To"]))
    )
    assert real == tested
    assert b'From: "Acme, Inc." <c@acme.example>\r\n' in real


async def test_what_a_draft_says_of_the_sender_is_shown_before_it_is_live(tips: Caller) -> None:
    await tips.ok("POST", "/campaigns", {"name": "welcome", "publish": True, **campaign({}, from_name="Acme")})
    await tips.ok("PUT", "/campaigns/welcome", campaign({}, from_name="Acme at last"))
    shown = await tips.ok("POST", "/templates/tips/preview", ASKED | {"campaign": "welcome"})
    assert of(shown) == ("Acme at last", None)


async def test_only_an_e_mail_names_a_sender_and_only_one_that_could_be_published(tips: Caller, world: World) -> None:
    await tips.ok("PUT", "/templates/nudge", {"channel": "sms", "locales": {"en": {"text": "Hi"}}})
    assert of(await tips.ok("POST", "/templates/nudge/preview", SENDER)) == (None, None)
    for name, text in (("from_name", "a\r\nb"), ("from_name", "x" * 101), ("reply_to", "nobody")):
        for call, more in (("preview", {}), ("test", {"to": TESTS})):
            answer = await tips("POST", f"/templates/tips/{call}", {name: text, **more})
            assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/{name}")
    assert kept(world, tips) == []


async def test_who_asks_for_a_campaign_s_sender_may_read_campaigns(tips: Caller, world: World) -> None:
    await tips.ok("POST", "/campaigns", {"name": "welcome", "publish": True, **campaign({}, **SENDER)})
    scopes = ["templates:read", "templates:write"]
    narrow = Caller(world, tips.id, "/v1", world.plane.create_key(TenantId(tips.id), "secret", scopes=scopes).key)
    asked = ASKED | {"campaign": "welcome"}
    assert await narrow.problem("POST", "/templates/tips/preview", asked) == (403, "forbidden")
    assert await narrow.problem("POST", "/templates/tips/test", asked | {"to": TESTS}) == (403, "forbidden")
    await narrow.ok("POST", "/templates/tips/preview", ASKED)


async def test_another_tenant_s_campaign_names_nobody(tips: Caller, world: World) -> None:
    globex = world.tenant("globex")
    await tips.ok("POST", "/campaigns", {"name": "welcome", "publish": True, **campaign({}, **SENDER)})
    await globex.ok("PUT", "/templates/tips", MAIL)
    assert of(await globex.ok("POST", "/templates/tips/preview", {"campaign": "welcome", "arm": "a0"})) == (None, None)


async def test_a_template_s_page_shows_and_sends_it_as_an_arm_does(tips: Caller, world: World) -> None:
    await tips.ok(
        "POST", "/campaigns", {"name": "welcome", "publish": True, **campaign({}, {"from_name": "Ada"}, **SENDER)}
    )
    member(world.plane, tips.id, "ada@example.com", "marketer")
    browser = Browser(world)
    await browser.sign_in("ada@example.com")
    page = (await browser.open("/templates/tips")).text
    assert 'value="welcome/a1"' in page
    assert "Reply-To" not in page
    page = (await browser.open("/templates/tips?sent_by=welcome/a1")).text
    assert "<bdi>Ada</bdi>" in page
    assert "<bdi>Help &lt;help@acme.example&gt;</bdi>" in page
    await browser.send("/templates/tips/test?tenant=acme", to="")
    assert "The provider took it." in re.sub(r"\s+", " ", browser.page.text)
    [message] = kept(world, tips)
    assert (message.headers["From"], message.headers["Reply-To"]) == ("Ada", SENDER["reply_to"])

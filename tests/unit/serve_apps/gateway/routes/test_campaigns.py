"""Campaigns, templates, channels, experiment and segments over HTTP, for a tenant and for the operator alike."""

from __future__ import annotations

import html
import re
from typing import Any

import msgspec
import pytest

from cluster.control_plane.templates import publish_template
from serve_apps.content.rendering import Rendering
from tests.support.gateway_world import Caller, World
from tests.unit.whisperer.content.requests import NOW, request
from whisperer.content.message import NotRendered, Rendered
from whisperer.feedback.links import LinkSigner
from whisperer.shard.records import CampaignConfig, Experiment

SMS = {"channel": "sms", "locales": {"en": {"text": "Hi {{ user.name }}"}, "de": {"text": "Hallo {{ user.name }}"}}}
CAMPAIGN: dict[str, Any] = {
    "trigger": {"event": "Trial Started"},
    "goal": {"event": "Paid", "window": "1h"},
    "arms": [{"id": "hello", "channel": "sms", "template": "hello"}],
}


@pytest.fixture(params=["tenant", "operator"])
async def caller(request: pytest.FixtureRequest, world: World, acme: Caller) -> Caller:
    await acme.ok("PUT", "/templates/hello", SMS)
    return acme if request.param == "tenant" else world.operator(acme)


async def test_a_campaign_goes_from_draft_to_every_shard_and_back(caller: Caller, world: World) -> None:
    made = await caller.ok("POST", "/campaigns", {"name": "welcome", **CAMPAIGN})
    assert (made["status"], made["version"], made["template_versions"]) == ("draft", 1, {})
    live = await caller.ok("POST", "/campaigns/welcome/publish")
    assert (live["status"], live["template_versions"]) == ("live", {"hello": 1})
    for shard in (0, 1):
        _, _, tenant, version, _, campaigns, experiment = [c for c in world.shards.called("publish") if c[0] == shard][
            -1
        ]
        assert (tenant, version) == (caller.id, world.plane.version())
        row = world.plane.get_campaign(caller.id, "welcome")
        assert campaigns == [CampaignConfig("welcome", 1, "live", row.definition)]
        assert isinstance(experiment, Experiment)
        assert experiment.salt
    for action, status in (("pause", "paused"), ("resume", "live"), ("end", "ended")):
        assert (await caller.ok("POST", f"/campaigns/welcome/{action}"))["status"] == status
        assert world.shards.called("publish")[-1][5][0].status == status


async def test_a_draft_reaches_no_shard(caller: Caller, world: World) -> None:
    await caller.ok("POST", "/campaigns", {"name": "welcome", **CAMPAIGN})
    assert all(call[5] == [] for call in world.shards.called("publish"))


async def test_what_is_shown_may_be_sent_back(caller: Caller) -> None:
    await caller.ok("POST", "/campaigns", {"name": "welcome", "publish": True, **CAMPAIGN})
    shown = await caller.ok("GET", "/campaigns/welcome")
    again = await caller.ok("PUT", "/campaigns/welcome", shown["definition"] | {"publish": True})
    assert (again["version"], again["definition"]) == (2, shown["definition"])
    assert (await caller.ok("GET", "/campaigns/welcome?version=1"))["status"] == "ended"


async def test_deleting_ends_and_keeps(caller: Caller) -> None:
    await caller.ok("POST", "/campaigns", {"name": "welcome", "publish": True, **CAMPAIGN})
    assert (await caller.ok("DELETE", "/campaigns/welcome"))["status"] == "ended"
    assert (await caller.ok("GET", "/campaigns/welcome"))["status"] == "ended"


async def test_every_problem_of_a_campaign_is_in_one_answer(caller: Caller) -> None:
    answer = await caller(
        "POST", "/campaigns", {"name": "x" * 10_000, "trigger": {}, "goal": CAMPAIGN["goal"], "arms": []}
    )
    assert answer.status_code == 422
    body = answer.json()
    assert body["code"] == "invalid_campaign"
    assert {e["pointer"] for e in body["errors"]} == {"/name", "/trigger", "/arms"}
    assert len(answer.content) < 5_000


async def test_a_sender_that_would_name_nobody_is_refused_at_its_place(caller: Caller) -> None:
    sms = {"name": "a", **CAMPAIGN, "publish": True}
    assert {arm["channel"] for arm in CAMPAIGN["arms"]} == {"sms"}
    named = {"from_name": "Acme", "reply_to": "help@acme.example"}
    for body, pointers in (
        (sms | named, {"/from_name", "/reply_to"}),
        (sms | {"arms": [CAMPAIGN["arms"][0] | named]}, {"/arms/0/from_name", "/arms/0/reply_to"}),
    ):
        answer = await caller("POST", "/campaigns", body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_campaign")
        assert {(e["pointer"], e["code"]) for e in answer.json()["errors"]} == {
            (at, "not_applicable") for at in pointers
        }


async def test_a_sender_comes_back_as_it_was_written_and_can_be_taken_out(caller: Caller) -> None:
    await caller.ok("PUT", "/templates/mail", {"channel": "email", "locales": {"en": {"subject": "Hi", "text": "Hi"}}})
    arms = [{"id": "mail", "channel": "email", "template": "mail", "from_name": "Ada"}]
    body = CAMPAIGN | {"arms": arms, "from_name": "Acme, Inc.", "reply_to": "Help <help@acme.example>"}
    made = (await caller.ok("POST", "/campaigns", {"name": "mails", "publish": True, **body}))["definition"]
    assert (made["from_name"], made["reply_to"]) == ("Acme, Inc.", "Help <help@acme.example>")
    assert made["arms"][0]["from_name"] == "Ada"
    assert "reply_to" not in made["arms"][0]
    await caller.ok("PUT", "/campaigns/mails/draft", {**body, "from_name": "Acme"})
    changed = (await caller.ok("GET", "/campaigns/mails/diff"))["changes"]
    assert [one["pointer"] for one in changed] == ["/from_name"]
    taken_out = await caller.ok("PUT", "/campaigns/mails", {**body, "from_name": None, "reply_to": None})
    drafted = await caller.ok("GET", f"/campaigns/mails?version={taken_out['draft_version']}")
    assert not {"from_name", "reply_to"} & drafted["definition"].keys()


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/campaigns", {"name": "a", **CAMPAIGN, "arms": [CAMPAIGN["arms"][0] | {"template": "nope"}], "publish": True}, (422, "unknown_template")),
        ("POST", "/campaigns", CAMPAIGN, (422, "invalid_request")),
        ("POST", "/campaigns", {"name": "a", "publish": 1, **CAMPAIGN}, (422, "invalid_request")),
        ("POST", "/campaigns", [], (422, "invalid_request")),
        ("POST", "/campaigns", b"{", (400, "malformed_json")),
        ("POST", "/campaigns", b'{"name": NaN}', (400, "malformed_json")),
        ("POST", "/campaigns", b"[" * 100_000, (400, "malformed_json")),
        ("POST", "/campaigns", b"\xff", (400, "malformed_json")),
        ("POST", "/campaigns", b" " * 600_000, (413, "body_too_large")),
        ("PUT", "/campaigns/a", {"name": "b", **CAMPAIGN}, (422, "invalid_request")),
        ("POST", "/campaigns/a/explode", None, (404, "not_found")),
        ("POST", "/campaigns/a/publish", None, (404, "campaign_not_found")),
        ("GET", "/campaigns/a", None, (404, "campaign_not_found")),
        ("GET", "/campaigns/a/report", None, (404, "campaign_not_found")),
        ("GET", "/campaigns?cursor=%C3%A9", None, (422, "invalid_request")),
        ("GET", "/campaigns?limit=0", None, (422, "invalid_request")),
        ("POST", "/templates", {"name": "a", "channel": "fax", "locales": {}}, (422, "invalid_template")),
        ("POST", "/templates", {"name": "a", "channel": "sms", "locales": {"en": {"text": "{% if %}"}}}, (422, "invalid_template")),
        ("GET", "/templates/hello?version=9", None, (404, "template_not_found")),
        ("PUT", "/channels/email", {"provider": "smtp", "config": {"host": "x y"}}, (422, "invalid_channel")),
        ("PUT", "/channels/fax", {"provider": "sink"}, (404, "not_found")),
        ("GET", "/channels/fax", None, (404, "not_found")),
        ("PUT", "/experiment", {"holdout": 0.9}, (422, "invalid_request")),
        ("PUT", "/experiment", {"salt": "mine"}, (422, "invalid_request")),
        ("POST", "/segments", {"name": "a", "predicate": {"nonsense": 1}}, (422, "invalid_predicate")),
        ("POST", "/segments", {"name": "a"}, (422, "invalid_request")),
        ("GET", "/segments/a", None, (404, "segment_not_found")),
    ],
)  # fmt: skip
async def test_a_refusal_has_its_status_and_code(
    acme: Caller, method: str, path: str, body: Any, expected: tuple[int, str]
) -> None:
    assert await acme.problem(method, path, body) == expected


async def test_a_refused_field_is_named_by_a_pointer(acme: Caller) -> None:
    answer = await acme("PUT", "/experiment", {"holdout": 0.9})
    assert answer.json()["errors"][0]["pointer"] == "/holdout"


async def test_lists_come_in_pages_that_lead_to_each_other(caller: Caller) -> None:
    for n in range(5):
        await caller.ok("POST", "/campaigns", {"name": f"c{n}", **CAMPAIGN})
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = await caller.ok("GET", f"/campaigns?limit=2&cursor={cursor}" if cursor else "/campaigns?limit=2")
        seen += [campaign["name"] for campaign in page["data"]]
        cursor = page["next_cursor"]
    assert seen == [f"c{n}" for n in range(5)]


async def test_another_tenants_things_are_not_there(world: World, caller: Caller) -> None:
    await caller.ok("POST", "/campaigns", {"name": "welcome", "publish": True, **CAMPAIGN})
    globex = world.tenant("globex")
    assert (await globex.ok("GET", "/campaigns"))["data"] == []
    assert (await globex.ok("GET", "/templates"))["data"] == []
    for method, path in (
        ("GET", "/campaigns/welcome"),
        ("POST", "/campaigns/welcome/pause"),
        ("DELETE", "/campaigns/welcome"),
        ("GET", "/campaigns/welcome/report"),
        ("GET", "/templates/hello"),
    ):
        assert (await globex.problem(method, path))[0] == 404


async def test_without_the_right_key_nothing_opens(world: World, acme: Caller) -> None:
    write_key = world.plane.create_key(acme.id, "write").key
    operator = world.operator(acme)
    for caller, key in ((acme, ""), (acme, write_key), (acme, "op_x"), (operator, write_key), (operator, "")):
        headers = {"Authorization": f"Bearer {key}".strip()}
        for path in ("/campaigns", "/templates", "/channels", "/experiment", "/sink/messages", "/decisions/dec_1"):
            assert (await caller("GET", path, headers=headers)).status_code == 401


async def test_an_operator_learns_of_unknown_tenants_and_strangers_do_not(world: World, acme: Caller) -> None:
    answer = await acme.http.get("/internal/tenants/nobody/campaigns", headers={"Authorization": "Bearer op_x"})
    assert answer.status_code == 401
    operator = world.operator(acme)
    assert (await operator.http.get("/internal/tenants/nobody/campaigns")).status_code == 404
    assert (await operator.http.get("/internal/tenants/acme/campaigns")).status_code == 200


async def test_a_template_is_tried_out_for_traits_and_for_a_user(caller: Caller, world: World) -> None:
    preview = await caller.ok("POST", "/templates/hello/preview", {"locale": "de", "traits": {"name": "Ada"}})
    assert (preview["rendered"], preview["locale"], preview["parts"]["text"]) == (True, "de", "Hallo Ada")
    world.user(caller, "u1", traits={"name": msgspec.Raw(b'"Bob"')}, locale="de-AT", features={"events_7d": 3})
    preview = await caller.ok("POST", "/templates/hello/preview", {"user_id": "u1"})
    assert preview["parts"]["text"] == "Hallo Bob"
    missing = await caller.ok("POST", "/templates/hello/preview", {})
    assert (missing["rendered"], missing["reason"]) == (False, "variable_missing")
    assert await caller.problem("POST", "/templates/hello/preview", {"user_id": "u2"}) == (404, "user_not_found")
    assert await caller.problem("POST", "/templates/nope/preview", {}) == (404, "template_not_found")


async def test_secrets_of_a_channel_never_come_out(caller: Caller) -> None:
    config = {"host": "mail.example.com", "username": "ada", "password": "hunter2", "sender": "ada@example.com"}
    answers = [
        await caller("PUT", "/channels/email", {"provider": "smtp", "config": config}),
        await caller("GET", "/channels/email"),
        await caller("GET", "/channels"),
        await caller("PUT", "/channels/email", {"provider": "smtp", "config": config | {"host": ""}}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 422]
    assert all("hunter2" not in answer.text for answer in answers)
    assert answers[1].json()["config"]["host"] == "mail.example.com"


async def test_several_channels_are_set_together_or_not_at_all(caller: Caller) -> None:
    config = {"host": "mail.example.com", "sender": "ada@example.com"}
    both = {"email": {"provider": "smtp", "config": config}, "sms": {"provider": "smtp", "config": {}}}
    assert await caller.problem("PUT", "/channels", both) == (422, "invalid_channel")
    assert {c["provider"] for c in (await caller.ok("GET", "/channels"))["data"]} == {"sink", "inbox"}
    await caller.ok("PUT", "/channels", {"email": both["email"], "sms": {"provider": "sink"}})
    assert (await caller.ok("GET", "/channels/email"))["provider"] == "smtp"


async def test_the_experiment_is_changed_in_part_and_keeps_its_salt_to_itself(caller: Caller, world: World) -> None:
    salt = world.plane.experiment(caller.id).salt
    changed = await caller("PUT", "/experiment", {"holdout": 0.1})
    assert changed.json() == {"holdout": 0.1, "uniform": 0.05, "policy": 0.85, "consent_default": True}
    assert salt not in changed.text
    assert world.shards.called("publish")[-1][6] == Experiment(salt, 0.1, 0.05, True)


async def test_a_segment_is_published_by_post_and_by_put(caller: Caller) -> None:
    predicate = {"event": "Paid"}
    first = await caller.ok("POST", "/segments", {"name": "buyers", "predicate": predicate})
    assert (first["name"], first["version"]) == ("buyers", 1)
    assert (await caller.ok("PUT", "/segments/buyers", {"predicate": predicate}))["version"] == 2
    assert [s["name"] for s in (await caller.ok("GET", "/segments"))["data"]] == ["buyers"]
    assert await caller.ok("DELETE", "/segments/buyers") == {"name": "buyers", "archived": True}


async def test_a_preview_is_what_is_sent_byte_for_byte_but_for_signed_links(caller: Caller, world: World) -> None:
    mail = {
        "channel": "email",
        "locales": {
            "en": {
                "subject": "Hi {{ user.name }}",
                "html": '<p>Hi {{ user.name }} <a href="https://a.example/x?a=1&amp;b=2">x</a> {{ brand.name }}</p>',
            },
            "ar": {
                "subject": "مرحبا {{ user.name }}",
                "html": "<mjml><mj-body><mj-section><mj-column><mj-text>مرحبا {{ user.name }} https://a.example</mj-text><mj-button href='https://a.example/y'>x</mj-button></mj-column></mj-section></mj-body></mjml>",
            },
        },
    }
    await caller.ok("PUT", "/templates/mail", mail)
    world.plane.set_tenant_settings(caller.id, brand={"name": "Acme"})
    world.user(caller, "u1", traits={"name": msgspec.Raw(b'"<Bob>"')}, locale="en-GB", features={})
    signer = LinkSigner(b"s" * 32)
    sending = Rendering(world.plane, signer, world.parts.installation.public_url)
    for locale in ("en-GB", "ar"):
        preview = await caller.ok("POST", "/templates/mail/preview", {"user_id": "u1", "locale": locale})
        asked = request(
            {"name": "<Bob>"},
            tenant=caller.id,
            user_key="u:u1",
            template="mail",
            channel="email",
            locale=locale,
            campaign="preview",
            variant="preview",
        )
        (sent,) = msgspec.msgpack.decode(
            await sending.render(msgspec.msgpack.encode([asked])), type=list[Rendered | NotRendered]
        )
        assert isinstance(sent, Rendered), sent
        assert (preview["content_hash"], preview["locale"]) == (sent.content_hash, sent.locale)
        for part, text in sent.parts.items():
            plain = re.sub(r'<img src="[^"]*/m/o/[^>]*>', "", text)
            plain = re.sub(
                r"https?://[^/]+/m/c/([\w.~-]+)",
                lambda found: (
                    html.escape(signer.read(found[1], NOW).url) if part == "html" else signer.read(found[1], NOW).url
                ),
                plain,
            )
            plain = re.sub(r"/m/u/[\w.~-]+", "/m/u/this-is-a-preview", plain)
            assert plain == preview["parts"][part], part


async def test_a_template_is_looked_over_and_what_is_certainly_wrong_is_not_published(caller: Caller) -> None:
    bad = {
        "channel": "email",
        "locales": {"en": {"subject": "Hi", "html": '<a href="/plans">x</a>\n<img src="https://a.example/a.png">'}},
    }
    found = await caller.ok("POST", "/templates/hello/lint", {"template": bad})
    assert (found["publishable"], found["errors"], found["version"]) == (False, 1, None)
    assert {"broken_link", "image_without_alt"} <= {one["code"] for one in found["findings"]}
    assert await caller.problem("PUT", "/templates/bad", bad) == (422, "invalid_template")
    draft = await caller.ok("PUT", "/templates/bad", {**bad, "publish": False})
    assert draft["content"] == bad
    assert await caller.problem("POST", "/templates/bad/publish", {}) == (422, "invalid_template")
    published = await caller.ok("POST", "/templates/hello/lint", {})
    assert (published["publishable"], published["version"]) == (True, 1)
    assert await caller.problem("POST", "/templates/nope/lint", {}) == (404, "template_not_found")


async def test_a_campaign_with_a_template_from_before_the_lint_is_not_published(caller: Caller, world: World) -> None:
    old = {"channel": "email", "locales": {"en": {"subject": "Hi", "html": '<a href="/plans">x</a>'}}}
    with world.plane._writing() as session:
        publish_template(session, caller.id, "old", old, "email")
    arms = [{"id": "old", "channel": "email", "template": "old"}]
    answer = await caller("POST", "/campaigns", {"name": "c", **CAMPAIGN, "arms": arms, "publish": True})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["pointer"], error["code"]) == ("/arms/0/template", "broken_link")
    assert "line 1, column 1" in error["message"]


async def test_a_preview_has_sizes_segments_and_findings(caller: Caller) -> None:
    preview = await caller.ok("POST", "/templates/hello/preview", {"traits": {"name": "“Ada”"}})
    assert preview["sms"] == {"encoding": "UCS-2", "segments": 1, "units": 8, "forcing": ["“", "”"]}
    assert preview["sizes"] == {"text": 12}
    assert [one["code"] for one in preview["findings"]] == ["sms_ucs2", "sms_segments"]

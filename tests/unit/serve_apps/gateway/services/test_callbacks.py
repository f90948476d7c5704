"""Callbacks over HTTP: verified, journaled before they are answered, each provider in its own form."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.calls.plain import plain
from actors.calls.shards import CallStatus
from cluster.control_plane import ChannelConfig
from serve_apps.gateway.routes.callbacks import MAX_BODY_BYTES
from serve_apps.gateway.services import callbacks as service
from serve_apps.gateway.services.callbacks import Callbacks
from serve_apps.gateway.services.sns import SnsClient
from tests.support.gateway_world import Caller, World
from tests.unit.registries import callback_peers
from tests.unit.registries.callback_peers import NOW, PEERS, bounce, complaint, sendgrid, sendgrid_event
from whisperer.eligibility.standing import Consent, Standing
from whisperer.errors import UnavailableError
from whisperer.feedback.callbacks import CALLBACKS
from whisperer.feedback.callbacks.spec import Post
from whisperer.feedback.callbacks.twilio import SIGNATURE, signature
from whisperer.feedback.references import Reference, References
from whisperer.settings import CallbackSettings
from whisperer.shard.views.listing import ListedUser, ListedUsers

REFERENCES = References(bytes(32))
DECISION = "dec_" + "a" * 26

pytestmark = pytest.mark.parametrize("plane_url_of_module", ["sqlite"], indirect=True)  # it is asked for nothing here
every_provider = pytest.mark.parametrize("provider", CALLBACKS)


class PlayedSns(SnsClient):
    """Has the peers' certificate, and remembers what was confirmed."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.confirmed: list[str] = []
        self.away = False

    async def certificate(self, url: str) -> bytes:
        self.asked.append(url)
        if self.away:
            raise UnavailableError("no", retry_after_s=30.0)
        return callback_peers.PEM

    async def confirm(self, url: str) -> None:
        self.confirmed.append(url)


class Stage:
    """A gateway with a channel through each provider, as of the peers' now."""

    def __init__(self, world: World, acme: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.acme = world, acme
        self.sns = PlayedSns()
        self.serial = 0
        self.now, self.clock = NOW, 0.0
        self.settings = CallbackSettings()
        self.parts = world.parts
        self.providers: dict[str, str] = {}
        monkeypatch.setattr(world.plane, "channel", self._channel)
        world.parts.callbacks = self.callbacks = Callbacks(
            world.plane,
            world.shards,
            world.parts.user_list,
            self.sns,
            self._take,
            secret=bytes(32),
            public_url="https://whisperer.example.com",
            count=world._heard,
            now_ms=lambda: self.now,
            clock=lambda: self.clock,
        )
        self.refusals = 0

    async def _take(self, name: str, count: float, rate: float) -> float | None:
        assert (name.startswith("callbacks:"), count, rate) == (True, 1.0, 100.0)
        return 1.5 if self.refusals else None

    def _channel(self, tenant: str, channel: str) -> ChannelConfig | None:
        provider = self.providers.get(channel)
        return None if provider is None else self.config(provider)

    def config(self, provider: str) -> ChannelConfig:
        return ChannelConfig(provider, PEERS[provider].config, self.serial)

    def path(self, provider: str) -> str:
        channel = PEERS[provider].channel
        self.providers[channel] = provider
        url = self.callbacks.url(self.acme.id, channel, provider, self.config(provider).callback_serial)
        assert url is not None
        assert url.startswith(f"https://whisperer.example.com/v1/callbacks/{provider}/")
        return url.removeprefix("https://whisperer.example.com")

    def reference(self, channel: str = "email", tenant: str | None = None) -> str:
        return REFERENCES.make(Reference(tenant or self.acme.id, "u:ada", DECISION, channel, b"h" * 16))

    async def post(self, provider: str, made: Post, path: str | None = None) -> httpx.Response:
        """Post what a peer made, with Twilio's signature over the address that is really called."""
        target = path or self.path(provider)
        query = made.url.partition("?")[2]
        url = f"{target}?{query}" if query else target
        headers = dict(made.headers)
        if SIGNATURE in headers:
            form = list(httpx.QueryParams(made.body.decode()).items())
            genuine = signature(callback_peers.TOKEN, made.url, form) == headers[SIGNATURE]
            if genuine:
                headers[SIGNATURE] = signature(callback_peers.TOKEN, f"https://whisperer.example.com{url}", form)
        raw = [(name.encode(), value.encode("utf-8")) for name, value in headers.items()]
        return await self.acme.http.post(url, content=made.body, headers=raw)

    async def genuine(self, provider: str, reference: str | None = None) -> httpx.Response:
        channel = PEERS[provider].channel
        return await self.post(provider, PEERS[provider].genuine(reference or self.reference(channel)))

    @property
    def kinds(self) -> list[str]:
        return [str(one.kind) for one in self.world.shards.outcomes]

    def counted(self, provider: str) -> dict[str, int]:
        return {fate: n for (of, fate), n in self.world.heard.items() if of == provider and n}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, plane_url_of_module: str) -> Iterator[tuple[World, str]]:
    made = World(tmp_path_factory.mktemp("world"), plane_url_of_module)
    yield made, made.tenant("acme").id
    made.close()


@pytest.fixture
def stage(built: tuple[World, str], monkeypatch: pytest.MonkeyPatch) -> Stage:
    world, tenant = built
    world.heard.clear()
    for held in (world.shards.outcomes, world.shards.calls, world.shards.users, world.shards.away):
        held.clear()
    return Stage(world, Caller(world, tenant, "/v1", "none"), monkeypatch)


@every_provider
async def test_what_a_provider_says_is_journaled_and_counted(stage: Stage, provider: str) -> None:
    answer = await stage.genuine(provider)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"taken": 1, "ignored": 0}
    [outcome] = stage.world.shards.outcomes
    channel = PEERS[provider].channel
    assert (outcome.user, outcome.decision_id, outcome.kind, outcome.channel) == ("u:ada", DECISION, "bounced", channel)
    assert (outcome.address_hash, outcome.limit) == (b"h" * 16, 0)
    assert stage.counted(provider) == {"taken": 1}


@every_provider
@pytest.mark.parametrize("fate", ["forged", "stale", "foreign"])
async def test_what_is_not_genuine_is_refused_and_counted(stage: Stage, provider: str, fate: str) -> None:
    posts = getattr(PEERS[provider], fate)
    for one in posts:
        answer = await stage.post(provider, one)
        assert (answer.status_code, answer.json()["code"]) == (403, f"callback_{fate}"), answer.text
    assert stage.kinds == []
    assert stage.counted(provider) == ({fate: len(posts)} if posts else {})


@every_provider
async def test_a_duplicate_changes_nothing_and_is_answered_alike(stage: Stage, provider: str) -> None:
    first, second = await stage.genuine(provider), await stage.genuine(provider)
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert stage.kinds == ["bounced"]
    assert stage.counted(provider) == {"taken": 1, "repeated": 1}


@every_provider
async def test_what_is_said_of_foreign_messages_is_left_out(stage: Stage, provider: str) -> None:
    channel = PEERS[provider].channel
    other = "sms" if channel == "email" else "email"
    for reference in (stage.reference(channel, "tn_other"), stage.reference(other), "rNonsense", "x" * 300):
        assert (await stage.genuine(provider, reference)).status_code == 200
    assert stage.kinds == []
    assert stage.counted(provider) == {"foreign": 2, "unreferenced": 2}


@every_provider
async def test_while_a_shard_is_away_it_is_to_be_posted_again_and_then_taken(stage: Stage, provider: str) -> None:
    stage.world.shards.away = {0, 1}
    answer = await stage.genuine(provider)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    stage.world.shards.away = set()
    assert (await stage.genuine(provider)).status_code == 200
    assert stage.kinds == ["bounced"]
    assert stage.counted(provider) == {"unavailable": 1, "taken": 1}


async def test_an_address_that_is_not_good_is_nothing_and_says_no_more(stage: Stage) -> None:
    good = stage.path("smtp")
    token = good.rpartition("/")[2]
    texts = set()
    for path in (
        "/v1/callbacks/smtp/x", f"/v1/callbacks/sendgrid/{token}", f"/v1/callbacks/pigeon/{token}",
        good[:-1] + ("A" if good[-1] != "A" else "B"), good + "A", f"/v1/callbacks/smtp/{'x' * 5_000}",
    ):  # fmt: skip
        answer = await stage.acme.http.post(path, content=bounce("r0"))
        assert (answer.status_code, answer.json()["code"]) == (404, "callback_not_found")
        texts.add(answer.json()["message"])
    assert len(texts) == 1
    assert not stage.world.heard


async def test_a_replaced_token_is_void_within_a_second(stage: Stage) -> None:
    old = stage.path("smtp")
    assert (await stage.post("smtp", PEERS["smtp"].genuine(stage.reference()), old)).status_code == 200
    stage.serial, stage.clock = 1, service.KNOWN_FOR_S + 0.1
    assert (await stage.post("smtp", PEERS["smtp"].genuine(stage.reference()), old)).status_code == 404
    assert stage.path("smtp") != old
    assert (await stage.genuine("smtp")).status_code == 200


async def test_a_channel_that_went_to_another_provider_takes_no_callbacks_of_the_old_one(stage: Stage) -> None:
    old = stage.path("smtp")
    stage.providers["email"] = "sendgrid"
    assert (await stage.post("smtp", PEERS["smtp"].genuine(stage.reference()), old)).status_code == 404


async def test_while_the_control_plane_is_away_what_is_known_stays_good(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> None:
        raise UnavailableError("the database does not answer", retry_after_s=2.0)

    monkeypatch.setattr(stage.world.plane, "channel", gone)
    assert (await stage.genuine("smtp")).status_code == 503
    monkeypatch.setattr(stage.world.plane, "channel", stage._channel)
    assert (await stage.genuine("smtp")).status_code == 200
    monkeypatch.setattr(stage.world.plane, "channel", gone)
    stage.clock = 500.0
    assert (await stage.post("smtp", PEERS["smtp"].genuine(stage.reference()))).status_code == 200


async def test_a_body_over_a_megabyte_is_refused_and_one_of_a_thousand_events_is_not(stage: Stage) -> None:
    answer = await stage.acme.http.post(stage.path("smtp"), content=b"x" * (MAX_BODY_BYTES + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    events = [sendgrid_event(stage.reference(), event="delivered", x="y" * 700) for _ in range(1_000)]
    body = json.dumps(events).encode()
    assert MAX_BODY_BYTES * 0.9 < len(body) < MAX_BODY_BYTES
    assert (await stage.post("sendgrid", sendgrid(body))).json() == {"taken": 1_000, "ignored": 0}


async def test_too_many_callbacks_of_one_channel_are_told_when_to_come_back(stage: Stage) -> None:
    stage.refusals = 1
    answer = await stage.genuine("smtp")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (429, "rate_limited", "2")
    assert stage.counted("smtp") == {"limited": 1}


async def test_garbage_at_a_good_address_is_malformed(stage: Stage) -> None:
    answer = await stage.acme.http.post(stage.path("smtp"), content=b"hello")
    assert (answer.status_code, answer.json()["code"]) == (400, "callback_malformed")
    assert stage.counted("smtp") == {"malformed": 1}


async def test_a_soft_bounce_carries_how_many_suppress(stage: Stage) -> None:
    full = bounce(stage.reference(), "4.2.2", diagnostic="")
    await stage.post("smtp", replace(PEERS["smtp"].genuine("r0"), body=full))
    [outcome] = stage.world.shards.outcomes
    assert (outcome.kind, outcome.limit, outcome.within_ms) == ("soft_bounced", 3, 7 * 86_400_000)


async def test_a_complaint_of_a_feedback_loop_is_taken(stage: Stage) -> None:
    await stage.post("smtp", replace(PEERS["smtp"].genuine("r0"), body=complaint(stage.reference())))
    assert stage.kinds == ["complained"]


# -- Amazon -------------------------------------------------------------------------------------------------------------


async def test_a_subscription_is_visited_only_once_it_is_verified(stage: Stage) -> None:
    url = f"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={callback_peers.TOPIC}&Token=t"
    asked = {"Type": "SubscriptionConfirmation", "Token": "t", "SubscribeURL": url}
    forged = callback_peers.envelope("subscribe", key=callback_peers.RSA_STRANGER, **asked)
    assert (await stage.post("ses", forged)).status_code == 403
    assert stage.sns.confirmed == []
    assert (await stage.post("ses", callback_peers.envelope("subscribe", **asked))).status_code == 200
    assert stage.sns.confirmed == [url]


async def test_no_certificate_is_asked_for_on_behalf_of_a_foreign_topic_or_host(stage: Stage) -> None:
    for one in (*PEERS["ses"].foreign, *PEERS["ses"].forged[3:-1]):
        await stage.post("ses", one)
    assert stage.sns.asked == []


async def test_without_a_certificate_it_is_to_be_posted_again(stage: Stage) -> None:
    stage.sns.away = True
    assert (await stage.genuine("ses")).status_code == 503


# -- replies ------------------------------------------------------------------------------------------------------------

NUMBER = "+4915112345678"


def reply(text: str) -> Post:
    return callback_peers.twilio(
        {"From": NUMBER, "Body": text, "SmsStatus": "received", "MessageSid": f"SM{time.time_ns()}"}
    )


class Numbers:
    """Users with a number, as the shards list and show them."""

    def __init__(self, stage: Stage, monkeypatch: pytest.MonkeyPatch, *users: str) -> None:
        self.asked: list[Any] = []
        found = [
            ListedUser(key=f"u:{user}", number=0, first_seen=0, last_seen=0, events=1, score=None, engagement=None,
                       time_zone=None, locale=None) for user in users
        ]  # fmt: skip

        def listed(shard: int, *asked: Any) -> Any:
            self.asked.append(asked)
            return CallStatus.OK, plain(ListedUsers(users=found if shard == 0 else []))

        monkeypatch.setattr(stage.world.shards, "_list_users", listed)
        for user in users:
            stage.world.user(stage.acme, user, candidacies=[])


async def test_stop_ends_messages_to_everybody_with_the_number(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    Numbers(stage, monkeypatch, "ada", "bob")
    answer = await stage.post("twilio", reply("Stopp!"))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/xml; charset=utf-8")
    assert [(one.user, one.kind, one.purpose, one.detail, one.channel) for one in stage.world.shards.outcomes] == [
        ("u:ada", "unsubscribed", "*", "reply", "sms"),
        ("u:bob", "unsubscribed", "*", "reply", "sms"),
    ]


async def test_any_other_text_is_a_reply_whose_words_are_not_kept(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    Numbers(stage, monkeypatch, "ada")
    for text in ("do you have it in green?", "help"):
        await stage.post("twilio", reply(text))
    assert [(one.kind, one.detail) for one in stage.world.shards.outcomes] == [("replied", ""), ("replied", "help")]
    assert "green" not in repr(stage.world.shards.calls)


@pytest.mark.parametrize(
    ("consent", "states"),
    [
        ({"sms/*": Consent(1, False, "reply")}, 1),
        ({"sms/*": Consent(1, False, "form")}, 0),
        ({"sms/*": Consent(1, True, "reply")}, 0),
        ({}, 0),
    ],
)
async def test_start_takes_back_a_stop_and_is_no_consent_of_its_own(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, consent: dict[str, Consent], states: int
) -> None:
    Numbers(stage, monkeypatch, "ada")
    stage.world.shards.users[f"{stage.acme.id}/u:ada"].standing = Standing(consent=consent)
    await stage.post("twilio", reply("START"))
    calls = stage.world.shards.called("state_consent")
    assert [call[4:] for call in calls] == [("u:ada", "sms", "*", True, "reply")] * states


async def test_a_reply_of_nobody_we_know_is_counted(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    Numbers(stage, monkeypatch)
    assert (await stage.post("twilio", reply("STOP"))).status_code == 200
    assert stage.counted("twilio") == {"unreferenced": 1}


async def test_while_users_cannot_be_found_a_stop_is_not_acknowledged(stage: Stage) -> None:
    stage.world.shards.away = {0, 1}
    assert (await stage.post("twilio", reply("STOP"))).status_code == 503


@given(token=st.text(max_size=80), provider=st.sampled_from([*CALLBACKS, "x"]), body=st.binary(max_size=80))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_address_and_body_is_answered_with_a_problem(
    stage: Stage, token: str, provider: str, body: bytes
) -> None:
    path = httpx.URL("http://127.0.0.1:8000").copy_with(
        raw_path=f"/v1/callbacks/{provider}/".encode() + httpx.QueryParams({"t": token}).__str__()[2:].encode()
    )
    answer = await stage.acme.http.post(path, content=body)
    assert answer.status_code in (400, 404, 405)
    assert msgspec.json.decode(answer.content)["code"]

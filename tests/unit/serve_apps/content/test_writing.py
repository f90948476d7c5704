"""Messages that a model writes into a template's slots, and the template's own words wherever it does not."""

from __future__ import annotations

import random
import time
from typing import Any

import msgspec
import pytest

from serve_apps.content.rendering import Rendering
from serve_apps.content.writing import Writing
from tests.support.model_server import Step, echoing, filling
from tests.unit.serve_apps.content.test_rendering import SIGNER, FakePlane, rendered
from tests.unit.serve_apps.generation.conftest import World, world
from tests.unit.whisperer.content.generation.attacks import ALL
from tests.unit.whisperer.content.requests import request
from whisperer.content.generation.brief import Brief
from whisperer.content.generation.record import MAX_BYTES, Provenance, read
from whisperer.content.message import Rendered, RenderRequest

TEMPLATE = {
    "channel": "email",
    "missing": "refuse",
    "locales": {
        "en": {
            "subject": '{{ generated.subject | default: "Your projects" }}',
            "html": '<html><body><p>{{ generated.lead | default: "Pick up where you left off." }}</p>'
            '<a href="https://app.acme.example/p">Open</a></body></html>',
        }
    },
}
GOOD = filling(subject="Your projects are waiting", lead="Hi [[user.name]], pick up & go on with your projects.")
OWN = "Pick up where you left off."


def rendering(of: World, body: dict[str, Any] = TEMPLATE) -> Rendering:
    plane = FakePlane({("tn_1", "hello", 1): body, ("tn_1", "plain", 1): TEMPLATE})
    return Rendering(plane, SIGNER, "https://go.example", writing=Writing(of.generators, of.asking))


def asked(n: int = 1, facts: tuple[str, ...] = ("user.name", "user.plan"), **more: Any) -> RenderRequest:
    brief = msgspec.json.encode(Brief(more.pop("text", "Invite them back"), facts))
    traits = more.pop("traits", {"name": "Ada <b>Lovelace</b>", "plan": "pro"})
    return request(traits, channel="email", send_key=f"snd_{n}", brief=brief, **more)


def provenance(message: Any) -> Provenance:
    assert isinstance(message, Rendered)
    found = read(message.provenance)
    assert found is not None
    return found


async def test_a_models_words_stand_in_the_slots_with_the_users_own_values_escaped() -> None:
    async with world(GOOD) as here:
        (message,) = await rendered(rendering(here), asked())
        assert isinstance(message, Rendered)
        assert message.parts["subject"] == "Your projects are waiting"
        assert "Hi Ada &lt;b&gt;Lovelace&lt;/b&gt;, pick up &amp; go on with your projects." in message.parts["html"]
        found = provenance(message)
        assert found.generation is not None
        assert found.generation.ruling == "written"
        assert found.quality is not None
        assert "Ada" not in message.provenance.decode()
        assert "Lovelace" not in here.server.text


@pytest.mark.parametrize(
    ("step", "ruling"),
    [
        (Step(status=500), "failed"),
        (Step(text="{}"), "not_the_schema"),
        (filling(subject="Your projects", lead="Nur heute: Ihre Projekte warten auf Sie alle."), "wrong_language"),
        (Step(write=GOOD.write, before_s=30.0), "late"),
    ],
)
async def test_whatever_goes_wrong_the_template_speaks_for_itself_and_the_record_says_why(
    step: Step, ruling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Writing.write, "__defaults__", (3.0,))
    async with world(step) as here:
        (message,) = await rendered(rendering(here), asked())
        assert isinstance(message, Rendered)
        assert message.parts["subject"] == "Your projects"
        assert OWN in message.parts["html"]
        found = provenance(message).generation
        assert found is not None
        assert found.ruling == ruling


async def test_no_generator_none_allowed_no_slots_and_a_brief_of_tomorrow_all_mean_the_template() -> None:
    async with world(GOOD) as here:
        made = rendering(here)
        (message,) = await rendered(made, msgspec.structs.replace(asked(), brief=b'["new"]'))
        assert provenance(message).generation.ruling == "not_set_up"  # type: ignore[union-attr]
    async with world(GOOD, at_send_time=False) as here:
        (message,) = await rendered(rendering(here), asked())
        assert provenance(message).generation.ruling == "not_set_up"  # type: ignore[union-attr]
    body = {"channel": "email", "locales": {"en": {"subject": "Hi", "text": "Hello there"}}}
    async with world(GOOD) as here:
        (message,) = await rendered(rendering(here, body), asked())
        assert provenance(message).generation.ruling == "no_slots"  # type: ignore[union-attr]
        assert here.server.asked == []


async def test_a_text_with_which_the_message_cannot_be_sent_gives_way_to_the_templates_own() -> None:
    slot = '{{ generated.lead | default: "Hello" }}'
    long = "{% for n in (1..50) %}" + "x" * 30 + "{% endfor %}"
    body = {"channel": "push", "locales": {"en": {"title": "Hi", "body": f"{slot} {long}{slot}{slot}"}}}
    step = filling(lead="Your projects are waiting for you. " * 11)
    async with world(step) as here:
        (message,) = await rendered(rendering(here, body), msgspec.structs.replace(asked(), channel="push"))
        if isinstance(message, Rendered) and "waiting" not in message.parts["body"]:
            assert provenance(message).generation.ruling in ("unfit_message", "written")  # type: ignore[union-attr]
        assert isinstance(message, Rendered)


@pytest.mark.parametrize("attack", [attack for _, attack in ALL][::6])
async def test_an_obedient_model_and_a_hostile_user_give_the_templates_words(attack: str) -> None:
    """The model repeats whatever it is told; nothing of the attack is in the message."""
    async with world(Step(write=echoing)) as here:
        (message,) = await rendered(rendering(here), asked(traits={"name": "Ada", "plan": attack}))
        assert isinstance(message, Rendered)
        assert attack not in message.parts["html"]
        assert "HACKED" not in message.parts["html"]
        assert "evil.example" not in message.parts["html"]


async def test_over_99_of_100_messages_are_rendered_while_a_generator_fails_3_times_in_10() -> None:
    """All of them, in fact: those without a model's words have the template's."""
    draw = random.Random(13)
    failures = [Step(status=500), Step(raw=b""), Step(text="garbage"), Step(write=GOOD.write, hangs_up=True)]
    steps = [draw.choice(failures) if draw.random() < 0.3 else GOOD for _ in range(400)]
    async with world(*steps) as here:
        made = rendering(here)
        messages = []
        for at in range(0, 320, 16):
            batch = [asked(n, text=f"Invite them back, {n}") for n in range(at, at + 16)]
            messages += await rendered(made, *batch)
        assert all(isinstance(message, Rendered) for message in messages)
        rulings = [provenance(message).generation.ruling for message in messages]  # type: ignore[union-attr]
        assert 0.6 < rulings.count("written") / len(rulings) < 0.8
        for message, ruling in zip(messages, rulings, strict=True):
            assert (OWN in message.parts["html"]) == (ruling != "written")  # type: ignore[union-attr]


async def test_a_silent_generator_holds_a_batch_up_once_not_message_by_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Writing.write, "__defaults__", (3.0,))
    async with world(Step(write=GOOD.write, before_s=30.0)) as here:
        began = time.monotonic()
        batch = [asked(n, text=f"Brief {n}") for n in range(40)]
        messages = await rendered(rendering(here), *batch)
        assert time.monotonic() - began < 5.0  # 40 deadlines would be 20 s
        assert all(isinstance(message, Rendered) for message in messages)


async def test_a_message_without_a_brief_asks_nobody_and_a_retried_render_is_the_same() -> None:
    async with world(GOOD) as here:
        made = rendering(here)
        (plain,) = await rendered(made, request(channel="email", send_key="snd_0"))
        assert isinstance(plain, Rendered)
        assert here.server.asked == []
        first = await rendered(made, asked())
        again = await rendered(made, asked())
        assert first[0].content_hash == again[0].content_hash  # type: ignore[union-attr]
        assert len(here.server.asked) == 1


async def test_a_record_stays_bounded_whatever_is_asked_and_answered() -> None:
    async with world(filling(lead="Your projects are waiting. " * 14, subject="Your projects are waiting")) as here:
        (message,) = await rendered(rendering(here), asked(text='Invite them \u0001" back ' * 90))
        assert isinstance(message, Rendered)
        assert len(message.provenance) <= MAX_BYTES

"""Questions to a scripted endpoint, by the real client: what comes of each is a value, and in time."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from serve_apps.generation.asking import Story
from serve_apps.generation.breaker import MOST_FAILURES, Breaker
from serve_apps.generation.generators import MAX_AT_ONCE
from serve_apps.generation.kept_answers import KEEP_S, MAX_KEPT, KeptAnswers
from tests.support.model_server import Step, filling
from tests.unit.serve_apps.generation.conftest import KEY, World, world
from whisperer.content.generation.guardrails import Asked
from whisperer.content.generation.private import gather
from whisperer.content.generation.prompt import ask_for
from whisperer.content.generation.ruling import Ruling

GOOD = filling(lead="Hi [[user.name]], your projects are waiting for you.")
USER = {"name": "Ada Lovelace", "plan": "pro", "email": "ada@example.com"}


async def ask(of: World, user: dict[str, Any] | None = None, within_s: float = 2.0, **more: Any) -> Story:
    generator = await of.generator()
    facts, private = gather(["user.name", "user.plan"], {"user": user or USER})
    prompt = ask_for(more.pop("brief", "Invite them back"), generator.voice, "en", {"lead": 120}, facts)
    return await of.asking.ask(
        "tn_1",  # type: ignore[arg-type]
        generator,
        Asked(prompt, generator.voice, "en", private),
        within_s=within_s,
        withheld=facts.withheld,
        **more,
    )


async def test_the_real_client_asks_with_the_key_and_the_schema_and_nothing_personal_leaves() -> None:
    async with world(GOOD) as here:
        story = await ask(here)
        assert story.is_written
        assert story.slots == {"lead": "Hi [[user.name]], your projects are waiting for you."}
        (asked,) = here.server.asked
        assert here.server.keys == [f"Bearer {KEY}"]
        assert asked["model"] == "writer"
        assert asked["response_format"]["type"] == "json_schema"
        assert asked["response_format"]["json_schema"]["schema"]["required"] == ["lead"]
        for personal in ("Ada", "Lovelace", "ada@example.com"):
            assert personal not in here.server.text
        assert story.record.tokens == 100
        assert story.record.prompt_hash
        assert "[[user.name]]" in story.record.prompt
        assert KEY not in story.record.prompt


@pytest.mark.parametrize(
    ("step", "ruling"),
    [
        (Step(status=500), Ruling.FAILED),
        (Step(status=401), Ruling.FAILED),
        (Step(status=429), Ruling.FAILED),
        (Step(status=302), Ruling.FAILED),
        (Step(raw=b"garbage\r\n\r\n"), Ruling.FAILED),
        (Step(raw=b""), Ruling.FAILED),
        (Step(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nnot event"), Ruling.NOT_THE_SCHEMA),
        (Step(raw=b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {broken\n\n"), Ruling.FAILED),
        (Step(raw=b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: [1,2]\n\n"), Ruling.NOT_THE_SCHEMA),
        (Step(raw=b"HTTP/1.1 200 OK\r\n\r\n" + b"\x00\xff" * 5_000), Ruling.FAILED),
        (Step(text="I am sorry, I cannot do that."), Ruling.NOT_THE_SCHEMA),
        (Step(text='{"lead": "' + "word " * 20_000 + '"}'), Ruling.FAILED),
        (Step(write=GOOD.write, hangs_up=True), Ruling.FAILED),
        (filling(lead="Ihre Projekte warten auf Sie, kommen Sie zurück."), Ruling.WRONG_LANGUAGE),
        (filling(lead="Hi Ada, your projects wait at https://evil.example/x"), Ruling.FOREIGN_LINK),
    ],
)
async def test_whatever_an_endpoint_does_there_is_a_ruling_and_no_text(step: Step, ruling: Ruling) -> None:
    async with world(step) as here:
        story = await ask(here, within_s=30.0)
        assert (story.record.ruling, dict(story.slots)) == (ruling, {}), story.record.detail
        assert "scripted" not in story.record.detail  # the endpoint's own words stay there


@pytest.mark.parametrize(
    "step",
    [Step(write=GOOD.write, before_s=30.0), Step(write=GOOD.write, between_s=0.2)],
    ids=["silent", "trickling"],
)
async def test_who_is_late_is_not_waited_for(step: Step) -> None:
    async with world(step) as here:
        began = time.monotonic()
        story = await ask(here, within_s=0.3)
        assert time.monotonic() - began < 3.0  # not the 30 s of the script
        assert story.record.ruling == Ruling.LATE
        assert story.record.tokens > 0  # what was asked is paid for


async def test_the_text_is_heard_as_it_is_written() -> None:
    heard: list[str] = []
    async with world(GOOD) as here:
        story = await ask(here, heard=heard.append)
        assert len(heard) > 3
        assert "".join(heard) == story.record.output


async def test_an_equal_question_is_not_asked_again_and_each_user_gets_their_own_name() -> None:
    async with world(GOOD) as here:
        first = await ask(here)
        second = await ask(here, {"name": "Grace Hopper", "plan": "pro", "email": "grace@example.com"})
        assert second.record.cached
        assert second.slots == first.slots
        assert "Ada" not in str(second)
        assert len(here.server.asked) == 1
        await ask(here, {"name": "Grace Hopper", "plan": "free"})
        assert len(here.server.asked) == 2
        await ask(here, may_keep=False)
        assert len(here.server.asked) == 3
        assert here.asking.counts["tn_1", "cached"] == 1
        assert here.asking.counts["tn_1", "written"] == 4


async def test_what_was_refused_is_not_kept() -> None:
    async with world(filling(lead="Only $1 today for all of your projects"), GOOD) as here:
        assert (await ask(here)).record.ruling == Ruling.INVENTED_FIGURE
        assert (await ask(here)).is_written


async def test_no_more_is_asked_a_minute_than_the_tenant_allows() -> None:
    async with world(GOOD, requests_per_minute=60) as here:
        rulings = [(await ask(here, brief=f"Brief {n}")).record.ruling for n in range(6)]
        assert rulings == ["written", "written", *["over_rate"] * 4]
        here.now += 1.0
        assert (await ask(here, brief="later")).is_written
        here.limiter_is_away = True
        here.now += 60.0
        assert (await ask(here, brief="away")).record.ruling == Ruling.OVER_RATE


async def test_a_days_tokens_end_and_the_next_day_begins_anew() -> None:
    async with world(GOOD, tokens_per_day=250) as here:
        rulings = [(await ask(here, brief=f"Brief {n}")).record.ruling for n in range(5)]
        assert rulings == ["written", "written", "written", "over_budget", "over_budget"]
        here.now += 10.0  # joined with the control plane
        assert (await ask(here, brief="still")).record.ruling == Ruling.OVER_BUDGET
        assert here.plane.tokens[20_000] == 300
        here.day += 1
        assert (await ask(here, brief="tomorrow")).is_written


async def test_what_other_processes_spent_counts_and_nothing_is_asked_blindly() -> None:
    async with world(GOOD, tokens_per_day=250) as here:
        here.plane.tokens[20_000] = 1_000
        assert (await ask(here)).record.ruling == Ruling.OVER_BUDGET
    async with world(GOOD) as here:
        await here.generator()
        here.plane.down = True
        assert (await ask(here)).record.ruling == Ruling.OVER_BUDGET
        assert here.server.asked == []


async def test_an_endpoint_that_fails_again_and_again_is_left_alone_and_tried_once() -> None:
    async with world(*[Step(status=500)] * (MOST_FAILURES + 1), GOOD) as here:
        rulings = [(await ask(here, brief=f"Brief {n}")).record.ruling for n in range(MOST_FAILURES + 3)]
        assert rulings == ["failed"] * MOST_FAILURES + ["resting"] * 3
        assert len(here.server.asked) == MOST_FAILURES


def test_a_rest_is_doubled_up_to_a_minute_and_ends_with_the_first_success() -> None:
    breaker, now = Breaker(), 0.0
    for _ in range(MOST_FAILURES):
        assert breaker.may_ask(now)
        breaker.failed(now)
    rests = []
    for _ in range(8):
        assert not breaker.may_ask(now)
        rests.append(breaker.until_s - now)
        now = breaker.until_s
        assert breaker.may_ask(now)
        assert not breaker.may_ask(now), "one probe at a time"
        breaker.failed(now)
    assert rests == [1, 2, 4, 8, 16, 32, 60, 60]
    now = breaker.until_s
    assert breaker.may_ask(now)
    breaker.succeeded()
    assert breaker.may_ask(now)
    assert breaker.may_ask(now)


async def test_no_more_questions_of_a_tenant_are_under_way_than_there_are_places() -> None:
    async with world(Step(write=GOOD.write, before_s=1.5)) as here:
        await ask(here, within_s=0.05)
        stories = await asyncio.gather(*(ask(here, within_s=0.6, brief=f"B {n}") for n in range(MAX_AT_ONCE + 4)))
        found = [story.record.ruling for story in stories]
        assert found.count("busy") == 4
        assert len(here.server.asked) <= MAX_AT_ONCE + 1


@pytest.mark.parametrize(
    "base_url",
    ["http://169.254.169.254/v1", "http://10.0.0.1:8080/v1", "http://[::1]:9999/v1", "https://127.0.0.1:22/v1"],
)
async def test_an_endpoint_inside_the_network_is_not_called(base_url: str) -> None:
    async with world(GOOD, base_url=base_url) as here:
        story = await ask(here)
        assert story.record.ruling == Ruling.FAILED
        assert "ForbiddenAddressError" in story.record.detail


async def test_settings_that_change_are_heeded_and_a_generator_that_is_deleted_is_gone() -> None:
    async with world(GOOD) as here:
        before = await here.generator()
        assert await here.generator() is before
        assert here.plane.settings is not None
        here.plane.changes += 1
        assert await here.generator() is before  # nothing of it has changed
        import msgspec

        here.plane.settings, here.plane.changes = msgspec.structs.replace(here.plane.settings, model="other"), 9
        assert (await here.generator()).settings.model == "other"
        here.plane.down = True
        assert (await here.generator()).settings.model == "other"
        here.plane.down, here.plane.settings, here.plane.changes = False, None, 10
        assert await here.generators.of("tn_1") is None  # type: ignore[arg-type]


def test_what_is_kept_is_bounded_and_ages() -> None:
    kept = KeptAnswers()
    for n in range(MAX_KEPT + 10):
        kept.put(str(n), {"lead": "x"}, 0.0)
    assert kept.get("0", 1.0) is None
    assert kept.get(str(MAX_KEPT), 1.0) == {"lead": "x"}
    assert kept.get(str(MAX_KEPT), KEEP_S + 1) is None
    for n in range(100):
        kept.put(f"big {n}", {"lead": "x" * 1_000_000}, 0.0)
    assert sum(kept.get(f"big {n}", 0.0) is not None for n in range(100)) == 8
